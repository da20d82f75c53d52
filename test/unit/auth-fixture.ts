import { expect } from 'vitest';
import {
  createVerifier,
  type TokenErrorReason,
  type Verifier,
  type VerifierSettings,
} from '../../internal/auth/verifier.js';
import { craft, hmac, JWT_SECRET } from '../harness/jwt.js';

/** The time that it is in these tests: in ms, and in seconds as tokens have it. */
export const NOW = Date.parse('2026-01-31T12:00:00Z');
export const SECONDS = NOW / 1000;

/** Claims and header that are taken, for a minute. */
export const GOOD = { exp: SECONDS + 60, jobs: ['job-1'] };
export const HS256 = { alg: 'HS256' };

/** The good claims without one of them. */
export const without = (name: keyof typeof GOOD) =>
  Object.fromEntries(Object.entries(GOOD).filter(([key]) => key !== name));

export const sign = hmac(JWT_SECRET);
export const signed = (claims: unknown, header: unknown = HS256) => craft(header, claims, sign);

export function verifier(settings: Partial<VerifierSettings> = {}): Verifier {
  return createVerifier({ secret: JWT_SECRET, clockToleranceSeconds: 0, ...settings }, () => NOW);
}

/** Why a token is refused; checks that the message is for people and tells nothing of the token or the secret. */
export async function defectOf(
  token: string,
  settings?: Partial<VerifierSettings>,
): Promise<TokenErrorReason | 'none'> {
  const result = await verifier(settings).verify(token);
  if (result.ok) return 'none';
  expect(result.message).toMatch(/^[ -~]{10,220}$/);
  expect(result.message).not.toContain(JWT_SECRET);
  for (const piece of token.split('.')) {
    if (piece.length > 8) expect(result.message).not.toContain(piece);
  }
  return result.defect;
}
