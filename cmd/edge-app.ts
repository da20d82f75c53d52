import { randomBytes } from 'node:crypto';
import type { JetStreamClient, JetStreamManager, NatsConnection } from 'nats';
import type { HttpParts } from '../internal/edge/http.js';
import {
  type EdgeServer,
  startOperatorsServer,
  startServer,
  type TlsSettings,
} from '../internal/edge/server.js';
import { loadUws, type Uws } from '../internal/edge/uws.js';
import { EventLog } from '../internal/eventlog/log.js';
import type { LogRecord } from '../internal/eventlog/record.js';
import { connectNats, redactUrl, watchRefusals } from '../internal/jetstream/connection.js';
import { Feed } from '../internal/jetstream/feed.js';
import type { FeedSink } from '../internal/jetstream/feed-parts.js';
import { HistoryReader, type Reader } from '../internal/jetstream/history-reader.js';
import { linkOf, onRefused } from '../internal/jetstream/reading-link.js';
import { Hub } from '../internal/session/hub.js';
import type { IsWanted } from '../internal/session/ports.js';
import { type Logger, RateLimit } from '../internal/telemetry/logger.js';
import { Metrics } from '../internal/telemetry/metrics.js';
import { sharedAnswer } from '../internal/telemetry/shared-answer.js';
import type { EdgeConfig } from '../schemas/config.js';
import { hostAndPort } from '../schemas/config-access.js';
import { type Access, openAccess } from './edge-access.js';
import { drain, tickMs, webSocketParts } from './edge-clients.js';
import { type Silence, watchSilence } from './edge-silence.js';
import { openTls } from './edge-tls.js';

/** An answer that has not come by then is lost, with the server or the leader that owed it: ask again. */
const API_TIMEOUT_MS = 3_000;
const SNAPSHOT_TIMEOUT_MS = 60_000;
/** How often the files for TLS are looked at. */
const TLS_LOOK_MS = 5_000;

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
 * Wires the parts of an edge together and starts it.
 * @param tlsLookMs milliseconds between two looks at the files for TLS
 * @throws HeadwayError when it cannot start
 */
