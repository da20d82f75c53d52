import fc from 'fast-check';
import stringWidth from 'string-width';
import { describe, expect, test } from 'vitest';
import { changesOf } from '../../internal/cli/commands/doctor/consumer-facts.js';
import { hanging, textReport } from '../../internal/cli/commands/doctor/reports.js';
import { ownChoices } from '../../internal/cli/commands/doctor/stream-facts.js';
import { runChecks } from '../../internal/doctor/checks.js';
import { JobSkews } from '../../internal/doctor/clocks.js';
import { EventTally } from '../../internal/doctor/events.js';
import { time } from '../../internal/doctor/format.js';
import { JobTally } from '../../internal/doctor/jobs.js';
import { permits, requiredPermissions } from '../../internal/doctor/required-permissions.js';
import { bytes } from '../../internal/formatting.js';
import { streamConfig } from '../../internal/jetstream/stream.js';
import { isBefore } from '../../internal/server-version.js';
import { DAY, HOUR, healthy, healthyEvents, healthyJobs, job, known, NOW } from './doctor-fixture.js';

describe('which jobs are silent', () => {
  const tally = (kept?: number): JobTally =>
    new JobTally({ now: NOW, stallAfterMs: 15 * 60_000, maxAgeMs: 7 * DAY }, kept);

  test.each<[boolean, string, Parameters<typeof job>[1], Parameters<typeof job>[2]?]>([
    [false, 'says nothing, for 14 minutes', 14 * 60_000],
    [true, 'says nothing, for 15 minutes', 15 * 60_000],
    [false, 'may be silent for an hour', 59 * 60_000, { stallAfterMs: HOUR }],
    [true, 'may be silent for a minute', 60_000, { stallAfterMs: 60_000 }],
    [true, 'times out after a minute', 60_000, { stallAfterMs: HOUR, timeoutMs: 60_000 }],
    [false, 'times out after an hour', 20 * 60_000, { timeoutMs: HOUR }],
    [false, 'is ahead of the clock', -5_000],
  ])('%s: one that %s', (isSilent, _what, silentMs, more) => {
    const jobs = tally();
    jobs.unfinished(job('job-1', silentMs, more));
    expect(jobs.facts(null).silent.map(({ id }) => id)).toEqual(isSilent ? ['job-1'] : []);
  });

  test('a job that came a second time counts by what came last', () => {
    const jobs = tally();
    for (const id of ['a', 'b', 'c', 'd']) jobs.unfinished(job(id, HOUR));
    jobs.unfinished(job('a', 0));
    jobs.finished('b');
    jobs.finished('c');
    const { silent, silentInAll } = jobs.facts(null);
    expect([silent.map(({ id }) => id), silentInAll]).toEqual([['d'], 1]);
  });

  test('of very many the longest silent are kept, and all are counted', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: HOUR, max: 9 * HOUR }), { maxLength: 60 }), (silences) => {
        const jobs = tally(5);
        for (const [at, silentMs] of silences.entries()) jobs.unfinished(job(`job-${at}`, silentMs));
        const { silent, silentInAll } = jobs.facts(null);
        const longest = [...silences].sort((one, other) => other - one).slice(0, 5);
        expect(silent.map(({ storedAt }) => NOW - storedAt)).toEqual(longest);
        expect(silentInAll).toBe(silences.length);
      }),
    );
  });

  test('unfinished ones leave soon from 80 % of max_age on', () => {
    const jobs = tally();
    jobs.unfinished(job('soon', 0.8 * 7 * DAY));
    jobs.unfinished(job('later', 0.79 * 7 * DAY));
    jobs.finished('done');
    expect(jobs.facts(null).leaving.map(({ id }) => id)).toEqual(['soon']);
  });
});

