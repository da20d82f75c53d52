import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from 'nats';
import { describe, expect, test } from 'vitest';
import { epochOf, streamConfig, streamDifferences, takesEvents } from '../../internal/jetstream/stream.js';
import { isEpoch } from '../../schemas/ids.js';

describe('epochOf', () => {
  const of = (created: string): string => epochOf({ created });
  const nanos = (epoch: string): bigint =>
    [...epoch].reduce((sum, digit) => sum * 36n + BigInt(Number.parseInt(digit, 36)), 0n);

  test.each<[string, bigint]>([
    ['2026-01-31T12:00:00.123456789Z', 1_769_860_800_123_456_789n],
    ['2026-01-31T12:00:00.12345678Z', 1_769_860_800_123_456_780n],
    ['2026-01-31T12:00:00.5Z', 1_769_860_800_500_000_000n],
    ['2026-01-31T12:00:00.000000001Z', 1_769_860_800_000_000_001n],
    ['2026-01-31T12:00:00Z', 1_769_860_800_000_000_000n],
    ['2026-01-31T13:00:00.999999999+01:00', 1_769_860_800_999_999_999n],
  ])('%s, to the nanosecond', (created, expected) => {
    expect(nanos(of(created))).toBe(expected);
    expect(isEpoch(of(created))).toBe(true);
  });

  test('G5 stale cursors: streams made a nanosecond apart have different epochs', () => {
    expect(of('2026-01-31T12:00:00.123456789Z')).not.toBe(of('2026-01-31T12:00:00.12345679Z'));
  });

  test('G10 any edge: the same instant has one name, however it is written', () => {
    expect(of('2026-01-31T12:00:00.5Z')).toBe(of('2026-01-31T12:00:00.500000000Z'));
    expect(of('2026-01-31T14:00:00.5+02:00')).toBe(of('2026-01-31T12:00:00.5Z'));
  });
});

describe('streamDifferences', () => {
  const spec = { name: 'PROGRESS', replicas: 1 };
  const existing = (changes: Record<string, unknown> = {}): StreamConfig =>
    ({ ...streamConfig(spec), max_msgs: -1, max_bytes: -1, ...changes }) as unknown as StreamConfig;

  test('the stream as Headway makes it has none', () => {
    expect(streamDifferences(existing(), spec)).toEqual([]);
  });

  test('the stream is made as the contract says', () => {
    expect(streamConfig({ name: 'P', replicas: 3 })).toEqual({
      name: 'P',
      subjects: ['progress.*'],
      storage: 'file',
      retention: 'limits',
      discard: 'old',
      max_msgs_per_subject: 1_000,
      max_age: 7 * 24 * 3_600 * 1e9,
      duplicate_window: 120 * 1e9,
      allow_direct: true,
      allow_rollup_hdrs: false,
      num_replicas: 3,
    });
  });

  test.each<[string, Record<string, unknown>]>([
    ['another limit per subject', { max_msgs_per_subject: 10 }],
    ['another age', { max_age: 0 }],
    ['another size', { max_bytes: 1e9, max_msgs: 5 }],
    ['more replicas', { num_replicas: 3 }],
    ['another duplicate window', { duplicate_window: 1e9 }],
    ['a description', { description: 'ours', metadata: { team: 'a' } }],
    [
      'flags that a server leaves out when they are false',
      { allow_rollup_hdrs: undefined, no_ack: undefined },
    ],
  ])('the operator may choose: %s', (_name, changes) => {
    expect(streamDifferences(existing(changes), spec)).toEqual([]);
  });

  test.each<[string, unknown, unknown, unknown]>([
    ['subjects', ['jobs.*'], ['jobs.*'], ['progress.*']],
    ['subjects', ['progress.>'], ['progress.>'], ['progress.*']],
    ['subjects', ['progress.*', 'other'], ['progress.*', 'other'], ['progress.*']],
    ['subjects', undefined, false, ['progress.*']],
    ['storage', StorageType.Memory, 'memory', 'file'],
    ['retention', RetentionPolicy.Workqueue, 'workqueue', 'limits'],
    ['retention', RetentionPolicy.Interest, 'interest', 'limits'],
    ['discard', DiscardPolicy.New, 'new', 'old'],
    ['allow_direct', false, false, true],
    ['allow_direct', undefined, false, true],
    ['allow_rollup_hdrs', true, true, false],
    ['no_ack', true, true, false],
  ])('%s: %j', (field, value, is, shouldBe) => {
    expect(streamDifferences(existing({ [field]: value }), spec)).toEqual([{ field, is, shouldBe }]);
  });

  test('all of them at once', () => {
    const changes = { storage: 'memory', allow_direct: false, subjects: ['a'], discard: 'new', no_ack: true };
    expect(streamDifferences(existing(changes), spec).map(({ field }) => field)).toEqual([
      'subjects',
      'storage',
      'discard',
      'allow_direct',
      'no_ack',
    ]);
  });
});

test.each([
  ['progress.*', true],
  ['progress.>', true],
  ['progress.job-1', true],
  ['*.*', true],
  ['*.job-1', true],
  ['*.>', true],
  ['>', true],
  ['progress', false],
  ['*', false],
  ['progress.*.*', false],
  ['progress.job-1.>', false],
  ['orders.>', false],
  ['alive.progress.*', false],
])('takesEvents: %s %j', (subject, isSo) => {
  expect(takesEvents(subject)).toBe(isSo);
});