export async function startEdge(
  config: EdgeConfig,
  logger: Logger,
  tlsLookMs = TLS_LOOK_MS,
): Promise<RunningEdge> {
  // A Node without the library's binary is told before anything else is touched.
  const uws = await loadUws(config.maxHeaderBytes);
  const tls = await openTls(config, logger, tlsLookMs);
  const connection = await connectNats({
    url: config.natsUrl,
    credsFile: config.natsCreds,
    nkeyFile: config.natsNkey,
    caFile: config.natsCa,
    certFile: config.natsCert,
    keyFile: config.natsKey,
    name: `headway-edge ${config.edgeId}`,
  });
  try {
    return await wire(config, logger, connection, uws, tls);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

const UNREAD_HINT =
  'a proxy that speaks HTTP/1.0 to this edge (nginx: proxy_http_version 1.1), TLS, or the PROXY protocol, gets 505; a ' +
  'check that only opens the port looks the same, and is harmless';

async function wire(
  config: EdgeConfig,
  logger: Logger,
  connection: NatsConnection,
  uws: Uws,
  tls: TlsSettings | null,
): Promise<RunningEdge> {
  const jsm = await connection.jetstreamManager({ checkAPI: false, timeout: API_TIMEOUT_MS });
  const js = connection.jetstream({ timeout: API_TIMEOUT_MS });
  const link = linkOf(connection);
  const refusals = (refused: Parameters<typeof onRefused>[1]) => onRefused(connection, refused);
  const refusedLines = new RateLimit(5, 10_000, () => performance.now());
  watchRefusals(connection, ({ operation, subject }) => {
    const turn = refusedLines.take();
    if (turn !== null) logger.error({ operation, subject, ...turn }, 'NATS does not permit this');
  });
  const log = new EventLog({ tailBytes: config.tailBytes, lastStateBytes: config.lastStateBytes });
  const hub = new Hub(log, setImmediate);
  const parts: Parts = { config, logger, connection, jsm, js, log, hub };

  const coldLines = new RateLimit(3, 10_000, () => performance.now());
  const cold: HistoryReader = new HistoryReader(
    { connection, jsm, stream: config.stream, link, onRefused: refusals, epoch: () => log.epoch },
    config.coldReads,
    {
      read: (kind, ms) => metrics.coldReads.observe({ kind }, ms / 1000),
      failed: (kind, error) => {
        metrics.coldReadFailures.inc({ kind });
        const turn = coldLines.take();
        if (turn !== null)
          logger.warn({ kind, reason: error.message, ...turn }, 'a read failed, trying again');
      },
    },
    () => performance.now(),
  );
  const silence = watchSilence({
    config,
    logger,
    connection,
    jsm,
    js,
    lastState: (id) => cold.lastState(id),
    metrics: () => metrics,
    stalled: (id, silentMs) => hub.stalled(id, silentMs),
  });
  const feed: Feed = new Feed({
    connection,
    link,
    jsm,
    slowJsm: await connection.jetstreamManager({ checkAPI: false, timeout: SNAPSHOT_TIMEOUT_MS }),
    onRefused: refusals,
    stream: { name: config.stream, replicas: config.streamReplicas },
    natsUrl: config.natsUrl,
    edgeId: config.edgeId,
    instance: randomBytes(9).toString('base64url'),
    readBufferBytes: config.readBufferBytes,
    log,
    sink: feedSink(parts, silence, () => metrics),
    lastState: (id) => cold.lastState(id),
    now: () => performance.now(),
  });
  const metrics = new Metrics({
    connections: () => hub.counts(),
    sessionStates: () => hub.countStates(),
    feedFollowing: () => feed.isFollowing,
    feedLag: () => feed.lag,
    log: () => ({ head: log.head, floor: log.floor, ...log.stats }),
    historyReads: () => {
      const { reads, requesters, longestMs } = cold.waiting;
      return { pending: cold.pending, waiting: reads, requesters, longestMs };
    },
    unauthenticated: () => access.admission.counts.unauthenticated,
    httpSockets: () => access.sockets.http,
    silence: () => silence.stats,
  });
  const keyLines = new RateLimit(3, 10_000, () => performance.now());
  const { maxPendingReadsPerSubject } = config;
  const access: Access = openAccess(config, {
    hasRoom: () => cold.pending < config.maxPendingReads,
    hasRoomFor: (requester) =>
      maxPendingReadsPerSubject === 0 || cold.pendingOf(requester) < maxPendingReadsPerSubject,
    keys: (report) => {
      metrics.keyFetches.inc({ result: report.kind });
      const turn = keyLines.take();
      if (turn === null) return;
      if (report.kind === 'fetched')
        logger.info({ keys: report.keys, ...turn }, 'the keys for tokens were fetched');
      else {
        const { reason, hasOlderKeys } = report;
        logger.warn({ reason, hasOlderKeys, ...turn }, 'the keys for tokens cannot be fetched');
      }
    },
    notice: (notice) => {
      const { kind, address } = notice;
      const setting = 'HEADWAY_TRUSTED_PROXIES';
      switch (kind) {
        case 'silent_proxy':
          logger.warn({ address, setting }, 'a trusted proxy sends no X-Forwarded-For');
          return;
        case 'crowded_address': {
          const { held, connections } = notice;
          logger.warn({ address, held, connections, setting }, 'most connections are from one address');
          return;
        }
        case 'unread_peer':
          logger.warn({ address, hint: UNREAD_HINT }, 'nothing that comes from one address can be read');
          return;
      }
    },
  });
  for (const problem of access.warnings) logger.warn({ problem }, 'a setting may not be what was meant');
  try {
    await feed.start();
  } catch (error) {
    silence.close();
    cold.stop();
    access.close();
    throw error;
  }
  const handlerLines = new RateLimit(5, 10_000, () => performance.now());
  let isDraining = false;
  const readiness: HttpParts['readiness'] = () => {
    if (isDraining) return { ready: false, detail: 'draining' };
    if (feed.isFollowing) return { ready: true, detail: 'following the stream' };
    const { problem } = feed;
    if (!link.isUp || (problem === null && log.isReady))
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
  };
  const serverParts = {
    ...webSocketParts(
      { ...parts, stalledFor: (id) => silence.stalledFor(id) },
      (requester) => cold.of(requester),
      metrics,
      access,
    ),
    lastState: (id: string, requester: string, isWanted: IsWanted) =>
      lastState(log, cold, id, { requester, isWanted }),
    readiness,
    metrics: sharedAnswer(
      config.metricsMaxAgeMs,
      () => performance.now(),
      () => metrics.render(),
    ),
    hasMetricsElsewhere: config.metricsListen !== undefined,
    failed: (error: unknown) => {
      const turn = handlerLines.take();
      if (turn !== null) logger.error({ err: error, ...turn }, 'a handler failed');
    },
  };
  const { server, operators } = await startServers(config, uws, tls, serverParts).catch(
    async (error: unknown) => {
      silence.close();
      cold.stop();
      access.close();
      await feed.stop();
      throw error;
    },
  );
  const ticking = setInterval(
    () => hub.tick(performance.now(), feed.isFollowing ? 'ok' : 'away'),
    tickMs(config),
  );
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
      clearInterval(ticking);
      silence.close();
      cold.stop();
      access.close();
      await feed.stop();
      server.close();
      operators?.close();
      await connection.close();
      logger.info('stopped');
    },
  };
}

