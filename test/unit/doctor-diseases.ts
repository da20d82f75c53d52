/** Each disease as facts, with what must be said of it. */
import type { Facts } from '../../internal/doctor/facts.js';
import type { FindingId, Severity } from '../../internal/doctor/findings.js';
import { type Role, requiredPermissions } from '../../internal/doctor/required-permissions.js';
import {
  DAY,
  edge,
  HOUR,
  healthy,
  healthyEvents,
  healthyJobs,
  job,
  known,
  NOW,
  withCopies,
  withStream,
} from './doctor-fixture.js';

export const onVersion = (version: string): Facts => ({ ...healthy, server: { ...healthy.server, version } });
export const missing = (takenBy: string | null): Facts => ({
  ...healthy,
  stream: known({ kind: 'missing', takenBy }),
});
export const refused = (meantFor: Role | null, ...subjects: string[]): Facts => ({
  ...healthy,
  permissions: {
    ...healthy.permissions,
    meantFor,
    needs: requiredPermissions('PROGRESS').map((need) => ({
      need,
      result: subjects.includes(need.subject) ? 'refused' : 'permitted',
    })),
  },
});
export const silent = (...jobs: ReturnType<typeof job>[]): Facts => ({
  ...healthy,
  jobs: known({ ...healthyJobs, silent: jobs, silentInAll: jobs.length }),
});
export const skewed = (medianMs: number, samples = 5): Facts => ({
  ...healthy,
  events: known({ ...healthyEvents, skews: [{ id: 'job-9', jobType: 'pdf.ocr', samples, medianMs }] }),
});
/** One event of each job. */
export const withSkews = (medians: readonly number[]): Facts => {
  const skews = medians.map((medianMs, at) => ({
    id: `job-${at}`,
    jobType: 'pdf.ocr',
    samples: 1,
    medianMs,
  }));
  return { ...healthy, events: known({ ...healthyEvents, skews }) };
};
export const fullJob = (reachMs: number | null): Facts => ({
  ...healthy,
  fullJobs: known([{ id: 'job-9', events: 1_000, reachMs }]),
});
export const account = (
  changes: Partial<Record<'storage' | 'memory' | 'streams' | 'consumers', [number, number]>>,
) => {
  const usage = ([used, limit]: [number, number]) => ({ used, limit });
  const none = { used: 1, limit: null };
  return known({
    storage: changes.storage ? usage(changes.storage) : none,
    memory: changes.memory ? usage(changes.memory) : none,
    streams: changes.streams ? usage(changes.streams) : none,
    consumers: changes.consumers ? usage(changes.consumers) : none,
  });
};

const refusal = (code: number, reason: string): Facts['publish'] => known({ kind: 'refuses', code, reason });

