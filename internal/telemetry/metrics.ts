import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** What the gauges show, read when somebody scrapes. */
export interface MetricSources {
  connections(): { readonly job: number; readonly all: number; readonly selected: number };
  sessionStates(): ReadonlyMap<string, number>;
  feedFollowing(): boolean;
  /** How far the feed is behind the stream: sequences, and seconds since it was at the end. */
  feedLag(): { readonly events: number; readonly seconds: number };
  log(): {
    readonly head: number;
    readonly tailStart: number;
    readonly tailBytes: number;
    readonly tailEvents: number;
    readonly lastStateBytes: number;
    readonly jobs: number;
  };
  /** Reads from JetStream: how many run or wait, how many of them wait, of how many who ask, and the longest wait. */
  historyReads(): {
    readonly pending: number;
    readonly waiting: number;
    readonly requesters: number;
    readonly longestMs: number;
  };
  /** Connections whose tokens are being checked. */
  unauthenticated(): number;
  /** Sockets that are no WebSocket. */
  httpSockets(): number;
  /** The watch for jobs that fall silent. */
  liveness(): {
    readonly isListening: boolean;
    readonly watched: number;
    readonly overdue: number;
    readonly rejected: number;
    readonly evicted: number;
  };
}

/**
 * How often the delay of the loop is looked at, in milliseconds. Each look wakes the process: at prom-client's 10 ms they were
 * half of what an idle edge cost.
 */
const EVENT_LOOP_LOOK_MS = 50;

const SESSION_STATES = ['loading', 'fetching', 'fetched', 'snapshot', 'catching_up', 'live'];
const TIMEOUT_OUTCOMES = ['written', 'moved', 'gone', 'failed'];

