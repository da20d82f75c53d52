import type { NatsConnection } from 'nats';
import { CHECK_ID, type CheckDeps, type CheckOptions, checkReporter, type ReporterCheck } from './check.js';
import {
  ConnectionClosedError,
  type NotAuthorizedError,
  type NotPermittedError,
  ReporterClosedError,
  type WorkerError,
} from './errors.js';
import { jobHistory } from './history.js';
import { randomText } from './ids.js';
import { type Job, JobHandle } from './job.js';
import type { JobOptions } from './job-options.js';
import { Pen } from './job-writer.js';
import { NatsLine } from './nats-transport.js';
import { Budget } from './pending-buffer.js';
import type { Clock, Counts, Surroundings, Waker } from './ports.js';
import { type ReporterOptions, type Settings, settingsOf } from './settings.js';
import { STOP_SIGNALS, stopOnSignals, WorkerStoppedError } from './stop.js';
import { Agenda } from './timer-heap.js';
import { type Trouble, teller, warn } from './warning.js';

/** Reports jobs over one connection. */
export interface Reporter extends AsyncDisposable {
  /**
   * Starts a job, runs `work`, and completes the job with what it returns, or fails it with what it throws, which is
   * thrown on. Resolves when the end is stored.
   * @throws what `work` throws, and what `start` and `Job.complete` throw
   */
  run<T>(job: JobOptions, work: (job: Job) => Promise<T> | T): Promise<T>;
  /**
   * Starts a job. Waits for the first event to be stored, but only so long (`startTimeoutMs`), and not while NATS is
   * away: then the event is sent when it can be.
   * @throws InvalidEventError, ReporterClosedError; SupersededError when the attempt that was asked for is not newer
   */
  start(job: JobOptions): Promise<Job>;
  /**
   * Tells within two seconds whether this reporter can publish, be acknowledged and read, and if not, why. Stores
   * nothing. Whether there is room JetStream says of real events only: a store that was full at the last one is told.
   * @throws ReporterClosedError; InvalidEventError when the `processingId` is none
   */
  check(options?: CheckOptions): Promise<ReporterCheck>;
  /** Sends what is pending, within `closeTimeoutMs`. Jobs that still run are not ended by it. */
  close(): Promise<void>;
  /**
   * Fails all jobs that still run, as retryable and with the code `cancelled`, so that others may take them, aborts their
   * signals, and closes the reporter.
   * @param why goes into the message of the error
   */
  stop(why?: string): Promise<void>;
  /**
   * Stops the reporter when the process is asked to end, and then lets it end by that signal, unless somebody else
   * listens to it. What it returns calls that off.
   * @param signals SIGTERM and SIGINT, unless given
   */
  closeOnSignals(signals?: readonly NodeJS.Signals[]): () => void;
  readonly stats: ReporterStats;
}

export interface ReporterStats extends Readonly<Counts> {
  /** Whether NATS is there. */
  readonly connected: boolean;
  /** Jobs whose end is not stored. */
  readonly openJobs: number;
  /** Bytes of events that are kept until they are acknowledged. */
  readonly pendingBytes: number;
}

const MOST_REFUSALS = 1_000;

let stampedAt = 0;
let stamp = '';

const systemClock: Clock = {
  now: () => performance.now(),
  timestamp: () => {
    const now = Date.now();
    if (now !== stampedAt) {
      stampedAt = now;
      stamp = new Date(now).toISOString();
    }
    return stamp;
  },
  later: (ms, call) => {
    // Nothing here keeps a process that has nothing else to do; `#keepProcess` does, while something is pending.
    const timer = setTimeout(call, ms).unref();
    return () => clearTimeout(timer);
  },
  chance: Math.random,
};

/** A reporter over a connection that may come later. */
export class NatsReporter implements Reporter {
  readonly settings: Settings;
  readonly #tell: (trouble: Trouble) => void;
  readonly #clock = systemClock;
  readonly #line: NatsLine;
  readonly #agenda: Agenda;
  readonly #budget: Budget;
  readonly #counts: Counts = { acknowledged: 0, retried: 0, coalesced: 0, dropped: 0, pendingJobs: 0 };
  readonly #around: Surroundings;
  readonly #pens = new Set<Pen>();
  #closing: Promise<void> | null = null;
  #whenIdle: (() => void) | null = null;
  readonly #callsOff: (() => void)[] = [];
  #isAway = false;
  /** The connection is closed for good: jobs go on, and nothing of them is sent. */
  #isOver = false;
  /** What NATS refuses, of all jobs or of one, since it was there last. */
  readonly #refusals = new Map<string | null, WorkerError>();
  readonly #watching = new Set<() => void>();
  /** Jobs for whose events nobody waits any more. */
  readonly #unawaited = new Set<Waker>();
  /** How many calls wait for something else than a job's events. */
  #waiting = 0;
  /** Keeps the process while it is there. */
  #handle: NodeJS.Timeout | null = null;

