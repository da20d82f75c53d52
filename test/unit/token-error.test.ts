import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { TokenErrorReason } from '../../internal/auth/verifier.js';
import { craft, hmac, JWT_SECRET, keyPair, part } from '../harness/jwt.js';
import { defectOf, GOOD, HS256, SECONDS, sign, signed, without } from './auth-fixture.js';

const rsa = keyPair('RS256');
const PEM = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const good = signed(GOOD);
const [head = '', body = '', signature = ''] = good.split('.');

const NONE = ['none', 'None', 'NONE', 'nOnE', 'none ', ' none', '', '\u0000none', 'ｎｏｎｅ'];
const IDS = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

describe('G7 nobody unauthorised: a token is refused', () => {
  const tokens: [what: string, defect: TokenErrorReason, text: string][] = [
    ['that is empty', 'missing', ''],
    ['of one word', 'malformed', 'password'],
    ['of dots', 'malformed', '..'],
    ['of two parts', 'malformed', `${head}.${body}`],
    ['of four parts', 'malformed', `${good}.${signature}`],
    [
      'that is encrypted',
      'malformed',
      [part({ alg: 'dir', enc: 'A256GCM' }), '', 'aaaa', 'bbbb', 'cccc'].join('.'),
    ],
    ['of three parts of garbage', 'malformed', 'aaaa.bbbb.cccc'],
    ['whose header is doubled', 'malformed', `${head}.${good}`],
    ['whose claims stand in the header', 'malformed', `${body}.${head}.${signature}`],
    [
      'whose signature is doubled',
      'signature',
      craft(HS256, GOOD, (input) => Buffer.concat([sign(input), sign(input)])),
    ],
    ['whose claims are doubled', 'signature', `${head}.${body}${body}.${signature}`],
    ['that is given twice', 'malformed', `${good}${good}`],
    ['with white space at its end', 'malformed', `${good}\n`],
    [
      'with white space in its signature',
      'malformed',
      `${head}.${body}.${signature.slice(0, 9)} ${signature.slice(9)}`,
    ],
    ['with padding', 'malformed', `${good}=`],
    ['in the other base64', 'malformed', `${head}.${body}.${signature.slice(0, -2)}+/`],
    ['with letters of other scripts', 'malformed', `${head}.${body}.${signature.slice(0, -1)}а`],
    ['that ends in NUL', 'malformed', `${good}\u0000`],
    ['of a million dots', 'malformed', '.'.repeat(1_000_000)],
    ['of a million characters', 'malformed', `${head}.${'a'.repeat(1_000_000)}.${signature}`],
    ['whose header is a list', 'malformed', signed(GOOD, [])],
    ['whose header is null', 'malformed', signed(GOOD, 'null')],
    ['whose header is no JSON', 'malformed', signed(GOOD, '{alg:HS256}')],
    [
      'whose header is not UTF-8',
      'malformed',
      `${Buffer.from([0xff, 0xfe]).toString('base64url')}.${body}.${signature}`,
    ],
    ['without an algorithm', 'malformed', signed(GOOD, { typ: 'JWT' })],
    ['with a list of algorithms', 'malformed', signed(GOOD, { alg: ['HS256'] })],
    ['with crit', 'malformed', signed(GOOD, { ...HS256, crit: ['exp'], exp: 1 })],
    ['with crit that names b64', 'malformed', signed(GOOD, { ...HS256, crit: ['b64'], b64: false })],
    ['with crit that changes nothing', 'malformed', signed(GOOD, { ...HS256, crit: ['b64'], b64: true })],
    ['with an empty crit', 'malformed', signed(GOOD, { ...HS256, crit: [] })],
    ['with crit null', 'malformed', signed(GOOD, { ...HS256, crit: null })],
    ['with a key id that is a number', 'malformed', signed(GOOD, { ...HS256, kid: 7 })],
    ['with an endless key id', 'malformed', signed(GOOD, { ...HS256, kid: 'x'.repeat(600) })],
    ...NONE.map((alg): [string, TokenErrorReason, string] => [
      `of alg ${JSON.stringify(alg)}, unsigned`,
      'algorithm',
      `${part({ alg })}.${part(GOOD)}.`,
    ]),
    ['of alg none with a signature', 'algorithm', signed(GOOD, { alg: 'none' })],
    ['of HS256 without a signature', 'signature', `${head}.${body}.`],
    ['of hs256', 'algorithm', signed(GOOD, { alg: 'hs256' })],
    ['of HS384 by the same secret', 'algorithm', craft({ alg: 'HS384' }, GOOD, hmac(JWT_SECRET, 'sha384'))],
    ['of HS512 by the same secret', 'algorithm', craft({ alg: 'HS512' }, GOOD, hmac(JWT_SECRET, 'sha512'))],
    ['of an algorithm of Object', 'algorithm', signed(GOOD, { alg: 'constructor' })],
    ['of RS256 by a good key', 'algorithm', craft({ alg: 'RS256' }, GOOD, rsa.signer)],
    ['of HS256 by a public RSA key', 'signature', craft(HS256, GOOD, hmac(PEM))],
    [
      'that brings its own key',
      'signature',
      craft({ ...HS256, jwk: { kty: 'oct', k: part('k') } }, GOOD, hmac('k')),
    ],
    ['by another secret', 'signature', craft(HS256, GOOD, hmac(`${JWT_SECRET}x`))],
    ['by no secret', 'signature', craft(HS256, GOOD, hmac(''))],
    [
      'by a hash without a secret',
      'signature',
      craft(HS256, GOOD, (input) => createHash('sha256').update(input).digest()),
    ],
    [
      'whose signature is cut short',
      'signature',
      `${head}.${body}.${signature.slice(0, 22)}`.replace(/.$/, 'A'),
    ],
    ['that has expired', 'expired', signed({ ...GOOD, exp: SECONDS - 1 })],
    ['that expires now', 'expired', signed({ ...GOOD, exp: SECONDS })],
    ['that expired in 1970', 'expired', signed({ ...GOOD, exp: 0 })],
    ['that expired before any date', 'expired', signed({ ...GOOD, exp: -1e300 })],
    ['that is valid from the next second on', 'not_yet_valid', signed({ ...GOOD, nbf: SECONDS + 1 })],
    ['that is valid when no date is left', 'not_yet_valid', signed({ ...GOOD, nbf: 1e300 })],
    ['without exp', 'claims', signed(without('exp'))],
    ['with exp null', 'claims', signed({ ...GOOD, exp: null })],
    ['with exp as text', 'claims', signed({ ...GOOD, exp: String(GOOD.exp) })],
    ['with exp in ms', 'claims', signed({ ...GOOD, exp: Number.MAX_SAFE_INTEGER })],
    ['with exp beyond numbers', 'claims', signed(`{"exp":1e999,"jobs":["*"]}`)],
    ['with exp NaN, which is no JSON', 'malformed', signed(`{"exp":NaN,"jobs":["*"]}`)],
    ['with exp only in a prototype', 'claims', signed(`{"__proto__":{"exp":${GOOD.exp}},"jobs":["*"]}`)],
    ['with jobs only in a prototype', 'claims', signed(`{"__proto__":{"jobs":["*"]},"exp":${GOOD.exp}}`)],
    ['with nbf as text', 'claims', signed({ ...GOOD, nbf: '0' })],
    ['with iat as text', 'claims', signed({ ...GOOD, iat: 'now' })],
    ['with a subject that is a number', 'claims', signed({ ...GOOD, sub: 7 })],
    ['with an endless subject', 'claims', signed({ ...GOOD, sub: 'x'.repeat(257) })],
    ['that opens nothing', 'claims', signed(without('jobs'))],
    ['with no jobs in jobs', 'claims', signed({ ...GOOD, jobs: [] })],
    ['with no types in job_types', 'claims', signed({ ...GOOD, job_types: [] })],
    ['with jobs as text', 'claims', signed({ ...GOOD, jobs: 'job-1' })],
    ['with jobs "*" as text', 'claims', signed({ ...GOOD, jobs: '*' })],
    ['with jobs as an object', 'claims', signed({ ...GOOD, jobs: { 0: '*', length: 1 } })],
    ['with jobs null', 'claims', signed({ ...GOOD, jobs: null })],
    ['with a number among the jobs', 'claims', signed({ ...GOOD, jobs: ['a', 7] })],
    ['with null among the jobs', 'claims', signed({ ...GOOD, jobs: [null] })],
    ['with "*" before jobs', 'claims', signed({ ...GOOD, jobs: ['*', 'a'] })],
    ['with "*" behind jobs', 'claims', signed({ ...GOOD, jobs: ['a', '*'] })],
    ['with "*" twice', 'claims', signed({ ...GOOD, jobs: ['*', '*'] })],
    ['with a subject wildcard', 'claims', signed({ ...GOOD, jobs: ['>'] })],
    ['with a job that is no subject token', 'claims', signed({ ...GOOD, jobs: ['a.b'] })],
    ['with a line break behind a job', 'claims', signed({ ...GOOD, jobs: ['a\n'] })],
    ['with an endless job', 'claims', signed({ ...GOOD, jobs: ['x'.repeat(129)] })],
    ['with too many jobs', 'claims', signed({ ...GOOD, jobs: IDS(1_001) })],
    ['with too many types', 'claims', signed({ ...GOOD, job_types: IDS(257) })],
    ['with "*" among the types', 'claims', signed({ ...GOOD, job_types: ['a', '*'] })],
    ['with a type that is none', 'claims', signed({ ...GOOD, job_types: ['a b'] })],
    ['whose claims are a list', 'malformed', signed([GOOD])],
    ['whose claims are null', 'malformed', signed('null')],
    ['whose claims are no JSON', 'malformed', signed('exp=1')],
  ];
  test.each(tokens)('%s (%s)', async (_, defect, text) => {
    expect(await defectOf(text)).toBe(defect);
  });

  const settings = { issuer: 'https://id.example', audience: 'headway' };
  const named = { ...GOOD, iss: settings.issuer, aud: settings.audience };
  test.each<[what: string, defect: TokenErrorReason, claims: unknown]>([
    ['without an issuer', 'issuer', { ...GOOD, aud: named.aud }],
    ['of another issuer', 'issuer', { ...named, iss: 'https://id.example/' }],
    ['with a list of issuers', 'issuer', { ...named, iss: [named.iss] }],
    ['without an audience', 'audience', { ...GOOD, iss: named.iss }],
    ['for another audience', 'audience', { ...named, aud: 'headway2' }],
    ['for other audiences', 'audience', { ...named, aud: ['a', 'b'] }],
    ['for no audience', 'audience', { ...named, aud: [] }],
    ['for an audience that is an object', 'audience', { ...named, aud: { headway: 1 } }],
  ])('%s', async (_, defect, claims) => {
    expect(await defectOf(signed(claims), settings)).toBe(defect);
  });

  test('before its signature fits, whatever else is wrong is not told', async () => {
    const forged = craft(HS256, { exp: 0, iss: 'x', jobs: 7 }, hmac('another'));
    expect(await defectOf(forged, settings)).toBe('signature');
  });
});
