import { type CryptoKey, jwtVerify } from 'jose';
import { checkClaims } from '../../schemas/claims.js';
import { parseUrl } from '../../schemas/text.js';
import { type Grant, grantOf } from './grant.js';
import { KEY_SET_LIMITS, type KeyReport, type KeySetLimits, RemoteKeys } from './jwks.js';
import { type JwtHeader, parseJwtHeader } from './jwt-header.js';
import { importSecret, secretProblem } from './shared-secret.js';
import {
  explainError,
  refuse,
  refuseAlgorithm,
  refuseForKeys,
  type TokenErrorReason,
} from './token-error.js';

export type { TokenErrorReason };

export type VerifyResult =
  | { readonly ok: true; readonly grant: Grant }
  | { readonly ok: false; readonly defect: TokenErrorReason; readonly message: string };

export interface Verifier {
  /** Whether a token is good, and what it opens. Never rejects; no message holds anything of token or secret. */
  verify(token: string): Promise<VerifyResult>;
  /** Ends what is under way towards the JWKS host. Tokens of its keys may be refused from here on. */
  close(): void;
}

export interface VerifierSettings {
  /** Checks HS256. At least 32 bytes of UTF-8. */
  readonly secret?: string;
  /** Checks the asymmetric algorithms; http or https. */
  readonly jwksUrl?: string;
  /** What `iss` must be; unset: anything. */
  readonly issuer?: string;
  /** What `aud` must be or contain; unset: anything. */
  readonly audience?: string;
  /** How far `exp` and `nbf` may be missed, either way. */
  readonly clockToleranceSeconds: number;
}

export interface VerifierOptions {
  readonly limits?: Partial<KeySetLimits>;
  /** Told of each request for keys. */
  readonly onKeys?: (report: KeyReport) => void;
}

/** Only these ever reach the keys of a JWKS URL, so that none of them can be taken for the secret of an HMAC. */
const ASYMMETRIC: ReadonlySet<string> = new Set([
  ...['RS256', 'RS384', 'RS512'],
  ...['PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA'],
]);

/**
 * What checks tokens. With a secret HS256 is taken, with a JWKS URL the asymmetric algorithms, with both each by its
 * own keys; nothing else. Keys of a JWKS URL are asked for at once, so that the first client need not wait for them.
 *
 * @param clock ms since 1970
 * @throws RangeError when the settings cannot be
 */
export function createVerifier(
  settings: VerifierSettings,
  clock: () => number,
  options: VerifierOptions = {},
): Verifier {
  const { secret, jwksUrl, issuer, audience, clockToleranceSeconds: clockTolerance } = settings;
  if (secret === undefined && jwksUrl === undefined) {
    throw new RangeError('a verifier needs a secret or a JWKS URL');
  }
  const problem = secret === undefined ? null : secretProblem(secret);
  if (problem !== null) throw new RangeError(`the secret ${problem}`);
  if (!(clockTolerance >= 0 && clockTolerance < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`the clock tolerance is ${clockTolerance}; expected a number of seconds from 0`);
  }
  const url = jwksUrl === undefined ? null : keySetUrl(jwksUrl);

  const secretKey = secret === undefined ? null : importSecret(secret);
  const limits = { ...KEY_SET_LIMITS, ...options.limits };
  const remote = url && new RemoteKeys(url, clock, limits, options.onKeys ?? (() => {}));

  /** The result by one key. */
  async function verifyBy(key: CryptoKey, token: string, alg: string): Promise<VerifyResult> {
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: [alg],
        requiredClaims: ['exp'],
        clockTolerance,
        currentDate: new Date(clock()),
        ...(issuer !== undefined && { issuer }),
        ...(audience !== undefined && { audience }),
      });
      const checked = checkClaims(payload);
      return checked.ok
        ? { ok: true, grant: grantOf(checked.claims) }
        : refuse('claims', `the token's claims do not fit: ${checked.problem}`);
    } catch (error) {
      return explainError(error);
    }
  }

  /** The first result that is about more than a key that did not sign it, or cannot be used. */
  async function verifyByAny(keys: readonly CryptoKey[], token: string, alg: string): Promise<VerifyResult> {
    let result: VerifyResult = refuse(
      'unknown_key',
      'the token is signed with a key that this edge does not know',
    );
    for (const key of keys) {
      result = await verifyBy(key, token, alg);
      const isOther = !result.ok && (result.defect === 'signature' || result.defect === 'keys_unavailable');
      if (!isOther) return result;
    }
    return result;
  }

  async function verifyByRemote(keys: RemoteKeys, token: string, header: JwtHeader): Promise<VerifyResult> {
    const tryKeys = async (): Promise<VerifyResult> => {
      const found = await keys.find(header);
      return found === null ? refuseForKeys() : await verifyByAny(found, token, header.alg);
    };
    let result = await tryKeys();
    // Without a key id only the signature shows that the key is a new one.
    const isNewKey = !result.ok && result.defect === 'signature' && header.kid === undefined;
    if (isNewKey && (await keys.renew())) result = await tryKeys();
    const isUnknown = !result.ok && result.defect === 'unknown_key';
    return isUnknown && keys.isStale ? refuseForKeys() : result;
  }

  return {
    async verify(token) {
      const opened = parseJwtHeader(token);
      if (!opened.ok) return opened;
      const { alg } = opened.header;
      if (alg === 'HS256' && secretKey !== null) return await verifyBy(await secretKey, token, alg);
      if (ASYMMETRIC.has(alg) && remote !== null) return await verifyByRemote(remote, token, opened.header);
      return refuseAlgorithm();
    },
    close() {
      remote?.close();
    },
  };
}

function keySetUrl(text: string): URL {
  const url = parseUrl(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new RangeError('the JWKS URL is not valid; expected http or https, without user name and password');
  }
  return url;
}
