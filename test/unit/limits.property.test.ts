import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Admission, type AdmissionLimits, type ConnectionSlot } from '../../internal/edge/limits.js';
import { TokenBucket } from '../../internal/edge/token-bucket.js';

/** What sums of fractions may be off by. */
const ROUNDING = 1e-3;

const rates = fc.oneof(
  fc.integer({ min: 1, max: 100 }),
  fc.integer({ min: 1, max: 1_000 }).map((number) => number / 7),
  fc.integer({ min: 1, max: 1_000_000 }),
);
/** How much of a burst is asked for, in parts of it; above 1 there is never so much. */
const shares = fc.integer({ min: 0, max: 110 }).map((percent) => percent / 100);
/** Steps of a clock: still, small, large, and back. */
const steps = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 0, max: 5_000 }).map((number) => number / 30),
  fc.integer({ min: 0, max: 10_000 }),
  fc.constantFrom(-1_000, 1e9),
);

test('G8 bad input: in no span of time does a bucket give out more than its burst and its rate', () => {
  const asks = fc.array(fc.tuple(steps, shares), { minLength: 1, maxLength: 60, size: 'max' });
  let refusals = 0;
  fc.assert(
    fc.property(rates, rates, asks, (perSecond, burst, list) => {
      const bucket = new TokenBucket(perSecond, burst, 0);
      let now = 0;
      let latest = 0;
      const given: Array<{ at: number; n: number }> = [];
      for (const [step, share] of list) {
        now += step;
        latest = Math.max(latest, now);
        const n = share * burst;
        if (bucket.take(n, now)) given.push({ at: latest, n });
        else refusals++;
      }
      for (const [index, { at: from }] of given.entries()) {
        let sum = 0;
        for (const { at, n } of given.slice(index)) {
          sum += n;
          expect(sum).toBeLessThanOrEqual(
            (burst + (perSecond * (at - from)) / 1_000) * (1 + 1e-9) + ROUNDING,
          );
        }
      }
    }),
    { numRuns: 500 },
  );
  expect(refusals).toBeGreaterThan(1_000);
});

