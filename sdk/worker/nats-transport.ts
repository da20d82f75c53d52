import type { Msg, MsgHdrs, NatsConnection, Subscription } from 'nats';
import { type ConnectionEvents, newInbox, unreachableText, watchConnection } from './connection.js';
import { type ApiError, replyOfError, replyOfStatus } from './jetstream-errors.js';
import type { BufferedEvent, Clock, Obstacle, Reply, ReplyHandler, SlotOwner, Transport } from './ports.js';

/** The default of nats-server, until the first server has sent its own. */
const USUAL_MAX_PAYLOAD = 1024 * 1024;
/** Room for headers, which the server counts as well. */
const HEADERS = 4_096;
/** With so many in flight, later sends linger, so that many leave in one write. */
const LINGER_FROM = 32;
/** How long they linger at most, in milliseconds. */
const LINGER_MS = 1;
/** So many are sent without lingering. About what the `nats` package writes at once. */
const BATCH_SIZE = 64;

/** The limits of a transport. */
export interface TransportLimits {
  /** How many events may be in flight, from 1. */
  readonly maxInFlight: number;
  /** How many bytes of events are kept before the oldest are evicted. */
  readonly maxPendingBytes: number;
}

/** A transport over one connection, which may be attached later. */
export class NatsTransport implements Transport {
  readonly #events: ConnectionEvents;
  readonly #limiter: InFlightLimiter;
  readonly #pending: PendingBuffer<ReplyHandler>;
  readonly #inboxPrefix: string | undefined;
  #connection: NatsConnection | null = null;
  #inbox = '';
  #tokens = 0;
  #isConnected = false;
  #isClosed = false;
  #dialFailure = unreachableText([], 'no connection was made yet');
  #obstacle: { readonly kind: Obstacle; readonly detail: string } | null = null;
  #subscription: Subscription | null = null;
  #stopWatching: () => void = () => {};

