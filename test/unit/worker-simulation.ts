/**
 * Workers against a JetStream in memory, over connections that lose, delay and break: what the event delivery of the
 * worker SDK has to handle. Time, chance and the order of everything are the test's.
 */
import type { MsgHdrs } from 'nats';
import { timeoutEvent } from '../../internal/liveness/timeout-event.js';
import { type LastMessage, readEvent } from '../../sdk/worker/fencing.js';
import type { JobOptions } from '../../sdk/worker/job-options.js';
import { JobWriter } from '../../sdk/worker/job-writer.js';
import { PendingBuffer } from '../../sdk/worker/nats-transport.js';
import type {
  Clock,
  Counts,
  Forbidden,
  LastRead,
  Reply,
  ReplyHandler,
  ReporterContext,
  TimerEntry,
  Transport,
} from '../../sdk/worker/ports.js';
import { settingsOf } from '../../sdk/worker/settings.js';
import { AbortListeners } from '../../sdk/worker/signals.js';
import type { ReporterWarning } from '../../sdk/worker/warning.js';
import { event } from '../harness/publish.js';

export interface Stored {
  readonly seq: number;
  readonly subject: string;
  readonly msgId: string;
  readonly text: string;
  /** The condition it was written under. */
  readonly expected: number | null;
}

type Failed = Extract<LastRead, { kind: 'failed' }>;

/** Which of the two JetStream looks at first differs between its versions and with the number of replicas. */
export type CheckOrder = 'duplicate first' | 'expected first';

/** What a worker may see of its job's messages. */
export type MayRead = 'all' | 'newest' | 'nothing' | 'nobody there';

export class Stream {
  readonly stored: Stored[] = [];
  readonly #ids = new Map<string, number>();

  constructor(readonly order: CheckOrder) {}

  last(subject: string): Stored | undefined {
    return this.stored.findLast((one) => one.subject === subject);
  }

  publish(subject: string, text: string, msgId: string, expected: number | null): Reply {
    const duplicate = msgId === '' ? undefined : this.#ids.get(msgId);
    const last = this.last(subject)?.seq ?? 0;
    const isConflict = expected !== null && expected !== last;
    if (duplicate !== undefined && (this.order === 'duplicate first' || !isConflict)) {
      return { kind: 'stored', seq: duplicate, duplicate: true };
    }
    if (isConflict) return { kind: 'conflict', last };
    const seq = (this.stored.at(-1)?.seq ?? 0) + 1;
    this.stored.push({ seq, subject, msgId, text, expected });
    this.#ids.set(msgId, seq);
    return { kind: 'stored', seq, duplicate: false };
  }
}

interface Request {
  readonly token: number;
  readonly handler: ReplyHandler;
  readonly subject: string;
  readonly text: string;
  readonly msgId: string;
  readonly expected: number | null;
}

/** One worker process: its connection, its timers, its job writers. */
export class WorkerProcess implements Transport {
  isConnected = true;
  readonly unreachable = 'NATS cannot be reached';
  /** As many events are in flight as may be. */
  isFull = false;
  readonly maxPayload = 1024 * 1024;
  readonly warnings: ReporterWarning[] = [];
  readonly counts: Counts = { acknowledged: 0, retried: 0, coalesced: 0, dropped: 0, pendingJobs: 0 };
  readonly jobWriters = new Set<JobWriter>();
  /** On the way to JetStream. */
  requests: Request[] = [];
  /** On the way back. */
  replies: { token: number; reply: Reply }[] = [];
  /** Questions for the last event. */
  reads: (() => void)[] = [];
  unackedPublishes = 0;
  readonly #handlers = new Map<number, ReplyHandler>();
  readonly #queued: ReplyHandler[] = [];
  readonly #wakes = new Map<TimerEntry, number>();
  readonly #context: ReporterContext;
  readonly #pending: PendingBuffer<ReplyHandler>;
  #tokens = 0;

