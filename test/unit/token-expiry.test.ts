import { expect, test } from 'vitest';
import type { ConnectionCredentials, Renewal } from '../../internal/session/ports.js';
import { TokenExpiry } from '../../internal/session/token-expiry.js';

const expiry = (at: number) => ({ at, text: new Date(at).toISOString() });
const renewed = (at: number): Renewal => ({
  kind: 'renewed',
  expiry: expiry(at),
  narrow: (scope) => ({ ok: true, scope }),
});

/** The expiry of a token at 10,000 that warns 1,000 before; the test answers what becomes of new tokens. */
function createExpiry(at = 10_000, warnMs = 1_000) {
  const answers: ((renewal: Renewal) => void)[] = [];
  const credentials: ConnectionCredentials = {
    expiry: expiry(at),
    warnMs,
    renew: () => new Promise((resolve) => answers.push(resolve)),
  };
  const told: Renewal[] = [];
  const made = new TokenExpiry(credentials);
  return {
    tokenExpiry: made,
    told,
    renew: () => made.renew('a token', (renewal) => told.push(renewal)),
    async answer(index: number, renewal: Renewal) {
      answers[index]?.(renewal);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test('a token is expired at the very millisecond of its expiry, not before', () => {
  const { tokenExpiry: until } = createExpiry();
  expect(until.isExpired(9_999)).toBe(false);
  expect(until.isExpired(10_000)).toBe(true);
  expect(until.expiresText).toBe('1970-01-01T00:00:10.000Z');
});

test('the warning is due once, from its time on', () => {
  const { tokenExpiry: until } = createExpiry();
  expect(until.shouldWarn(0)).toBe(false);
  expect(until.shouldWarn(8_999)).toBe(false);
  expect(until.shouldWarn(9_000)).toBe(true);
  expect(until.shouldWarn(9_000)).toBe(false);
  expect(until.shouldWarn(9_999)).toBe(false);
});

test('a token that lives shorter than the warning time is warned of when half its life has passed, once', () => {
  const { tokenExpiry: until } = createExpiry(10_000, 60_000);
  expect(until.shouldWarn(0)).toBe(false);
  expect(until.shouldWarn(4_999)).toBe(false);
  expect(until.shouldWarn(5_000)).toBe(true);
  expect(until.shouldWarn(5_001)).toBe(false);
});

test('short tokens that are renewed one after the other are not warned of at once', async () => {
  const { tokenExpiry: until, renew, answer } = createExpiry(10_000, 60_000);
  expect(until.shouldWarn(0)).toBe(false);
  expect(until.shouldWarn(5_000)).toBe(true);
  renew();
  await answer(0, renewed(15_000));
  expect(until.shouldWarn(5_100)).toBe(false);
  expect(until.shouldWarn(10_049)).toBe(false);
  expect(until.shouldWarn(10_050)).toBe(true);
});

test('a new token moves the end and is warned of by itself', async () => {
  const { tokenExpiry: until, renew, answer } = createExpiry();
  expect(until.shouldWarn(0)).toBe(false);
  expect(until.shouldWarn(9_000)).toBe(true);
  renew();
  expect(until.isExpired(10_000)).toBe(true);
  await answer(0, renewed(20_000));
  expect(until.shouldWarn(9_001)).toBe(false);
  expect(until.isExpired(19_999)).toBe(false);
  expect(until.isExpired(20_000)).toBe(true);
  expect(until.shouldWarn(18_999)).toBe(false);
  expect(until.shouldWarn(19_000)).toBe(true);
  expect(until.expiresText).toBe('1970-01-01T00:00:20.000Z');
});

test('a new token that ends sooner moves the end as well', async () => {
  const { tokenExpiry: until, renew, answer } = createExpiry();
  renew();
  await answer(0, renewed(5_000));
  expect(until.isExpired(5_000)).toBe(true);
});

test('the same token once more is not warned of again', async () => {
  const { tokenExpiry: until, renew, answer } = createExpiry();
  expect(until.shouldWarn(0)).toBe(false);
  expect(until.shouldWarn(9_000)).toBe(true);
  renew();
  await answer(0, renewed(10_000));
  expect(until.shouldWarn(9_001)).toBe(false);
});

test.each<Renewal>([{ kind: 'unknown' }, { kind: 'refused', code: 'unauthorized', message: 'bad' }])(
  'a token that is not taken ($kind) changes nothing, and is told of',
  async (renewal) => {
    const { tokenExpiry: until, renew, answer, told } = createExpiry();
    expect(until.shouldWarn(0)).toBe(false);
    expect(until.shouldWarn(9_000)).toBe(true);
    renew();
    await answer(0, renewal);
    expect(told).toEqual([renewal]);
    expect(until.isExpired(9_999)).toBe(false);
    expect(until.isExpired(10_000)).toBe(true);
    expect(until.shouldWarn(9_999)).toBe(false);
  },
);

test('of several tokens that are being checked only the newest counts, in whichever order they are done', async () => {
  const { tokenExpiry: until, renew, answer, told } = createExpiry();
  for (let i = 0; i < 3; i++) renew();
  await answer(2, renewed(30_000));
  await answer(0, renewed(99_000));
  await answer(1, { kind: 'refused', code: 'unauthorized', message: 'bad' });
  expect(told).toMatchObject([{ kind: 'renewed', expiry: { at: 30_000 } }]);
  expect(until.isExpired(30_000)).toBe(true);
});
