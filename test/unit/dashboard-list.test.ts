/** What the dashboard's list says of jobs, and which of them it lists. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JobSnapshot, ProgressUpdate } from '../../sdk/client/types.js';
import { formatPlace, parsePlace, withCondition, withSort, withType } from '../../web/model/address.js';
import { EventRate, eventsOf } from '../../web/model/event-rate.js';
import { CONDITIONS, type JobRow, rowOf } from '../../web/model/job-row.js';
import { type ListView, listed, PLAIN_VIEW, SORT_KEYS, typeButtons } from '../../web/model/list-view.js';

const BEGIN = Date.parse('2026-01-01T00:00:00Z');

function update(fields: Partial<ProgressUpdate> & { readonly atMs?: number } = {}): ProgressUpdate {
  const { atMs = 0, ...rest } = fields;
  return {
    type: 'progress_update',
    processing_id: 'a',
    status: 'processing',
    progress: 10,
    timestamp: new Date(BEGIN + atMs).toISOString(),
    seq: 1,
    prev_seq: 0,
    ...rest,
  };
}

function row(
  fields: Parameters<typeof update>[0] = {},
  before: JobRow | null = null,
  stalled = false,
): JobRow {
  const state = update(fields);
  const snapshot = {
    id: state.processing_id,
    state,
    stalled: stalled ? { type: 'stalled', processing_id: state.processing_id, silent_ms: 1 } : null,
  } as JobSnapshot;
  const made = rowOf(snapshot, before);
  if (made === null) throw new Error('there is no row');
  return made;
}

describe('a row', () => {
  test.each([
    [{ status: 'processing' }, false, 'running'],
    [{ status: 'processing' }, true, 'stalled'],
    [{ status: 'completed' }, true, 'completed'],
    [{ status: 'error' }, true, 'failed'],
    [{ status: 'error', error: { retryable: false } }, false, 'failed'],
    [{ status: 'error', error: { retryable: true } }, false, 'retrying'],
  ] as const)('%j, stalled %s: %s', (fields, isStalled, expected) => {
    expect(row(fields, null, isStalled).condition).toBe(expected);
  });

  test('the time that is left: what the job says, or its pace since the page heard of this attempt', () => {
    expect(row({ eta_seconds: 30, atMs: 1_000 }).doneMs).toBe(BEGIN + 31_000);
    const first = row({ progress: 10 });
    expect(first.doneMs).toBeNull();
    // 10 percent in 5 seconds, so 80 more take 40.
    expect(row({ progress: 20, atMs: 5_000 }, first).doneMs).toBe(BEGIN + 45_000);
    expect(row({ progress: 20, atMs: 500 }, first).doneMs).toBeNull();
    expect(row({ progress: 10.2, atMs: 5_000 }, first).doneMs).toBeNull();
    expect(row({ progress: 20, atMs: 5_000, indeterminate: true }, first).doneMs).toBeNull();
    expect(row({ progress: 20, atMs: 5_000 }, first, true).doneMs).toBeNull();
    const retried = row({ progress: 5, atMs: 5_000, attempt: 2 }, first);
    expect(retried.doneMs).toBeNull();
    expect(row({ progress: 15, atMs: 10_000, attempt: 2 }, retried).doneMs).toBe(BEGIN + 52_500);
  });

  test('a percentage that says nothing is none, unless the job is done', () => {
    expect(row({ indeterminate: true }).percent).toBeNull();
    expect(row({ indeterminate: true, status: 'completed', progress: 100 }).percent).toBe(100);
    expect(rowOf({ id: 'a', state: null, stalled: null } as JobSnapshot, null)).toBeNull();
  });

  test('a date that is none is no reason to fail', () => {
    expect(row({ timestamp: 'yesterday' }).updatedMs).toBe(0);
  });
});

const rows = [
  row({ processing_id: 'c', job_type: 'pdf', progress: 30, message: 'Page THREE', atMs: 3 }),
  row({ processing_id: 'a', job_type: 'pdf', status: 'error', error: { code: 'disk_full' }, atMs: 1 }),
  row({ processing_id: 'b', status: 'completed', progress: 100, atMs: 2 }),
  row({ processing_id: 'd', job_type: 'mail', indeterminate: true, attempt: 3, atMs: 4 }),
  row(
    { processing_id: 'e', job_type: 'mail', step: { name: 'Sending' }, eta_seconds: 5, atMs: 5 },
    null,
    true,
  ),
];
const ids = (view: Partial<ListView>): string =>
  listed(rows, { ...PLAIN_VIEW, ...view })
    .rows.map(({ id }) => id)
    .join('');

describe('the list', () => {
  test('those that need somebody come first', () => {
    expect(ids({})).toBe('aecdb');
  });

  test.each([
    ['condition', 'aecdb', 'bcdea'],
    ['id', 'abcde', 'edcba'],
    ['type', 'bdeac', 'acdeb'],
    // Whoever does not know comes last, either way.
    ['progress', 'aecbd', 'bcaed'],
    ['age', 'edcba', 'abcde'],
    ['left', 'abcde', 'abcde'],
    ['attempt', 'abced', 'dabce'],
  ] as const)('by %s', (key, ascending, descending) => {
    expect(ids({ sort: { key, isDescending: false } })).toBe(ascending);
    expect(ids({ sort: { key, isDescending: true } })).toBe(descending);
  });

  test('every word has to be somewhere, in letters of any size', () => {
    expect(ids({ text: 'three' })).toBe('c');
    expect(ids({ text: ' PDF  disk ' })).toBe('a');
    expect(ids({ text: 'sending' })).toBe('e');
    expect(ids({ text: 'pdf sending' })).toBe('');
  });

  test('a count is of what a click on it would show', () => {
    const { conditions, types, total } = listed(rows, {
      ...PLAIN_VIEW,
      types: ['pdf'],
      conditions: ['failed'],
    });
    expect(conditions).toEqual({ failed: 1, stalled: 0, retrying: 0, running: 1, completed: 0 });
    expect(types).toEqual([
      ['pdf', 1],
      ['', 0],
      ['mail', 0],
    ]);
    expect(total).toBe(5);
    expect(ids({ types: [''] })).toBe('b');
    expect(ids({ conditions: ['failed', 'completed'] })).toBe('ab');
  });

  test('the buttons of types: those with the most jobs, where they were before, and whatever else is chosen', () => {
    const types = [...'dcba'].map((type, index) => [type, 40 - index] as const);
    const first = typeButtons(types, [], [], 3);
    expect(first).toEqual(['d', 'c', 'b']);
    const turned = [...types].reverse();
    expect(typeButtons(turned, [], first, 3)).toEqual(['d', 'c', 'b']);
    // One that nobody has any more makes room; one that is chosen beside them takes no place of theirs.
    expect(typeButtons(turned.slice(0, 3), [], first, 3)).toEqual(['c', 'b', 'a']);
    const chosen = typeButtons(turned, ['none', 'c', 'a'], first, 3);
    expect(chosen).toEqual(['d', 'c', 'b', 'none', 'a']);
    expect(typeButtons(turned, [], chosen, 3)).toEqual(['d', 'c', 'b']);
    expect(typeButtons([], [], first, 3)).toEqual([]);
  });

  test('the order does not hang on the one before', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray(rows, { minLength: rows.length }),
        fc.constantFrom(...SORT_KEYS),
        fc.boolean(),
        (shuffled, key, isDescending) => {
          const view = { ...PLAIN_VIEW, sort: { key, isDescending } };
          expect(listed(shuffled, view).rows).toEqual(listed(rows, view).rows);
        },
      ),
    );
  });
});

describe('the address', () => {
  const view: fc.Arbitrary<ListView> = fc.record({
    conditions: fc.subarray([...CONDITIONS]),
    types: fc.uniqueArray(fc.constantFrom('', 'pdf', 'a.b-c_d', 'x&y=z#'), { maxLength: 4 }),
    text: fc.string({ unit: 'binary', maxLength: 50 }).filter((text) => text.isWellFormed()),
    sort: fc.record({ key: fc.constantFrom(...SORT_KEYS), isDescending: fc.boolean() }),
  });

  test('holds every view and every job', () => {
    fc.assert(
      fc.property(view, fc.boolean(), (one, isLarge) => {
        const place = { kind: 'list', view: one, isLarge } as const;
        expect(parsePlace(formatPlace(place))).toEqual(place);
      }),
    );
    const job = { kind: 'job', id: 'job-1_A', seq: 42, isLarge: true } as const;
    expect(formatPlace(job)).toBe('#/jobs/job-1_A?seq=42&large=');
    expect(parsePlace(formatPlace(job))).toEqual(job);
    expect(formatPlace({ kind: 'list', view: PLAIN_VIEW, isLarge: false })).toBe('#/');
  });

  test('what means nothing is left out', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => parsePlace(`#${text}`) !== null));
    expect(parsePlace('#/jobs/no%20id')).toMatchObject({ kind: 'list' });
    expect(parsePlace('#/jobs/a?seq=-1')).toMatchObject({ kind: 'job', id: 'a', seq: null });
    expect(parsePlace('#/jobs/a?seq=99999999999999999999')).toMatchObject({ seq: null });
    expect(parsePlace('#/?state=broken&state=failed&sort=size')).toMatchObject({
      view: { conditions: ['failed'], sort: PLAIN_VIEW.sort },
    });
    expect(parsePlace('')).toMatchObject({ kind: 'list', view: PLAIN_VIEW });
  });

  test('a second click takes a filter away, and turns the order round', () => {
    const failed = withCondition(PLAIN_VIEW, 'failed');
    expect(failed.conditions).toEqual(['failed']);
    expect(withCondition(failed, 'failed')).toEqual(PLAIN_VIEW);
    expect(withType(withType(PLAIN_VIEW, 'pdf'), 'pdf')).toEqual(PLAIN_VIEW);
    const byAge = withSort(PLAIN_VIEW, 'age');
    expect(byAge.sort).toEqual({ key: 'age', isDescending: false });
    expect(withSort(byAge, 'age').sort).toEqual({ key: 'age', isDescending: true });
    expect(withSort(withSort(byAge, 'age'), 'id').sort).toEqual({ key: 'id', isDescending: false });
  });
});

describe('the rate of events', () => {
  test('an update that stands for several events counts as them, itself included', () => {
    expect([eventsOf({}), eventsOf({ folded: 2 })]).toEqual([1, 2]);
  });

  test('is of the last five whole seconds, and of fewer at first', () => {
    const rate = new EventRate();
    expect(rate.rate(1_000)).toBe(0);
    rate.add(10, 1_100);
    rate.add(20, 1_900);
    expect(rate.rate(1_950)).toBe(0);
    expect(rate.rate(2_000)).toBe(30);
    expect(rate.rate(3_500)).toBe(15);
    expect(rate.rate(6_000)).toBe(6);
    expect(rate.rate(6_900)).toBe(6);
    expect(rate.rate(7_000)).toBe(0);
  });

  test('a minute is kept, and a page that slept has had nothing', () => {
    const rate = new EventRate();
    rate.add(1, 500);
    for (let second = 1; second <= 100; second++) rate.add(second, second * 1_000);
    const kept = rate.perSecond(101_000);
    expect(kept).toHaveLength(60);
    expect([kept[0], kept.at(-1)]).toEqual([41, 100]);
    expect(rate.perSecond(10_000_000).every((count) => count === 0)).toBe(true);
    expect(rate.rate(10_000_000)).toBe(0);
  });
});
