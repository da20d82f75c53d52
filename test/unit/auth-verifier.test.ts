import { describe, expect, test } from 'vitest';
import { createVerifier, type VerifierSettings } from '../../internal/auth/verifier.js';
import { JWT_SECRET, keyPair, token } from '../harness/jwt.js';
import { defectOf, GOOD, HS256, NOW, SECONDS, signed, verifier, without } from './auth-fixture.js';

const rsa = keyPair('RS256');
const PEM = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString();

describe('a good token', () => {
  test('gives the grant that it says', async () => {
    const claims = {
      ...GOOD,
      sub: 'ada',
      jobs: ['a', 'b'],
      job_types: ['pdf.ocr'],
      exp: SECONDS + 60.5,
      extra: {},
    };
    expect(await verifier().verify(signed(claims))).toEqual({
      ok: true,
      grant: {
        subject: 'ada',
        jobs: new Set(['a', 'b']),
        jobTypes: new Set(['pdf.ocr']),
        expiresAt: NOW + 60_500,
      },
    });
  });

  test.each([
    ['every job', { jobs: ['*'] }, { jobs: 'all', jobTypes: new Set() }],
    ['every type', { job_types: ['*'] }, { jobs: new Set(), jobTypes: 'all' }],
    ['nobody as its subject', { ...GOOD, sub: '' }, { subject: null }],
    ['no subject', GOOD, { subject: null }],
  ])('may name %s', async (_, claims, grant) => {
    const result = await verifier().verify(signed({ exp: GOOD.exp, ...claims }));
    expect(result).toMatchObject({ ok: true, grant });
  });

  test.each([
    { typ: 'JWT' },
    { typ: 'at+jwt' },
    { typ: 7 },
    { kid: 'unknown' },
    { jku: 'http://127.0.0.1:1/' },
  ])('may have %j in its header', async (header) => {
    expect(await defectOf(signed(GOOD, { ...HS256, ...header }))).toBe('none');
  });

  test('may be as long as 8192 characters, and not one longer', async () => {
    const filled = (length: number) => {
      for (let size = 5_900; ; size++) {
        const text = signed({ ...GOOD, filler: 'x'.repeat(size) });
        if (text.length >= length) return text;
      }
    };
    const longest = filled(8_191);
    expect(longest.length).toBeLessThanOrEqual(8_192);
    expect(await defectOf(longest)).toBe('none');
    expect(await defectOf(filled(8_193))).toBe('malformed');
  });

  test('is judged by issuer and audience only where these are set', async () => {
    const both = { issuer: 'https://id.example', audience: 'headway' };
    expect(await defectOf(signed({ ...GOOD, iss: 'anyone', aud: ['anything'] }))).toBe('none');
    expect(await defectOf(signed({ ...GOOD, iss: both.issuer, aud: both.audience }), both)).toBe('none');
    expect(await defectOf(signed({ ...GOOD, iss: both.issuer, aud: ['x', both.audience] }), both)).toBe(
      'none',
    );
  });
});

describe('the clock tolerance', () => {
  test.each([
    [{ exp: SECONDS - 4 }, 'none'],
    [{ exp: SECONDS - 5 }, 'expired'],
    [{ nbf: SECONDS + 5 }, 'none'],
    [{ nbf: SECONDS + 6 }, 'not_yet_valid'],
  ])('of 5 s, for %j: %s', async (claims, defect) => {
    expect(await defectOf(signed({ ...GOOD, ...claims }), { clockToleranceSeconds: 5 })).toBe(defect);
  });

  test('does not move the time at which the grant expires', async () => {
    const result = await verifier({ clockToleranceSeconds: 5 }).verify(signed({ ...GOOD, exp: SECONDS - 4 }));
    expect(result).toMatchObject({ ok: true, grant: { expiresAt: NOW - 4_000 } });
  });

  test('the clock is the one that was passed in', async () => {
    let now = NOW;
    const check = createVerifier({ secret: JWT_SECRET, clockToleranceSeconds: 0 }, () => now);
    expect((await check.verify(signed(GOOD))).ok).toBe(true);
    now += 60_000;
    expect(await check.verify(signed(GOOD))).toEqual({
      ok: false,
      defect: 'expired',
      message: 'the token expired at 2026-01-31T12:01:00.000Z',
    });
  });
});

describe('what a developer is told', () => {
  test.each([
    [{ ...GOOD, nbf: SECONDS + 60 }, 'the token is not valid before 2026-01-31T12:01:00.000Z (nbf)'],
    [without('exp'), 'the token has no exp; expected a time in seconds since 1970'],
    [{ ...GOOD, exp: '1' }, "the token's claim exp is not valid; expected a time in seconds since 1970"],
    [
      without('jobs'),
      "the token's claims do not fit: neither jobs nor job_types is there; expected one of them, to say what the token opens",
    ],
    [
      { ...GOOD, jobs: ['a', '*'] },
      'the token\'s claims do not fit: jobs is not valid; expected a list of 1 to 1000 jobs, each 1 to 128 of A-Z a-z 0-9 _ -, or ["*"] alone',
    ],
  ])('%j', async (claims, message) => {
    expect(await verifier().verify(signed(claims))).toMatchObject({ ok: false, message });
  });
});

describe('settings that cannot be', () => {
  test.each<[string, Partial<VerifierSettings>]>([
    ['a secret of 31 bytes', { secret: 'x'.repeat(31) }],
    ['an empty secret', { secret: '' }],
    ['a public key as the secret', { secret: PEM }],
    ['a public key in JSON as the secret', { secret: JSON.stringify(rsa.jwk) }],
    ['a JWKS URL that is none', { jwksUrl: 'id.example/keys' }],
    ['a JWKS URL of a file', { jwksUrl: 'file:///etc/passwd' }],
    ['a JWKS URL with a password', { jwksUrl: 'https://ada:hunter2@id.example/keys' }],
    ['a negative tolerance', { clockToleranceSeconds: -1 }],
    ['a tolerance that is no number', { clockToleranceSeconds: Number.NaN }],
    ['a tolerance without end', { clockToleranceSeconds: Number.POSITIVE_INFINITY }],
  ])('%s', (_, settings) => {
    const make = () => verifier(settings);
    expect(make).toThrow(RangeError);
    expect(make).not.toThrow(/hunter2|BEGIN|"n"/);
  });

  test('neither a secret nor a JWKS URL', () => {
    expect(() => createVerifier({ clockToleranceSeconds: 0 }, () => NOW)).toThrow(RangeError);
  });

  test('32 bytes are enough, also of fewer characters', async () => {
    const secret = 'ü'.repeat(16);
    const check = createVerifier({ secret, clockToleranceSeconds: 0 }, Date.now);
    expect((await check.verify(token({ jobs: ['*'] }, secret))).ok).toBe(true);
    check.close();
  });
});
