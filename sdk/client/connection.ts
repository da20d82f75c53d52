import type { ServerFrame } from '../../schemas/frames.generated.js';
import { EdgeError, edgeError } from './errors.js';
import type { Attempt } from './refusals.js';
import type { ConnectionState } from './types.js';
import {
  type FollowedJob,
  MAX_FAILURES,
  type Platform,
  type Position,
  type Target,
  type Transports,
  type Wire,
  type WireClose,
} from './wire.js';

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
  position(): Position | null;
  frame(frame: ServerFrame): void;
  connected(state: ConnectionState): void;
  /** It is closed for good, unless it is started again. */
  failed(error: Error): void;
}

export interface ConnectionDeps {
  readonly base: string;
  readonly target: Target;
  readonly platform: Platform;
  readonly transports: Transports;
  /** Never asks twice at once. */
  readonly getToken: () => Promise<string | null>;
}

/** Keeps a connection to one target open, over whatever happens to it. PROTOCOL.md, "What a client must do". */
export interface Connection {
  readonly state: ConnectionState;
  /** While it is open. */
  readonly wire: Wire | undefined;
  start(): void;
  /** Until it is started again. */
  stop(state?: 'idle' | 'closed'): void;
  /** Closes, and comes back at once. */
  restart(): void;
  /**
   * Asks for another token where the one in use was asked for before `since`.
   * @returns true once the edge has taken it; false where there is no newer one
   */
  newerToken(since: number): Promise<boolean>;
}

export function createConnection(deps: ConnectionDeps, owner: ConnectionOwner): Connection {
  const { base, target, platform, transports, getToken } = deps;
  const { now } = platform;
  let state: ConnectionState = 'idle';
  let tries = 0;
  let refusals = 0;
  let notBefore = 0;
  /** The end of a wait, or of a silence. */
  let stopTimer = (): void => {};
  /** Set while it is started. */
  let stopListening: (() => void) | null = null;

  /** The one that counts. */
  let attempt: Attempt | null = null;
  let greetedAt: number;
  let silenceMs: number;
  let isDraining: boolean;
  /** The edge's sentence ahead of its close. */
  let problem: Extract<ServerFrame, { type: 'error' }> | undefined;

  const set = (next: ConnectionState): void => {
    if (next === state) return;
    state = next;
    owner.connected(next);
  };
  const drop = (): void => {
    stopTimer();
    attempt?.wire?.close();
    attempt = null;
  };
  const later = (ms: number, run: () => void): void => {
    stopTimer();
    stopTimer = platform.later(ms, run);
  };
  const wait = (leastMs: number, jitterMs: number): void => {
    notBefore = now() + leastMs;
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

  const closed = (close: WireClose): void => {
    const { next, code, message, retryAfterMs = 0 } = close;
    const { token, tokenAt } = attempt as Attempt;
    drop();
    // A token that does not come says nothing of the transport.
    const isFailure = greetedAt > now() && tokenAt <= now();
    if (isFailure && transports.failures.length < MAX_FAILURES) transports.failures.push(close);
    if (now() - greetedAt >= GOOD_MS) tries = 0;
    const isRefused = next === 'new_token';
    if (isRefused && token && now() - tokenAt >= QUITE_NEW_MS) connect();
    else if (next === 'stop' || (isRefused && (!token || ++refusals >= MAX_REFUSALS)))
      fail(edgeError(code, problem?.code, problem?.message ?? message));
    else {
      // An edge that goes away has spread its closes already.
      const isSpread = isDraining || code === 1012;
      const mostMs = isSpread ? STEP_MS : Math.min(MOST_MS, STEP_MS * 2 ** tries++);
      wait(retryAfterMs, platform.random() * mostMs);
    }
  };
  const lose = (): void => closed({ next: 'retry', code: 0, message: '' });

  /** The page is there again, or the network. */
  const wake = (): void => {
    if (state === 'open') {
      later(WAKE_MS, lose);
      attempt?.wire?.ping();
    } else if (state === 'connecting') later(2 * WAKE_MS, lose);
    // What the edge asked for is kept to.
    else if (now() >= notBefore) connect();
  };

  /** The page goes, perhaps to come back: a socket would keep it from being kept, or be sent to in vain. */
  const hide = (): void => {
    drop();
    wait(Math.max(0, notBefore - now()), MOST_MS);
  };

  const newerToken: Connection['newerToken'] = async (since) => {
    const own = attempt;
    const { newerToken } = await import('./refusals.js');
    return newerToken(own, since, deps, () => attempt !== own, connect);
  };

  const heard = (): void => later(silenceMs, lose);
  const frame = (given: ServerFrame): void => {
    const { type } = given;
    const isHello = type === 'hello';
    if (isHello) {
      greetedAt = now();
      silenceMs = 2 * given.heartbeat_ms;
      refusals = 0;
      transports.failures = [];
    }
    heard();
    attempt?.onFrame?.(given);
    // None in time: the edge closes, and the next attempt asks again.
    if (type === 'token_expiring') newerToken(Number.POSITIVE_INFINITY).catch(() => {});
    if (type === 'draining') isDraining = true;
    if (type === 'error' && given.processing_id === undefined) problem = given;
    owner.frame(given);
    if (isHello && attempt) set('open');
  };

  const connect = (): void => void attemptOnce();

  async function attemptOnce(): Promise<void> {
    drop();
    const own: Attempt = { token: null, tokenAt: Number.POSITIVE_INFINITY };
    attempt = own;
    /** What an attempt before this one still hears counts for nothing. */
    const mine =
      <T>(run: (given: T) => void) =>
      (given: T): void => {
        if (attempt === own) run(given);
      };
    greetedAt = Number.POSITIVE_INFINITY;
    silenceMs = HELLO_MS;
    isDraining = false;
    problem = undefined;
    // Also where it is the token that does not come.
    heard();
    set('connecting');
    try {
      const askedAt = now();
      own.token = await getToken();
      // It may be of before whatever came since it was asked for.
      own.tokenAt = askedAt;
      const openWire = await transports.open();
      if (attempt !== own) return;
      own.wire = openWire(
        { base, target, token: own.token },
        { ...owner, frame: mine(frame), alive: mine<void>(heard), closed: mine(closed) },
        platform,
      );
      // It may have been closed within the call.
      if (attempt !== own) own.wire.close();
    } catch (error) {
      if (attempt !== own) return;
      // The error may hold the token, so it is not shown. One of ours was thrown to be.
      if (error instanceof EdgeError) fail(error);
      else lose();
    }
  }

  return {
    get state() {
      return state;
    },
    get wire() {
      return state === 'open' ? attempt?.wire : undefined;
    },
    start() {
      if (stopListening) return;
      tries = refusals = 0;
      stopListening = platform.onPage(wake, hide);
      connect();
    },
    stop,
    restart() {
      if (stopListening) connect();
    },
    newerToken,
  };
}
