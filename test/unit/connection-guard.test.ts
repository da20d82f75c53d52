import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { grantOf } from '../../internal/auth/grant.js';
import type { Verifier, VerifyResult } from '../../internal/auth/verifier.js';
import { TrustedProxies } from '../../internal/edge/client-address.js';
import {
  type AuthResult,
  ConnectionGuard,
  type ConnectionGuardDeps,
  type GuardNotice,
  type Handshake,
  type PendingConnection,
} from '../../internal/edge/connection-guard.js';
import { Admission, type AdmissionLimits } from '../../internal/edge/limits.js';
import { OriginPolicy } from '../../internal/edge/origin.js';
import type { Scope } from '../../internal/eventlog/record.js';
import type { Claims } from '../../schemas/claims.js';

const EXP = Date.parse('2026-01-31T13:00:00Z') / 1_000;
const JOB: Scope = { kind: 'job', id: 'job-1', jobTypes: null };
const ALL: Scope = { kind: 'all', jobTypes: null };

const good = (claims: Partial<Claims> = {}): VerifyResult => ({
  ok: true,
  grant: grantOf({ exp: EXP, ...claims }),
});

/** A verifier whose answers the test gives, in the order in which they are given. */
function scriptedVerifier() {
  const open: ((result: VerifyResult) => void)[] = [];
  const tokens: string[] = [];
  const verifier: Verifier = {
    verify: (token) => {
      tokens.push(token);
      return new Promise((resolve) => open.push(resolve));
    },
    close: () => {},
  };
  return { verifier, tokens, answer: (result: VerifyResult) => open.shift()?.(result) };
}

function createGuard(limits: Partial<AdmissionLimits> = {}, parts: Partial<ConnectionGuardDeps> = {}) {
  const script = scriptedVerifier();
  const notices: GuardNotice[] = [];
  const admission = new Admission(
    {
      maxConnections: 0,
      maxPerAddress: 0,
      maxPerSubject: 0,
      maxUnauthenticated: 0,
      maxUnauthenticatedPerAddress: 0,
      upgradesPerSecond: 0,
      upgradesPerAddress: 0,
      ...limits,
    },
    () => 0,
  );
  const guard = new ConnectionGuard({
    verifier: script.verifier,
    origins: new OriginPolicy(['https://app.example.com']),
    proxies: new TrustedProxies(['10.0.0.0/8']),
    admission,
    hasCapacity: () => true,
    hasCapacityFor: () => true,
    isSecure: false,
    tokenInQuery: false,
    tokenWarningMs: 60_000,
    tokenToleranceMs: 5_000,
    wallClock: () => EXP * 1_000 - 60_000,
    authTimeoutMs: 1_000,
    notice: (notice) => void notices.push(notice),
    ...parts,
  });
  return {
    ...script,
    notices,
    guard,
    admission,
    /** Knocks and comes in. */
    enter(handshake: Partial<Handshake> = {}): PendingConnection {
      const entry = guard.checkUpgrade({ ...NOBODY, ...handshake });
      if (entry.kind !== 'pending') throw new Error(`turned away: ${entry.detail}`);
      return entry.pending;
    },
  };
}

const NOBODY: Handshake = {
  peer: '192.0.2.1',
  origin: '',
  host: 'edge.example.com',
  forwardedFor: '',
  forwardedProto: '',
  authorization: '',
  subprotocols: '',
  queryToken: null,
};
const TOKEN = { authorization: 'Bearer a.b.c' };
const NONE_OPEN = { connections: 0, unauthenticated: 0, addresses: 0, subjects: 0 };

function outcome(admitted: AuthResult): string {
  return admitted.ok ? 'ok' : admitted.code;
}