/** An edge's metrics, in a registry of its own so that several edges fit in one process. metrics.md, "Metrics". */
export class Metrics {
  readonly registry = new Registry();
  readonly connectionsOpened = this.#counter(
    'headway_connections_opened_total',
    'WebSocket connections accepted.',
  );
  readonly connectionsClosed = this.#counter(
    'headway_connections_closed_total',
    'Connections closed, by code.',
    ['code'],
  );
  readonly requestsRefused = this.#counter(
    'headway_requests_refused_total',
    'Connections that were refused, or closed for what they sent, by the code of the error.',
    ['code'],
  );
  readonly limitsReached = this.#counter(
    'headway_limits_reached_total',
    'Connections refused or closed because a limit was reached, by limit.',
    ['limit'],
  );
  readonly keyFetches = this.#counter(
    'headway_key_fetches_total',
    'Times the keys for tokens were asked for at their address, by result.',
    ['result'],
  );
  readonly events = this.#counter('headway_events_total', 'Valid events read from the stream.');
  readonly eventsInvalid = this.#counter(
    'headway_events_invalid_total',
    'Stored messages that are not events, by reason.',
    ['reason'],
  );
  readonly updatesSent = this.#counter('headway_updates_sent_total', 'Updates sent to clients.');
  readonly updatesFolded = this.#counter(
    'headway_updates_folded_total',
    'Events that were not sent to a client with max_rate, since a later update stands for them.',
  );
  readonly feedLost = this.#counter('headway_feed_lost_total', 'Times the feed was lost, by reason.', [
    'reason',
  ]);
  readonly feedRecovery = new Histogram({
    name: 'headway_feed_recovery_seconds',
    help: 'From losing the feed to following the stream again.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60],
    registers: [this.registry],
  });
  readonly historyReads = new Histogram({
    name: 'headway_history_read_seconds',
    help: 'Reads from JetStream for cursors behind the tail, with waiting and retries, by kind.',
    labelNames: ['kind'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers: [this.registry],
  });
  readonly historyReadFailures = this.#counter(
    'headway_history_read_failures_total',
    'Reads from JetStream that failed and were tried again, by kind.',
    ['kind'],
  );
  readonly stalls = this.#counter(
    'headway_stalls_total',
    'Times a job gave no sign of life for as long as it, or the configuration, said.',
  );
  readonly timeouts = this.#counter(
    'headway_timeouts_total',
    'Timeouts of jobs that this edge judged, by what came of them.',
    ['outcome'],
  );

  constructor() {
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: EVENT_LOOP_LOOK_MS });
    // From the start, so that the first one is a rise.
    for (const outcome of TIMEOUT_OUTCOMES) this.timeouts.inc({ outcome }, 0);
  }

  /** Adds what is read from the parts of an edge when somebody scrapes. Once, when all of them are there. */
  observe(sources: MetricSources): void {
    this.#gauge('headway_connections', 'Open connections, by scope.', ['scope'], (gauge) => {
      for (const [scope, count] of Object.entries(sources.connections())) gauge.set({ scope }, count);
    });
    this.#gauge(
      'headway_connections_unauthenticated',
      'Open connections whose tokens are still being checked.',
      [],
      (gauge) => gauge.set(sources.unauthenticated()),
    );
    this.#gauge('headway_http_sockets', 'Open sockets that are no WebSocket (yet).', [], (gauge) =>
      gauge.set(sources.httpSockets()),
    );
    this.#gauge('headway_sessions', 'Open connections, by what they are doing.', ['state'], (gauge) => {
      const states = sources.sessionStates();
      for (const state of SESSION_STATES) gauge.set({ state }, states.get(state) ?? 0);
    });
    this.#gauge('headway_feed_following', '1 while the feed follows the stream.', [], (gauge) =>
      gauge.set(sources.feedFollowing() ? 1 : 0),
    );
    this.#gauge(
      'headway_feed_lag_events',
      'How many sequences the stream is ahead of this edge; 0 at its head.',
      [],
      (gauge) => gauge.set(sources.feedLag().events),
    );
    this.#gauge(
      'headway_feed_lag_seconds',
      'For how many seconds this edge has been behind the stream; 0 at its head.',
      [],
      (gauge) => gauge.set(sources.feedLag().seconds),
    );
    this.#gauge('headway_log_head_seq', 'The newest stream sequence this edge has read.', [], (gauge) =>
      gauge.set(sources.log().head),
    );
    this.#gauge('headway_log_tail_start_seq', 'Cursors below it are served from JetStream.', [], (gauge) =>
      gauge.set(sources.log().tailStart),
    );
    this.#gauge('headway_tail_bytes', 'Memory of the newest events.', [], (gauge) =>
      gauge.set(sources.log().tailBytes),
    );
    this.#gauge('headway_tail_events', 'Events in the tail.', [], (gauge) =>
      gauge.set(sources.log().tailEvents),
    );
    this.#gauge('headway_last_state_bytes', 'Memory of last states.', [], (gauge) =>
      gauge.set(sources.log().lastStateBytes),
    );
    this.#gauge('headway_jobs', 'Jobs whose last state is in memory.', [], (gauge) =>
      gauge.set(sources.log().jobs),
    );
    this.#gauge(
      'headway_liveness_active',
      '1 while events and heartbeats are heard, so that silence means something.',
      [],
      (gauge) => gauge.set(sources.liveness().isListening ? 1 : 0),
    );
    this.#gauge('headway_jobs_watched', 'Jobs whose silence would be noticed.', [], (gauge) =>
      gauge.set(sources.liveness().watched),
    );
    this.#gauge('headway_timeouts_overdue', 'Timeouts that are due and not written yet.', [], (gauge) =>
      gauge.set(sources.liveness().overdue),
    );
    this.#countedElsewhere(
      'headway_liveness_rejected_total',
      'Times there was no room to watch a job: its silence is not noticed.',
      () => sources.liveness().rejected,
    );
    this.#countedElsewhere(
      'headway_liveness_evicted_total',
      'Silent jobs that have made room for others after all was told of them.',
      () => sources.liveness().evicted,
    );
    this.#gauge('headway_history_reads_pending', 'Reads from JetStream that run or wait.', [], (gauge) =>
      gauge.set(sources.historyReads().pending),
    );
    this.#gauge(
      'headway_history_reads_waiting',
      'Reads from JetStream that wait for their turn.',
      [],
      (gauge) => gauge.set(sources.historyReads().waiting),
    );
    this.#gauge(
      'headway_history_reads_waiting_requesters',
      'Of how many subjects or addresses the reads are that wait for their turn.',
      [],
      (gauge) => gauge.set(sources.historyReads().requesters),
    );
    this.#gauge(
      'headway_history_reads_waiting_seconds',
      'For how long the read that has waited longest has waited for its turn; 0: none waits.',
      [],
      (gauge) => gauge.set(sources.historyReads().longestMs / 1_000),
    );
  }

  /** The text that Prometheus scrapes. */
  async render(): Promise<{ contentType: string; body: string }> {
    return { contentType: this.registry.contentType, body: await this.registry.metrics() };
  }

  #counter<L extends string = never>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  /** A counter whose value is kept where it is counted. */
  #countedElsewhere(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  #gauge(name: string, help: string, labelNames: string[], read: (gauge: Gauge) => void): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect() {
        read(this);
      },
    });
  }
}

/**
 * Shares an answer that is costly to make: all who ask while it is made get the same one, and so do those who ask within
 * `maxAgeMs` after it was begun. One that fails is forgotten at once.
 * @param maxAgeMs milliseconds from 0; 0: only who asks while it is made shares it
 * @param now milliseconds of a monotonic clock
 */
export function sharedAnswer<T>(
  maxAgeMs: number,
  now: () => number,
  make: () => Promise<T>,
): () => Promise<T> {
  let begunAt = 0;
  let answer: Promise<T> | null = null;
  let isMade = false;
  return () => {
    if (answer !== null && (!isMade || now() - begunAt < maxAgeMs)) return answer;
    begunAt = now();
    isMade = false;
    const made = make();
    answer = made;
    made.then(
      () => {
        if (answer === made) isMade = true;
      },
      () => {
        if (answer === made) answer = null;
      },
    );
    return made;
  };
}
