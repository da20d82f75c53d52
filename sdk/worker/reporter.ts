import type { NatsConnection } from 'nats';
import { CHECK_ID, type CheckDeps, type CheckOptions, checkReporter, type ReporterCheck } from './check.js';
import { KeepAlive, systemClock, TimerHeap } from './clock.js';
import type { ConnectionEvents } from './connection.js';
import {
  ConnectionClosedError,
  type NotAuthorizedError,
  type NotPermittedError,
  ReporterClosedError,
  type WorkerError,
} from './errors.js';
import { jobHistory } from './history.js';
import { interruptJob, type Job, JobHandle } from './job.js';
import type { JobOptions } from './job-options.js';
import { JobWriter } from './job-writer.js';
import { NatsTransport } from './nats-transport.js';
import { randomText } from './outgoing-event.js';
import type { Counts, ReporterContext } from './ports.js';
import { type ReporterOptions, type Settings, settingsOf } from './settings.js';
import { AbortListeners, STOP_SIGNALS, stopOnSignals, WorkerStoppedError } from './signals.js';
import { emitWarning, limitWarnings, type ReporterWarning } from './warning.js';

/** Reports jobs over one connection. */
export interface Reporter extends AsyncDisposable {
  /**
   * Starts a job and runs `work`. Completes the job with what it returns, or fails it with what it throws, and throws
   * that on. Resolves when the end is stored.
   * @throws what `work` throws, and what `start` and `Job.complete` throw
   */
  run<T>(job: JobOptions, work: (job: Job) => Promise<T> | T): Promise<T>;
  /**
   * Starts a job. Waits until the first event is stored, for `startTimeoutMs` at most. While NATS cannot be reached it
   * does not wait: the event is sent later.
   * @throws InvalidEventError, ReporterClosedError; SupersededError when the attempt that was asked for is not newer
   */
  start(job: JobOptions): Promise<Job>;
  /**
   * Checks within two seconds whether this reporter can publish, get acknowledgements and read, and if not, why. Stores
   * nothing. JetStream reports a full store for real events only, so the check knows of it after one.
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
   * Stops the reporter when the process gets one of the signals, and then lets the process end by that signal, unless
   * it has another listener. The result removes the handlers.
   * @param signals SIGTERM and SIGINT, unless given
   */
  closeOnSignals(signals?: readonly NodeJS.Signals[]): () => void;
  readonly stats: ReporterStats;
}

export interface ReporterStats extends Readonly<Counts> {
  /** Whether NATS can be reached. */
  readonly connected: boolean;
  /** Jobs whose end is not stored. */
  readonly openJobs: number;
  /** Bytes of events that are not acknowledged. */
  readonly pendingBytes: number;
}

const MAX_REFUSALS = 1_000;

/** A reporter over a connection that may be attached later. */
export class NatsReporter implements Reporter {
  readonly settings: Settings;
  readonly #warn: (warning: ReporterWarning) => void;
  readonly #clock = systemClock;
  readonly #transport: NatsTransport;
  readonly #timers: TimerHeap;
  readonly #counts: Counts = { acknowledged: 0, retried: 0, coalesced: 0, dropped: 0, pendingJobs: 0 };
  readonly #context: ReporterContext;
  readonly #jobWriters = new Set<JobWriter>();
  #closing: Promise<void> | null = null;
  readonly #cleanups: (() => void)[] = [];
  #wasDisconnected = false;
  /** The connection is closed for good: jobs go on, but nothing is sent. */
  #isConnectionClosed = false;
  /** What NATS denies to all jobs (null) or to one, since the last connect. */
  readonly #refusals = new Map<string | null, WorkerError>();
  readonly #changeListeners = new Set<() => void>();
  readonly #keepAlive = new KeepAlive();

  /** @param closed called at the end of `close` */
  constructor(
    options: ReporterOptions,
    private readonly closed: () => Promise<void> = async () => {},
  ) {
    const settings = settingsOf(options);
    this.settings = settings;
    this.#warn = limitWarnings(options.onWarning ?? emitWarning, this.#clock.now);
    this.#timers = new TimerHeap(this.#clock);
    const events: ConnectionEvents = {
      onConnected: () => this.#onConnected(),
      onDisconnected: () => this.#onDisconnected(),
      onClosed: () => this.#onClosed(),
      onRefused: (error, id) => this.onRefused(error, id),
      warn: (warning) => this.warn(warning),
    };
    this.#transport = new NatsTransport(events, this.#clock, settings, options.inboxPrefix);
    this.#context = {
      settings,
      clock: this.#clock,
      transport: this.#transport,
      history: jobHistory(() => this.#transport.connection, settings),
      counts: this.#counts,
      warn: events.warn,
      random: randomText(),
      timers: this.#timers,
      keepAlive: this.#keepAlive,
      abortListeners: new AbortListeners(),
      onIdle: null,
      removeWriter: (jobWriter) => void this.#jobWriters.delete(jobWriter as JobWriter),
    };
  }

