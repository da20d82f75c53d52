import { randomBytes } from 'node:crypto';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { CLOSE_CODES } from '../../schemas/close-codes.js';
import type { EdgeConfig } from '../../schemas/config.js';
import { LIMIT_SETTINGS } from '../edge/connection-guard.js';
import type { JobReads } from '../edge/job-routes.js';
import { ClientRateLimiter } from '../edge/limits.js';
import { scopeIdOf } from '../edge/request.js';
import type { WebSocketDeps } from '../edge/websocket.js';
import type { EventLog } from '../eventlog/log.js';
import type { LogRecord } from '../eventlog/record.js';
import { type AnyConnection, ClientConnection, SelectedConnection } from '../session/client-connection.js';
import type { Timer } from '../session/due-queue.js';
import type { Hub } from '../session/hub.js';
import { JobReader } from '../session/job-reader.js';
import type { HistorySource, SessionLimits } from '../session/ports.js';
import type { SessionDeps, SessionEdge } from '../session/session.js';
import { FOLD_WATERMARKS } from '../session/update-writer.js';
import { type Logger, LogRateLimiter } from '../telemetry/logger.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Access } from './access.js';

/** How often due heartbeats are looked for, as a part of the heartbeat's own interval. */
const TICKS_PER_HEARTBEAT = 8;
/** How long closing frames have to leave before what is still connected is cut. */
const CLOSE_GRACE_MS = 200;
const DRAIN_STEP_MS = 50;
/** What a read from JetStream puts onto a socket whole: at most 64 last states of 64 KiB. */
const PAGE_ROOM_BYTES = 5 * 1024 * 1024;

/** What of the configuration a client's connection depends on. */
export type ClientSettings = Pick<
  EdgeConfig,
  | 'heartbeatMs'
  | 'idleTimeoutSeconds'
  | 'maxClientBytesPerSecond'
  | 'maxClientFrameBytes'
  | 'maxClientFramesPerSecond'
  | 'maxFollowedJobs'
  | 'maxReplayAll'
  | 'maxReplayJob'
  | 'sendWatermarkBytes'
>;

export interface SessionsDeps {
  readonly config: ClientSettings;
  readonly logger: Logger;
  readonly log: EventLog;
  readonly hub: Hub;
  /** For how many milliseconds a job whose stall was told has been silent; null: it is not stalled. */
  readonly stalledFor?: (id: string) => number | null;
}

const ID_BYTES = 9;
const IDS_AT_ONCE = 256;
let random = Buffer.alloc(0);
let used = 0;

/** Names a connection to its client. Chance comes for many at once: to ask for it costs more than all of the rest. */
function connectionId(): string {
  if (used >= random.length) {
    random = randomBytes(ID_BYTES * IDS_AT_ONCE);
    used = 0;
  }
  const id = random.toString('base64url', used, used + ID_BYTES);
  used += ID_BYTES;
  return id;
}

/** What a hub knows the time by. */
export const TIMER: Timer = {
  now: () => performance.now(),
  later: (call, ms) => {
    // Node may fire within the same millisecond, a little before.
    const timer = setTimeout(call, Math.ceil(ms) + 1).unref();
    return () => clearTimeout(timer);
  },
};

/** How often `Hub.tick` is to be called, in milliseconds. Tokens expire to the second, however rare heartbeats are. */
export function tickMs({ heartbeatMs }: Pick<ClientSettings, 'heartbeatMs'>): number {
  return Math.min(1_000, Math.max(10, heartbeatMs / TICKS_PER_HEARTBEAT));
}

/**
 * What happens with WebSocket clients: each becomes a session of the hub over this log.
 * @param readsOf reads behind the tail, in the turns of one requester
 */
