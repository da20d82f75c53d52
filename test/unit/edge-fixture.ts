/** An edge's pure parts in memory: the clocks, the turns, the sockets and JetStream are in the test's hands. */

import { scopeIdOf } from '../../internal/edge/request.js';
import { type DecodedEvent, decodeEvent } from '../../internal/eventlog/decode.js';
import { EventLog, type LogListener } from '../../internal/eventlog/log.js';
import type { Scope } from '../../internal/eventlog/record.js';
import { ClientConnection, SelectedConnection } from '../../internal/session/client-connection.js';
import { Hub } from '../../internal/session/hub.js';
import type {
  ConnectionCredentials,
  FixedJobs,
  HistorySource,
  Narrow,
  Resume,
  SessionLimits,
  Transport,
} from '../../internal/session/ports.js';
import type { SessionDeps } from '../../internal/session/session.js';
import type { ClientFrame, ServerFrame } from '../../schemas/frames.js';
import { onTheWire } from '../model/on-the-wire.js';

/** A valid event, with `fields` over it. */
export function event(id: string, fields: object = {}): DecodedEvent {
  const body = {
    processing_id: id,
    status: 'processing',
    progress: 1,
    timestamp: '2026-01-01T00:00:00Z',
    ...fields,
  };
  const decoded = decodeEvent(`progress.${id}`, new TextEncoder().encode(JSON.stringify(body)));
  if (!decoded.ok) throw new Error(decoded.detail);
  return decoded.event;
}

const typesOf = (types: readonly string[]) => (types.length === 0 ? null : new Set(types));
export const all = (...types: string[]): Scope => ({ kind: 'all', jobTypes: typesOf(types) });
export const job = (id: string, ...types: string[]): Scope => ({ kind: 'job', id, jobTypes: typesOf(types) });

export const types = (frames: readonly ServerFrame[]) => frames.map(({ type }) => type);
export const updates = (frames: readonly ServerFrame[]) =>
  frames.filter((frame) => frame.type === 'progress_update');
/** What JetStream answered has reached who asked. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

export interface PureEdgeOptions {
  tailBytes?: number | undefined;
  lastStateBytes?: number | undefined;
  limits?: Partial<SessionLimits>;
  /** What JetStream answers; what is not given here may not be asked. */
  history?: Partial<HistorySource>;
  wallClock: () => number;
  /** The clock that never goes back; the other one when not given. */
  now?: () => number;
}

interface SelectOptions extends ConnectOptions {
  /** Where the client was with single jobs. */
  after?: ReadonlyMap<string, Resume>;
  /** The client names these jobs and no others later. */
  fixed?: FixedJobs;
  narrow?: Narrow;
  maxJobs?: number;
  hasReadCapacity?: () => boolean;
}

interface ConnectOptions {
  credentials?: ConnectionCredentials;
  requester?: string;
  /** In the midst of whatever sends it. */
  onSend?: (frame: ServerFrame) => void;
  maxRate?: number;
  stalledFor?: (id: string) => number | null;
  /** The socket is full when so many frames were sent. */
  fullAfter?: number;
  onEnd?: (connection: ClientConnection) => void;
}

const unread = () => Promise.reject(new Error('this test does not read that from JetStream'));

