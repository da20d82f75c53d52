import type { StreamConfig, StreamInfo } from 'nats';
import type { Difference, FollowerFacts, StreamFacts } from '../../../doctor/facts.js';
import { streamConfig, streamDifferences } from '../../../jetstream/stream.js';
import { isAtLeast } from '../../../server-version.js';
import { showDuration } from '../../flags/durations.js';

/** Since this version a stream has at most so many consumers, when its configuration does not say. */
const LIMITS_CONSUMERS = '2.15.0';
const MAX_CONSUMERS = 1_000;

const inMs = (nanos: number): number => nanos / 1e6;
const limitOf = (value: number | undefined): number | null =>
  value === undefined || value <= 0 ? null : value;

/** A stream as NATS tells it, in the doctor's words. @param version of the server */
export function streamFactsOf(info: StreamInfo, version: string): StreamFacts {
  const { config, state } = info;
  const raw = config as unknown as Record<string, unknown>;
  const consumers =
    limitOf(config.max_consumers) ?? (isAtLeast(version, LIMITS_CONSUMERS) ? MAX_CONSUMERS : null);
  return {
    drift: driftOf(config),
    choices: ownChoices(config),
    storage: config.storage,
    discard: config.discard === 'new' ? 'new' : 'old',
    sealed: config.sealed === true,
    persistMode: typeof raw.persist_mode === 'string' ? raw.persist_mode : null,
    maxMessageBytes: limitOf(config.max_msg_size),
    duplicateWindowMs: inMs(config.duplicate_window),
    maxAgeMs: config.max_age > 0 ? inMs(config.max_age) : null,
    maxEventsPerJob: limitOf(config.max_msgs_per_subject),
    bytes: { used: state.bytes, limit: limitOf(config.max_bytes) },
    messages: { used: state.messages, limit: limitOf(config.max_msgs) },
    consumers: { used: state.consumer_count, limit: consumers },
    firstSeq: state.first_seq,
    lastSeq: state.last_seq,
    oldestAt: state.messages === 0 ? null : Date.parse(state.first_ts),
    copies: {
      wanted: config.num_replicas,
      leader: info.cluster?.leader || null,
      followers: (info.cluster?.replicas ?? []).map(followerOf),
    },
  };
}

type Replica = NonNullable<NonNullable<StreamInfo['cluster']>['replicas']>[number];

const followerOf = (replica: Replica): FollowerFacts => ({
  server: replica.name,
  current: replica.current,
  offline: replica.offline === true,
  lag: replica.lag ?? 0,
  silentMs: inMs(replica.active ?? 0),
});

/** The server keeps an edge's consumer so long without a pull; where it may not, the edge has none. */
const CONSUMER_IDLE_MS = 5 * 60_000;

/** How a stream differs from what Headway relies on: what edges compare, and what else changes or adds events. */
export function driftOf(config: StreamConfig): Difference[] {
  const compared = streamDifferences(config, { name: config.name, replicas: config.num_replicas });
  const have = config as unknown as Record<string, unknown>;
  const told = new Set<string>(compared.map(({ field }) => field));
  const others = OTHERS.filter((field) => !told.has(field) && isThere(field, have[field]));
  return [
    ...compared,
    ...others.map((field) => ({ field, is: shown(field, have[field]), shouldBe: shown(field, undefined) })),
  ];
}

/** Settings of which any value adds, changes or refuses events. */
const OTHERS = [
  'subject_transform',
  'mirror',
  'sources',
  'allow_msg_counter',
  'allow_msg_schedules',
  'subject_delete_marker_ttl',
  'consumer_limits',
];

function isThere(field: string, value: unknown): boolean {
  if (field !== 'consumer_limits')
    return JSON.stringify(shown(field, value)) !== JSON.stringify(shown(field, undefined));
  const { inactive_threshold: limit } = (value ?? {}) as { inactive_threshold?: number };
  return limit !== undefined && limit > 0 && inMs(limit) < CONSUMER_IDLE_MS;
}

/** What is the operator's to choose, or has a judgement of its own. */
const NOT_COMPARED = [
  'name',
  'description',
  'metadata',
  'placement',
  'num_replicas',
  'sealed',
  'persist_mode',
  'first_seq',
];
const TIMES = ['max_age', 'duplicate_window', 'subject_delete_marker_ttl'];
const WITHOUT_LIMIT = ['max_msgs', 'max_bytes', 'max_msg_size', 'max_consumers', 'max_msgs_per_subject'];

/** Where a stream's configuration is other than Headway makes it, and Headway does not mind. */
export function ownChoices(config: StreamConfig): Difference[] {
  const spec = { name: config.name, replicas: config.num_replicas };
  const wanted = streamConfig(spec) as Record<string, unknown>;
  const have = config as unknown as Record<string, unknown>;
  const told = new Set(driftOf(config).map(({ field }) => field));
  return [...new Set([...Object.keys(wanted), ...Object.keys(have)])]
    .filter((field) => !NOT_COMPARED.includes(field) && !told.has(field))
    .map((field) => ({ field, is: shown(field, have[field]), shouldBe: shown(field, wanted[field]) }))
    .filter(({ is, shouldBe }) => JSON.stringify(is) !== JSON.stringify(shouldBe));
}

// What a server leaves out and what it spells out are the same thing.
function shown(field: string, value: unknown): unknown {
  if (WITHOUT_LIMIT.includes(field)) return typeof value === 'number' && value > 0 ? value : 'no limit';
  if (TIMES.includes(field))
    return typeof value === 'number' && value > 0 ? showDuration(inMs(value)) : 'no limit';
  if (value === undefined || value === null || value === '' || value === 'none') return false;
  if (Array.isArray(value) && value.length === 0) return false;
  if (typeof value === 'object' && Object.keys(value).length === 0) return false;
  return value;
}
