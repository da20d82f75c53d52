/** Facts of a system in which everything is as it should be, and a way to break single ones. */
import type {
  ConsumerFacts,
  EventFacts,
  Facts,
  FollowerFacts,
  JobsFacts,
  Observed,
  ReplicaFacts,
  StreamFacts,
  UnfinishedJob,
} from '../../internal/doctor/facts.js';
import { requiredPermissions } from '../../internal/doctor/required-permissions.js';

export const NOW = Date.parse('2026-03-01T03:00:00Z');
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const known = <T>(value: T): Observed<T> => ({ kind: 'known', value });

export const healthyStream: StreamFacts = {
  drift: [],
  choices: [],
  storage: 'file',
  discard: 'old',
  sealed: false,
  persistMode: null,
  maxMessageBytes: null,
  duplicateWindowMs: 120_000,
  maxAgeMs: 7 * DAY,
  maxEventsPerJob: 1_000,
  bytes: { used: 10_000_000, limit: null },
  messages: { used: 50_000, limit: null },
  consumers: { used: 2, limit: 1_000 },
  firstSeq: 1,
  lastSeq: 50_000,
  oldestAt: NOW - 3 * DAY,
  copies: { wanted: 1, leader: 'n1', followers: [] },
};

export const edge = (changes: Partial<ConsumerFacts> = {}): ConsumerFacts => ({
  name: 'edge-a',
  createdAt: NOW - DAY,
  lastDeliveredAt: NOW - 1_000,
  isPulled: true,
  isRebuilt: false,
  pausedForMs: null,
  changes: [],
  pending: [0, 0],
  delivered: [49_990, 50_000],
  removedAfterMs: 300_000,
  isDurable: true,
  ...changes,
});

export const healthyEvents: EventFacts = {
  scanned: 10_000,
  fromSeq: 40_001,
  toSeq: 50_000,
  cutShort: null,
  invalid: 0,
  invalidByReason: new Map(),
  newestInvalid: [],
  skews: [{ id: 'job-1', jobType: 'pdf.ocr', samples: 10, medianMs: -20 }],
};

export const healthyJobs: JobsFacts = {
  jobs: 500,
  unfinished: 20,
  unreadable: [],
  cutShort: null,
  silent: [],
  silentInAll: 0,
  leaving: [],
  leavingInAll: 0,
};

export const job = (id: string, silentMs: number, more: Partial<UnfinishedJob> = {}): UnfinishedJob => ({
  id,
  jobType: undefined,
  seq: 7,
  storedAt: NOW - silentMs,
  stallAfterMs: null,
  timeoutMs: null,
  ...more,
});

const usage = { used: 1, limit: null };

export const healthy: Facts = {
  now: NOW,
  streamName: 'PROGRESS',
  server: { version: '2.15.1', cluster: null, maxPayload: 1_048_576 },
  account: known({ storage: usage, memory: usage, streams: usage, consumers: usage }),
  stream: known({ kind: 'there', stream: healthyStream }),
  consumers: known([edge(), edge({ name: 'edge-b' })]),
  ends: { newestEvent: 50_000, last: 50_000 },
  events: known(healthyEvents),
  jobs: known(healthyJobs),
  fullJobs: known([]),
  strays: known([]),
  heartbeats: known({ listenedMs: 6_000, heard: new Set<string>() }),
  publish: known({ kind: 'takes' }),
  disk: known({ kind: 'writes' }),
  clock: known({ offsetMs: 3, uncertaintyMs: 2 }),
  permissions: {
    user: 'admin',
    account: 'PROGRESS',
    meantFor: null,
    needs: requiredPermissions('PROGRESS').map((need) => ({ need, result: 'permitted' })),
  },
};

/** The healthy system with another stream. */
export const withStream = (changes: Partial<StreamFacts>, more: Partial<Facts> = {}): Facts => ({
  ...healthy,
  stream: known({ kind: 'there', stream: { ...healthyStream, ...changes } }),
  ...more,
});

const follower = (server: string, changes: Partial<FollowerFacts> = {}): FollowerFacts => ({
  server,
  current: true,
  offline: false,
  lag: 0,
  silentMs: 300,
  ...changes,
});

/** The healthy system with three copies, on a server that has no trouble with them. */
export const withCopies = (
  changes: Partial<ReplicaFacts> = {},
  second: Partial<FollowerFacts> = {},
  version = '2.14.0',
): Facts =>
  withStream(
    {
      copies: {
        wanted: 3,
        leader: 'n1',
        followers: [follower('n2', second), follower('n3')],
        ...changes,
      },
    },
    { server: { version, cluster: 'test', maxPayload: 1_048_576 } },
  );