// Both or none: whoever is told of a mistake in one is not left with the other.
async function startServers(
  config: EdgeConfig,
  uws: Uws,
  tls: TlsSettings | null,
  parts: Parameters<typeof startServer>[2],
): Promise<{ server: EdgeServer; operators: Pick<EdgeServer, 'port' | 'close'> | null }> {
  const { metricsListen } = config;
  const operators =
    metricsListen === undefined ? null : await startOperatorsServer(uws, hostAndPort(metricsListen), parts);
  try {
    const address = { host: config.host, port: config.port, share: config.sharePort };
    return { server: await startServer(uws, address, parts, tls), operators };
  } catch (error) {
    operators?.close();
    throw error;
  }
}

// What memory knows of a job is its newest state as of the log's head; what it does not know is read.
async function lastState(
  log: EventLog,
  cold: HistoryReader,
  id: string,
  reader: Reader,
): Promise<LogRecord | null> {
  const known = log.isReady ? log.last(id) : undefined;
  if (known !== undefined) return known;
  return log.isReady && log.knowsAllJobs ? null : cold.lastState(id, reader);
}

interface Parts {
  readonly config: EdgeConfig;
  readonly logger: Logger;
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly js: JetStreamClient;
  readonly log: EventLog;
  readonly hub: Hub;
}

function feedSink({ logger, log, hub }: Parts, silence: Silence, metrics: () => Metrics): FeedSink {
  const invalidLines = new RateLimit(10, 10_000, () => performance.now());
  const failureLines = new RateLimit(3, 10_000, () => performance.now());
  const lostLines = new RateLimit(5, 10_000, () => performance.now());
  return {
    restarts: (reset) => {
      silence.restarts();
      hub.logRestarts(reset);
    },
    loaded: (record) => silence.seen(record),
    ready: () => hub.logReady(),
    appended: (record) => {
      if (record !== null) {
        metrics().events.inc();
        silence.seen(record);
      }
      hub.appended(record);
    },
    gone: (jobs) => {
      for (const { id } of jobs) silence.gone(id);
      hub.gone();
    },
    invalid: (seq, subject, reason, detail) => {
      metrics().eventsInvalid.inc({ reason });
      const turn = invalidLines.take();
      if (turn !== null)
        logger.warn({ seq, subject, reason, detail, ...turn }, 'a stored message is not an event');
    },
    lost: (reason, detail) => {
      silence.lost();
      metrics().feedLost.inc({ reason });
      if (reason === 'stream_changed') {
        logger.error(
          { detail, head: log.head },
          'the stream was changed, nothing is followed until it is put right',
        );
        return;
      }
      const turn = lostLines.take();
      if (turn !== null)
        logger.warn({ reason, detail, head: log.head, ...turn }, 'the feed was lost, rebuilding it');
    },
    failed: (error) => {
      const turn = failureLines.take();
      if (turn !== null)
        logger.warn({ reason: error.message, ...turn }, 'the feed cannot be built yet, trying again');
    },
    following: (ms) => {
      silence.following();
      metrics().feedRecovery.observe(ms / 1000);
      logger.info({ head: log.head, jobs: log.stats.jobs, ms: Math.round(ms) }, 'following the stream');
    },
  };
}
