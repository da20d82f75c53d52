import type { ServerFrame } from '../../schemas/frames.generated.js';
import { EdgeError, edgeError, UnauthorizedError } from './errors.js';
import type { ConnectionState, TransportName } from './types.js';
import type { FollowedJob, Platform, Position, Target, Transports, Wire, WireClose } from './wire.js';

/** A connection that holds so long was good: the next wait is the shortest. */
export const GOOD_MS = 30_000;
/** So long an attempt may take until the edge says hello. */
export const HELLO_MS = 30_000;
/** The longest wait between two attempts, but for a `Retry-After`; and the step that doubles up to it. */
const MOST_MS = 30_000;
const STEP_MS = 1_000;
/** A token that is refused so soon after it was got would be refused the next time. */
const QUITE_NEW_MS = 30_000;
/** So many quite new tokens in a row may be refused before nobody is asked any more. */
const MAX_REFUSALS = 4;
/** After a sleep a living connection answers sooner. */
export const WAKE_MS = 5_000;

/** Those for whom a connection is. */
export interface ConnectionOwner {
  followed(): readonly FollowedJob[];
  /** Where to go on, of all jobs; null: from the last states. */
  received(): Position | null;
  frame(frame: ServerFrame): void;
  connected(state: ConnectionState): void;
  /** It is closed for good, unless it is started again. */
  failed(error: Error): void;
}

export interface ConnectionDeps {
  readonly base: URL;
  readonly target: Target;
  readonly platform: Platform;
  readonly transports: Transports;
  /** Never asks twice at once. */
  readonly getToken: () => Promise<string | null>;
}

/** Keeps a connection to one target open, over whatever happens to it. PROTOCOL.md, "What a client must do". */
export interface Connection {
  readonly state: ConnectionState;
  /** Over which it is open; null: it is not. */
  readonly transport: TransportName | null;
  start(): void;
  /** Until it is started again. */
  stop(state?: 'idle' | 'closed'): void;
  /** Closes, and comes back at once. */
  restart(): void;
  /** `followed()` has these as well, or another position of them. */
  follow(jobs: readonly FollowedJob[]): void;
  unfollow(ids: readonly string[]): void;
  /**
   * Asks for another token where the one in use was asked for before `since`.
   * @returns true once the edge has taken it; false where there is no newer one
   */
  newerToken(since: number): Promise<boolean>;
}