  get stats(): ReporterStats {
    return {
      ...this.#counts,
      connected: this.#transport.isConnected,
      openJobs: this.#jobWriters.size,
      pendingBytes: this.#transport.pendingBytes,
    };
  }

  warn(warning: ReporterWarning): void {
    if (warning.kind === 'disconnected' || warning.kind === 'not_authorized') this.#wasDisconnected = true;
    this.#warn(warning);
  }

  /** NATS denies something to one job or to all (null). Waiting does not fix that. */
  onRefused(error: NotAuthorizedError | NotPermittedError, processingId: string | null): void {
    // A bound, for credentials that are denied for very many jobs.
    if (this.#refusals.size < MAX_REFUSALS) this.#refusals.set(processingId, error);
    const about = processingId === null ? {} : { processingId };
    this.warn({ kind: error.code, message: error.message, error, ...about });
    for (const jobWriter of [...this.#jobWriters]) {
      if (processingId === null || jobWriter.processingId === processingId) jobWriter.onRefused(error);
    }
    this.#changed();
  }

  /** A try to connect has failed; more follow. */
  onDialFailed(servers: readonly string[], reason: string): void {
    this.#transport.onDialFailed(servers, reason);
    const message = `${this.#transport.unreachable}; states are kept until it can be.`;
    this.warn({ kind: 'disconnected', message });
  }

  attach(connection: NatsConnection): void {
    if (this.#closing === null) this.#transport.attach(connection);
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
      transport: this.#transport,
      history: this.#context.history,
      random: this.#context.random,
      obstacle: () => this.#transport.obstacle,
      isConnectionClosed: () => this.#isConnectionClosed,
      refusal: (id) => this.#refusals.get(null) ?? this.#refusals.get(id) ?? null,
      onChange: (call) => {
        this.#changeListeners.add(call);
        return () => void this.#changeListeners.delete(call);
      },
    };
    return this.#keepAlive.during(() => checkReporter(deps, options));
  }

  close(): Promise<void> {
    this.#closing ??= this.#keepAlive.during(() => this.#close());
    return this.#closing;
  }

  stop(why = 'its reporter was stopped'): Promise<void> {
    const error = new WorkerStoppedError(why);
    for (const jobWriter of [...this.#jobWriters]) interruptJob(jobWriter, error);
    return this.close();
  }

  closeOnSignals(signals: readonly NodeJS.Signals[] = STOP_SIGNALS): () => void {
    const removeHandler = stopOnSignals(signals, (signal) => this.stop(signal));
    this.#cleanups.push(removeHandler);
    return removeHandler;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(options: JobOptions): Promise<JobHandle> {
    if (this.#closing !== null) throw new ReporterClosedError();
    const { settings } = this;
    const jobWriter = new JobWriter(this.#context, options);
    this.#jobWriters.add(jobWriter);
    jobWriter.begin();
    const refusal = this.#refusals.get(null);
    if (refusal !== undefined) jobWriter.onRefused(refusal);
    if (this.#isConnectionClosed) jobWriter.abandon(new ConnectionClosedError());
    if (this.#transport.isConnected) await this.#atMost(settings.startTimeoutMs, jobWriter.started);
    return new JobHandle(options.processingId, jobWriter, settings.includeStack, this.#warn);
  }

  async #close(): Promise<void> {
    for (const jobWriter of this.#jobWriters) jobWriter.flush();
    const idle = new Promise<void>((resolve) => {
      this.#context.onIdle = resolve;
      if (this.#counts.pendingJobs === 0) resolve();
    });
    await this.#atMost(this.settings.closeTimeoutMs, idle);
    const error: WorkerError = new ReporterClosedError();
    for (const jobWriter of [...this.#jobWriters]) jobWriter.abandon(error);
    for (const removeHandler of this.#cleanups) removeHandler();
    this.#timers.stop();
    this.#transport.close();
    await this.closed();
  }

  /** Waits for the promise, for `ms` milliseconds at most. */
  async #atMost(ms: number, promise: Promise<void>): Promise<void> {
    let cancel: (() => void) | undefined;
    const late = new Promise<void>((resolve) => {
      cancel = ms === Number.POSITIVE_INFINITY ? undefined : this.#clock.later(ms, resolve);
    });
    try {
      await Promise.race([promise, late]);
    } finally {
      cancel?.();
    }
  }

  #onConnected(): void {
    if (this.#wasDisconnected) this.warn({ kind: 'reconnected', message: 'NATS can be reached again.' });
    this.#wasDisconnected = false;
    this.#refusals.clear();
    this.#changed();
    for (const jobWriter of [...this.#jobWriters]) jobWriter.onConnected();
  }

  #onClosed(): void {
    this.#isConnectionClosed = true;
    this.#changed();
    for (const jobWriter of [...this.#jobWriters]) jobWriter.abandon(new ConnectionClosedError());
  }

  #changed(): void {
    for (const call of [...this.#changeListeners]) call();
  }

  #onDisconnected(): void {
    this.#changed();
    for (const jobWriter of [...this.#jobWriters]) jobWriter.onDisconnected();
  }
}