describe('before the upgrade', () => {
  test.each<[string, Partial<Handshake>, string]>([
    ['no origin', {}, 'pending'],
    ['its own', { origin: 'http://edge.example.com' }, 'pending'],
    ['its own over TLS', { origin: 'https://edge.example.com' }, 'forbidden_origin'],
    ['a listed one', { origin: 'https://app.example.com' }, 'pending'],
    ['a foreign one', { origin: 'https://evil.example.com' }, 'forbidden_origin'],
    ['null', { origin: 'null' }, 'forbidden_origin'],
    ['one that goes on', { origin: 'https://app.example.com.evil.com' }, 'forbidden_origin'],
    [
      'its own behind a trusted proxy with TLS',
      { peer: '10.1.2.3', origin: 'https://edge.example.com', forwardedProto: 'https' },
      'pending',
    ],
    [
      'the same from a peer that is not trusted',
      { origin: 'https://edge.example.com', forwardedProto: 'https' },
      'forbidden_origin',
    ],
  ])('G7 nobody unauthorised: origin: %s', (_, handshake, expected) => {
    const { guard, admission } = createGuard();
    const entry = guard.checkUpgrade({ ...NOBODY, ...handshake });
    expect(entry.kind === 'rejected' ? entry.code : entry.kind).toBe(expected);
    if (entry.kind === 'rejected') {
      expect(entry).toMatchObject({ status: 403, retryAfterSeconds: null });
      expect(admission.counts).toEqual(NONE_OPEN);
    }
  });

  test.each<[string, Partial<AdmissionLimits>]>([
    ['connections', { maxConnections: 1 }],
    ['unauthenticated', { maxUnauthenticated: 1 }],
    ['upgrades', { upgradesPerSecond: 1, upgradesPerAddress: 0 }],
  ])('G8 bad input: too many (%s) are turned away with 503 and a time to come back', (_, limits) => {
    const { guard, enter, admission } = createGuard(limits);
    enter();
    const before = admission.counts;
    expect(guard.checkUpgrade(NOBODY)).toMatchObject({ kind: 'rejected', status: 503, code: 'overloaded' });
    const entry = guard.checkUpgrade(NOBODY);
    expect(entry.kind === 'rejected' && entry.retryAfterSeconds).toBeGreaterThanOrEqual(1);
    expect(admission.counts).toEqual(before);
  });

  test('G8 bad input: while the edge has no room everybody is turned away, and nobody counts', () => {
    const { guard, admission } = createGuard({}, { hasCapacity: () => false });
    expect(guard.checkUpgrade(NOBODY)).toMatchObject({ status: 503, retryAfterSeconds: 1 });
    expect(admission.counts).toEqual(NONE_OPEN);
  });

  test('G7 nobody unauthorised: a foreign origin is told before whether there is room', () => {
    const { guard } = createGuard({}, { hasCapacity: () => false });
    expect(guard.checkUpgrade({ ...NOBODY, origin: 'https://evil.example.com' })).toMatchObject({
      status: 403,
    });
  });

  test('G8 bad input: too many of one address are upgraded to be told so, whatever they carry, and count nowhere', () => {
    const { guard, enter, admission, tokens } = createGuard({ maxPerAddress: 1 });
    enter();
    const second = enter(TOKEN);
    expect(second.slot).toBeNull();
    expect(guard.authorize(second, JOB)).toMatchObject({ ok: false, code: 'too_many_connections' });
    expect(tokens).toEqual([]);
    guard.release(second);
    expect(admission.counts).toMatchObject({ connections: 1, unauthenticated: 1, addresses: 1 });
  });

  test('addresses behind a trusted proxy count by themselves; those that anybody claims do not', () => {
    const { enter } = createGuard({ maxPerAddress: 1 });
    expect(enter({ peer: '10.0.0.1', forwardedFor: '198.51.100.1' }).slot).not.toBeNull();
    expect(enter({ peer: '10.0.0.1', forwardedFor: '198.51.100.2' }).slot).not.toBeNull();
    expect(enter({ peer: '10.0.0.1', forwardedFor: '198.51.100.9, 198.51.100.2' }).slot).toBeNull();
    expect(enter({ forwardedFor: '198.51.100.3' }).slot).not.toBeNull();
    expect(enter({ forwardedFor: '198.51.100.4' }).slot).toBeNull();
  });
});

