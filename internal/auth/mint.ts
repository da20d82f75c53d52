import { SignJWT } from 'jose';
import { type Claims, checkClaims, TOKEN_MAX_CHARACTERS } from '../../schemas/claims.js';
import { importSecret, secretProblem } from './secret.js';

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
