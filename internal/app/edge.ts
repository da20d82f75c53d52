import { randomBytes } from 'node:crypto';
import type { NatsConnection } from 'nats';
import type { EdgeConfig } from '../../schemas/config.js';
import { hostAndPort } from '../../schemas/config-access.js';
import { isDashboardOn, readDashboard } from '../edge/dashboard.js';
import { startOperatorsServer, startServer, type TlsSettings } from '../edge/server.js';
import { loadUws, type Uws } from '../edge/uws.js';
import { EventLog, type LogListener } from '../eventlog/log.js';
import { connectNats } from '../jetstream/connection.js';
import { monitorOf, onPermissionError, watchPermissionErrors } from '../jetstream/connection-monitor.js';
import { Feed } from '../jetstream/feed.js';
import { type HistoryObserver, HistoryReader } from '../jetstream/history-reader.js';
import { redactUrl } from '../jetstream/nats-url.js';
import type { PullAccess } from '../jetstream/pull-reader.js';
import { Hub } from '../session/hub.js';
import { type Logger, LogRateLimiter } from '../telemetry/logger.js';
import { type MetricSources, Metrics, sharedAnswer } from '../telemetry/metrics.js';
import { type Access, accessObserver, openAccess } from './access.js';
import { feedSink } from './feed-sink.js';
import { createLiveness } from './liveness.js';
import { drain, jobReads, TIMER, tickMs, webSocketDeps } from './sessions.js';
import { openTls } from './tls.js';

/** An answer that has not come by then is lost, with the server or the leader that owed it: ask again. */
const API_TIMEOUT_MS = 3_000;
const SNAPSHOT_TIMEOUT_MS = 60_000;
/** How often the files for TLS are looked at. */
const TLS_LOOK_MS = 5_000;

/** Where the build puts the dashboard; an edge that runs from its sources finds them there, and serves none. */
const DASHBOARD_FILES = new URL('../../web/', import.meta.url);

const now = () => performance.now();

/** An edge that runs in this process. */
export interface RunningEdge {
  readonly port: number;
  /** Where HEADWAY_METRICS_LISTEN listens; null: nowhere of its own. */
  readonly metricsPort: number | null;
  /** Whether it follows the stream and may be sent clients. */
  isReady(): boolean;
  /** Drains: takes nobody new, tells everybody to go elsewhere, closes everything it opened. */
  close(): Promise<void>;
}

/**
 * Starts an edge: opens its parts in order, each from those before it. What was opened is closed in reverse order, when
 * the edge is closed and when a later part cannot be opened.
 * @param tlsLookMs milliseconds between two looks at the files for TLS
 * @throws HeadwayError when it cannot start
 */
export async function startEdge(
  config: EdgeConfig,
  logger: Logger,
  tlsLookMs = TLS_LOOK_MS,
): Promise<RunningEdge> {
  const opened = new OpenedResources();
  try {
    // A Node without the library's binary is told before anything else is touched.
    const uws = await loadUws(config.maxHeaderBytes);
    const tls = await openTls(config, logger, tlsLookMs);
    const core = await openCore(config, logger, opened);
    const { access, feed } = await openFeed(core, opened);
    return await serve({ ...core, access, feed, uws, tls }, opened);
  } catch (error) {
    // Why it could not start is what its operator has to know.
    await opened.close().catch(() => undefined);
    throw error;
  }
}

/** How each resource is closed again. */
export class OpenedResources {
  readonly #closers: (() => void | Promise<void>)[] = [];

  /** Adds what closes a resource that was just opened. */
  add(close: () => void | Promise<void>): void {
    this.#closers.push(close);
  }