  /** @param closed what is left to do when the reporter is closed */
  constructor(
    options: ReporterOptions,
    private readonly closed: () => Promise<void> = async () => {},
  ) {
    const settings = settingsOf(options);
    this.settings = settings;
    this.#tell = teller(options.onTrouble ?? warn, this.#clock.now);
    this.#agenda = new Agenda(this.#clock);
    this.#budget = new Budget(settings.maxPendingBytes);
    const events = {
      opened: () => this.#opened(),
      cut: () => this.#cut(),
      over: () => this.#over(),
      refused: (error: NotAuthorizedError | NotPermittedError, id: string | null) => this.refused(error, id),
      tell: (trouble: Trouble) => this.tell(trouble),
    };
    this.#line = new NatsLine(events, this.#clock, settings.maxInFlight, options.inboxPrefix);
    const signals = new Signals();
    this.#around = {
      settings,
      clock: this.#clock,
      line: this.#line,
      history: jobHistory(() => this.#line.connection, settings),
      counts: this.#counts,
      tell: events.tell,
      random: randomText(),
      wake: (waker, at) => this.#agenda.set(waker, at),
      keep: (keeper, bytes) => this.#budget.keep(keeper, bytes),
      letGo: (keeper) => {
        this.#budget.letGo(keeper);
        if (this.#whenIdle !== null) queueMicrotask(() => this.#lookIdle());
      },
      onAbort: (signal, call) => signals.onAbort(signal, call),
      pendingChanged: () => this.#keepProcess(),
      unawaited: (pen) => {
        this.#unawaited.add(pen);
        this.#keepProcess();
      },
      done: (pen) => {
        this.#pens.delete(pen as Pen);
        if (this.#unawaited.delete(pen)) this.#keepProcess();
      },
    };
  }

  get stats(): ReporterStats {
    return {
      ...this.#counts,
      connected: this.#line.open,
      openJobs: this.#pens.size,
      pendingBytes: this.#budget.bytes,
    };
  }

  tell(trouble: Trouble): void {
    if (trouble.kind === 'away' || trouble.kind === 'not_authorized') this.#isAway = true;
    this.#tell(trouble);
  }

  /** NATS refuses something, of one job or of all (null), which waiting does not mend. */
  refused(error: NotAuthorizedError | NotPermittedError, processingId: string | null): void {
    // Whoever is refused for very many jobs is refused for all.
    if (this.#refusals.size < MOST_REFUSALS) this.#refusals.set(processingId, error);
    const about = processingId === null ? {} : { processingId };
    this.tell({ kind: error.code, message: error.message, error, ...about });
    for (const pen of [...this.#pens]) {
      if (processingId === null || pen.processingId === processingId) pen.refuse(error);
    }
    this.#changed();
  }

  attach(connection: NatsConnection): void {
    if (this.#closing === null) this.#line.attach(connection);
  }

  async run<T>(options: JobOptions, work: (job: Job) => Promise<T> | T): Promise<T> {
    const job = await this.#start(options);
    let result: T;
    try {
      result = await work(job);
    } catch (error) {
      await job.failSafely(error);
      throw error;
    }
    await job.finish(result);
    return result;
  }

  start(options: JobOptions): Promise<Job> {
    return this.#start(options);
  }

  async check(options: CheckOptions = {}): Promise<ReporterCheck> {
    if (this.#closing !== null) throw new ReporterClosedError();
    // It may be permitted by now.
    this.#refusals.delete(options.processingId ?? CHECK_ID);
    const deps: CheckDeps = {
      clock: this.#clock,
      line: this.#line,
      history: this.#around.history,
      random: this.#around.random,
      obstacle: () => this.#line.obstacle,
      isOver: () => this.#isOver,
      refusal: (id) => this.#refusals.get(null) ?? this.#refusals.get(id) ?? null,
      onChange: (call) => {
        this.#watching.add(call);
        return () => void this.#watching.delete(call);
      },
    };
    return this.#kept(() => checkReporter(deps, options));
  }

  close(): Promise<void> {
    this.#closing ??= this.#kept(() => this.#close());
    return this.#closing;
  }

  stop(why = 'its reporter was stopped'): Promise<void> {
    const error = new WorkerStoppedError(why);
    for (const pen of [...this.#pens]) pen.interrupt(error);
    return this.close();
  }

  closeOnSignals(signals: readonly NodeJS.Signals[] = STOP_SIGNALS): () => void {
    const callOff = stopOnSignals(signals, (signal) => this.stop(signal));
    this.#callsOff.push(callOff);
    return callOff;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(options: JobOptions): Promise<JobHandle> {
    if (this.#closing !== null) throw new ReporterClosedError();
    const { settings } = this;
    const pen = new Pen(this.#around, options);
    this.#pens.add(pen);
    pen.begin();
    const refusal = this.#refusals.get(null);
    if (refusal !== undefined) pen.refuse(refusal);
    if (this.#isOver) pen.abandon(new ConnectionClosedError());
    if (this.#line.open) await this.#atMost(settings.startTimeoutMs, pen.started);
    return new JobHandle(options.processingId, pen, settings.includeStack, this.#tell);
  }

  async #close(): Promise<void> {
    for (const pen of this.#pens) pen.flush();
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    this.#lookIdle();
    await this.#atMost(this.settings.closeTimeoutMs, idle);
    const error: WorkerError = new ReporterClosedError();
    for (const pen of [...this.#pens]) pen.abandon(error);
    for (const callOff of this.#callsOff) callOff();
    this.#agenda.stop();
    this.#line.close();
    await this.closed();
  }

  /** Keeps the process until the call is through. */
  async #kept<T>(call: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    this.#keepProcess();
    try {
      return await call();
    } finally {
      this.#waiting -= 1;
      this.#keepProcess();
    }
  }

  // A process whose work is done ends without `close`, as soon as all that was reported is stored.
  #keepProcess(): void {
    const isKept = this.#waiting > 0 || this.#counts.pendingJobs > this.#unawaited.size;
    if (isKept === (this.#handle !== null)) return;
    if (this.#handle !== null) clearInterval(this.#handle);
    this.#handle = isKept ? setInterval(() => {}, 2 ** 31 - 1) : null;
  }

  #lookIdle(): void {
    if (this.#counts.pendingJobs === 0) this.#whenIdle?.();
  }

  /** The promise's outcome, or nothing when it does not come in time. */
  async #atMost(ms: number, promise: Promise<void>): Promise<void> {
    let cancel: (() => void) | undefined;
    const late = new Promise<void>((resolve) => {
      cancel =
        ms === Number.POSITIVE_INFINITY ? undefined : this.#clock.later(Math.min(ms, 2 ** 31 - 1), resolve);
    });
    try {
      await Promise.race([promise, late]);
    } finally {
      cancel?.();
    }
  }

  #opened(): void {
    if (this.#isAway) this.tell({ kind: 'back', message: 'NATS is there again.' });
    this.#isAway = false;
    this.#refusals.clear();
    this.#changed();
    for (const pen of [...this.#pens]) pen.opened();
  }

  #over(): void {
    this.#isOver = true;
    this.#changed();
    for (const pen of [...this.#pens]) pen.abandon(new ConnectionClosedError());
  }

  #changed(): void {
    for (const call of [...this.#watching]) call();
  }

  #cut(): void {
    this.#changed();
    for (const pen of [...this.#pens]) pen.cut();
  }
}

/** Listens to each signal once, however many jobs have it: Node takes more than ten listeners for a leak. */
export class Signals {
  readonly #heard = new Map<AbortSignal, { readonly hear: () => void; readonly calls: Set<() => void> }>();

  /** Calls when the signal aborts; what it returns calls it off. */
  onAbort(signal: AbortSignal, call: () => void): () => void {
    const { hear, calls } = this.#heard.get(signal) ?? this.#listen(signal);
    calls.add(call);
    return () => {
      if (!calls.delete(call) || calls.size > 0) return;
      this.#heard.delete(signal);
      signal.removeEventListener('abort', hear);
    };
  }

  #listen(signal: AbortSignal) {
    const calls = new Set<() => void>();
    const hear = (): void => {
      for (const call of [...calls]) call();
    };
    signal.addEventListener('abort', hear, { once: true });
    const heard = { hear, calls };
    this.#heard.set(signal, heard);
    return heard;
  }
}