test('a bucket gives out what it owes: when the wait is over, and not milliseconds before', () => {
  const asks = fc.array(
    fc.tuple(
      fc.nat({ max: 5_000 }),
      shares.map((share) => Math.min(1, share)),
    ),
    {
      minLength: 1,
      maxLength: 30,
      size: 'max',
    },
  );
  let waits = 0;
  fc.assert(
    fc.property(rates, rates, asks, (perSecond, burst, list) => {
      const bucket = new TokenBucket(perSecond, burst, 0);
      let now = 0;
      for (const [step, share] of list) {
        now += step;
        const n = share * burst;
        const wait = bucket.waitMs(n, now);
        if (wait > 0) {
          waits++;
          expect(bucket.take(n, now)).toBe(false);
          // The wait is rounded up to a millisecond, and the sums are rounded a little, too.
          if (wait > 2) expect(bucket.take(n, now + wait - 2)).toBe(false);
          now += wait;
        }
        expect(bucket.take(n, now)).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
  expect(waits).toBeGreaterThan(1_000);
});

/** Addresses, and the client that has each. */
const ADDRESSES: ReadonlyArray<readonly [string, string]> = [
  ['203.0.113.1', 'a'],
  ['::ffff:203.0.113.1', 'a'],
  ['203.0.113.2', 'b'],
  ['2001:db8::1', 'c'],
  ['2001:db8::2:1', 'c'],
  ['2001:db8:0:1::1', 'd'],
  ['', 'e'],
];

type Step =
  | { readonly do: 'enter'; readonly address: number; readonly needs: boolean }
  | { readonly do: 'accept'; readonly slot: number; readonly subject: string | null }
  | { readonly do: 'leave'; readonly slot: number }
  | { readonly do: 'wait'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('enter' as const),
      address: fc.nat({ max: ADDRESSES.length - 1 }),
      needs: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('accept' as const),
      slot: fc.nat({ max: 30 }),
      subject: fc.constantFrom(null, 'x', 'y', '__proto__', ''),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), slot: fc.nat({ max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat({ max: 2_000 }) }) },
);

const small = fc.nat({ max: 4 });
const limits: fc.Arbitrary<AdmissionLimits> = fc.record({
  maxConnections: fc.constantFrom(0, 1, 3, 8),
  maxPerAddress: small,
  maxPerSubject: small,
  maxUnauthenticated: small,
  maxUnauthenticatedPerAddress: small,
  upgradesPerSecond: fc.constantFrom(0, 1, 5),
  upgradesPerAddress: fc.constant(0),
});

/** One that was let in, as the model sees it. */
interface Known {
  readonly slot: ConnectionSlot;
  readonly client: string;
  isOpen: boolean;
  isAccepted: boolean;
  subject: string | null;
}

test('G8 bad input: whoever comes, shows tokens and goes, the counts are those who are there and no limit is passed', () => {
  const refusals = new Map<string, number>();
  fc.assert(
    fc.property(limits, fc.array(step, { maxLength: 80, size: 'max' }), (given, program) => {
      let now = 0;
      const admission = new Admission(given, () => now);
      // The bucket has its own tests. Here it is asked beside the admission, at the places where that asks.
      const bucket = new TokenBucket(given.upgradesPerSecond, given.upgradesPerSecond, 0);
      const known: Known[] = [];
      const open = (which: (one: Known) => boolean = () => true) =>
        known.filter((one) => one.isOpen && which(one)).length;
      const isFull = (count: number, limit: number) => limit !== 0 && count >= limit;

      const enter = (address: string, client: string, needs: boolean): void => {
        const entry = admission.tryAcquire(address, needs);
        const expected = isFull(open(), given.maxConnections)
          ? 'connections'
          : needs &&
              isFull(
                open((one) => !one.isAccepted),
                given.maxUnauthenticated,
              )
            ? 'unauthenticated'
            : needs &&
                isFull(
                  open((one) => one.client === client && !one.isAccepted),
                  given.maxUnauthenticatedPerAddress,
                )
              ? 'unauthenticated_per_address'
              : !bucket.take(1, now)
                ? 'upgrades'
                : isFull(
                      open((one) => one.client === client),
                      given.maxPerAddress,
                    )
                  ? 'address'
                  : null;
        expect(entry.ok ? null : entry.refusal).toBe(expected);
        if (entry.ok) {
          known.push({ slot: entry.slot, client, isOpen: true, isAccepted: !needs, subject: null });
          return;
        }
        expect(entry.retryAfterSeconds).toBeGreaterThanOrEqual(1);
        refusals.set(entry.refusal, (refusals.get(entry.refusal) ?? 0) + 1);
      };

      const accept = (one: Known, subject: string | null): void => {
        const isNew = subject !== null && one.subject === null;
        const isRefused =
          isNew &&
          isFull(
            open(({ subject: other }) => other === subject),
            given.maxPerSubject,
          );
        const expected = one.isOpen && !isRefused;
        expect(admission.authenticated(one.slot, subject)).toBe(expected);
        if (!expected) {
          refusals.set('subject', (refusals.get('subject') ?? 0) + 1);
          return;
        }
        one.isAccepted = true;
        one.subject ??= subject;
      };

      const check = (): void => {
        const there = known.filter(({ isOpen }) => isOpen);
        expect(admission.counts).toEqual({
          connections: there.length,
          unauthenticated: there.filter(({ isAccepted }) => !isAccepted).length,
          addresses: new Set(there.map(({ client }) => client)).size,
          subjects: new Set(there.flatMap(({ subject }) => (subject === null ? [] : [subject]))).size,
        });
      };

      for (const action of program) {
        const one = 'slot' in action ? known[action.slot % known.length] : undefined;
        switch (action.do) {
          case 'enter': {
            const [address, client] = ADDRESSES[action.address] ?? ['', 'e'];
            enter(address, client, action.needs);
            break;
          }
          case 'accept':
            if (one !== undefined) accept(one, action.subject);
            break;
          case 'leave':
            if (one === undefined) break;
            admission.release(one.slot);
            one.isOpen = false;
            break;
          case 'wait':
            now += action.ms;
        }
        check();
      }
      for (const { slot } of known) admission.release(slot);
      expect(admission.counts).toEqual({ connections: 0, unauthenticated: 0, addresses: 0, subjects: 0 });
    }),
    { numRuns: 1_000 },
  );
  // Every kind of refusal was met, or nothing is said about it.
  for (const kind of [
    'connections',
    'unauthenticated',
    'unauthenticated_per_address',
    'upgrades',
    'address',
    'subject',
  ]) {
    expect([kind, refusals.get(kind) ?? 0]).toEqual([kind, expect.toSatisfy((times: number) => times > 20)]);
  }
});