  /**
   * Closes them all, those that were opened last first.
   * @throws what the first one throws that fails; the others are closed all the same
   */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

type Core = Awaited<ReturnType<typeof openCore>>;

/** The connection to NATS, the log, and what reads from both of them. */
async function openCore(config: EdgeConfig, logger: Logger, opened: OpenedResources) {
  const connection = await connectNats({
    url: config.natsUrl,
    credsFile: config.natsCreds,
    nkeyFile: config.natsNkey,
    caFile: config.natsCa,
    certFile: config.natsCert,
    keyFile: config.natsKey,
    name: `headway-edge ${config.edgeId}`,
  });
  opened.add(() => connection.close());
  logPermissionErrors(connection, logger);
  const jsm = await connection.jetstreamManager({ checkAPI: false, timeout: API_TIMEOUT_MS });
  const monitor = monitorOf(connection);
  const metrics = new Metrics();
  const log = new EventLog({ tailBytes: config.tailBytes, lastStateBytes: config.lastStateBytes });
  const hub = new Hub(log, setImmediate, TIMER);
  const access: PullAccess = {
    connection,
    jsm,
    stream: config.stream,
    monitor,
    onRefused: (refused) => onPermissionError(connection, refused),
  };
  const history = new HistoryReader(
    { ...access, epoch: () => log.epoch },
    config.historyReads,
    observeReads(metrics, logger),
    now,
  );
  opened.add(() => history.stop());
  const liveness = createLiveness({
    config,
    logger,
    connection,
    jsm,
    js: connection.jetstream({ timeout: API_TIMEOUT_MS }),
    lastState: (id) => history.lastState(id),
    metrics,
    stalled: (id, silentMs) => hub.stalled(id, silentMs),
  });
  opened.add(() => liveness.close());
  // Liveness before the hub: a session that reaches the head asks at once whether its job is stalled.
  log.setListeners([countEvents(metrics), liveness, hub]);
  return { config, logger, connection, jsm, monitor, metrics, log, hub, history, liveness };
}

/** Who may come in, and the feed, which follows the stream from here on. */
async function openFeed(core: Core, opened: OpenedResources) {
  const { config, logger, connection, jsm, monitor, metrics, log, history, liveness } = core;
  const access = openAccess(config, accessObserver(config, { logger, metrics, history }));
  for (const problem of access.warnings) logger.warn({ problem }, 'a setting may not be what was meant');
  opened.add(() => access.close());
  const feed = new Feed({
    connection,
    monitor,
    jsm,
    slowJsm: await connection.jetstreamManager({ checkAPI: false, timeout: SNAPSHOT_TIMEOUT_MS }),
    onRefused: (refused) => onPermissionError(connection, refused),
    stream: { name: config.stream, replicas: config.streamReplicas },
    natsUrl: config.natsUrl,
    edgeId: config.edgeId,
    instance: randomBytes(9).toString('base64url'),
    readBufferBytes: config.readBufferBytes,
    log,
    sink: feedSink({ logger, log, liveness, metrics }),
    lastState: (id) => history.lastState(id),
    now,
  });
  metrics.observe(sourcesOf(core, access, feed));
  await feed.start();
  opened.add(() => feed.stop());
  return { access, feed };
}

interface Serving extends Core {
  readonly access: Access;
  readonly feed: Feed;
  readonly uws: Uws;
  readonly tls: TlsSettings | null;
}

/** Listens, and looks after the sessions until the edge is closed. */
async function serve(deps: Serving, opened: OpenedResources): Promise<RunningEdge> {
  const { config, logger, metrics, log, hub, history, liveness, access, feed, uws, tls } = deps;
  let isDraining = false;
  const readiness = () => (isDraining ? DRAINING : readinessOf(deps));
  const routes = {
    ...webSocketDeps(
      { config, logger, log, hub, stalledFor: (id) => liveness.stalledFor(id) },
      (requester) => history.of(requester),
      metrics,
      access,
    ),
    reads: jobReads(log, (requester) => history.of(requester)),
    random: Math.random,
    readiness,
    metrics: sharedAnswer(config.metricsMaxAgeMs, now, () => metrics.render()),
    hasMetricsElsewhere: config.metricsListen !== undefined,
    failed: logFailures(logger),
    dashboard: isDashboardOn(config) ? await readDashboard(DASHBOARD_FILES) : 'off',
  };
  const operators =
    config.metricsListen === undefined
      ? null
      : await startOperatorsServer(uws, hostAndPort(config.metricsListen), routes);
  if (operators !== null) opened.add(() => operators.close());
  const address = { host: config.host, port: config.port, reuse: config.reusePort };
  const server = await startServer(uws, address, routes, tls);
  opened.add(() => server.close());
  const ticking = setInterval(() => hub.tick(now(), feed.isFollowing ? 'ok' : 'away'), tickMs(config));
  opened.add(() => clearInterval(ticking));
  logger.info(
    {
      host: config.host,
      port: server.port,
      ...(operators !== null && { metricsPort: operators.port }),
      nats: redactUrl(config.natsUrl),
      stream: config.stream,
    },
    'listening',
  );
  return {
    port: server.port,
    metricsPort: operators?.port ?? null,
    isReady: () => readiness().ready,
    close: async () => {
      isDraining = true;
      server.stopListening();
      logger.info({ connections: hub.size, ms: config.drainMs }, 'draining');
      await drain(hub, config.drainMs);
      await opened.close();
      logger.info('stopped');
    },
  };
}

const DRAINING = { ready: false, detail: 'draining' } as const;

function readinessOf({ feed, monitor, log }: Pick<Serving, 'feed' | 'monitor' | 'log'>) {
  if (feed.isFollowing) return { ready: true, detail: 'following the stream' };
  const { problem } = feed;
  if (!monitor.isConnected || (problem === null && log.isReady))
    return { ready: false, detail: 'NATS is away, reconnecting' };
  switch (problem?.kind) {
    case undefined:
      return { ready: false, detail: 'loading the last states' };
    case 'stalled':
      return { ready: false, detail: 'nothing comes, although the stream holds more' };
    case 'stream_changed': {
      const fields = ` ${problem.fields.join(', ')}`;
      return { ready: false, detail: 'the stream is not as it must be:'.concat(fields) };
    }
  }
}

function sourcesOf({ hub, log, history, liveness }: Core, access: Access, feed: Feed): MetricSources {
  return {
    connections: () => hub.counts(),
    sessionStates: () => hub.countStates(),
    feedFollowing: () => feed.isFollowing,
    feedLag: () => feed.lag,
    log: () => ({ head: log.head, tailStart: log.tailStart, ...log.stats }),
    historyReads: () => {
      const { reads, requesters, longestMs } = history.waiting;
      return { pending: history.pending, waiting: reads, requesters, longestMs };
    },
    unauthenticated: () => access.admission.counts.unauthenticated,
    httpSockets: () => access.sockets.http,
    liveness: () => liveness.stats,
  };
}

function countEvents(metrics: Metrics): LogListener {
  return {
    appended: (record) => {
      if (record !== null) metrics.events.inc();
    },
  };
}

function observeReads(metrics: Metrics, logger: Logger): HistoryObserver {
  const lines = new LogRateLimiter(3, 10_000, now);
  return {
    read: (kind, ms) => metrics.historyReads.observe({ kind }, ms / 1000),
    failed: (kind, error) => {
      metrics.historyReadFailures.inc({ kind });
      const turn = lines.acquire();
      if (turn !== null) logger.warn({ kind, reason: error.message, ...turn }, 'a read failed, trying again');
    },
  };
}

function logPermissionErrors(connection: NatsConnection, logger: Logger): void {
  const lines = new LogRateLimiter(5, 10_000, now);
  watchPermissionErrors(connection, ({ operation, subject }) => {
    const turn = lines.acquire();
    if (turn !== null) logger.error({ operation, subject, ...turn }, 'NATS does not permit this');
  });
}

function logFailures(logger: Logger): (error: unknown) => void {
  const lines = new LogRateLimiter(5, 10_000, now);
  return (error) => {
    const turn = lines.acquire();
    if (turn !== null) logger.error({ err: error, ...turn }, 'a handler failed');
  };
}
