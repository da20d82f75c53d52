import { describe, expect, test } from 'vitest';
import {
  Admission,
  type AdmissionLimits,
  type AdmissionResult,
  ClientRateLimiter,
  type ConnectionSlot,
  KeyedCount,
} from '../../internal/edge/limits.js';
import { TokenBucket } from '../../internal/edge/token-bucket.js';

const UNLIMITED: AdmissionLimits = {
  maxConnections: 0,
  maxPerAddress: 0,
  maxPerSubject: 0,
  maxUnauthenticated: 0,
  maxUnauthenticatedPerAddress: 0,
  upgradesPerSecond: 0,
  upgradesPerAddress: 0,
};
const EMPTY = { connections: 0, unauthenticated: 0, addresses: 0, subjects: 0 };

/** An admission with some limits, and the clock it looks at. */
function admission(limits: Partial<AdmissionLimits>) {
  const clock = { now: 0 };
  const guard = new Admission({ ...UNLIMITED, ...limits }, () => clock.now);
  return { clock, guard, enter: (address = '203.0.113.5', needs = true) => guard.tryAcquire(address, needs) };
}

function ticketOf(entry: AdmissionResult): ConnectionSlot {
  if (!entry.ok) throw new Error(`refused: ${entry.refusal}`);
  return entry.slot;
}

const refusalOf = (entry: AdmissionResult): string | null => (entry.ok ? null : entry.refusal);

describe('a token bucket', () => {
  test('is full at the start, and gives out no more than that at once', () => {
    const bucket = new TokenBucket(10, 3, 0);
    expect([1, 1, 1, 1].map((n) => bucket.take(n, 0))).toEqual([true, true, true, false]);
  });

  test('refills continuously, up to the burst', () => {
    const bucket = new TokenBucket(10, 3, 0);
    bucket.take(3, 0);
    expect(bucket.take(1, 99)).toBe(false);
    expect(bucket.take(1, 100)).toBe(true);
    expect(bucket.take(1, 199)).toBe(false);
    expect(bucket.take(2, 300)).toBe(true);
    expect(bucket.take(4, 1e15)).toBe(false);
    expect(bucket.take(3, 1e15)).toBe(true);
    expect(bucket.take(1, 1e15)).toBe(false);
  });

  test('takes all or nothing', () => {
    const bucket = new TokenBucket(1, 5, 0);
    expect(bucket.take(6, 0)).toBe(false);
    expect(bucket.take(5, 0)).toBe(true);
    expect(bucket.take(0, 0)).toBe(true);
  });

  test('tells how long to wait, and holds to it', () => {
    const bucket = new TokenBucket(10, 3, 0);
    expect(bucket.waitMs(3, 0)).toBe(0);
    bucket.take(3, 0);
    expect(bucket.waitMs(1, 0)).toBe(100);
    expect(bucket.waitMs(3, 0)).toBe(300);
    expect(bucket.waitMs(1, 40)).toBe(60);
    expect(bucket.waitMs(4, 0)).toBe(Number.POSITIVE_INFINITY);
    expect(bucket.take(3, 300)).toBe(true);
  });

  test('many small sums make a whole one', () => {
    const bucket = new TokenBucket(1, 1, 0);
    bucket.take(1, 0);
    // A tenth of a second at a time; ten times 0.1 is less than 1 in the numbers of the machine.
    for (let ms = 100; ms < 1_000; ms += 100) expect(bucket.take(1, ms)).toBe(false);
    expect(bucket.take(1, 1_000)).toBe(true);
  });

  test('a clock that stands still refills nothing, and neither does one that went back', () => {
    const bucket = new TokenBucket(1_000, 2, 5_000);
    bucket.take(2, 5_000);
    expect(Array.from({ length: 1_000 }, () => bucket.take(1, 5_000))).not.toContain(true);
    expect(bucket.take(1, 1_000)).toBe(false);
    // The time that was counted once is not counted again.
    expect(bucket.take(1, 5_000)).toBe(false);
    expect(bucket.take(1, 5_001)).toBe(true);
    // What is there stays there.
    expect(new TokenBucket(1_000, 2, 5_000).take(2, 1_000)).toBe(true);
  });

  test('a rate of none is no limit', () => {
    const bucket = new TokenBucket(0, 0, 0);
    expect(Array.from({ length: 100 }, () => bucket.take(1e9, 0))).not.toContain(false);
    expect(bucket.waitMs(1e9, 0)).toBe(0);
  });
});

