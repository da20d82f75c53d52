import { describe, expect, test } from 'vitest';
import { runChecks, worstOf } from '../../internal/doctor/checks.js';
import type { Facts } from '../../internal/doctor/facts.js';
import { FINDING_IDS, type FindingId } from '../../internal/doctor/findings.js';
import { requiredPermissions } from '../../internal/doctor/required-permissions.js';
import { serverTooOld } from '../../internal/doctor/server.js';
import { account, DISEASES, missing, onVersion, silent, skewed, withSkews } from './doctor-diseases.js';
import {
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

const DRIFTS = [
  'subjects',
  'retention',
  'discard',
  'allow_direct',
  'allow_rollup_hdrs',
  'allow_msg_ttl',
  'no_ack',
  'subject_transform',
  'mirror',
  'sources',
  'allow_msg_counter',
  'allow_msg_schedules',
  'subject_delete_marker_ttl',
  'consumer_limits',
];

/** Said of every system, or made elsewhere: see the tests below. */
const ALWAYS: readonly FindingId[] = ['sync-interval-unknown', 'server-too-old'];

const textOf = (facts: Facts, id: FindingId): string =>
  runChecks(facts)
    .findings.filter((finding) => finding.id === id)
    .map(({ what, why, remedy, details }) => [what, ...details, why, remedy].join('\n'))
    .join('\n');

describe('each disease is found, by its own name and nothing more', () => {
  test.each(DISEASES)('%s (%s)', (id, severity, facts, told) => {
    const { findings } = runChecks(facts);
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
    [true, 'allow_msg_counter', 'What it has of allow_msg_counter cannot be edited'],
    [true, 'allow_msg_schedules', 'What it has of allow_msg_schedules cannot be edited'],
    [{ dest: 'x.*' }, 'subject_transform', '`nats stream edit PROGRESS --no-transform`. What was stored'],
    [{ name: 'OTHER' }, 'mirror', '`nats stream edit PROGRESS --no-mirror`'],
    ['1m', 'subject_delete_marker_ttl', '`nats stream edit PROGRESS --subject-del-markers-ttl=0s`'],
    [[{ name: 'OTHER' }], 'sources', "| jq '.config | del(.sources)' > stream.json`, then `nats stream edit"],
    [{ inactive_threshold: 1e9 }, 'consumer_limits', '`nats stream edit PROGRESS --config stream.json`'],
  ])('drift, %j for %s: %s', (is, field, told) => {
    const facts = withStream({ drift: [{ field, is, shouldBe: 'as Headway makes it' }] });
    expect(textOf(facts, 'stream-drift')).toContain(told);
  });

  test('each says what it takes from events or clients', () => {
    for (const field of DRIFTS) {
      const facts = withStream({ drift: [{ field, is: true, shouldBe: false }] });
      expect(textOf(facts, 'stream-drift')).toMatch(
        new RegExp(`^${field} is true; Headway makes it false: \\S`, 'm'),
      );
    }
  });

  test('a mirror cannot be edited on a nats-server before 2.12', () => {
    const facts = withStream(
      { drift: [{ field: 'mirror', is: { name: 'OTHER' }, shouldBe: false }] },
      { server: { ...healthy.server, version: '2.11.9' } },
    );
    expect(textOf(facts, 'stream-drift')).toContain('What it has of mirror cannot be edited');
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
    expect(runChecks(facts).findings.map(({ id }) => id)).toEqual(['stream-missing', 'account-near-limit']);
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
      {
        ...healthy,
        consumers: known([edge(), edge({ createdAt: NOW - 1_000, isPulled: false, delivered: [0, 0] })]),
      },
    ],
    ['an edge that catches up', { ...healthy, consumers: known([edge({ pending: [9_000, 4_000] })]) }],
    [
      'an edge that has much to do, and no pull that waits',
      { ...healthy, consumers: known([edge({ isPulled: false, pending: [900, 900] })]) },
    ],
    ['an edge that lost its consumer', { ...healthy, consumers: known([edge({ isRebuilt: true })]) }],
    [
      'an edge at the head, of a stream whose last messages were deleted',
      {
        ...healthy,
        consumers: known([edge({ delivered: [49_000, 49_000] })]),
        ends: { newestEvent: 49_000, last: 50_000 },
      },
    ],
    [
      'an edge of which it is not known where the stream ends',
      { ...healthy, consumers: known([edge({ delivered: [9, 9] })]), ends: null },
    ],
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
      const { findings, notChecked } = runChecks(facts);
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
    ['strays', ['subjects']],
    ['heartbeats', ['heartbeats']],
    ['publish', ['storage']],
    ['disk', ['disk']],
    ['clock', ['this-clock']],
  ])('%s', (fact, checks) => {
    const { notChecked } = runChecks({ ...healthy, [fact]: failed });
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
    expect(runChecks(facts).notChecked).toEqual([
      expect.objectContaining({ check: 'events', why: cutShort }),
      expect.objectContaining({ check: 'jobs', why: cutShort }),
    ]);
  });

  test('what NATS may or may not permit', () => {
    const needs = requiredPermissions('PROGRESS').map((need) => ({ need, result: 'unknown' as const }));
    const facts = {
      ...healthy,
      permissions: { user: null, account: null, meantFor: 'worker' as const, needs },
    };
    const { notChecked, fine } = runChecks(facts);
    expect(notChecked.map(({ check, why }) => [check, why])).toEqual([
      ['permissions', expect.stringMatching(/^publish progress\.\*, publish alive/)],
    ]);
    expect(fine.map(({ check }) => check)).not.toContain('permissions');
  });
});