export function webSocketDeps(
  { config, log, hub, logger, stalledFor }: SessionsDeps,
  readsOf: (requester: string) => HistorySource,
  metrics: Metrics,
  { guard, sockets }: Pick<Access, 'guard' | 'sockets'>,
): Omit<WebSocketDeps, 'failed'> {
  const refusalLines = new LogRateLimiter(10, 10_000, () => performance.now());
  // Made once: each connection would hold its own for as long as it stands.
  const limits: SessionLimits = {
    heartbeatMs: config.heartbeatMs,
    heartbeatAfterMs: config.heartbeatMs * (1 - 1 / TICKS_PER_HEARTBEAT),
    watermarkBytes: config.sendWatermarkBytes,
    maxReplayJob: config.maxReplayJob,
    maxReplayAll: config.maxReplayAll,
    maxFrameCharacters: config.maxClientFrameBytes,
  };
  const edge: SessionEdge = {
    log,
    limits,
    wallClock: Date.now,
    now: () => hub.now(),
    scopeId: scopeIdOf,
    scheduleCatchUp: (waiting) => hub.scheduleCatchUp(waiting),
    wakeAt: (waiting, at) => hub.wakeAt(waiting, at),
    onSent: (updates) => metrics.updatesSent.inc(updates),
    onFolded: (events) => metrics.updatesFolded.inc(events),
    ...(stalledFor && { stalledFor }),
  };
  class ConnectionContext implements SessionDeps {
    constructor(
      readonly edge: SessionEdge,
      readonly id: string,
      readonly requester: string,
      readonly maxRate: number | undefined,
    ) {}

    // Most never read behind the tail: it is made for those who do.
    get history(): HistorySource {
      return readsOf(this.requester);
    }
  }
  return {
    guard,
    sockets,
    maxClientFrameBytes: config.maxClientFrameBytes,
    maxFollowedJobs: config.maxFollowedJobs,
    clientRate: () =>
      new ClientRateLimiter(
        config.maxClientFramesPerSecond,
        config.maxClientBytesPerSecond,
        performance.now(),
      ),
    now: () => performance.now(),
    idleTimeoutSeconds: config.idleTimeoutSeconds,
    maxBufferedBytes: (2 + FOLD_WATERMARKS) * config.sendWatermarkBytes + PAGE_ROOM_BYTES,
    connect: ({ scope, resume, maxRate, requester, narrow }, credentials, transport) => {
      const id = connectionId();
      const context = new ConnectionContext(edge, id, requester, maxRate);
      const common = { context, resume, transport, credentials };
      const connection: AnyConnection =
        scope.kind === 'selected'
          ? new SelectedConnection({
              ...common,
              selected: scope,
              narrow,
              scopeName: scope.fixed?.scopeName ?? scopeIdOf(scope),
              maxJobs: config.maxFollowedJobs,
              hasReadCapacity: () => {
                const limit = guard.readLimit(requester);
                if (limit !== null) metrics.limitsReached.inc({ limit });
                return limit === null;
              },
              attach: (session) => hub.attach(session),
              detach: (session) => hub.detach(session),
            })
          : new ClientConnection({ ...common, scope });
      hub.add(connection);
      metrics.connectionsOpened.inc();
      return connection;
    },
    disconnected: (connection, code) => {
      hub.remove(connection);
      metrics.connectionsClosed.inc({ code: closeLabel(code) });
    },
    refused: ({ code, address, defect, limit, origin }) => {
      metrics.requestsRefused.inc({ code });
      if (limit !== null) metrics.limitsReached.inc({ limit });
      const turn = refusalLines.acquire();
      if (turn !== null)
        logger.info(
          {
            code,
            address,
            ...(defect !== null && { defect }),
            ...(limit !== null && { limit, setting: LIMIT_SETTINGS[limit] }),
            ...(origin !== undefined && { origin: shorten(origin), setting: 'HEADWAY_ALLOWED_ORIGINS' }),
            ...turn,
          },
          'a connection was refused',
        );
    },
  };
}

/** Longer than any origin of a page, and short enough for a line of a log. */
const MAX_ORIGIN = 256;

function shorten(origin: string): string {
  return origin.length > MAX_ORIGIN ? `${origin.slice(0, MAX_ORIGIN)}…` : origin;
}

// Clients choose the codes of their own closes; only the usual ones get a label.
const COMMON_CODES = [1001, 1005, 1006, 1009, ...CLOSE_CODES.map(({ code }) => code)];

function closeLabel(code: number): string {
  return COMMON_CODES.includes(code) ? String(code) : 'other';
}

/**
 * Sends clients away evenly over the window, so that the edges they go to see no herd. Meanwhile they are served.
 * @param windowMs milliseconds, from 0
 */
export async function drain(hub: Hub, windowMs: number): Promise<void> {
  if (hub.size === 0) return;
  hub.announceDrain(windowMs);
  const all = hub.size;
  const steps = Math.ceil(windowMs / DRAIN_STEP_MS);
  for (let step = 1; step < steps && hub.size > 0; step++) {
    await delay(DRAIN_STEP_MS);
    // Clients leave by themselves, too; only those above the share that may be left by now are closed.
    const mayStay = Math.ceil(all * (1 - step / steps));
    if (hub.size > mayStay) hub.closeDraining(hub.size - mayStay);
  }
  if (steps > 0) await delay(DRAIN_STEP_MS);
  hub.closeDraining(hub.size);
  await delay(CLOSE_GRACE_MS);
}

/**
 * What is asked of the log once, over HTTP.
 * @param readsOf reads behind the tail, in the turns of one requester
 */
export function jobReads(log: EventLog, readsOf: (requester: string) => HistorySource): JobReads {
  const reader = new JobReader(log, () => nextTurn());
  return {
    epoch: () => (log.isReady ? log.epoch : null),
    lastState: (id, requester, isWanted) => reader.lastState(id, readsOf(requester), isWanted),
    hasSeenEnd: (scope, resume, requester, isWanted) =>
      reader.hasSeenEnd(scope, resume, readsOf(requester), isWanted),
    events: (scope, range, requester, isWanted) => reader.events(scope, range, readsOf(requester), isWanted),
    jobs: (scope, range, statuses, requester, isWanted) => {
      const isListed = ({ status }: LogRecord) => statuses === null || statuses.has(status);
      return reader.jobs(scope, range, isListed, readsOf(requester), isWanted);
    },
  };
}