  constructor(
    events: ConnectionEvents,
    clock: Clock,
    limits: TransportLimits,
    inboxPrefix: string | undefined,
  ) {
    this.#events = events;
    this.#inboxPrefix = inboxPrefix;
    this.#limiter = new InFlightLimiter(limits.maxInFlight, (ms, call) => void clock.later(ms, call));
    this.#pending = new PendingBuffer(limits.maxPendingBytes);
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  get unreachable(): string {
    if (this.#connection === null) return this.#dialFailure;
    return unreachableText([this.#connection.getServer()], 'the connection was lost');
  }

  /** Why JetStream could not store the event that it answered last; null: it was stored, or nothing is known. */
  get obstacle(): { readonly kind: Obstacle; readonly detail: string } | null {
    return this.#obstacle;
  }

  /** Bytes of events that are kept. */
  get pendingBytes(): number {
    return this.#pending.bytes;
  }

  get connection(): NatsConnection | null {
    return this.#connection;
  }

  get maxPayload(): number {
    return (this.#connection?.info?.max_payload ?? USUAL_MAX_PAYLOAD) - HEADERS;
  }

  // A server without JetStream leaves the field out of its INFO.
  get #hasJetStream(): boolean {
    return this.#connection?.info?.jetstream === true;
  }

  /** Stops sending and receiving. */
  close(): void {
    this.#isConnected = false;
    this.#isClosed = true;
    this.#limiter.clear(this.#pending.events());
    this.#pending.clear();
    if (this.#connection?.isClosed() === false) this.#subscription?.unsubscribe();
    this.#stopWatching();
  }

  /** A try to connect has failed, before there is a connection. */
  onDialFailed(servers: readonly string[], reason: string): void {
    this.#dialFailure = unreachableText(servers, reason);
  }

  /** Sets the connection. Call it once. */
  attach(connection: NatsConnection): void {
    this.#connection = connection;
    const inbox = newInbox(connection, this.#inboxPrefix);
    this.#inbox = `${inbox}.`;
    this.#subscription = connection.subscribe(`${inbox}.*`, {
      callback: (error, msg) => error === null && this.#onReply(msg),
    });
    this.#stopWatching = watchConnection(connection, this.#inbox, {
      ...this.#events,
      onConnected: () => this.#onConnected(),
      onDisconnected: () => this.#onDisconnected(),
      onClosed: () => this.#onClosed(),
    });
    // A connection that is reconnecting has no server info.
    if (connection.info !== undefined) this.#onConnected();
  }

  registerReply(handler: ReplyHandler, bytes: number): number {
    this.#tokens += 1;
    const token = this.#tokens;
    this.#pending.add(token, handler, bytes);
    return token;
  }

  unregisterReply(handler: ReplyHandler, token: number): void {
    this.#limiter.release(handler);
    this.#pending.remove(token);
  }

  acquireSlot(handler: ReplyHandler): void {
    this.#limiter.acquire(handler);
  }

  releaseSlot(handler: ReplyHandler): void {
    this.#limiter.release(handler);
  }

  publish(subject: string, body: Uint8Array, token: number, headers: MsgHdrs): boolean {
    return this.#try((nc) => nc.publish(subject, body, { reply: this.#inbox + token, headers }));
  }

  publishUnacked(subject: string, body: Uint8Array): void {
    this.#try((nc) => nc.publish(subject, body));
  }

  // While disconnected, a connection buffers without a bound, so nothing is given to it.
  #try(publish: (nc: NatsConnection) => void): boolean {
    if (!this.#isConnected || this.#connection === null) return false;
    try {
      publish(this.#connection);
      return true;
    } catch {
      return false;
    }
  }

  #onReply(msg: Msg): void {
    const handler = this.#pending.get(Number(msg.subject.slice(this.#inbox.length)));
    const reply = parseReply(msg.headers?.code ?? 0, msg.string(), this.#hasJetStream);
    if (reply.kind === 'stored') this.#obstacle = null;
    else if ((reply.kind === 'busy' || reply.kind === 'refused') && reply.obstacle !== undefined) {
      this.#obstacle = { kind: reply.obstacle, detail: reply.detail };
    }
    handler?.onReply(reply);
  }

  #onClosed(): void {
    if (this.#isClosed) return;
    this.close();
    const message = 'The connection to NATS was closed; nothing more is sent.';
    this.#events.warn({ kind: 'connection_closed', message });
    this.#events.onClosed();
  }

  #onConnected(): void {
    if (this.#isConnected || this.#isClosed) return;
    this.#isConnected = true;
    this.#events.onConnected();
  }

  #onDisconnected(): void {
    if (this.#isClosed || !this.#isConnected) return;
    this.#isConnected = false;
    this.#limiter.clear(this.#pending.events());
    this.#events.warn({
      kind: 'disconnected',
      message: 'NATS cannot be reached; states are kept until it is back.',
    });
    this.#events.onDisconnected();
  }
}

/** The form of nearly all acknowledgements. */
const PLAIN_ACK = /^\{"stream":"[^"\\]*", ?"seq":([1-9]\d*)\}$/;

interface PubAck {
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: ApiError;
}

/**
 * Parses a reply. Never throws: an unknown reply counts as `busy`.
 * @param status the status in the message's header, 0 without one; 503 means no responder
 * @param hasJetStream whether the server that we are connected to has JetStream, by its INFO
 */
export function parseReply(status: number, text: string, hasJetStream = true): Reply {
  if (status !== 0) return replyOfStatus(status, hasJetStream);
  const stored = PLAIN_ACK.exec(text);
  if (stored !== null) return { kind: 'stored', seq: Number(stored[1]), duplicate: false };
  let ack: PubAck;
  try {
    ack = JSON.parse(text) as PubAck;
  } catch {
    return { kind: 'busy', detail: 'the answer is not JSON', mayBeStored: true };
  }
  const error = ack?.error;
  if (error === undefined) {
    // A cluster answers a duplicate of an event that it has not stored yet with the sequence 0.
    return typeof ack?.seq === 'number' && ack.seq > 0
      ? { kind: 'stored', seq: ack.seq, duplicate: ack.duplicate === true }
      : { kind: 'busy', detail: 'the event is on its way', mayBeStored: true };
  }
  return replyOfError(error);
}

/**
 * Limits how many events are in flight at once; the others wait in first-in, first-out order. Acknowledgements arrive a
 * few at a time, and a write for each of them would cost more than everything else. So on a busy connection sends
 * linger until they fill a write, or for a millisecond. If they lingered longer, the server would be idle meanwhile.
 */
export class InFlightLimiter {
  readonly #size: number;
  readonly #later: (ms: number, call: () => void) => void;
  /** First in, first out, from `#first` on. Owners that are not `queued` any more are skipped. */
  #queue: SlotOwner[] = [];
  #first = 0;
  #held = 0;
  #isLingering = false;
  #isFlushing = false;