test('the worst finding comes first, and is what counts', () => {
  const { findings } = runChecks({
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
  const [finding] = runChecks(facts).findings;
  expect(finding?.details).toHaveLength(20);
  expect(finding?.omitted).toBe(50);
});

test('of events that came late it is not said that they were stored when they say', () => {
  const said = (medians: number[]) =>
    runChecks(withSkews(medians)).fine.find(({ check }) => check === 'worker-clocks')?.note;
  expect(said([0, 10, -60_000])).toBe(
    'the events of 2 jobs were stored when they say; those of 1 job late, and are too few to tell of a clock',
  );
  expect(said([-60_000])).toBe('those of 1 job late, and are too few to tell of a clock');
  expect(said([0])).toBe('the events of 1 job were stored when they say');
});

describe('edges that wait for the stream to be put right', () => {
  const idle = edge({ isPulled: false, delivered: [9, 9], lastDeliveredAt: NOW - 90_000 });
  const drift = [{ field: 'allow_direct', is: false, shouldBe: true }];

  test('are told by the drift, and are no finding of their own', () => {
    const facts = withStream({ drift }, { consumers: known([idle]) });
    const { findings } = runChecks(facts);
    expect(findings.filter(({ severity }) => severity !== 'info').map(({ id }) => id)).toEqual([
      'stream-drift',
    ]);
    expect(findings.map(({ id }) => id)).not.toContain('no-edge');
    expect(textOf(facts, 'stream-drift')).toMatch(/^edge-a gets no events until it is put right/m);
  });

  test('are idle edges again when it is', () => {
    expect(textOf(withStream({}, { consumers: known([idle]) }), 'edge-consumer-idle')).toMatch(/^edge-a: /m);
  });
});

test('who had one role checked is not told to have one role checked', () => {
  const refused = (meantFor: 'edge' | null): Facts => ({
    ...healthy,
    permissions: {
      ...healthy.permissions,
      meantFor,
      needs: requiredPermissions('PROGRESS').map((need) => ({
        need,
        result: need.subject === '$JS.API.STREAM.CREATE.PROGRESS' ? 'refused' : 'permitted',
      })),
    },
  });
  expect(textOf(refused(null), 'credentials-limited')).toContain('headway doctor --for edge');
  expect(textOf(refused('edge'), 'credentials-limited')).toMatch(
    /all that it cannot do without is permitted/,
  );
  expect(textOf(refused('edge'), 'credentials-limited')).not.toContain('--for');
});