describe('counts by key', () => {
  test('each key has its own limit, and a place is free again', () => {
    const counts = new KeyedCount(2);
    expect(['a', 'a', 'a', 'b'].map((key) => counts.tryAdd(key))).toEqual([true, true, false, true]);
    expect([counts.count('a'), counts.count('b'), counts.count('c')]).toEqual([2, 1, 0]);
    counts.remove('a');
    expect(counts.count('a')).toBe(1);
    expect([counts.tryAdd('a'), counts.tryAdd('a')]).toEqual([true, false]);
  });

  test('a limit of none still counts', () => {
    const counts = new KeyedCount(0);
    for (let i = 0; i < 1_000; i++) expect(counts.tryAdd('a')).toBe(true);
    expect(counts.count('a')).toBe(1_000);
  });

  test('a key that is not there cannot go below nothing', () => {
    const counts = new KeyedCount(1);
    counts.remove('a');
    expect(counts.count('a')).toBe(0);
    expect([counts.tryAdd('a'), counts.tryAdd('a')]).toEqual([true, false]);
  });

  test('G9 memory: nothing is kept of keys that are gone or were refused', () => {
    const counts = new KeyedCount(1);
    for (let i = 0; i < 1_000; i++) {
      counts.tryAdd(`key-${i}`);
      counts.tryAdd(`key-${i}`);
    }
    expect(counts.size).toBe(1_000);
    for (let i = 0; i < 1_000; i++) counts.remove(`key-${i}`);
    expect(counts.size).toBe(0);
  });

  test.each(['__proto__', 'constructor', ''])('the key %j is one like any other', (key) => {
    const counts = new KeyedCount(1);
    expect([counts.count(key), counts.tryAdd(key), counts.tryAdd(key), counts.size]).toEqual([
      0,
      true,
      false,
      1,
    ]);
  });
});

