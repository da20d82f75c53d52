import type { CryptoKey } from 'jose';
import { MIN_SECRET_BYTES } from '../../schemas/config-access.js';

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
