import type { ServerFrame } from '../../schemas/frames.generated.js';
import { EdgeError, edgeError, UnauthorizedError } from './errors.js';
import type { Transports } from './transports.js';
import type { ConnectionState, TransportName } from './types.js';
import type { FollowedJob, OpenWire, Platform, Position, Target, Wire, WireClose } from './wire.js';

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
/** How often WebSocket is looked at while another transport is in use. */
export const PROBE_MS = 60_000;

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
  readonly maxRate?: number | undefined;
  readonly platform: Platform;
  readonly transports: Transports;
  readonly open: (name: TransportName) => OpenWire | Promise<OpenWire>;
  /** Never asks twice at once. */
  readonly getToken: () => Promise<string | null>;
}

/** One attempt, and the connection that it leads to. */
interface Attempt {
  readonly transport: TransportName;
  wire: Wire | null;
  token: string | null;
  /** Infinity: not yet. */
  tokenAt: number;
  /** Infinity: not yet. */
  greetedAt: number;
  silenceMs: number;
  isDraining: boolean;
  /** The edge's sentence ahead of its close. */
  problem: Extract<ServerFrame, { type: 'error' }> | null;
}

/** Keeps a connection to one target open, over whatever happens to it. PROTOCOL.md, "What a client must do". */
export class Connection {
  #state: ConnectionState = 'idle';
  #attempt: Attempt | null = null;
  /** An attempt over WebSocket beside a fallback that works. */
  #probe: Attempt | null = null;
  #tries = 0;
  #refusals = 0;
  #notBefore = 0;
  /** The end of a wait, or of a silence. */
  #stopTimer = (): void => {};
  #stopProbing = (): void => {};
  /** When WebSocket is looked at next, whatever becomes of the fallback until then; null: it is in use. */
  #probeAt: number | null = null;
  #stopWaking = (): void => {};

  constructor(
    private readonly deps: ConnectionDeps,
    private readonly owner: ConnectionOwner,
  ) {}

  get state(): ConnectionState {
    return this.#state;
  }

  get transport(): TransportName | null {
    return this.#state === 'open' ? (this.#attempt?.transport ?? null) : null;
  }

  start(): void {
    if (this.#state !== 'idle' && this.#state !== 'closed') return;
    this.#tries = this.#refusals = 0;
    const { platform } = this.deps;
    const stopWaking = platform.onWake(() => this.#wake());
    const stopHiding = platform.onHide?.(() => this.#hide());
    this.#stopWaking = () => {
      stopWaking();
      stopHiding?.();
    };
    void this.#connect();
  }

  /** Until it is started again. */
  stop(state: 'idle' | 'closed' = 'idle'): void {
    this.#drop();
    this.#stopWaking();
    this.#set(state);
  }

  /** Closes, and comes back at once. */
  restart(): void {
    if (this.#state !== 'idle' && this.#state !== 'closed') void this.#connect();
  }

  /** `followed()` has these as well, or another position of them. */
  follow(jobs: readonly FollowedJob[]): void {
    if (this.#state === 'open') this.#attempt?.wire?.follow(jobs);
  }

  unfollow(ids: readonly string[]): void {
    if (this.#state === 'open') this.#attempt?.wire?.unfollow(ids);
  }

  async #connect(): Promise<void> {
    this.#drop();
    const attempt = this.#newAttempt(this.deps.transports.current);
    this.#attempt = attempt;
    this.#set('connecting');
    // Also where it is the token that does not come.
    this.#arm(HELLO_MS);
    await this.#open(attempt);
  }

  #newAttempt(transport: TransportName): Attempt {
    return {
      transport,
      wire: null,
      token: null,
      tokenAt: Number.POSITIVE_INFINITY,
      greetedAt: Number.POSITIVE_INFINITY,
      silenceMs: HELLO_MS,
      isDraining: false,
      problem: null,
    };
  }

  async #open(attempt: Attempt): Promise<void> {
    const { base, target, maxRate, platform, open, getToken } = this.deps;
    const isOver = () => this.#attempt !== attempt && this.#probe !== attempt;
    try {
      attempt.token = await getToken();
      attempt.tokenAt = platform.now();
      const openWire = await open(attempt.transport);
      if (isOver()) return;
      attempt.wire = openWire(
        { base, target, token: attempt.token, maxRate },
        {
          followed: () => this.owner.followed(),
          position: () => this.owner.received(),
          frame: (frame) => this.#frame(attempt, frame),
          alive: () => this.#heard(attempt),
          closed: (close) => this.#closed(attempt, close),
        },
        platform,
      );
      // It may have been closed within the call.
      if (isOver()) attempt.wire.close();
    } catch (error) {
      // The error may hold the token, so it is not shown. One of ours was thrown to be.
      if (error instanceof EdgeError && this.#attempt === attempt) this.#fail(error);
      else this.#closed(attempt, { next: 'retry', code: 0, message: 'cannot connect now', retryAfterMs: 0 });
    }
  }

  #frame(attempt: Attempt, frame: ServerFrame): void {
    const isFirst = frame.type === 'hello';
    if (isFirst && attempt === this.#probe) this.#takeProbe(attempt);
    if (attempt !== this.#attempt) return;
    if (isFirst) {
      attempt.greetedAt = this.deps.platform.now();
      attempt.silenceMs = 2 * frame.heartbeat_ms;
      this.#refusals = 0;
      this.deps.transports.worked(attempt.transport);
      this.#probeLater();
    }
    this.#heard(attempt);
    if (frame.type === 'token_expiring') void this.#renew(attempt);
    if (frame.type === 'draining') attempt.isDraining = true;
    if (frame.type === 'error' && frame.processing_id === undefined) attempt.problem = frame;
    this.owner.frame(frame);
    if (isFirst && attempt === this.#attempt) this.#set('open');
  }

  #heard(attempt: Attempt): void {
    if (attempt === this.#attempt) this.#arm(attempt.silenceMs);
  }

  /** Comes back when nothing is heard for so long. */
  #arm(ms: number): void {
    const attempt = this.#attempt;
    this.#stopTimer();
    this.#stopTimer = this.deps.platform.later(ms, () => {
      if (attempt !== null)
        this.#closed(attempt, {
          next: 'retry',
          code: 0,
          message: 'the connection is silent',
          retryAfterMs: 0,
        });
    });
  }