describe('who may come in', () => {
  test('G8 bad input: no more than so many in all', () => {
    const { guard, enter } = admission({ maxConnections: 2 });
    const first = ticketOf(enter('203.0.113.1'));
    enter('203.0.113.2');
    expect(enter('203.0.113.3')).toEqual({ ok: false, refusal: 'connections', retryAfterSeconds: 3 });
    guard.release(first);
    expect(refusalOf(enter('203.0.113.3'))).toBeNull();
  });

  test('G8 bad input: no more than so many from one address, and others do not feel it', () => {
    const { guard, enter } = admission({ maxPerAddress: 1 });
    const first = ticketOf(enter('203.0.113.5'));
    expect(enter('::ffff:203.0.113.5')).toEqual({ ok: false, refusal: 'address', retryAfterSeconds: 3 });
    expect(refusalOf(enter('203.0.113.6'))).toBeNull();
    guard.release(first);
    expect(refusalOf(enter('203.0.113.5'))).toBeNull();
  });

  test('G8 bad input: one client with all of a /64 is one address', () => {
    const { enter } = admission({ maxPerAddress: 1 });
    expect(refusalOf(enter('2001:db8::1'))).toBeNull();
    expect(refusalOf(enter('2001:db8::ffff:2'))).toBe('address');
    expect(refusalOf(enter('2001:db8:0:1::1'))).toBeNull();
  });

  test('G8 bad input: no more than so many without a token, until theirs are accepted or they go', () => {
    const { guard, enter } = admission({ maxUnauthenticated: 2 });
    const [first, second] = [ticketOf(enter()), ticketOf(enter())];
    expect(enter()).toEqual({ ok: false, refusal: 'unauthenticated', retryAfterSeconds: 3 });
    guard.authenticated(first, 'me');
    expect(refusalOf(enter())).toBeNull();
    expect(refusalOf(enter())).toBe('unauthenticated');
    guard.release(second);
    expect(refusalOf(enter())).toBeNull();
  });

  test('where nobody needs a token, nobody waits for one', () => {
    const { guard, enter } = admission({ maxUnauthenticated: 1 });
    enter('203.0.113.5', false);
    expect(refusalOf(enter('203.0.113.5', false))).toBeNull();
    expect(guard.counts).toEqual({ connections: 2, unauthenticated: 0, addresses: 1, subjects: 0 });
  });

  test('G8 bad input: no more than so many in a second', () => {
    const { clock, enter } = admission({ upgradesPerSecond: 2, upgradesPerAddress: 0 });
    expect([enter(), enter(), enter()].map(refusalOf)).toEqual([null, null, 'upgrades']);
    clock.now = 500;
    expect([enter(), enter()].map(refusalOf)).toEqual([null, 'upgrades']);
    clock.now = 1e12;
    expect([enter(), enter(), enter()].map(refusalOf)).toEqual([null, null, 'upgrades']);
  });

  test('G8 bad input: an address that connects in a loop does not use up the second of the others', () => {
    const { clock, enter } = admission({ upgradesPerSecond: 10, upgradesPerAddress: 2 });
    const greedy = Array.from({ length: 100 }, () => refusalOf(enter('198.51.100.1')));
    expect(greedy.filter((refusal) => refusal === null)).toHaveLength(2);
    for (let i = 1; i <= 8; i++) expect(refusalOf(enter(`203.0.113.${i}`))).toBeNull();
    clock.now = 1_000;
    expect(refusalOf(enter('198.51.100.1'))).toBeNull();
  });

  test('a second that is not over yet is waited for', () => {
    const { enter } = admission({ upgradesPerSecond: 1, upgradesPerAddress: 0 });
    enter();
    expect(enter()).toEqual({ ok: false, refusal: 'upgrades', retryAfterSeconds: 1 });
  });

  test('who is refused for what is global has used up no upgrade, who has too many connections has', () => {
    const full = admission({ maxConnections: 1, upgradesPerSecond: 2, upgradesPerAddress: 0 });
    const first = ticketOf(full.enter());
    for (let i = 0; i < 10; i++) expect(refusalOf(full.enter())).toBe('connections');
    full.guard.release(first);
    expect(refusalOf(full.enter())).toBeNull();

    const waiting = admission({ maxUnauthenticated: 1, upgradesPerSecond: 2, upgradesPerAddress: 0 });
    waiting.enter();
    for (let i = 0; i < 10; i++) expect(refusalOf(waiting.enter())).toBe('unauthenticated');
    expect(refusalOf(waiting.enter('203.0.113.5', false))).toBeNull();

    const crowded = admission({ maxPerAddress: 1, upgradesPerSecond: 2, upgradesPerAddress: 0 });
    expect([crowded.enter(), crowded.enter(), crowded.enter()].map(refusalOf)).toEqual([
      null,
      'address',
      'upgrades',
    ]);
  });

  test('G8 bad input: one address holds no more than its share of the places for unchecked tokens', () => {
    const { guard, enter } = admission({ maxUnauthenticatedPerAddress: 2 });
    const first = ticketOf(enter('203.0.113.1'));
    const second = ticketOf(enter('203.0.113.1'));
    const refusal = 'unauthenticated_per_address';
    expect([enter('203.0.113.1'), enter('203.0.113.2')].map(refusalOf)).toEqual([refusal, null]);
    guard.authenticated(first, null);
    guard.release(first);
    expect([enter('203.0.113.1'), enter('203.0.113.1')].map(refusalOf)).toEqual([null, refusal]);
    guard.release(second);
    guard.release(second);
    expect([enter('203.0.113.1'), enter('203.0.113.1')].map(refusalOf)).toEqual([null, refusal]);
    // Where nobody has to show a token there is none to check.
    expect(refusalOf(enter('203.0.113.1', false))).toBeNull();
  });

  test('who is refused is not counted', () => {
    const { clock, guard, enter } = admission({
      maxPerAddress: 1,
      upgradesPerSecond: 2,
      upgradesPerAddress: 0,
    });
    const slot = ticketOf(enter('203.0.113.1'));
    const before = guard.counts;
    expect(refusalOf(enter('203.0.113.1'))).toBe('address');
    expect(refusalOf(enter('203.0.113.2'))).toBe('upgrades');
    expect(guard.counts).toEqual(before);
    guard.release(slot);
    expect(guard.counts).toEqual(EMPTY);
    // Neither of the two left anything behind that would keep it out now.
    clock.now = 1_000;
    expect([enter('203.0.113.1'), enter('203.0.113.2')].map(refusalOf)).toEqual([null, null]);
  });
});

