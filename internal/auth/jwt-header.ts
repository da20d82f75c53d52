import { base64url, decodeProtectedHeader } from 'jose';
import { TOKEN_MAX_CHARACTERS } from '../../schemas/claims.js';
import { refuse, type TokenRejection } from './token-error.js';

/** What a token's header says about how to check it. Nothing of it is to be believed yet. */
export interface JwtHeader {
  readonly alg: string;
  readonly kid: string | undefined;
}

const THREE_PARTS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]*)$/;
const MAX_KID_CHARACTERS = 512;

/**
 * Reads the outside of a token, and refuses what is no signed JWT in its one spelling: jose, like atob, would take
 * white space and other last characters of the signature for the same bytes.
 */
export function parseJwtHeader(
  token: string,
): { readonly ok: true; readonly header: JwtHeader } | TokenRejection {
  if (token === '') return refuse('missing', 'there is no token');
  if (token.length > TOKEN_MAX_CHARACTERS) {
    return refuse('malformed', `the token is longer than ${TOKEN_MAX_CHARACTERS} characters`);
  }
  const deps = THREE_PARTS.exec(token);
  if (deps === null) {
    return refuse(
      'malformed',
      'the token is not a signed JWT: three parts of base64url with dots between them',
    );
  }
  if (!isCanonical(deps[1] ?? '')) {
    return refuse('malformed', "the token's signature is not base64url without padding");
  }
  let header: Readonly<Record<string, unknown>>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    return refuse('malformed', "the token's header is not a JSON object in base64url");
  }
  const { alg, kid } = header;
  if (typeof alg !== 'string') return refuse('malformed', "the token's header has no algorithm (alg)");
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > MAX_KID_CHARACTERS)) {
    return refuse(
      'malformed',
      `the token's key id (kid) is not text of at most ${MAX_KID_CHARACTERS} characters`,
    );
  }
  if (Object.hasOwn(header, 'crit')) {
    return refuse('malformed', "the token's header demands extensions (crit); this edge knows none");
  }
  return { ok: true, header: { alg, kid } };
}

function isCanonical(part: string): boolean {
  try {
    return base64url.encode(base64url.decode(part)) === part;
  } catch {
    return false;
  }
}
