import type { JetStreamClient, JetStreamManager, NatsConnection } from 'nats';
import type { EdgeConfig } from '../../schemas/config.js';
import { subjectOf } from '../../schemas/ids.js';
import type { GoneJob } from '../eventlog/job-state-cache.js';
import type { LogListener } from '../eventlog/log.js';
import type { LogRecord } from '../eventlog/record.js';
import { HeartbeatSubscription } from '../jetstream/heartbeat-subscription.js';
import { lastMessage } from '../jetstream/stream.js';
import { LivenessMonitor } from '../liveness/liveness-monitor.js';
import type { LivenessStats, Seen } from '../liveness/ports.js';
import { TIMEOUT_WRITER_LIMITS, TimeoutWriter } from '../liveness/timeout-writer.js';
import { type Logger, LogRateLimiter } from '../telemetry/logger.js';
import type { Metrics } from '../telemetry/metrics.js';

/** How often silent jobs are looked for. */
const TICK_MS = 250;

export interface LivenessDeps {
  readonly config: Pick<EdgeConfig, 'maxWatchedJobs' | 'stallAfterSeconds' | 'stream' | 'timeoutSeconds'>;
  readonly logger: Logger;
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly js: JetStreamClient;
  /** The newest valid event of a job; null when the stream keeps none. */
  readonly lastState: (id: string) => Promise<LogRecord | null>;
  readonly metrics: Metrics;
  readonly stalled: (id: string, silentMs: number) => void;
}

/** Silent jobs, for an edge: it listens to the log, and tells clients of stalls and the stream of timeouts. */
export interface Liveness extends LogListener {
  readonly stats: LivenessStats & { readonly isListening: boolean };
  /** The feed is lost: what a job does now is not heard. */
  lost(): void;
  /** The feed follows the stream (again). */
  following(): void;
  /** For how many milliseconds a job whose stall was told has been silent; null: it is not stalled. */
  stalledFor(id: string): number | null;
  close(): void;
}

/** For an edge that watches no job: nothing is heard and nothing is told. */
const NO_LIVENESS: Liveness = {
  stats: { isListening: false, watched: 0, overdue: 0, rejected: 0, evicted: 0 },
  lost: () => undefined,
  following: () => undefined,
  stalledFor: () => null,
  close: () => undefined,
};

/** The watch for silent jobs. It listens from the first `following` on, while heartbeats are heard, too. */
export function createLiveness(deps: LivenessDeps): Liveness {
  return deps.config.maxWatchedJobs === 0 ? NO_LIVENESS : new JobLiveness(deps);
}

const now = () => performance.now();

class JobLiveness implements Liveness {
  readonly #deps: LivenessDeps;
  readonly #monitor: LivenessMonitor;
  readonly #timeouts: TimeoutWriter;
  readonly #heartbeats: HeartbeatSubscription;
  readonly #ticking: NodeJS.Timeout;
  #isFollowing = false;
  #listeningSince = Number.POSITIVE_INFINITY;
  #isAsking = false;