/** The log is empty, and not ready before the test says so. */
export function pureEdge(given: PureEdgeOptions) {
  const memory = { tailBytes: given.tailBytes ?? 1e6, lastStateBytes: given.lastStateBytes ?? 1e6 };
  const hearing = { isOn: true };
  const listener: LogListener = {
    restarting: (reset) => hub.restarting(reset),
    ready: () => hearing.isOn && hub.ready(),
    appended: (record) => hearing.isOn && hub.appended(record),
    gone: () => hub.gone(),
  };
  const log = new EventLog(memory);
  log.setListeners([listener]);
  const turns: (() => void)[] = [];
  const now = given.now ?? given.wallClock;
  const waking: { at: number; call: () => void }[] = [];
  const later = (call: () => void, ms: number) => {
    const timer = { at: now() + ms, call };
    waking.push(timer);
    return () => {
      waking.splice(waking.indexOf(timer), 1);
    };
  };
  const hub = new Hub(log, (flush) => turns.push(flush), { now, later });
  const history: HistorySource = {
    lastState: unread,
    records: unread,
    page: unread,
    oldest: unread,
    isKept: unread,
    reached: unread,
    ...given.history,
  };
  const limits: SessionLimits = {
    heartbeatMs: 1e6,
    heartbeatAfterMs: 1e6,
    watermarkBytes: 1_000,
    maxReplayJob: 1e6,
    maxReplayAll: 1e6,
    maxFrameCharacters: 16_384,
    ...given.limits,
  };
  const sent = { bytes: 0, encoded: new Set<Uint8Array>() };
  const client = (options: ConnectOptions, self: () => ClientConnection | null) => {
    const frames: ServerFrame[] = [];
    const fullAfter = options.fullAfter ?? Number.POSITIVE_INFINITY;
    const socket = { buffered: 0, fullAfter, closed: null as number | null };
    const transport: Transport = {
      send: (text, bytes) => {
        if (socket.closed !== null) throw new Error('sent after the end');
        sent.bytes += text.length;
        if (bytes !== null) sent.encoded.add(bytes);
        const frame = JSON.parse(onTheWire(text, bytes)) as ServerFrame;
        frames.push(frame);
        options.onSend?.(frame);
      },
      cork: (write) => write(),
      buffered: () => (frames.length >= socket.fullAfter ? limits.watermarkBytes : socket.buffered),
      end: (code) => {
        socket.closed = code;
        const connection = self();
        if (connection !== null) options.onEnd?.(connection);
      },
    };
    const context: SessionDeps = {
      edge: {
        log,
        limits,
        wallClock: given.wallClock,
        now: () => hub.now(),
        scheduleCatchUp: (waiting) => hub.scheduleCatchUp(waiting),
        wakeAt: (waiting, at) => hub.wakeAt(waiting, at),
        ...(options.stalledFor && { stalledFor: options.stalledFor }),
        scopeId: scopeIdOf,
      },
      id: 's',
      requester: options.requester ?? 'somebody',
      history,
      maxRate: options.maxRate,
    };
    const common = { context, transport, credentials: options.credentials ?? null };
    return { common, frames, socket };
  };
  return {
    log,
    hub,
    /** Whether the hub hears of the log. */
    hearing,
    /** To all sockets. `encoded`: what was made into bytes before, each once. */
    sent,
    /** One turn of the event loop; false when there was nothing to do. */
    turn(): boolean {
      const due = turns.splice(0);
      for (const flush of due) flush();
      return due.length > 0;
    },
    connect(scope: Scope, resume: Resume | null = null, options: ConnectOptions = {}) {
      const { common, frames, socket } = client(options, () => connection);
      const connection = new ClientConnection({ ...common, scope, resume });
      hub.add(connection);
      connection.open();
      return { connection, session: connection.session, frames, socket };
    },
    /** Calls the timers that are due. @returns how many were */
    wake(): number {
      const due = waking.filter(({ at }) => at <= now());
      for (const one of due) waking.splice(waking.indexOf(one), 1);
      for (const { call } of due) call();
      return due.length;
    },
    /** How many timers run. */
    timers(): number {
      return waking.length;
    },
    /** A client that names its jobs. */
    select(ids: readonly string[] = [], resume: Resume | null = null, options: SelectOptions = {}) {
      const { common, frames, socket } = client(options, () => null);
      const connection = new SelectedConnection({
        ...common,
        resume,
        selected: { ids, after: options.after ?? new Map(), ...(options.fixed && { fixed: options.fixed }) },
        narrow: options.narrow ?? ((scope) => ({ ok: true, scope })),
        scopeName: options.fixed?.scopeName ?? 'selected',
        maxJobs: options.maxJobs ?? 256,
        ...(options.hasReadCapacity && { hasReadCapacity: options.hasReadCapacity }),
        attach: (session) => hub.attach(session),
        detach: (session) => hub.detach(session),
      });
      hub.add(connection);
      connection.open();
      const send = (frame: ClientFrame) => connection.receive(JSON.stringify(frame));
      return { connection, frames, socket, send };
    },
  };
}
