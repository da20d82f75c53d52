import { describe, expect, test } from 'vitest';
import type { Facts } from '../../internal/doctor/facts.js';
import { FINDING_IDS, type FindingId, type Severity } from '../../internal/doctor/findings.js';
import { judge, worstOf } from '../../internal/doctor/judge.js';
import { needsOf, type Role } from '../../internal/doctor/needs.js';
import { serverTooOld } from '../../internal/doctor/server.js';
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

const onVersion = (version: string): Facts => ({ ...healthy, server: { ...healthy.server, version } });
const missing = (takenBy: string | null): Facts => ({
  ...healthy,
  stream: known({ kind: 'missing', takenBy }),
});
const refused = (meantFor: Role | null, ...subjects: string[]): Facts => ({
  ...healthy,
  permissions: {
    ...healthy.permissions,
    meantFor,
    needs: needsOf('PROGRESS').map((need) => ({
      need,
      result: subjects.includes(need.subject) ? 'refused' : 'permitted',
    })),
  },
});
const silent = (...jobs: ReturnType<typeof job>[]): Facts => ({
  ...healthy,
  jobs: known({ ...healthyJobs, silent: jobs, silentInAll: jobs.length }),
});
const skewed = (medianMs: number, samples = 5): Facts => ({
  ...healthy,
  events: known({ ...healthyEvents, skews: [{ id: 'job-9', jobType: 'pdf.ocr', samples, medianMs }] }),
});
/** One event of each job. */
const withSkews = (medians: readonly number[]): Facts => {
  const skews = medians.map((medianMs, at) => ({
    id: `job-${at}`,
    jobType: 'pdf.ocr',
    samples: 1,
    medianMs,
  }));
  return { ...healthy, events: known({ ...healthyEvents, skews }) };
};
const fullJob = (reachMs: number | null): Facts => ({
  ...healthy,
  fullJobs: known([{ id: 'job-9', events: 1_000, reachMs }]),
});
const account = (
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

/** Each disease, and what must be said of it. */
const DISEASES: [id: FindingId, severity: Severity, facts: Facts, told: RegExp][] = [
  ['server-loses-streams', 'error', onVersion('2.10.22'), /2\.10\.22 can lose a whole stream/],
  ['server-leaves-out-jobs', 'info', onVersion('2.10.27'), /2\.10\.27 can leave jobs out/],
  ['server-leaves-out-jobs', 'info', onVersion('2.11.4'), /2\.11\.4/],
  ['server-wedges-copies', 'warning', withCopies({}, {}, '2.15.1'), /Nats-Expected-Last-Msg-Id/],
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
    withStream({ discard: 'new', bytes: { used: 95, limit: 100 } }),
    /no event is stored, of no job.*`nats stream edit PROGRESS --max-bytes SIZE`/s,
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
    { ...healthy, account: account({ storage: [85, 100] }) },
    /storage: 85 bytes of 100 bytes/,
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
  ['stream-without-leader', 'error', withCopies({ leader: null }), /No server leads/],
  [
    'copy-offline',
    'warning',
    withCopies({}, { offline: true, current: false, silentMs: 65_000 }),
    /n2: silent for 1 min 5 s/,
  ],
  ['copy-offline', 'warning', withCopies({}, { silentMs: 6_500 }), /n2: silent for 6 s/],
  [
    'copy-behind',
    'warning',
    withCopies({}, { current: false, lag: 12 }),
    /n2: 12 operations behind, not current/,
  ],
  ['copy-behind', 'warning', withCopies({}, { lag: 1_000 }), /n2: 1,000 operations behind/],
  ['copies-even', 'warning', withCopies({ wanted: 2 }), /even number of copies, 2.*PROGRESS --replicas 3`/s],
  ['copies-even', 'warning', withCopies({ wanted: 4 }), /even number of copies, 4.*PROGRESS --replicas 3`/s],
  ['single-copy-in-cluster', 'info', withCopies({ wanted: 1, followers: [] }), /belongs to the cluster test/],
  [
    'edge-consumer-idle',
    'warning',
    {
      ...healthy,
      consumers: known([edge(), edge({ name: 'edge-dead', isPulled: false, lastDeliveredAt: NOW - 90_000 })]),
    },
    /edge-dead: last delivered 1 min 30 s ago/,
  ],
  [
    'edge-behind',
    'warning',
    { ...healthy, consumers: known([edge({ pending: [5_000, 6_000] })]) },
    /edge-a: 6,000 events behind/,
  ],
  ['no-edge', 'info', { ...healthy, consumers: known([]) }, /No edge follows/],
  [
    'replay-consumer-forgotten',
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
    /1 message of the 10,000 messages.*\(not_json 1\).*seq 17, job-9: not_json: Unexpected end/s,
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
    'jobs-silent',
    'warning',
    silent(job('job-9', HOUR, { jobType: 'pdf.ocr' })),
    /no heartbeat in 6 s.*job-9 \(pdf\.ocr\): silent for 1 h/s,
  ],
  [
    'jobs-silent',
    'warning',
    silent(job('job-9', HOUR, { timeoutMs: 60_000 })),
    /past its timeout_seconds \(1 min\)/,
  ],
  [
    'jobs-silent',
    'warning',
    silent(job('job-9', HOUR, { stallAfterMs: 90_000 })),
    /its stall_after_seconds is 1 min 30 s/,
  ],
  ['worker-clock-off', 'warning', skewed(61_000, 1), /pdf\.ocr, ahead by 1 min 1 s: 1 job \(job-9\)/],
  [
    'worker-clock-off',
    'warning',
    withSkews([-61_000, -62_000, -60_000]),
    /3 jobs \(of 3 jobs.*pdf\.ocr, behind by 1 min 1 s: 3 jobs \(job-0, job-1, job-2\)/s,
  ],
  ['worker-clock-off', 'warning', skewed(-61_000, 3), /pdf\.ocr, behind by 1 min 1 s/],
  [
    'this-clock-off',
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

/** Said of every system, or made elsewhere: see the tests below. */
const ALWAYS: readonly FindingId[] = ['sync-interval-unknown', 'server-too-old'];

const textOf = (facts: Facts, id: FindingId): string =>
  judge(facts)
    .findings.filter((finding) => finding.id === id)
    .map(({ what, why, whatToDo, details }) => [what, ...details, why, whatToDo].join('\n'))
    .join('\n');

describe('each disease is found, by its own name and nothing more', () => {
  test.each(DISEASES)('%s (%s)', (id, severity, facts, told) => {
    const { findings } = judge(facts);
    const above = findings.filter((one) => one.severity !== 'info' || one.id === id);
    expect(above.map((one) => [one.id, one.severity])).toEqual([[id, severity]]);
    expect(textOf(facts, id)).toMatch(told);
  });

  test.each<[unknown, string, string]>([
    [['jobs.*'], 'subjects', "`nats stream edit PROGRESS --subjects 'progress.*'`"],
    ['new', 'discard', '`nats stream edit PROGRESS --discard old`'],
    [false, 'allow_direct', '`nats stream edit PROGRESS --allow-direct`'],
    [true, 'allow_rollup_hdrs', '`nats stream edit PROGRESS --no-allow-rollup`'],
    [true, 'no_ack', '`nats stream edit PROGRESS --ack`'],
    ['interest', 'retention', '`nats stream edit PROGRESS --retention limits`'],
    ['workqueue', 'retention', 'What it has of retention cannot be edited'],
    [true, 'allow_msg_ttl', 'What it has of allow_msg_ttl cannot be edited'],
  ])('drift, %j for %s: %s', (is, field, told) => {
    const facts = withStream({ drift: [{ field, is, shouldBe: 'as Headway makes it' }] });
    expect(textOf(facts, 'stream-drift')).toContain(told);
  });

  test('nats-server refuses one discard setting without the other', () => {
    const facts = withStream({
      drift: [{ field: 'discard', is: 'new', shouldBe: 'old' }],
      choices: [{ field: 'discard_new_per_subject', is: true, shouldBe: false }],
    });
    expect(textOf(facts, 'stream-drift')).toContain(
      '`nats stream edit PROGRESS --discard old --no-discard-per-subject`',
    );
  });

  test('a window can only be as long as events are kept', () => {
    const facts = withStream({ duplicateWindowMs: 10_000, maxAgeMs: 60_000 });
    expect(textOf(facts, 'stream-duplicate-window-short')).toContain(
      '`nats stream edit PROGRESS --max-age 2m --dupe-window 2m`',
    );
  });

  test('each command to edit a stream says which one, and by which flags', () => {
    const advice = DISEASES.flatMap(([id, , facts]) => [...textOf(facts, id).matchAll(/`(nats [^`]+)`/g)]);
    const edits = advice.map(([, command]) => command).filter((one) => one?.startsWith('nats stream edit'));
    expect(edits.length).toBeGreaterThan(10);
    for (const command of edits) expect(command).toMatch(/^nats stream edit (PROGRESS|OLD) --[a-z]/);
  });

  test('an account that has no room for the stream is told beside that it is missing', () => {
    const facts = { ...missing(null), account: account({ streams: [1, 1] }) };
    expect(judge(facts).findings.map(({ id }) => id)).toEqual(['stream-missing', 'account-near-limit']);
    expect(textOf(facts, 'account-near-limit')).toMatch(/streams: 1 of 1/);
  });

  test('there is a disease here for each finding', () => {
    const covered = new Set([...DISEASES.map(([id]) => id), ...ALWAYS]);
    expect(FINDING_IDS.filter((id) => !covered.has(id))).toEqual([]);
  });

  test('a server that is too old is told in the words of whoever connected', () => {
    expect(serverTooOld('It is 2.9.1.')).toMatchObject({
      id: 'server-too-old',
      severity: 'error',
      what: 'It is 2.9.1.',
    });
  });
});

describe('a healthy system', () => {
  test.each<[string, Facts]>([
    ['one server', healthy],
    ['the oldest line', onVersion('2.10.27')],
    ['a version that says nothing', onVersion('unknown')],
    ['three copies', withCopies()],
    ['skews that are ordinary', skewed(-4_000)],
    ['one event that was stored late', skewed(-60_000, 2)],
    ['some jobs of a type that were stored late', withSkews([-60_000, -60_000, -60_000, 0, 0, -1, 5])],
    [
      'an edge that starts',
      { ...healthy, consumers: known([edge(), edge({ createdAt: NOW - 1_000, isPulled: false })]) },
    ],
    ['an edge that catches up', { ...healthy, consumers: known([edge({ pending: [9_000, 4_000] })]) }],
    [
      'a replay that was used today',
      {
        ...healthy,
        consumers: known([edge(), edge({ name: 'replay-x', isPulled: false, lastDeliveredAt: NOW - HOUR })]),
      },
    ],
    [
      'a history read',
      { ...healthy, consumers: known([edge(), edge({ name: 'Xyz', isDurable: false, isPulled: false })]) },
    ],
    [
      'a clock that cannot be told apart',
      { ...healthy, clock: known({ offsetMs: 6_000, uncertaintyMs: 5_000 }) },
    ],
    [
      'all streams of the account in use, and ours is there',
      { ...healthy, account: account({ streams: [1, 1] }) },
    ],
    [
      'silent jobs that send heartbeats',
      { ...silent(job('job-9', HOUR)), heartbeats: known({ listenedMs: 1, heard: new Set(['job-9']) }) },
    ],
  ])(
    '(%s) has no findings above a note, and nothing that was not checked but other servers',
    (_name, facts) => {
      const { findings, notChecked } = judge(facts);
      expect(findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
      expect(notChecked.filter(({ check }) => check !== 'other-servers')).toEqual([]);
    },
  );

  test('is told where its durability ends', () => {
    expect(textOf(healthy, 'sync-interval-unknown')).toMatch(/machine loses power/);
    expect(textOf(withCopies(), 'sync-interval-unknown')).toMatch(/all machines lose power/);
  });
});

describe('what could not be looked at is said, with the reason', () => {
  const failed = { kind: 'failed', reason: 'the server did not answer' } as const;
  test.each<[keyof Facts, string[]]>([
    ['account', ['account']],
    ['consumers', ['consumers']],
    ['events', ['events', 'worker-clocks']],
    ['jobs', ['jobs']],
    ['fullJobs', ['event-limit']],
    ['heartbeats', ['heartbeats']],
    ['clock', ['this-clock']],
  ])('%s', (fact, checks) => {
    const { notChecked } = judge({ ...healthy, [fact]: failed });
    expect(notChecked.map(({ check }) => check)).toEqual(checks);
    for (const { why } of notChecked) expect(why).toContain('the server did not answer');
  });

  test('a read that was cut short is not taken for a whole one', () => {
    const cutShort = 'after 30 s only 5 messages had been read';
    const facts = {
      ...healthy,
      events: known({ ...healthyEvents, cutShort }),
      jobs: known({ ...healthyJobs, cutShort }),
    };
    expect(judge(facts).notChecked).toEqual([
      expect.objectContaining({ check: 'events', why: cutShort }),
      expect.objectContaining({ check: 'jobs', why: cutShort }),
    ]);
  });

  test('what NATS may or may not permit', () => {
    const needs = needsOf('PROGRESS').map((need) => ({ need, result: 'unknown' as const }));
    const facts = {
      ...healthy,
      permissions: { user: null, account: null, meantFor: 'worker' as const, needs },
    };
    const { notChecked, fine } = judge(facts);
    expect(notChecked.map(({ check, why }) => [check, why])).toEqual([
      ['permissions', expect.stringMatching(/^publish progress\.\*, publish alive/)],
    ]);
    expect(fine.map(({ check }) => check)).not.toContain('permissions');
  });
});

test('the worst finding comes first, and is what counts', () => {
  const { findings } = judge({
    ...withStream({ storage: 'memory', bytes: { used: 99, limit: 100 } }),
    consumers: known([]),
  });
  expect(findings.map(({ severity }) => severity)).toEqual(['error', 'warning', 'info']);
  expect(worstOf(findings)).toBe('error');
  expect(worstOf([])).toBeNull();
});

test('a long list is cut, and how much is left out is said', () => {
  const jobs = Array.from({ length: 50 }, (_, at) => job(`job-${at}`, HOUR + at));
  const facts = { ...healthy, jobs: known({ ...healthyJobs, silent: jobs, silentInAll: 70 }) };
  const [finding] = judge(facts).findings;
  expect(finding?.details).toHaveLength(20);
  expect(finding?.omitted).toBe(50);
});

test('of events that came late it is not said that they were stored when they say', () => {
  const said = (medians: number[]) =>
    judge(withSkews(medians)).fine.find(({ check }) => check === 'worker-clocks')?.note;
  expect(said([0, 10, -60_000])).toBe(
    'the events of 2 jobs were stored when they say; those of 1 job late, and are too few to tell of a clock',
  );
  expect(said([-60_000])).toBe('those of 1 job late, and are too few to tell of a clock');
  expect(said([0])).toBe('the events of 1 job were stored when they say');
});