  constructor(deps: LivenessDeps) {
    this.#deps = deps;
    const { config, metrics, stalled } = deps;
    const limits = {
      stallAfterMs: periodMs(config.stallAfterSeconds),
      timeoutMs: periodMs(config.timeoutSeconds),
      maxWatched: config.maxWatchedJobs,
    };
    this.#monitor = new LivenessMonitor(limits, {
      stalled: (id, silentMs) => {
        metrics.stalls.inc();
        stalled(id, silentMs);
      },
      timedOut: (id, lastSeq, silentMs) => this.#timeouts.write(id, lastSeq, silentMs),
    });
    this.#timeouts = this.#timeoutWriter();
    this.#heartbeats = this.#subscribe();
    this.#ticking = setInterval(() => void this.#look(), TICK_MS);
  }

  get stats(): Liveness['stats'] {
    return { isListening: this.#isListening, ...this.#monitor.stats };
  }

  restarting(): void {
    this.#monitor.reset();
  }

  loaded(record: LogRecord): void {
    this.#record(record);
  }

  appended(record: LogRecord | null): void {
    if (record !== null) this.#record(record);
  }

  gone(jobs: readonly GoneJob[]): void {
    for (const { id } of jobs) this.#monitor.remove(id);
  }

  lost(): void {
    this.#isFollowing = false;
    this.#monitor.pause();
  }

  following(): void {
    this.#isFollowing = true;
    this.#listenOrPause();
  }

  stalledFor(id: string): number | null {
    return this.#monitor.stalledFor(id);
  }

  close(): void {
    clearInterval(this.#ticking);
    this.#heartbeats.close();
    this.#timeouts.stop();
  }

  get #isListening(): boolean {
    return this.#isFollowing && this.#heartbeats.state === 'subscribed';
  }

  #listenOrPause(): void {
    if (!this.#isListening) {
      this.#monitor.pause();
      return;
    }
    this.#listeningSince = now();
    this.#monitor.resume(this.#listeningSince);
  }

  #record({ id, seq, policy }: LogRecord): void {
    // Each field by itself: to copy what may be null takes as long as all the rest, for each event.
    const seen: Seen = {
      id,
      seq,
      isRunning: policy !== null,
      stallAfterSeconds: policy?.stallAfterSeconds,
      timeoutSeconds: policy?.timeoutSeconds,
      attempt: policy?.attempt,
    };
    this.#monitor.recordEvent(seen, now());
  }

  // Silence counts up to the last question that NATS has answered: what it sent before its answer was heard. So nothing
  // is judged by the seconds in which a server hangs and nobody has noticed.
  async #look(): Promise<void> {
    if (this.#isAsking || !this.#isListening) return;
    this.#isAsking = true;
    const asked = now();
    try {
      await this.#deps.connection.flush();
      if (this.#isListening && asked >= this.#listeningSince) this.#monitor.tick(asked);
    } catch {
      // The connection was lost: the feed says so.
    } finally {
      this.#isAsking = false;
    }
  }

  #subscribe(): HeartbeatSubscription {
    const { connection, logger } = this.#deps;
    return new HeartbeatSubscription(connection, {
      heard: (id, attempt) => this.#monitor.recordHeartbeat(id, now(), attempt),
      changed: (state, error) => {
        if (state === 'denied')
          logger.error(
            { reason: error?.message },
            'heartbeats of jobs are not heard, so no silence is judged',
          );
        this.#listenOrPause();
      },
    });
  }

  #timeoutWriter(): TimeoutWriter {
    const { config, logger, jsm, js, lastState, metrics } = this.#deps;
    const timeoutLines = new LogRateLimiter(10, 10_000, now);
    const failureLines = new LogRateLimiter(3, 10_000, now);
    const { stream } = config;
    return new TimeoutWriter(
      { js, stream, newest: (id) => lastMessage(jsm, stream, subjectOf(id)), lastState },
      TIMEOUT_WRITER_LIMITS,
      {
        settled: (id, lastSeq, outcome) => {
          metrics.timeouts.inc({ outcome });
          switch (outcome) {
            case 'written': {
              const turn = timeoutLines.acquire();
              if (turn !== null) logger.info({ job: id, seq: lastSeq, ...turn }, 'a job timed out');
              return;
            }
            case 'moved':
              return;
            case 'gone':
              this.#monitor.remove(id);
              return;
            case 'failed':
              this.#monitor.retryTimeout(id, lastSeq);
              return;
          }
        },
        failed: (id, error) => {
          const turn = failureLines.acquire();
          if (turn !== null)
            logger.warn({ job: id, reason: error.message, ...turn }, 'a timeout could not be written');
        },
      },
      { now, wallClock: Date.now },
    );
  }
}

function periodMs(seconds: number): number | null {
  return seconds === 0 ? null : seconds * 1_000;
}