describe('what is kept of a long scan', () => {
  test('of invalid events the newest 100, and the number of all', () => {
    const tally = new EventTally();
    for (let seq = 1; seq <= 1_000; seq++) {
      tally.invalid({
        seq,
        subject: 'progress.a',
        id: 'a',
        reason: seq % 2 ? 'schema' : 'not_json',
        detail: '',
      });
    }
    const { invalid, newestInvalid, invalidByReason, fromSeq, toSeq } = tally.facts(null);
    expect({ invalid, fromSeq, toSeq }).toEqual({ invalid: 1_000, fromSeq: 1, toSeq: 1_000 });
    expect(newestInvalid.map(({ seq }) => seq)).toEqual(Array.from({ length: 100 }, (_, at) => 1_000 - at));
    expect(Object.fromEntries(invalidByReason)).toEqual({ schema: 500, not_json: 500 });
  });

  test('of a job the median of its newest 15 skews', () => {
    const skews = new JobSkews();
    for (let at = 0; at < 100; at++) skews.add('a', 'pdf.ocr', at);
    skews.add('b', undefined, -7);
    expect(skews.list()).toEqual([
      { id: 'a', jobType: 'pdf.ocr', samples: 15, medianMs: 92 },
      { id: 'b', jobType: undefined, samples: 1, medianMs: -7 },
    ]);
  });
});

describe('permissions as the server tells them', () => {
  const may = (subject: string, rules: { allow?: string[]; deny?: string[] }): boolean =>
    permits({ publish: rules }, { operation: 'publish', subject });

  test.each<[boolean, string, { allow?: string[]; deny?: string[] }]>([
    [true, 'progress.*', {}],
    [true, 'progress.*', { allow: ['progress.*'] }],
    [true, 'progress.*', { allow: ['>'] }],
    [true, 'progress.*', { allow: ['progress.> workers'] }],
    [false, 'progress.*', { allow: ['progress.job-1'] }],
    [false, 'progress.*', { allow: ['progress'] }],
    [false, 'progress.*', { allow: ['other.*', 'progress.*.more'] }],
    [false, 'progress.*', { deny: ['progress.>'] }],
    [true, 'progress.*', { deny: ['progress.job-1'] }],
    [false, 'progress.*', { allow: ['>'], deny: ['progress.*'] }],
    [true, '$JS.API.CONSUMER.CREATE.PROGRESS.*.progress.*', { allow: ['$JS.API.>'] }],
    [false, '$JS.API.STREAM.INFO.PROGRESS', { allow: ['$JS.API.STREAM.INFO.OTHER'] }],
  ])('%s: %s by %j', (isPermitted, subject, rules) => {
    expect(may(subject, rules)).toBe(isPermitted);
  });

  test('without rules everything is permitted', () => {
    expect(requiredPermissions('PROGRESS').every((need) => permits({}, need))).toBe(true);
  });
});

test.each([
  [true, '2.9.25', '2.10.0'],
  [true, '2.10.22', '2.10.23'],
  [false, '2.10.23', '2.10.23'],
  [false, '2.10.100', '2.10.23'],
  [true, '2.11.0-RC.1', '2.11.5'],
  [false, '3.0', '2.11.5'],
  [false, 'dev', '2.11.5'],
])('%s: %s is before %s', (before, version, other) => {
  expect(isBefore(version, other)).toBe(before);
});

test('numbers are written for people', () => {
  expect([0, 300, 59_999, 3_600_000, 90_061_000, 6_000_000].map(time)).toEqual([
    '0.0 s',
    '0.3 s',
    '59 s',
    '1 h',
    '1 d 1 h',
    '1 h 40 min',
  ]);
  expect([0, 512, 1_536, 5 * 1024 ** 3].map(bytes)).toEqual(['0 bytes', '512 bytes', '1.5 KiB', '5 GiB']);
});

describe('what is an operator’s own choice', () => {
  const config = {
    ...streamConfig({ name: 'PROGRESS', replicas: 3 }),
    num_replicas: 3,
  } as never as Parameters<typeof ownChoices>[0];
  const spelledOut = {
    max_msgs: -1,
    max_bytes: -1,
    max_consumers: -1,
    compression: 'none',
    consumer_limits: {},
    sealed: false,
    metadata: { a: 'b' },
    subject_transform: null,
  };
  test('nothing, where a server only spells out what it leaves out elsewhere', () => {
    expect(ownChoices({ ...config, ...spelledOut } as never)).toEqual([]);
  });

  test('limits, times, and what Headway does not know', () => {
    const changes = { max_bytes: 1e9, max_age: 3_600e9, compression: 's2', fancy: true };
    expect(ownChoices({ ...config, ...changes } as never)).toEqual([
      { field: 'max_age', is: '1h00m', shouldBe: '7d0h' },
      { field: 'max_bytes', is: 1e9, shouldBe: 'no limit' },
      { field: 'compression', is: 's2', shouldBe: false },
      { field: 'fancy', is: true, shouldBe: false },
    ]);
  });

  test('not what Headway minds: that is drift', () => {
    expect(ownChoices({ ...config, discard: 'new' } as never)).toEqual([]);
  });
});