  /**
   * @param size how many may be in flight, from 1
   * @param later calls once after so many milliseconds
   */
  constructor(size: number, later: (ms: number, call: () => void) => void) {
    this.#size = size;
    this.#later = later;
  }

  acquire(owner: SlotOwner): void {
    if (owner.slot !== 'none') return;
    if (this.#held < Math.min(LINGER_FROM, this.#size) && this.#waiting === 0) {
      this.#grant(owner);
      return;
    }
    owner.slot = 'queued';
    this.#queue.push(owner);
    this.#linger();
  }

  release(owner: SlotOwner): void {
    if (owner.slot === 'held') this.#held -= 1;
    owner.slot = 'none';
    this.#linger();
  }

  /** Nothing is in flight any more, and nothing waits. */
  clear(owners: Iterable<SlotOwner>): void {
    for (const owner of owners) owner.slot = 'none';
    this.#queue = [];
    this.#first = 0;
    this.#held = 0;
  }

  get #waiting(): number {
    return this.#queue.length - this.#first;
  }

  #linger(): void {
    const ready = Math.min(this.#waiting, this.#size - this.#held);
    if (ready <= 0) return;
    if (ready >= BATCH_SIZE) this.#flush();
    else if (!this.#isLingering) {
      this.#isLingering = true;
      this.#later(LINGER_MS, () => {
        this.#isLingering = false;
        this.#flush();
      });
    }
  }

  // An owner with nothing to send releases its slot at once, which makes room for the next one.
  #flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      for (;;) {
        const owner = this.#held < this.#size ? this.#queue[this.#first] : undefined;
        if (owner === undefined) break;
        this.#first += 1;
        if (owner.slot === 'queued') this.#grant(owner);
      }
    } finally {
      this.#isFlushing = false;
    }
    // Removing each owner from the front would take time in proportion to the length of the queue.
    if (this.#first > this.#queue.length / 2) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
  }

  #grant(owner: SlotOwner): void {
    owner.slot = 'held';
    this.#held += 1;
    if (owner.onSlot()) return;
    // It may have released the slot itself.
    this.release(owner);
  }
}

/**
 * All events that are not acknowledged, by a number of their own that grows: so the oldest comes first. Counts their
 * bytes, and evicts the oldest ones above a limit.
 */
export class PendingBuffer<T extends BufferedEvent> {
  readonly #pending = new Map<number, { readonly event: T; readonly bytes: number }>();
  #bytes = 0;
  #isEvicting = false;

  constructor(private readonly maxBytes: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  get(token: number): T | undefined {
    return this.#pending.get(token)?.event;
  }

  *events(): Iterable<T> {
    for (const { event } of this.#pending.values()) yield event;
  }

  /** Adds an event. Above the limit it evicts the oldest evictable events, but never the one that was just added. */
  add(token: number, event: T, bytes: number): void {
    this.#pending.set(token, { event, bytes });
    this.#bytes += bytes;
    // A terminal event that takes the place of an evicted update must not start another round.
    if (this.#bytes <= this.maxBytes || this.#isEvicting) return;
    this.#isEvicting = true;
    // No copy of them: there may be very many, and mostly the first one makes room. What is added meanwhile is newer.
    for (const [other, pending] of this.#pending) {
      if (this.#bytes <= this.maxBytes || other >= token) break;
      if (!pending.event.evictable) continue;
      this.remove(other);
      pending.event.evict();
    }
    this.#isEvicting = false;
  }

  remove(token: number): void {
    const pending = this.#pending.get(token);
    if (pending === undefined) return;
    this.#bytes -= pending.bytes;
    this.#pending.delete(token);
  }

  clear(): void {
    this.#pending.clear();
    this.#bytes = 0;
  }
}