  constructor(
    readonly simulation: Simulation,
    readonly name: string,
    mayRead: MayRead,
    options: { maxUpdatesPerSecond?: number; maxPendingBytes?: number },
  ) {
    let ids = 0;
    const settings = settingsOf({ ...options, ackTimeoutMs: 5_000 });
    this.#pending = new PendingBuffer(settings.maxPendingBytes);
    this.#context = {
      settings,
      clock: simulation.clock,
      transport: this,
      history: {
        last: (id) =>
          this.#read(mayRead, mayRead === 'all' || mayRead === 'newest', () => ({
            kind: 'read',
            last: this.#stored(id).at(-1) ?? null,
          })),
        range: (id, from, before, limit) =>
          this.#read(mayRead, mayRead === 'all', () => ({
            kind: 'read',
            messages: this.#stored(id)
              .filter(({ seq }) => from <= seq && seq < before)
              .slice(0, limit),
          })),
      },
      counts: this.counts,
      warn: (warning) => void this.warnings.push(warning),
      random: () => `${name}${ids++}`,
      timers: {
        set: (entry, at) => {
          entry.heapIndex = at === Number.POSITIVE_INFINITY ? -1 : 0;
          entry.dueAt = at;
          if (entry.heapIndex < 0) this.#wakes.delete(entry);
          else this.#wakes.set(entry, at);
        },
      },
      keepAlive: { hold: () => {}, release: () => {} },
      abortListeners: new AbortListeners(),
      onIdle: null,
      removeWriter: (jobWriter) => void this.jobWriters.delete(jobWriter as JobWriter),
    };
  }

  start(options: JobOptions): JobWriter {
    const jobWriter = new JobWriter(this.#context, options);
    this.jobWriters.add(jobWriter);
    jobWriter.begin();
    return jobWriter;
  }

  registerReply(handler: ReplyHandler, bytes: number): number {
    const token = ++this.#tokens;
    this.#handlers.set(token, handler);
    this.#pending.add(token, handler, bytes);
    return token;
  }

  unregisterReply(_handler: ReplyHandler, token: number): void {
    this.#handlers.delete(token);
    this.#pending.remove(token);
  }

  acquireSlot(handler: ReplyHandler): void {
    if (this.isFull) this.#queued.push(handler);
    else handler.onSlot();
  }

  /** Those in flight make room for all that wait. */
  makeRoom(): void {
    this.isFull = false;
    for (const handler of this.#queued.splice(0)) handler.onSlot();
  }

  releaseSlot(): void {}

  publish(subject: string, body: Uint8Array, token: number, headers: MsgHdrs): boolean {
    const handler = this.#handlers.get(token);
    if (!this.isConnected || handler === undefined) return false;
    const text = Buffer.from((headers as unknown as { encode(): Uint8Array }).encode()).toString();
    const msgId = /Nats-Msg-Id: (\S+)/.exec(text)?.[1] ?? '';
    const expected = /Nats-Expected-Last-Subject-Sequence: (\d+)/.exec(text)?.[1];
    const request = { token, handler, subject, text: Buffer.from(body).toString(), msgId };
    this.requests.push({ ...request, expected: expected === undefined ? null : Number(expected) });
    return true;
  }

  publishUnacked(): void {
    if (this.isConnected) this.unackedPublishes += 1;
  }

  /** A request reaches JetStream, whatever has become of the line. */
  arrive(index: number): void {
    const [request] = this.requests.splice(index, 1);
    if (request === undefined) return;
    const { token, subject, text, msgId, expected } = request;
    const reply = this.simulation.stream.publish(subject, text, msgId, expected);
    this.replies.push({ token, reply });
  }

  /** A request has no acknowledgement. `how`: what the worker hears of it. */
  lose(index: number, how: 'nothing' | 'busy' | 'in process'): void {
    const [request] = this.requests.splice(index, 1);
    if (request === undefined || how === 'nothing') return;
    const { token, subject, text, msgId, expected } = request;
    // A cluster says so of a second try, and stores the first one later.
    if (how === 'in process') this.simulation.stream.publish(subject, text, msgId, expected);
    this.replies.push({ token, reply: { kind: 'busy', detail: how, mayBeStored: how === 'in process' } });
  }

  answer(index: number): void {
    const [answer] = this.replies.splice(index, 1);
    if (answer !== undefined && this.isConnected) this.#handlers.get(answer.token)?.onReply(answer.reply);
  }

  disconnect(): void {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.replies = [];
    for (const jobWriter of [...this.jobWriters]) jobWriter.onDisconnected();
  }

  reconnect(): void {
    if (this.isConnected) return;
    this.isConnected = true;
    for (const jobWriter of [...this.jobWriters]) jobWriter.onConnected();
  }

  wakeDue(): void {
    for (const [entry, at] of [...this.#wakes]) {
      if (at > this.simulation.now || entry.heapIndex < 0) continue;
      entry.heapIndex = -1;
      this.#wakes.delete(entry);
      entry.onTimer(this.simulation.now);
    }
  }

  /** The next time at which somebody wants to be woken. */
  get nextWake(): number {
    return Math.min(...this.#wakes.values(), Number.POSITIVE_INFINITY);
  }

  #stored(id: string): LastMessage[] {
    return this.simulation.stream.stored
      .filter(({ subject }) => subject === `progress.${id}`)
      .map(({ seq, msgId, text, expected }) => {
        return { seq, msgId, event: readEvent(id, Buffer.from(text)), expected };
      });
  }

  #read<T>(mayRead: MayRead, isPermitted: boolean, look: () => T): Promise<T | Forbidden | Failed> {
    return new Promise((resolve) => {
      this.reads.push(() => {
        if (!this.isConnected) return resolve({ kind: 'failed', detail: 'not connected' });
        if (isPermitted) return resolve(look());
        const isCertain = mayRead !== 'nobody there';
        resolve({ kind: 'forbidden', detail: 'no permission', subjects: ['read'], isCertain });
      });
    });
  }
}

export class Simulation {
  now = 0;
  readonly stream: Stream;
  readonly processes: WorkerProcess[] = [];
  readonly clock: Clock = {
    now: () => this.now,
    timestamp: () => new Date(this.now).toISOString(),
    later: () => {
      throw new Error('job writers have no timers of their own');
    },
    chance: () => 0.5,
  };

  constructor(order: CheckOrder) {
    this.stream = new Stream(order);
  }

  process(
    mayRead: MayRead = 'all',
    options: { maxUpdatesPerSecond?: number; maxPendingBytes?: number } = {},
  ): WorkerProcess {
    const process = new WorkerProcess(this, `w${this.processes.length}-`, mayRead, options);
    this.processes.push(process);
    return process;
  }

  pass(ms: number): void {
    this.now += ms;
    for (const process of this.processes) process.wakeDue();
  }

  /** An edge takes the job for dead, by its newest event, and says so behind its newest message. */
  timeOut(id: string): void {
    const subject = `progress.${id}`;
    const events = this.stream.stored
      .filter((one) => one.subject === subject)
      .map(({ text }) => readEvent(id, Buffer.from(text)));
    const last = events.findLast((event) => event !== null);
    if (last?.status !== 'processing') return;
    this.stream.publish(subject, timeoutEvent(last, 60_000, this.clock.timestamp()), '', null);
  }

  /** A publisher that is no worker of this package, without an id and without a condition. */
  raw(id: string, fields: Record<string, unknown>): void {
    this.stream.publish(`progress.${id}`, JSON.stringify(event(id, fields)), '', null);
  }

  /** Somebody publishes what is no event. */
  litter(id: string): void {
    this.stream.publish(`progress.${id}`, 'litter', '', null);
  }

  /** Lets every promise that is settled tell. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
  }

  /** Everything works from here on, until nothing is on its way and nothing waits. */
  async heal(): Promise<void> {
    for (const process of this.processes) process.reconnect();
    for (let round = 0; round < 10_000; round++) {
      for (const process of this.processes) {
        while (process.requests.length > 0) process.arrive(0);
        while (process.replies.length > 0) process.answer(0);
        for (const read of process.reads.splice(0)) read();
      }
      await this.settle();
      const isQuiet = this.processes.every(
        ({ requests, replies, reads, counts }) =>
          requests.length + replies.length + reads.length + counts.pendingJobs === 0,
      );
      if (isQuiet) return;
      const next = Math.min(...this.processes.map(({ nextWake }) => nextWake));
      if (Number.isFinite(next)) this.pass(Math.max(0, next - this.now));
    }
    throw new Error('it never came to rest');
  }
}