/** Each disease, and what must be said of it. */
export const DISEASES: [id: FindingId, severity: Severity, facts: Facts, told: RegExp][] = [
  ['server-data-loss-bug', 'error', onVersion('2.10.22'), /2\.10\.22 can lose a whole stream/],
  ['server-incomplete-snapshot', 'info', onVersion('2.10.27'), /2\.10\.27 can leave jobs out/],
  ['server-incomplete-snapshot', 'info', onVersion('2.11.4'), /2\.11\.4/],
  ['server-replica-write-bug', 'warning', withCopies({}, {}, '2.15.1'), /Nats-Expected-Last-Msg-Id/],
  [
    'jetstream-disabled',
    'error',
    { ...healthy, account: known(null), stream: { kind: 'failed', reason: 'x' } },
    /not enabled for this account/,
  ],
  ['stream-missing', 'error', missing(null), /no stream PROGRESS/],
  ['stream-subjects-taken', 'error', missing('OLD'), /go into the stream OLD/],
  [
    'stream-not-visible',
    'warning',
    { ...healthy, stream: { kind: 'not_permitted', subject: 'publish $JS.API.STREAM.INFO.PROGRESS' } },
    /does not permit these credentials publish \$JS\.API\.STREAM\.INFO\.PROGRESS/,
  ],
  [
    'stream-drift',
    'error',
    withStream({ drift: [{ field: 'discard', is: 'new', shouldBe: 'old' }] }),
    /discard is "new"; Headway makes it "old"/,
  ],
  [
    'stream-settings-differ',
    'info',
    withStream({ choices: [{ field: 'max_age', is: '1d0h', shouldBe: '7d0h' }] }),
    /max_age is "1d0h"/,
  ],
  [
    'stream-sealed',
    'error',
    // Sealing makes it discard new events; nobody can edit that, and room is of no use to it.
    withStream({
      sealed: true,
      discard: 'new',
      drift: [{ field: 'discard', is: 'new', shouldBe: 'old' }],
      messages: { used: 100, limit: 100 },
    }),
    /sealed/,
  ],
  ['stream-in-memory', 'error', withStream({ storage: 'memory' }), /kept in memory/],
  [
    'stream-refuses-large-events',
    'warning',
    withStream({ maxMessageBytes: 8_192 }),
    /more than 8 KiB are refused by the stream/,
  ],
  [
    'stream-refuses-large-events',
    'warning',
    { ...healthy, server: { ...healthy.server, maxPayload: 16_384 } },
    /more than 16 KiB are refused by the server/,
  ],
  [
    'stream-duplicate-window-short',
    'warning',
    withStream({ duplicateWindowMs: 10_000 }),
    /window of the stream is 10 s/,
  ],
  [
    'stream-nearly-full',
    'warning',
    withStream({ bytes: { used: 80, limit: 100 } }),
    /max_bytes: 80 bytes of 100 bytes \(80 %\)/,
  ],
  [
    'stream-nearly-full',
    'warning',
    withStream({ messages: { used: 99, limit: 100 } }),
    /max_msgs: 99 of 100 \(99 %\)\nAt the limit the oldest events leave.*`nats stream edit PROGRESS --max-msgs NUMBER`/s,
  ],
  [
    'stream-nearly-full',
    'warning',
    withStream({ discard: 'new', messages: { used: 94, limit: 100 } }),
    /refuses new events there/,
  ],
  [
    'stream-nearly-full',
    'error',
    withStream({ discard: 'new', bytes: { used: 95_000, limit: 100_000 } }),
    /no event is stored, of no job.*`nats stream edit PROGRESS --max-bytes SIZE`/s,
  ],
  [
    'storage-full',
    'error',
    withStream({ discard: 'new', messages: { used: 100, limit: 100 } }),
    /max_msgs of the stream: 100 of 100.*`nats stream edit PROGRESS --max-msgs NUMBER`/s,
  ],
  [
    'storage-full',
    'error',
    // Not even a small event fits.
    withStream({ discard: 'new', bytes: { used: 9_700, limit: 10_000 } }),
    /max_bytes of the stream: 9\.5 KiB of 9\.8 KiB.*`nats stream edit PROGRESS --max-bytes SIZE`/s,
  ],
  [
    'storage-full',
    'error',
    { ...healthy, account: account({ storage: [9_700, 10_000] }) },
    /storage of the account: 9\.5 KiB of 9\.8 KiB.*Raise the account's limit/s,
  ],
  [
    'storage-full',
    'error',
    { ...healthy, publish: refusal(10023, 'insufficient resources') },
    /storage of the server \(max_file_store\): it answers "insufficient resources" \(10023\).*headway purge --before 3d/s,
  ],
  [
    'storage-full',
    'error',
    { ...healthy, publish: refusal(10002, 'resource limits exceeded for account') },
    /storage of the account: it answers "resource limits exceeded for account" \(10002\)/,
  ],
  [
    'storage-not-writable',
    'error',
    { ...healthy, disk: known({ kind: 'fails', reason: 'error creating store for consumer' }) },
    /cannot write files \(it answers "error creating store for consumer"\): its disk is full/,
  ],
  [
    'events-refused',
    'error',
    { ...healthy, publish: refusal(10169, 'message counter increment is missing') },
    /it answers "message counter increment is missing" \(10169\)/,
  ],
  [
    'stream-consumers-near-limit',
    'warning',
    withStream({ consumers: { used: 800, limit: 1_000 } }),
    /800 of at most 1,000/,
  ],
  ['stream-consumers-near-limit', 'error', withStream({ consumers: { used: 950, limit: 1_000 } }), /950/],
  [
    'account-near-limit',
    'warning',
    { ...healthy, account: account({ storage: [85_000, 100_000] }) },
    /storage: 83 KiB of 97\.7 KiB \(85 %\)/,
  ],
  ['account-near-limit', 'error', { ...healthy, account: account({ memory: [96, 100] }) }, /memory/],
  [
    'jobs-near-max-age',
    'warning',
    { ...healthy, jobs: known({ ...healthyJobs, leaving: [job('job-9', 6 * DAY)], leavingInAll: 1 }) },
    /1 unfinished job will leave.*job-9: leaves in 1 d/s,
  ],
  [
    'jobs-at-event-limit',
    'info',
    fullJob(2 * HOUR),
    /1 job has reached 1,000 events.*the oldest from 2 h ago/s,
  ],
  ['jobs-at-event-limit', 'info', fullJob(null), /job-9: 1,000 events$/m],
  ['jobs-at-event-limit', 'warning', fullJob(90_000), /the oldest from 1 min 30 s ago/],
  [
    'jobs-at-event-limit',
    'error',
    {
      ...withStream({
        discard: 'new',
        choices: [{ field: 'discard_new_per_subject', is: true, shouldBe: false }],
      }),
      fullJobs: fullJob(90_000).fullJobs,
    },
    /no event of theirs is stored any more.*`nats stream edit PROGRESS --discard old --no-discard-per-subject`/s,
  ],
  [
    'stream-without-leader',
    'error',
    withCopies({ leader: null }),
    /No server leads.*storage may be full \(max_file_store\)/s,
  ],
  [
    'replica-offline',
    'warning',
    withCopies({}, { offline: true, current: false, silentMs: 65_000 }),
    /n2: silent for 1 min 5 s/,
  ],
  ['replica-offline', 'warning', withCopies({}, { silentMs: 6_500 }), /n2: silent for 6 s/],
  [
    'replica-lagging',
    'warning',
    withCopies({}, { current: false, lag: 12 }),
    /n2: 12 operations behind, not current/,
  ],
  ['replica-lagging', 'warning', withCopies({}, { lag: 1_000 }), /n2: 1,000 operations behind/],
  [
    'replica-count-even',
    'warning',
    withCopies({ wanted: 2 }),
    /even number of copies, 2.*PROGRESS --replicas 3`/s,
  ],
  [
    'replica-count-even',
    'warning',
    withCopies({ wanted: 4 }),
    /even number of copies, 4.*PROGRESS --replicas 3`/s,
  ],
  [
    'single-replica-in-cluster',
    'info',
    withCopies({ wanted: 1, followers: [] }),
    /belongs to the cluster test/,
  ],
  [
    'edge-consumer-idle',
    'warning',
    {
      ...healthy,
      consumers: known([
        edge(),
        edge({ name: 'edge-dead', isPulled: false, delivered: [9, 9], lastDeliveredAt: NOW - 90_000 }),
      ]),
    },
    /edge-dead: last delivered 1 min 30 s ago/,
  ],
  [
    'edge-behind',
    'warning',
    { ...healthy, consumers: known([edge({ pending: [5_000, 6_000] })]) },
    /edge-a: 6,000 events behind/,
  ],
  [
    'edge-consumer-paused',
    'error',
    {
      ...healthy,
      consumers: known([edge(), edge({ name: 'edge-b', pausedForMs: 90_000, pending: [3, 3] })]),
    },
    /edge-b: paused for 1 min 30 s more, 3 events behind.*`nats consumer resume PROGRESS edge-b`/s,
  ],
  [
    'edge-consumer-edited',
    'error',
    {
      ...healthy,
      consumers: known([
        edge({
          changes: [
            { field: 'filter_subject', is: 'progress.a', shouldBe: 'progress.*' },
            { field: 'headers_only', is: true, shouldBe: false },
          ],
        }),
      ]),
    },
    /edge-a: filter_subject is "progress\.a"; an edge makes it "progress\.\*"\nedge-a: headers_only is true.*`nats consumer rm PROGRESS edge-a`/s,
  ],
  [
    'edge-stalled',
    'error',
    { ...healthy, consumers: known([edge({ delivered: [10, 10], pending: [5, 6] })]) },
    /An edge asks for events and gets none.*edge-a: stands at seq 10, 6 events behind/s,
  ],
  [
    'edge-stalled',
    'error',
    // The server counts nothing that is left, and an event is stored behind what was delivered.
    { ...healthy, consumers: known([edge({ delivered: [10, 10] }), edge({ delivered: [11, 11] })]) },
    /2 edges ask for events and get none.*stands at seq 10, 0 events behind/s,
  ],
  [
    'edge-stalled',
    'error',
    { ...healthy, consumers: known([edge({ delivered: [60_000, 60_000] })]) },
    /edge-a: stands at seq 60000, and the stream ends at 50000/,
  ],
  [
    'edge-pulls-refused',
    'error',
    {
      ...healthy,
      consumers: known([
        edge(),
        edge({
          name: 'edge-b',
          isPulled: false,
          isRebuilt: true,
          createdAt: NOW,
          pending: [7, 7],
          delivered: [0, 0],
        }),
      ]),
    },
    /makes its consumer anew again and again.*edge-b: 7 events behind.*headway doctor --for edge/s,
  ],
  ['no-edge', 'info', { ...healthy, consumers: known([]) }, /No edge follows/],
  [
    'replay-consumer-stale',
    'info',
    {
      ...healthy,
      consumers: known([
        edge(),
        edge({ name: 'replay-night', isPulled: false, lastDeliveredAt: NOW - 2 * DAY }),
      ]),
    },
    /replay-night: unused for 2 d/,
  ],
  [
    'invalid-events',
    'warning',
    {
      ...healthy,
      events: known({
        ...healthyEvents,
        invalid: 1,
        invalidByReason: new Map([['not_json', 1]]),
        newestInvalid: [
          { seq: 17, subject: 'progress.job-9', id: 'job-9', reason: 'not_json', detail: 'Unexpected end' },
        ],
      }),
    },
    /1 of the 10,000 messages.*\(not_json 1\).*seq 17, job-9: not_json: Unexpected end/s,
  ],
  [
    'invalid-events',
    'warning',
    {
      ...healthy,
      jobs: known({
        ...healthyJobs,
        unreadable: [40_000, 40_002].map((seq) => ({
          seq,
          subject: 'progress.job-9',
          id: 'job-9',
          reason: 'schema' as const,
          detail: '/status is wrong',
        })),
      }),
    },
    // The second one is among those that were read: it is told there.
    /^The last message of 1 older job is not an event\.\nseq 40000, job-9: schema: \/status is wrong$/m,
  ],
  [
    'subjects-without-job',
    'warning',
    {
      ...healthy,
      strays: known([
        { subject: 'progress.ä', messages: 3 },
        { subject: 'progress.>', messages: 1 },
      ]),
    },
    /^4 messages are stored on 2 subjects that name no job\.\nprogress\.>: 1 message\nprogress\.ä: 3 messages\n.*looks like a wildcard is worse/s,
  ],
  [
    'subjects-without-job',
    'warning',
    { ...healthy, strays: known([{ subject: 'progress.ä', messages: 1 }]) },
    /^1 message is stored on 1 subject that names no job\.\n.*\nThey are no events, and nobody is ever shown them\.$/m,
  ],
  [
    'jobs-stalled',
    'warning',
    silent(job('job-9', HOUR, { jobType: 'pdf.ocr' })),
    /no heartbeat in 6 s.*job-9 \(pdf\.ocr\): silent for 1 h/s,
  ],
  [
    'jobs-stalled',
    'warning',
    silent(job('job-9', HOUR, { timeoutMs: 60_000 })),
    /past its timeout_seconds \(1 min\)/,
  ],
  [
    'jobs-stalled',
    'warning',
    silent(job('job-9', HOUR, { stallAfterMs: 90_000 })),
    /its stall_after_seconds is 1 min 30 s/,
  ],
  ['worker-clock-skew', 'warning', skewed(61_000, 1), /pdf\.ocr, ahead by 1 min 1 s: 1 job \(job-9\)/],
  [
    'worker-clock-skew',
    'warning',
    withSkews([-61_000, -62_000, -60_000]),
    /3 jobs \(of 3 jobs.*pdf\.ocr, behind by 1 min 1 s: 3 jobs \(job-0, job-1, job-2\)/s,
  ],
  ['worker-clock-skew', 'warning', skewed(-61_000, 3), /pdf\.ocr, behind by 1 min 1 s/],
  [
    'local-clock-skew',
    'warning',
    { ...healthy, clock: known({ offsetMs: -30_000, uncertaintyMs: 5 }) },
    /29 s behind the server's/,
  ],
  ['writes-not-synced', 'warning', withStream({ persistMode: 'async' }), /persist_mode: async/],
  [
    'permission-missing',
    'error',
    refused('edge', '$JS.API.CONSUMER.INFO.PROGRESS.*'),
    /an edge needs.*publish \$JS\.API\.CONSUMER\.INFO\.PROGRESS\.\*: check what was delivered/s,
  ],
  [
    'credentials-limited',
    'info',
    refused(null, '$JS.API.STREAM.PURGE.PROGRESS'),
    /as an operator: lacks publish \$JS\.API\.STREAM\.PURGE/,
  ],
  [
    'credentials-limited',
    'info',
    refused('edge', '$JS.API.STREAM.CREATE.PROGRESS'),
    /as an edge: lacks publish \$JS\.API\.STREAM\.CREATE/,
  ],
];