describe('whose token was accepted', () => {
  test('G8 bad input: no more than so many of one subject, and others do not feel it', () => {
    const { guard, enter } = admission({ maxPerSubject: 1 });
    const [first, second, third] = [ticketOf(enter()), ticketOf(enter()), ticketOf(enter())];
    expect(guard.authenticated(first, 'me')).toBe(true);
    expect(guard.authenticated(second, 'me')).toBe(false);
    expect(guard.authenticated(third, 'you')).toBe(true);
    expect(guard.counts).toEqual({ connections: 3, unauthenticated: 1, addresses: 1, subjects: 2 });
    guard.release(first);
    expect(guard.authenticated(second, 'me')).toBe(true);
  });

  test('a renewal counts once, and leaves once', () => {
    const { guard, enter } = admission({ maxPerSubject: 1 });
    const slot = ticketOf(enter());
    expect([1, 2, 3].map(() => guard.authenticated(slot, 'me'))).toEqual([true, true, true]);
    expect(guard.counts).toEqual({ connections: 1, unauthenticated: 0, addresses: 1, subjects: 1 });
    guard.release(slot);
    expect(guard.counts).toEqual(EMPTY);
    expect(guard.authenticated(ticketOf(enter()), 'me')).toBe(true);
  });

  test('a token of nobody in particular has no limit, until one of somebody comes', () => {
    const { guard, enter } = admission({ maxPerSubject: 1 });
    const tickets = [enter(), enter(), enter()].map(ticketOf);
    expect(tickets.map((slot) => guard.authenticated(slot, null))).toEqual([true, true, true]);
    expect(tickets.map((slot) => guard.authenticated(slot, 'me'))).toEqual([true, false, false]);
    for (const slot of tickets) guard.release(slot);
    expect(guard.counts).toEqual(EMPTY);
  });

  test('the first subject stays', () => {
    const { guard, enter } = admission({ maxPerSubject: 1 });
    const slot = ticketOf(enter());
    guard.authenticated(slot, 'me');
    guard.authenticated(slot, 'you');
    expect(guard.counts.subjects).toBe(1);
    expect(guard.authenticated(ticketOf(enter()), 'you')).toBe(true);
    expect(guard.authenticated(ticketOf(enter()), 'me')).toBe(false);
  });

  test('who left before the token was checked takes no place', () => {
    const { guard, enter } = admission({ maxPerSubject: 1 });
    const gone = ticketOf(enter());
    guard.release(gone);
    expect(guard.authenticated(gone, 'me')).toBe(false);
    expect(guard.counts).toEqual(EMPTY);
  });

  test('who leaves twice frees one place', () => {
    const { guard, enter } = admission({ maxConnections: 2 });
    const slot = ticketOf(enter());
    enter();
    guard.release(slot);
    guard.release(slot);
    expect(guard.counts).toEqual({ connections: 1, unauthenticated: 1, addresses: 1, subjects: 0 });
    expect([enter(), enter()].map(refusalOf)).toEqual([null, 'connections']);
  });
});

describe('what one client may send', () => {
  test('G8 bad input: so many frames in a second, empty ones too', () => {
    const rate = new ClientRateLimiter(3, 0, 0);
    expect([0, 0, 0, 0].map((bytes) => rate.take(bytes, 0))).toEqual([null, null, null, 'client_frames']);
    expect(rate.take(0, 333)).toBe('client_frames');
    expect(rate.take(0, 334)).toBeNull();
  });

  test('G8 bad input: so many bytes in a second', () => {
    const rate = new ClientRateLimiter(0, 1_000, 0);
    expect([600, 400, 1].map((bytes) => rate.take(bytes, 0))).toEqual([null, null, 'client_bytes']);
    expect(rate.take(500, 500)).toBeNull();
  });

  test('a frame above the bytes of one second is over the limit at any time', () => {
    const rate = new ClientRateLimiter(0, 1_000, 0);
    expect(rate.take(1_001, 1e9)).toBe('client_bytes');
    expect(rate.take(1_000, 1e9)).toBeNull();
  });

  test('one client does not use up what another may send', () => {
    const [loud, quiet] = [new ClientRateLimiter(1, 10, 0), new ClientRateLimiter(1, 10, 0)];
    expect([loud.take(10, 0), loud.take(10, 0), quiet.take(10, 0)]).toEqual([null, 'client_frames', null]);
  });

  test('no limit is none', () => {
    const rate = new ClientRateLimiter(0, 0, 0);
    expect(Array.from({ length: 1_000 }, () => rate.take(1e9, 0))).not.toContain('client_bytes');
  });
});