describe('the token', () => {
  test('an edge that runs open asks nobody, and nobody is unauthenticated', () => {
    const { guard, enter, admission } = createGuard({}, { verifier: null });
    const pending = enter({ authorization: 'Basic xyz' });
    expect(guard.authorize(pending, JOB)).toMatchObject({ ok: true, scope: JOB, credentials: null });
    expect(admission.counts).toMatchObject({ connections: 1, unauthenticated: 0 });
    guard.release(pending);
    expect(admission.counts).toEqual(NONE_OPEN);
  });

  test.each<[string, Partial<Handshake>]>([
    ['none', {}],
    ['another scheme', { authorization: 'Basic dXNlcjpwYXNz' }],
    ['two in the header', { authorization: 'Bearer a.b.c,Bearer d.e.f' }],
    ['one in the header and one as subprotocol', { ...TOKEN, subprotocols: 'progress.v1, bearer.d.e.f' }],
    ['an empty subprotocol', { subprotocols: 'progress.v1, bearer.' }],
  ])('G7 nobody unauthorised: what it carries: %s', (_, handshake) => {
    const { guard, enter, tokens } = createGuard();
    const admitted = guard.authorize(enter(handshake), JOB);
    expect(admitted).toMatchObject({ ok: false, code: 'unauthorized' });
    expect(tokens).toEqual([]);
  });

  test.each<[string, Partial<Handshake>, boolean, string | null]>([
    ['by header', TOKEN, false, 'a.b.c'],
    ['by subprotocol', { subprotocols: 'progress.v1, bearer.d.e.f' }, false, 'd.e.f'],
    ['by query, where it is off', { queryToken: 'g.h.i', origin: 'https://app.example.com' }, false, null],
    ['by query', { queryToken: 'g.h.i', origin: 'https://app.example.com' }, true, 'g.h.i'],
    ['by query, from no browser', { queryToken: 'g.h.i' }, true, null],
    ['by header, beside a query that is off', { ...TOKEN, queryToken: 'g.h.i' }, false, 'a.b.c'],
  ])('G7 nobody unauthorised: it comes %s', async (_, handshake, tokenInQuery, expected) => {
    const { guard, enter, tokens, answer } = createGuard({}, { tokenInQuery });
    const admitted = guard.authorize(enter(handshake), JOB);
    answer(good({ jobs: ['*'] }));
    expect(outcome(await admitted)).toBe(expected === null ? 'unauthorized' : 'ok');
    expect(tokens).toEqual(expected === null ? [] : [expected]);
  });

  test.each<[VerifyResult, string]>([
    [{ ok: false, defect: 'expired', message: 'the token expired' }, 'token_expired'],
    [{ ok: false, defect: 'signature', message: 'wrong key' }, 'unauthorized'],
    [{ ok: false, defect: 'claims', message: 'no jobs' }, 'unauthorized'],
    [{ ok: false, defect: 'keys_unavailable', message: 'no keys' }, 'internal'],
    [good({ jobs: ['job-2'] }), 'forbidden'],
    [good({ jobs: ['job-1'] }), 'ok'],
  ])('G7 nobody unauthorised: a result and what the client is told', async (result, expected) => {
    const { guard, enter, answer, admission } = createGuard();
    const pending = enter(TOKEN);
    const admitted = guard.authorize(pending, JOB);
    answer(result);
    expect(outcome(await admitted)).toBe(expected);
    expect(admission.counts.unauthenticated).toBe(expected === 'ok' ? 0 : 1);
    guard.release(pending);
    expect(admission.counts).toEqual(NONE_OPEN);
  });

  test('G7 nobody unauthorised: a scope is narrowed to what the token opens', async () => {
    const { guard, enter, answer } = createGuard();
    const admitted = guard.authorize(enter(TOKEN), ALL);
    answer(good({ job_types: ['a', 'b'] }));
    expect(await admitted).toMatchObject({ ok: true, scope: { kind: 'all', jobTypes: new Set(['a', 'b']) } });
  });

  test('G8 bad input: too many of one subject; those without one are not counted', async () => {
    const { guard, enter, answer, admission } = createGuard({ maxPerSubject: 1 });
    const admit = async (sub?: string) => {
      const pending = enter(TOKEN);
      const admitted = guard.authorize(pending, ALL);
      answer(good({ jobs: ['*'], ...(sub !== undefined && { sub }) }));
      const result = outcome(await admitted);
      if (result !== 'ok') guard.release(pending);
      return { pending, result };
    };
    const first = await admit('ada');
    expect(first.result).toBe('ok');
    expect((await admit('ada')).result).toBe('too_many_connections');
    expect((await admit('bob')).result).toBe('ok');
    expect((await admit()).result).toBe('ok');
    expect((await admit()).result).toBe('ok');
    guard.release(first.pending);
    expect((await admit('ada')).result).toBe('ok');
    expect(admission.counts).toMatchObject({ connections: 4, unauthenticated: 0, subjects: 2 });
  });

  test('who leaves while the token is being checked counts no more, whatever comes of it', async () => {
    const { guard, enter, answer, admission } = createGuard();
    const pending = enter(TOKEN);
    const admitted = guard.authorize(pending, JOB);
    guard.release(pending);
    guard.release(pending);
    answer(good({ sub: 'ada', jobs: ['*'] }));
    expect(outcome(await admitted)).not.toBe('ok');
    expect(admission.counts).toEqual(NONE_OPEN);
  });
});