export function createConnection(
  { base, target, platform, transports, getToken }: ConnectionDeps,
  owner: ConnectionOwner,
): Connection {
  let state: ConnectionState = 'idle';
  let wire: Wire | null = null;
  /** What an attempt before this one still hears counts for nothing. */
  let attempt = 0;
  let tries = 0;
  let refusals = 0;
  let notBefore = 0;
  /** The end of a wait, or of a silence. */
  let stopTimer = (): void => {};
  /** Set while it is started. */
  let stopListening: (() => void) | null = null;
  let lose: () => void;
  let newerToken: Connection['newerToken'];

  const set = (next: ConnectionState): void => {
    if (next === state) return;
    state = next;
    owner.connected(next);
  };
  const drop = (): void => {
    attempt += 1;
    stopTimer();
    wire?.close();
    wire = null;
  };
  const later = (ms: number, run: () => void): void => {
    stopTimer();
    stopTimer = platform.later(ms, run);
  };
  /** Comes back when nothing is heard for so long. */
  const listen = (ms: number): void => later(ms, lose);
  const wait = (leastMs: number, jitterMs: number): void => {
    notBefore = platform.now() + leastMs;
    later(leastMs + jitterMs, connect);
    set('waiting');
  };
  const stop = (next: 'idle' | 'closed' = 'idle'): void => {
    drop();
    stopListening?.();
    stopListening = null;
    set(next);
  };
  const fail = (error: Error): void => {
    stop('closed');
    owner.failed(error);
  };

  const connect = (): void => void attemptOnce();

  /** The page is there again, or the network. */
  const wake = (): void => {
    if (state === 'open') {
      listen(WAKE_MS);
      wire?.ping();
    } else if (state === 'connecting') listen(2 * WAKE_MS);
    // What the edge asked for is kept to.
    else if (platform.now() >= notBefore) connect();
  };

  /** The page goes, perhaps to come back: a socket would keep it from being kept, or be sent to in vain. */
  const hide = (): void => {
    drop();
    wait(Math.max(0, notBefore - platform.now()), MOST_MS);
  };

  /** One attempt, and the connection that it leads to. */
  async function attemptOnce(): Promise<void> {
    drop();
    const own = attempt;
    const isOver = (): boolean => attempt !== own;
    let token: string | null = null;
    /** When it was asked for; Infinity: it is not there yet. */
    let tokenAt = Number.POSITIVE_INFINITY;
    let greetedAt = Number.POSITIVE_INFINITY;
    let silenceMs = HELLO_MS;
    let isDraining = false;
    /** The edge's sentence ahead of its close. */
    let problem: Extract<ServerFrame, { type: 'error' }> | undefined;

    const closed = (close: WireClose): void => {
      if (isOver()) return;
      drop();
      const { next, code, message, retryAfterMs = 0 } = close;
      const now = platform.now();
      // A token that does not come says nothing of the transport.
      if (greetedAt > now && tokenAt <= now) transports.failed(close);
      if (now - greetedAt >= GOOD_MS) tries = 0;
      const error = edgeError(code, problem?.code, problem?.message ?? message);
      if (next === 'stop') {
        fail(error);
        return;
      }
      if (next === 'new_token') {
        if (token !== null && now - tokenAt >= QUITE_NEW_MS) {
          connect();
          return;
        }
        refusals += 1;
        if (token === null || refusals >= MAX_REFUSALS) {
          fail(new UnauthorizedError(error.code, error.message));
          return;
        }
      }
      // An edge that goes away has spread its closes already.
      const isSpread = isDraining || code === 1012;
      wait(
        retryAfterMs,
        platform.random() * (isSpread ? STEP_MS : Math.min(MOST_MS, STEP_MS * 2 ** tries++)),
      );
    };
    lose = () => closed({ next: 'retry', code: 0, message: '' });

    let renewal: Promise<boolean> | null = null;
    /** Set while the edge has a token and has not said that it counts. */
    let renewed: ((isNewer: true) => void) | null = null;
    const askAnew = async (): Promise<boolean> => {
      const askedAt = platform.now();
      const fresh = await getToken();
      // The next connection begins with it.
      if (isOver()) return true;
      // The same one again would be warned of again.
      if (fresh === null || fresh === token) return false;
      token = fresh;
      tokenAt = askedAt;
      if (wire?.renew(fresh))
        return new Promise((resolve) => {
          renewed = resolve;
        });
      connect();
      return true;
    };
    const renew = (): Promise<boolean> => {
      renewal ??= askAnew().finally(() => {
        renewal = null;
      });
      return renewal;
    };
    newerToken = async (since) => (renewal || tokenAt < since) && renew();

    const heard = (): void => {
      if (!isOver()) listen(silenceMs);
    };
    const frame = (given: ServerFrame): void => {
      if (isOver()) return;
      const isHello = given.type === 'hello';
      if (isHello) {
        greetedAt = platform.now();
        silenceMs = 2 * given.heartbeat_ms;
        refusals = 0;
        transports.worked();
      }
      heard();
      // None in time: the edge closes, and the next attempt asks again.
      if (given.type === 'token_expiring') renew().catch(() => {});
      if (given.type === 'auth_ok') {
        renewed?.(true);
        renewed = null;
      }
      // An edge that could not check it has said nothing, and takes it again.
      if (given.type === 'heartbeat' && renewed && token) wire?.renew(token);
      if (given.type === 'draining') isDraining = true;
      if (given.type === 'error' && given.processing_id === undefined) problem = given;
      owner.frame(given);
      if (isHello && !isOver()) set('open');
    };

    // Also where it is the token that does not come.
    listen(HELLO_MS);
    set('connecting');
    try {
      const askedAt = platform.now();
      token = await getToken();
      // It may be of before whatever came since it was asked for.
      tokenAt = askedAt;
      const openWire = await transports.open();
      if (isOver()) return;
      const { followed, received: position } = owner;
      const opened = openWire(
        { base, target, token },
        { followed, position, frame, alive: heard, closed },
        platform,
      );
      // It may have been closed within the call.
      if (isOver()) opened.close();
      else wire = opened;
    } catch (error) {
      if (isOver()) return;
      // The error may hold the token, so it is not shown. One of ours was thrown to be.
      if (error instanceof EdgeError) fail(error);
      else lose();
    }
  }

  return {
    get state() {
      return state;
    },
    get transport() {
      return (state === 'open' && wire?.transport) || null;
    },
    start() {
      if (stopListening) return;
      tries = refusals = 0;
      const stopWaking = platform.onWake(wake);
      const stopHiding = platform.onHide(hide);
      stopListening = () => {
        stopWaking();
        stopHiding();
      };
      connect();
    },
    stop,
    restart() {
      if (stopListening) connect();
    },
    follow(jobs) {
      if (state === 'open') wire?.follow(jobs);
    },
    unfollow(ids) {
      if (state === 'open') wire?.unfollow(ids);
    },
    newerToken: (since) => newerToken(since),
  };
}