  #closed(attempt: Attempt, close: WireClose): void {
    if (attempt === this.#probe) {
      attempt.wire?.close();
      this.#probe = null;
      this.#probeLater();
    }
    if (attempt !== this.#attempt) return;
    const { platform, transports } = this.deps;
    const now = platform.now();
    this.#drop();
    // A token that does not come says nothing of the transport.
    if (attempt.greetedAt > now && attempt.tokenAt <= now) transports.failed(close);
    if (now - attempt.greetedAt >= GOOD_MS) this.#tries = 0;
    const error = edgeError(close.code, attempt.problem?.code, attempt.problem?.message ?? close.message);
    switch (close.next) {
      case 'stop':
        this.#fail(error);
        return;
      case 'new_token':
        if (now - attempt.tokenAt >= QUITE_NEW_MS && attempt.token !== null) {
          void this.#connect();
          return;
        }
        this.#refusals += 1;
        if (attempt.token === null || this.#refusals >= MAX_REFUSALS) {
          this.#fail(new UnauthorizedError(error.code, error.message));
          return;
        }
        break;
      case 'retry':
        break;
    }
    // An edge that goes away has spread its closes already.
    const isDraining = attempt.isDraining || close.code === 1012;
    const mostMs = isDraining ? STEP_MS : Math.min(MOST_MS, STEP_MS * 2 ** this.#tries++);
    this.#wait(close.retryAfterMs, platform.random() * mostMs);
  }

  #wait(leastMs: number, jitterMs: number): void {
    const { platform } = this.deps;
    this.#notBefore = platform.now() + leastMs;
    this.#stopTimer = platform.later(leastMs + jitterMs, () => void this.#connect());
    this.#set('waiting');
  }

  #fail(error: Error): void {
    this.stop('closed');
    this.owner.failed(error);
  }

  /** The page is there again, or the network. */
  #wake(): void {
    switch (this.#state) {
      case 'waiting':
        // What the edge asked for is kept to.
        if (this.deps.platform.now() >= this.#notBefore) void this.#connect();
        return;
      case 'open':
        this.#arm(WAKE_MS);
        this.#attempt?.wire?.ping();
        return;
      case 'connecting':
        this.#arm(2 * WAKE_MS);
        return;
      case 'idle':
      case 'closed':
        return;
    }
  }

  /** The page goes, perhaps to come back: a socket would keep it from being kept, or be sent to in vain. */
  #hide(): void {
    this.#drop();
    this.#wait(Math.max(0, this.#notBefore - this.deps.platform.now()), MOST_MS);
  }

  async #renew(attempt: Attempt): Promise<void> {
    try {
      const token = await this.deps.getToken();
      // The same one again would be warned of again.
      if (token === null || token === attempt.token) return;
      if (attempt !== this.#attempt || attempt.wire === null) return;
      if (!attempt.wire.renew(token)) {
        this.restart();
        return;
      }
      attempt.token = token;
      attempt.tokenAt = this.deps.platform.now();
    } catch {
      // None in time: the edge closes, and the next attempt asks again.
    }
  }

  #probeLater(): void {
    const { platform, transports } = this.deps;
    this.#stopProbing();
    const now = platform.now();
    this.#probeAt = transports.isFallback ? (this.#probeAt ?? now + PROBE_MS) : null;
    if (this.#probeAt === null) return;
    this.#stopProbing = platform.later(Math.max(0, this.#probeAt - now), () => {
      this.#probeAt = null;
      const probe = this.#newAttempt('websocket');
      this.#probe = probe;
      this.#stopProbing = platform.later(HELLO_MS, () =>
        this.#closed(probe, { next: 'retry', code: 0, message: '', retryAfterMs: 0 }),
      );
      void this.#open(probe);
    });
  }

  /** WebSocket works again: it takes over, from where the other one is. */
  #takeProbe(probe: Attempt): void {
    this.#attempt?.wire?.close();
    this.#probe = null;
    this.#attempt = probe;
  }

  #drop(): void {
    this.#stopTimer();
    this.#stopProbing();
    this.#attempt?.wire?.close();
    this.#probe?.wire?.close();
    this.#attempt = this.#probe = null;
  }

  #set(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.owner.connected(state);
  }
}
