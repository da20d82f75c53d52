import type { CryptoKey } from 'jose';
import { SignJWT } from 'jose';
import { type Claims, checkClaims, TOKEN_MAX_CHARACTERS } from '../../schemas/claims.js';
import { MIN_SECRET_BYTES } from '../../schemas/config-access.js';

/**
 * Makes a token signed with HS256, as an edge with the same secret takes it.
 *
 * @throws RangeError when an edge would not take it: the secret, a claim, or the token's length
 */
export async function mintToken(
  secret: string,
  claims: Claims & { iss?: string; aud?: string },
): Promise<string> {
  const problem = secretProblem(secret);
  if (problem !== null) throw new RangeError(`the secret ${problem}`);
  const checked = checkClaims(claims);
  if (!checked.ok) throw new RangeError(checked.problem);
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .sign(await importSecret(secret));
  if (token.length <= TOKEN_MAX_CHARACTERS) return token;
  throw new RangeError(
    `the token has ${token.length} characters; an edge takes at most ${TOKEN_MAX_CHARACTERS}`,
  );
}

/** Why a text must not be the HS256 secret, as the end of a sentence about it; null when it may. */
export function secretProblem(secret: string): string | null {
  const bytes = new TextEncoder().encode(secret).length;
  if (bytes < MIN_SECRET_BYTES) return `has ${bytes} bytes; expected at least ${MIN_SECRET_BYTES}`;
  // Whoever knows a public key could sign with it, if it were taken for the secret.
  if (secret.includes('-----BEGIN ') || (secret.trimStart().startsWith('{') && secret.includes('"kty"'))) {
    return 'is a key in PEM or JSON; expected random text that only its owners know';
  }
  return null;
}

/** The secret as the key of HS256. It cannot be read back out of it. */
export function importSecret(secret: string): Promise<CryptoKey> {
  const hmac = { name: 'HMAC', hash: 'SHA-256' };
  return crypto.subtle.importKey('raw', new TextEncoder().encode(secret), hmac, false, ['sign', 'verify']);
}