describe('what is edited at the consumer of an edge', () => {
  const made = {
    durable_name: 'edge-a',
    name: 'edge-a',
    deliver_policy: 'by_start_sequence',
    opt_start_seq: 7,
    ack_policy: 'none',
    max_deliver: -1,
    filter_subject: 'progress.*',
    replay_policy: 'instant',
    max_waiting: 512,
    inactive_threshold: 300e9,
    num_replicas: 1,
    mem_storage: true,
    metadata: { headway_instance: 'x' },
  };
  const changes = (edited: Record<string, unknown>): string[] =>
    changesOf({ ...made, ...edited } as never).map(({ field }) => field);

  test.each<[Record<string, unknown>]>([
    [{}],
    [{ deliver_policy: 'last_per_subject', opt_start_seq: undefined }],
    [{ filter_subject: undefined }],
    [{ filter_subject: '>' }],
    [{ filter_subject: undefined, filter_subjects: ['progress.a', 'progress.>'] }],
    [{ description: 'of the page', headers_only: false, max_batch: 0, priority_policy: 'none' }],
  ])('nothing: %j', (edited) => {
    expect(changes(edited)).toEqual([]);
  });

  test.each<[string, unknown]>([
    ['filter_subject', 'progress.a'],
    ['filter_subjects', ['progress.a', 'progress.b']],
    ['ack_policy', 'explicit'],
    ['replay_policy', 'original'],
    ['deliver_policy', 'new'],
    ['headers_only', true],
    ['deliver_subject', 'elsewhere'],
    ['rate_limit_bps', 1_000],
    ['max_batch', 1],
    ['max_bytes', 100],
    ['max_expires', 1e9],
    ['priority_policy', 'overflow'],
  ])('%s: %j', (field, is) => {
    expect(changes({ [field]: is })).toEqual([field]);
  });
});

describe('the printed report', () => {
  const evil = '\u001b[2J\u0007job\u202e\nsecond line';
  const report = runChecks({
    ...healthy,
    events: known({
      ...healthyEvents,
      invalid: 1,
      newestInvalid: [{ seq: 1, subject: 'progress.a', id: 'a', reason: 'not_json', detail: evil }],
    }),
    jobs: known({ ...healthyJobs, silent: [job('b', HOUR, { jobType: evil })], silentInAll: 1 }),
  });
  const options = { columns: 72, isColoured: false, isVerbose: true };

  test('G8 bad input: what a worker wrote cannot reach the terminal as anything but text', () => {
    for (const isColoured of [false, true]) {
      const text = textReport(report, 'here', { ...options, isColoured });
      for (const obeyed of ['\u001b[2J', '\u0007', '\u202e']) expect(text).not.toContain(obeyed);
      expect(text).toMatch(/\[2J job second line/);
    }
  });

  test('has colours only when they are asked for', () => {
    expect(textReport(report, 'here', options)).not.toContain('\u001b');
    expect(textReport(report, 'here', { ...options, isColoured: true })).toContain('\u001b[1m');
  });

  test('fits the terminal', () => {
    for (const line of textReport(report, 'here', options).split('\n')) {
      expect(stringWidth(line)).toBeLessThanOrEqual(72);
    }
  });

  test('lists what is fine only when asked', () => {
    expect(textReport(report, 'here', options)).toMatch(/^FINE$/m);
    expect(textReport(report, 'here', { ...options, isVerbose: false })).not.toMatch(/^FINE$/m);
  });

  test('loses no word when it breaks lines', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-zé漢]{1,12}$/), { minLength: 1 }), (words) => {
        const lines = hanging('  - ', words.join(' '), 40);
        expect(lines.map((line) => line.slice(4)).join(' ')).toBe(words.join(' '));
        for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(40);
      }),
    );
  });
});
