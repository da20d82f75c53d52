/** What a page may read in a token. Nothing of it is checked: that is the edge's part. */
export interface TokenClaims {
  /** In milliseconds since 1970; null: it does not say. */
  readonly expiresMs: number | null;
  /** Whose it is; null: it does not say. */
  readonly subject: string | null;
}

/** What was pasted, without what people paste around a token; null: it has not the form of one. */
export function cleanToken(pasted: string): string | null {
  const token = pasted
    .trim()
    .replace(/^(authorization:\s*)?bearer\s+/i, '')
    .replace(/^"(.*)"$/, '$1');
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token) && token.length <= 8_192 ? token : null;
}

export function readClaims(token: string): TokenClaims {
  const unknown = { expiresMs: null, subject: null };
  try {
    const middle = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(middle), (character) => character.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims !== 'object' || claims === null) return unknown;
    const { exp, sub } = claims as { exp?: unknown; sub?: unknown };
    return {
      expiresMs: typeof exp === 'number' && Number.isFinite(exp) ? exp * 1_000 : null,
      subject: typeof sub === 'string' ? sub : null,
    };
  } catch {
    return unknown;
  }
}
