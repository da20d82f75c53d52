/** Values that say nothing: they never end a job, and what cannot be sent is named by its place. */
import { expect, test } from 'vitest';
import { encodeEvent } from '../../sdk/worker/outgoing-event.js';
import type { JobUpdate } from '../../sdk/worker/state.js';
import { firstState, updated } from '../../sdk/worker/state.js';
import { jsonOf } from '../../sdk/worker/values.js';
import { Simulation } from './worker-simulation.js';

/** What is sent after an update that follows `{ current: 2, total: 10 }`, and which problems were found. */
function sent(update: unknown): { event: Record<string, unknown>; problems: string[] } {
  const problems: string[] = [];
  const before = updated(firstState(1, undefined, undefined), { current: 2, total: 10 }, 0);
  const state = updated(before, update as JobUpdate, 1, (problem) => void problems.push(problem));
  return { event: JSON.parse(encodeEvent('"processing_id":"a"', state, null, 1, 'x')), problems };
}

const nowhere = { current: 2, total: 10, progress: 20 };
test.each<[string, unknown, Record<string, unknown>, number]>([
  ['0/0', { progress: 0 / 0 }, nowhere, 1],
  ['Infinity', { current: Number.POSITIVE_INFINITY }, nowhere, 1],
  ['-Infinity', { progress: Number.NEGATIVE_INFINITY }, nowhere, 1],
  ['a total below 0', { current: 5, total: -1 }, { current: 5, total: 10, progress: 50 }, 1],
  [
    'two of them',
    { current: Number.NaN, total: Number.NaN, message: 'on' },
    { ...nowhere, message: 'on' },
    2,
  ],
  ['a BigInt', { current: 5n }, { current: 5, total: 10, progress: 50 }, 0],
  ['a text', { progress: '50' }, nowhere, 1],
  ['an object', { progress: {} }, nowhere, 1],
  [
    'a step of no number',
    { step: { name: 's', index: 0 / 0, total: 3 } },
    { ...nowhere, step: { name: 's', total: 3 } },
    1,
  ],
  ['a step below 0', { step: { name: 's', index: -1, total: 1.5 } }, { ...nowhere, step: { name: 's' } }, 2],
])('G8 bad input: an amount that is %s is taken as unknown', (_, update, expected, times) => {
  const { event, problems } = sent(update);
  expect(event).toMatchObject(expected);
  expect(event.step).toEqual(expected.step);
  expect(problems).toHaveLength(times);
  for (const problem of problems) expect(problem).toMatch(/^\/\S+ is .+; it is taken as unknown$/);
});

test('G8 bad input: a job tells of such values once, also of the total that it starts with, and goes on', async () => {
  const simulation = new Simulation('duplicate first');
  const process = simulation.process('all');
  const jobWriter = process.start({ processingId: 'job', total: Number.NaN });
  for (let i = 0; i < 5; i++) jobWriter.report({ progress: Number.NaN });
  jobWriter.report({ progress: 50 });
  const end = jobWriter.end({ status: 'completed', result: null });
  await simulation.heal();
  await end;
  expect(process.warnings.filter(({ kind }) => kind !== 'retrying')).toEqual([
    { kind: 'bad_value', processingId: 'job', message: expect.stringContaining('/total is NaN') },
  ]);
  expect(JSON.parse(simulation.stream.last('progress.job')?.text ?? '')).toMatchObject({
    status: 'completed',
  });
});

test('a number in a result that JSON does not have is null, and told with its place', () => {
  const problems: string[] = [];
  const result = { pages: [{ mean: 0 / 0 }], none: null };
  expect(jsonOf(result, '/result', (problem) => void problems.push(problem))).toBe(
    '{"pages":[{"mean":null}],"none":null}',
  );
  expect(problems).toEqual(['/result/pages/0/mean is a number that JSON does not have; it is sent as null']);
  expect(jsonOf({ none: null }, '/result', () => expect.fail())).toBe('{"none":null}');
});

const circle: Record<string, unknown> = { a: [] };
(circle.a as unknown[]).push(circle);
test.each<[string, unknown, string]>([
  ['a BigInt', { pages: [1, { 'a/b': 10n }] }, '/result/pages/1/a~1b'],
  ['a circle', { circle }, '/result/circle/a/0'],
  [
    'a property that throws',
    {
      fine: 1,
      get bad() {
        throw new Error('no');
      },
    },
    '/result/bad',
  ],
  [
    'a form of its own that throws',
    [
      1,
      {
        toJSON() {
          throw new Error('no');
        },
      },
    ],
    '/result/1',
  ],
  ['a function', () => 1, '/result'],
])('G8 bad input: %s in a result is named by its place', (_, result, path) => {
  expect(() => jsonOf(result, '/result')).toThrow(expect.objectContaining({ code: 'invalid_event', path }));
});

test('a name that is misspelt is refused, and does not compile', () => {
  const state = firstState(1, 10, undefined);
  // @ts-expect-error own fields go into `fields`
  expect(() => updated(state, { curent: 5 }, 0)).toThrow('/curent is nothing that a report has');
  for (const name of ['status', 'seq', 'current']) {
    expect(() => updated(state, { fields: { [name]: 1 } }, 0)).toThrow(`/${name} is a name of the protocol`);
  }
  expect(updated(state, { fields: { pages: 5 } }, 0).own).toEqual(new Map([['pages', '5']]));
});

test.each<[string, () => unknown]>([
  ['a list', () => []],
  ['a date', () => new Date()],
  ['bytes', () => new Uint8Array()],
  [
    'an object of a class with a message that is none',
    () =>
      new (class {
        get message(): unknown {
          return 5;
        }
      })(),
  ],
  ['a message that is none', () => ({ current: 1, message: 5 })],
  ['a step that is none', () => ({ current: 1, step: 5 })],
  ['fields that are none', () => ({ current: 1, fields: [] })],
])('G8 bad input: a report that is %s is refused, however it is checked', (_, given) => {
  const state = firstState(1, 10, undefined);
  expect(() => updated(state, given() as JobUpdate, 0)).toThrow(
    expect.objectContaining({ code: 'invalid_event' }),
  );
});

test.each([
  ['without a prototype', Object.assign(Object.create(null), { current: 5, message: 'm' })],
  [
    'with amounts that are null',
    { current: 5, progress: null, message: 'm', step: null, indeterminate: null },
  ],
])('a report %s is taken', (_, given) => {
  expect(updated(firstState(1, 10, undefined), given as JobUpdate, 0)).toMatchObject({
    percent: 50,
    current: 5,
    message: 'm',
  });
});