describe('the deadline', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test('a token whose check takes too long is refused for now, and what comes later changes nothing', async () => {
    const { guard, enter, answer, admission } = createGuard();
    const pending = enter(TOKEN);
    const seen: AuthResult[] = [];
    void Promise.resolve(guard.authorize(pending, JOB)).then((admitted) => seen.push(admitted));
    await vi.advanceTimersByTimeAsync(999);
    expect(seen).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(seen).toMatchObject([{ ok: false, code: 'internal', defect: 'keys_unavailable' }]);
    answer(good({ jobs: ['*'] }));
    await vi.advanceTimersByTimeAsync(0);
    expect(seen).toHaveLength(1);
    expect(admission.counts.unauthenticated).toBe(1);
  });

  test('no timer stays behind when the check was quick', async () => {
    const { guard, enter, answer } = createGuard();
    const admitted = guard.authorize(enter(TOKEN), JOB);
    answer(good({ jobs: ['*'] }));
    await admitted;
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a new token whose check takes too long is of unknown worth', async () => {
    const { guard, enter, answer } = createGuard();
    const admitted = guard.authorize(enter(TOKEN), JOB);
    answer(good({ jobs: ['*'] }));
    const { credentials } = (await admitted) as Extract<AuthResult, { ok: true }>;
    const renewal = credentials?.renew('new');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await renewal).toEqual({ kind: 'unknown' });
  });
});

describe('who asks, for turns and for reads that wait', () => {
  const V6 = '2001:db8:1:2:3:4:5:6';

  test.each<[string, Partial<Handshake>, Partial<Claims>, string]>([
    ['a subject', {}, { sub: 'alice' }, 'subject alice'],
    ['a subject that looks like an address', {}, { sub: 'address 192.0.2.1' }, 'subject address 192.0.2.1'],
    ['no subject', {}, {}, 'address 192.0.2.1'],
    ['no subject, behind a proxy', { peer: '10.0.0.1', forwardedFor: V6 }, {}, 'address 2001:db8:1:2::/64'],
  ])('with a token: %s', async (_, handshake, claims, requester) => {
    const asked: string[] = [];
    const room = { yes: false };
    const { guard, enter, answer, admission } = createGuard(
      {},
      {
        hasCapacityFor: (one) => {
          asked.push(one);
          return room.yes;
        },
      },
    );
    const admit = () => {
      const admitted = guard.authorize(enter({ ...TOKEN, ...handshake }), JOB);
      answer(good({ jobs: ['*'], ...claims }));
      return admitted;
    };
    // Not before the token is checked: it may be of somebody else than those whose reads wait.
    expect(await admit()).toMatchObject({
      ok: false,
      code: 'overloaded',
      limit: 'pending_reads_per_subject',
    });
    expect(admission.counts).toMatchObject({ subjects: 0 });
    room.yes = true;
    expect(await admit()).toMatchObject({ ok: true, requester });
    expect(asked).toEqual([requester, requester]);
  });

  test('without tokens: the address, before the upgrade', () => {
    const full = 'address 192.0.2.1';
    const { guard, enter, admission } = createGuard(
      {},
      { verifier: null, hasCapacityFor: (one) => one !== full },
    );
    expect(guard.checkUpgrade(NOBODY)).toMatchObject({
      status: 503,
      limit: 'pending_reads_per_subject',
      retryAfterSeconds: 1,
    });
    expect(admission.counts).toEqual(NONE_OPEN);
    const other = enter({ peer: '192.0.2.2' });
    expect(guard.authorize(other, JOB)).toMatchObject({ ok: true, requester: 'address 192.0.2.2' });
  });
});

