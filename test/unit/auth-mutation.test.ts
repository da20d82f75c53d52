import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defectOf, GOOD, NOW, SECONDS, signed, verifier } from './auth-fixture.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const parameters = { numRuns: RUNS, ...(SEED ? { seed: Number(SEED) } : {}) };

const good = signed(GOOD);

describe('G7 nobody unauthorised: a token is refused', () => {
  test('of which any one character was changed, left out or doubled', async () => {
    const check = verifier();
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const spoiled = new Set<string>();
    for (let at = 0; at < good.length; at++) {
      spoiled.add(good.slice(0, at) + good.slice(at + 1));
      spoiled.add(good.slice(0, at) + good.charAt(at) + good.slice(at));
    }
    // The last character holds two bits that are none of the signature's: each must have its one spelling.
    for (const letter of alphabet) spoiled.add(good.slice(0, -1) + letter);
    spoiled.delete(good);
    for (const text of spoiled) expect([text, (await check.verify(text)).ok]).toEqual([text, false]);
    expect(await defectOf(good)).toBe('none');
  });

  test('however it was changed', async () => {
    const check = verifier();
    const letter = fc.string({ unit: 'binary', minLength: 1, maxLength: 3 });
    const base64 = fc.stringMatching(/^[A-Za-z0-9_.-]{1,20}$/);
    const change = fc.record({
      at: fc.nat(good.length),
      cut: fc.nat(20),
      put: fc.oneof(letter, base64, fc.constant('')),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        let text = good;
        for (const { at, cut, put } of changes) text = text.slice(0, at) + put + text.slice(at + cut);
        fc.pre(text !== good);
        expect((await check.verify(text)).ok).toBe(false);
      }),
      parameters,
    );
  });

  test('whatever it is', async () => {
    const check = verifier();
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(fc.base64String(), { maxLength: 6 }).map((it) => it.join('.')),
        ),
        async (text) => {
          expect((await check.verify(text)).ok).toBe(false);
        },
      ),
      parameters,
    );
  });
});

describe('G8 bad input: claims of any kind', () => {
  test('end in a result, and only a good exp with jobs or job_types in a grant', async () => {
    const check = verifier();
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>(['*'], ['a'], ['a', '*'], SECONDS + 60, SECONDS - 60, 'x', []),
    );
    const claims = fc.record(
      { exp: value, nbf: value, iat: value, sub: value, jobs: value, job_types: value },
      { requiredKeys: [] },
    );
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(claims, async (made) => {
        const result = await check.verify(signed(made));
        seen.add(result.ok ? 'grant' : result.defect);
        if (!result.ok) return;
        expect(result.grant.expiresAt).toBeGreaterThan(NOW);
        expect(Number(made.exp) * 1000).toBe(result.grant.expiresAt);
        expect(made.jobs ?? made.job_types).toBeInstanceOf(Array);
        expect(Number(made.nbf ?? 0)).toBeLessThanOrEqual(SECONDS);
      }),
      { ...parameters, examples: [[{ ...GOOD }], [{ ...GOOD, exp: SECONDS - 60 }]] },
    );
    expect(seen).toContain('grant');
    expect(seen).toContain('expired');
  });
});
