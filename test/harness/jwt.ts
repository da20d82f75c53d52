/** Tokens as tests need them: also such as no library would make. */
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** A secret of an edge; made anew for each test process. */
export const JWT_SECRET = randomBytes(48).toString('base64');

export type Signer = (input: string) => Buffer;

/** Objects are written as JSON, texts as they are. */
export function part(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** A token of these parts, whatever they say. */
export function craft(header: unknown, claims: unknown, signer: Signer): string {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${signer(input).toString('base64url')}`;
}

export function hmac(secret: string, hash = 'sha256'): Signer {
  return (input) => createHmac(hash, secret).update(input).digest();
}

/** A token as an edge with `JWT_SECRET` takes it, for an hour from now on if `claims` say nothing else. */
export function token(claims: Record<string, unknown>, secret = JWT_SECRET): string {
  const exp = Math.floor(Date.now() / 1000) + 3_600;
  return craft({ alg: 'HS256', typ: 'JWT' }, { exp, ...claims }, hmac(secret));
}

/** A key pair of one signature algorithm, with its public half as a JWKS holds it. */
export interface KeyPair {
  readonly alg: string;
  readonly kid: string | undefined;
  readonly jwk: Record<string, unknown>;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly signer: Signer;
}

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

/** Makes a pair for RS…, PS…, ES… or EdDSA. `kid: null`: a key without an id. */
export function keyPair(alg: string, kid: string | null = alg, rsaBits = 2048): KeyPair {
  const namedCurve = CURVES[alg];
  const { publicKey, privateKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : namedCurve !== undefined
        ? generateKeyPairSync('ec', { namedCurve })
        : generateKeyPairSync('rsa', { modulusLength: rsaBits });
  const hash = alg === 'EdDSA' ? null : `sha${alg.slice(2)}`;
  const padding = alg.startsWith('PS') ? { padding: 6, saltLength: Number(alg.slice(2)) / 8 } : {};
  const signer: Signer = (input) =>
    sign(hash, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363', ...padding });
  const jwk = { ...publicKey.export({ format: 'jwk' }), alg, use: 'sig', ...(kid !== null && { kid }) };
  return { alg, kid: kid ?? undefined, jwk, publicKey, privateKey, signer };
}

/** A token that one of a JWKS's keys signed. */
export function signedBy(pair: KeyPair, claims: Record<string, unknown>, header = {}): string {
  const own = { alg: pair.alg, ...(pair.kid !== undefined && { kid: pair.kid }) };
  return craft({ ...own, ...header }, claims, pair.signer);
}
