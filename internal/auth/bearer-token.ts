/** The token of a request and where it was; `bad` when it cannot be told which token is meant. */
export type ExtractedToken =
  | { readonly kind: 'none' }
  | { readonly kind: 'token'; readonly token: string; readonly by: 'header' | 'subprotocol' | 'query' }
  | { readonly kind: 'bad'; readonly message: string };

type Token = Extract<ExtractedToken, { kind: 'token' }>;
type Bad = Extract<ExtractedToken, { kind: 'bad' }>;

/** Where a token may be in a request. */
export interface TokenSources {
  /** The `authorization` header; '' when there is none. */
  readonly authorization: string;
  /** The `sec-websocket-protocol` header; '' when there is none. */
  readonly subprotocols: string;
  /** The `token` parameter as it is in the query, '' or null without one; null where the operator forbids it. */
  readonly query: string | null;
}

const NONE: ExtractedToken = { kind: 'none' };
const SUBPROTOCOL_PREFIX = 'bearer.';

/**
 * Finds the token of a request. Never throws, and no message repeats what was sent. Whether the token is any good is
 * for the verifier. PROTOCOL.md, "Connecting".
 */
export function extractToken(request: TokenSources): ExtractedToken {
  // Most who come to an open edge carry none.
  if (request.authorization === '' && request.subprotocols === '' && !request.query) return NONE;
  const found: (Token | Bad)[] = [
    ...fromHeader(request.authorization),
    ...fromSubprotocols(request.subprotocols),
    ...(request.query ? [{ kind: 'token', token: request.query, by: 'query' } as const] : []),
  ];
  const bad = found.find((carried) => carried.kind === 'bad');
  if (bad !== undefined) return bad;
  if (found.length > 1)
    return refuse('the request carries more than one token; expected it in one place, once');
  return found[0] ?? NONE;
}

function fromHeader(authorization: string): (Token | Bad)[] {
  const text = authorization.trim();
  if (text === '') return [];
  const [scheme = '', ...rest] = text.split(/\s+/);
  if (scheme.toLowerCase() !== 'bearer') {
    return [refuse('the Authorization header is not a bearer token; expected "Bearer <token>"')];
  }
  const [token, ...more] = rest;
  if (token === undefined || more.length > 0 || token.includes(',')) {
    return [refuse('the Authorization header does not hold one token; expected "Bearer <token>"')];
  }
  return [{ kind: 'token', token, by: 'header' }];
}

function fromSubprotocols(subprotocols: string): (Token | Bad)[] {
  return subprotocols
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name.startsWith(SUBPROTOCOL_PREFIX))
    .map((name) => {
      const token = name.slice(SUBPROTOCOL_PREFIX.length);
      return token === ''
        ? refuse('a subprotocol is "bearer." without a token; expected "bearer.<token>"')
        : { kind: 'token', token, by: 'subprotocol' };
    });
}

function refuse(message: string): Bad {
  return { kind: 'bad', message };
}
