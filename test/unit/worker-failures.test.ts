/** Whatever a job throws, and whatever it gives back: something of it can be published, and nothing throws on the way. */

import { describe, expect, test } from 'vitest';
import { InvalidEventError } from '../../sdk/worker/errors.js';
import { type FailOptions, failureJson } from '../../sdk/worker/failure.js';
import { firstState, minimalState, updated } from '../../sdk/worker/state.js';
import { jsonOf } from '../../sdk/worker/values.js';
import { limitWarnings, type ReporterWarning } from '../../sdk/worker/warning.js';

const given = (own: object) => Object.assign(new Error('no'), own);
const getter = (name: string) =>
  Object.defineProperty(new Error('no'), name, {
    get() {
      throw new Error('from the getter');
    },
  });
const hostile = new Proxy(
  {},
  {
    get() {
      throw new Error('get');
    },
    getPrototypeOf() {
      throw new Error('getPrototypeOf');
    },
  },
);

describe('an error of any shape is published', () => {
  const unsaid = { code: 'error', message: 'The job failed.', retryable: false };
  const plain = { code: 'error', message: 'no', retryable: false };
  test.each<[string, unknown, object]>([
    ['without a message', given({ message: undefined }), unsaid],
    ['with a number for its message', given({ message: 42 }), unsaid],
    ['with an object for its message', given({ message: { text: 'no' } }), unsaid],
    ['without a name', given({ name: undefined }), plain],
    ['with a number for its name', given({ name: 42 }), plain],
    ['with a number for its code', given({ code: 42 }), plain],
    ['whose code throws', getter('code'), plain],
    ['whose name throws', getter('name'), plain],
    ['whose message throws', getter('message'), unsaid],
    ['whose retryable throws', getter('retryable'), plain],
    ['whose details throw', getter('details'), plain],
    ['whose stack throws', getter('stack'), plain],
    ['that is a proxy which throws at everything', hostile, unsaid],
    ['that is no Error but has a message', { message: 'no', code: 'c' }, { ...plain, code: 'c' }],
  ])('%s', (_, error, expected) => {
    const published = JSON.parse(failureJson(error, {}, true)) as Record<string, unknown>;
    delete published.stack;
    expect(published).toEqual(expected);
  });
});

describe('what has no form in JSON is refused by name, however it refuses', () => {
  test.each<[string, unknown]>([
    ['a text', 'boo'],
    ['null', null],
    ['undefined', undefined],
    ['an object without a text', Object.create(null)],
    ['an error whose message is none', given({ message: 42 })],
  ])('toJSON that throws %s', (_, thrown) => {
    const value = {
      toJSON() {
        throw thrown;
      },
    };
    expect(() => jsonOf(value, '/result')).toThrow(InvalidEventError);
  });
});

test('the bare state says where the job is, and nothing that a worker could make large', () => {
  const state = updated(
    firstState(3, 10, 'm'.repeat(4_000)),
    { current: 5, step: { name: 'read' }, fields: { mine: 'x'.repeat(65_000) } },
    0,
  );
  expect(minimalState(state)).toMatchObject({ attempt: 3, percent: 50, current: 5, total: 10 });
  expect(JSON.stringify([minimalState(state), [...minimalState(state).own]]).length).toBeLessThan(1_000);
});

test('a callback for warnings that is async and rejects ends no process', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    const told: (warning: ReporterWarning) => unknown = () => Promise.reject(new Error('from the callback'));
    const warn = limitWarnings(told, () => 0);
    warn({ kind: 'disconnected', message: '' });
    // Rejections that nobody handles are told when the microtasks are through.
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});

test.each<[unknown, string]>([
  [{ retryable: 'yes' }, '/error/retryable is "yes"; expected true or false'],
  [{ retryable: {} }, '/error/retryable is {}; expected true or false'],
  [{ code: 404 }, '/error/code is 404; expected a value of type string'],
  [null, '/error is null; expected an object'],
])('G8 bad input: fail with the options %j is refused, and says why', (options, message) => {
  expect(() => failureJson(new Error('x'), options as FailOptions, false)).toThrow(message);
});

test('fail takes options that are left undefined', () => {
  const options = { code: undefined, retryable: undefined } as unknown as FailOptions;
  expect(JSON.parse(failureJson(new Error('x'), options, false))).toMatchObject({
    code: 'error',
    retryable: false,
  });
});