describe('the permit', () => {
  async function permitOf(claims: Partial<Claims>, parts: Partial<ConnectionGuardDeps> = {}) {
    const { guard, enter, answer } = createGuard({}, parts);
    const admitted = guard.authorize(enter(TOKEN), ALL);
    answer(good(claims));
    const result = await admitted;
    if (!result.ok || result.credentials === null) throw new Error('no permit');
    const { credentials } = result;
    return {
      credentials,
      renewed: (result: VerifyResult) => {
        const renewal = credentials.renew('new');
        answer(result);
        return renewal;
      },
    };
  }

  test('it lasts as long as the token, to the millisecond', async () => {
    const { credentials } = await permitOf({ exp: EXP + 0.25, jobs: ['*'] });
    expect(credentials).toMatchObject({
      warnMs: 60_000,
      expiry: { at: EXP * 1_000 + 250, text: '2026-01-31T13:00:00.250Z' },
    });
  });

  test.each([
    [-1, 0],
    [0, 5_000],
    [4_999, 5_000],
  ])('looked at %i ms after its end it lasts %i ms longer than it says', async (lateMs, longerMs) => {
    const { credentials } = await permitOf({ jobs: ['*'] }, { wallClock: () => EXP * 1_000 + lateMs });
    expect(credentials.expiry).toEqual({ at: EXP * 1_000 + longerMs, text: '2026-01-31T13:00:00.000Z' });
  });

  test('the last second that a token may name is a time', async () => {
    const { credentials } = await permitOf({ exp: 8_640_000_000_000, jobs: ['*'] });
    expect(credentials.expiry.at).toBe(8.64e15);
  });

  test.each<[string, string | undefined, string | undefined, string]>([
    ['the same', 'ada', 'ada', 'renewed'],
    ['another', 'ada', 'bob', 'forbidden'],
    ['none any more', 'ada', undefined, 'forbidden'],
    ['one after none', undefined, 'ada', 'forbidden'],
    ['none as before', undefined, undefined, 'renewed'],
    ['none as before, written as ""', undefined, '', 'renewed'],
  ])('G7 nobody unauthorised: a new token and its subject: %s', async (_, before, after, expected) => {
    const sub = (text: string | undefined) => (text === undefined ? {} : { sub: text });
    const { renewed } = await permitOf({ jobs: ['*'], ...sub(before) });
    const renewal = await renewed(good({ jobs: ['*'], ...sub(after) }));
    expect(renewal.kind === 'refused' ? renewal.code : renewal.kind).toBe(expected);
  });

  test('G7 nobody unauthorised: a bad new token is refused as such, also one that is only over', async () => {
    const { renewed } = await permitOf({ jobs: ['*'] });
    expect(await renewed({ ok: false, defect: 'expired', message: 'over' })).toEqual({
      kind: 'refused',
      code: 'unauthorized',
      message: 'over',
    });
  });

  test('a new token that cannot be checked is of unknown worth', async () => {
    const { renewed } = await permitOf({ jobs: ['*'] });
    expect(await renewed({ ok: false, defect: 'keys_unavailable', message: 'away' })).toEqual({
      kind: 'unknown',
    });
  });

  test('G7 nobody unauthorised: a new token narrows by what it opens itself', async () => {
    const { renewed } = await permitOf({ jobs: ['*'] });
    const renewal = await renewed(good({ exp: EXP + 60, job_types: ['a'] }));
    if (renewal.kind !== 'renewed') throw new Error(renewal.kind);
    expect(renewal.expiry.text).toBe('2026-01-31T13:01:00.000Z');
    expect(renewal.narrow(ALL)).toEqual({ ok: true, scope: { kind: 'all', jobTypes: new Set(['a']) } });
    expect(renewal.narrow({ kind: 'all', jobTypes: new Set(['b']) })).toMatchObject({ ok: false });
  });
});

describe('what may be wrong with the settings is noticed, once', () => {
  test('most connections are from one address', () => {
    const { enter, guard, notices } = createGuard({ maxPerAddress: 6 });
    enter({ peer: '192.0.2.2' });
    enter({ peer: '192.0.2.3' });
    const crowd = Array.from({ length: 2 }, () => enter());
    expect(notices).toEqual([]);
    crowd.push(enter());
    expect(notices).toEqual([{ kind: 'crowded_address', address: '192.0.2.1', held: 3, connections: 5 }]);
    for (const pending of crowd) guard.release(pending);
    for (let i = 0; i < 5; i++) enter();
    expect(notices).toHaveLength(1);
  });

  test('not where as many come from elsewhere, and not where addresses are not limited', () => {
    const fair = createGuard({ maxPerAddress: 6 });
    for (let i = 0; i < 6; i++) fair.enter({ peer: `192.0.2.${2 + (i % 3)}` });
    for (let i = 0; i < 6; i++) fair.enter();
    expect(fair.notices).toEqual([]);
    const free = createGuard();
    for (let i = 0; i < 100; i++) free.enter();
    expect(free.notices).toEqual([]);
  });

  test('a trusted proxy does not say whom it brings', () => {
    const { enter, notices } = createGuard();
    enter({ peer: '10.0.0.1', forwardedFor: '192.0.2.7' });
    enter({ peer: '192.0.2.1' });
    expect(notices).toEqual([]);
    for (let i = 0; i < 3; i++) enter({ peer: '10.0.0.2' });
    expect(notices).toEqual([{ kind: 'silent_proxy', address: '10.0.0.2' }]);
  });
});
