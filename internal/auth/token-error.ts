import { errors } from 'jose';

/** What is wrong with a token. `keys_unavailable` is the edge's own trouble: the token may be good. */
export type TokenErrorReason =
  | 'missing'
  | 'malformed'
  | 'algorithm'
  | 'signature'
  | 'expired'
  | 'not_yet_valid'
  | 'issuer'
  | 'audience'
  | 'claims'
  | 'unknown_key'
  | 'keys_unavailable';

/** A token that is refused, with a message for the developer who sent it. It holds nothing of the token's text. */
export interface TokenRejection {
  readonly ok: false;
  readonly defect: TokenErrorReason;
  readonly message: string;
}

export function refuse(defect: TokenErrorReason, message: string): TokenRejection {
  return { ok: false, defect, message };
}

/** What an error of jose says about a token, in our words. */
export function explainError(error: unknown): TokenRejection {
  if (error instanceof errors.JWTExpired) {
    return refuse('expired', `the token expired at ${moment(error.payload.exp)}`);
  }
  if (error instanceof errors.JWTClaimValidationFailed) return explainClaim(error);
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refuse('signature', "the token's signature does not fit the edge's keys");
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return refuseAlgorithm();
  if (error instanceof errors.JWTInvalid) {
    return refuse('malformed', "the token's claims are not a JSON object");
  }
  if (error instanceof errors.JWSInvalid || error instanceof errors.JOSENotSupported) {
    return refuse('malformed', 'the token is not a signed JWT as Headway reads them');
  }
  return refuseForKeys();
}

export function refuseAlgorithm(): TokenRejection {
  return refuse('algorithm', "the token's algorithm (alg) is not one that this edge takes");
}

export function refuseForKeys(): TokenRejection {
  return refuse(
    'keys_unavailable',
    'this edge has no keys to check the token with at the moment; try again later',
  );
}

function explainClaim({ claim, reason, payload }: errors.JWTClaimValidationFailed): TokenRejection {
  const is = reason === 'missing' ? 'is missing' : 'is not what this edge expects';
  switch (claim) {
    case 'iss':
      return refuse('issuer', `the token's issuer (iss) ${is}`);
    case 'aud':
      return refuse('audience', `the token's audience (aud) ${is}`);
    case 'nbf':
      if (reason === 'check_failed') {
        return refuse('not_yet_valid', `the token is not valid before ${moment(payload.nbf)} (nbf)`);
      }
      break;
    case 'exp':
      if (reason === 'missing')
        return refuse('claims', 'the token has no exp; expected a time in seconds since 1970');
      break;
  }
  return refuse('claims', `the token's claim ${claim} is not valid; expected a time in seconds since 1970`);
}

/** A time in seconds since 1970 as people read it, also when it is beyond every date. */
function moment(seconds: unknown): string {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? 'a time that no date holds' : date.toISOString();
}
