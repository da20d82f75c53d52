import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { JobType, ProcessingId } from './fields.js';
import { Text } from './text.js';

/** A token is at most this many characters, wherever it comes from. PROTOCOL.md, "Connecting". */
export const TOKEN_MAX_CHARACTERS = 8192;

/** Jobs, and job types, that one token lists at the most. The token's own length is often the nearer bound. */
export const MAX_CLAIMED_JOBS = 1_000;
export const MAX_CLAIMED_JOB_TYPES = 256;

/** The last second that a date can hold (in the year 275760); beyond it an `exp` is no time. */
const LAST_SECOND = 8_640_000_000_000;

const Every = Type.Array(Type.Literal('*'), { minItems: 1, maxItems: 1 });

const Seconds = (description: string) => Type.Number({ minimum: 0, maximum: LAST_SECOND, description });

/**
 * What Headway reads of a token's claims. Claims that are not named here are allowed; `iss` and `aud` are held
 * against the edge's settings where these are set.
 */
export const Claims = Type.Object(
  {
    exp: Seconds('When the token expires, in seconds since 1970.'),
    nbf: Type.Optional(Seconds('The token is not valid before, in seconds since 1970.')),
    iat: Type.Optional(Seconds('When the token was made, in seconds since 1970. Not needed.')),
    sub: Type.Optional(Text(256, 'Whose token it is. Only a token of the same subject renews a connection.')),
    jobs: Type.Optional(
      Type.Union([Every, Type.Array(ProcessingId, { minItems: 1, maxItems: MAX_CLAIMED_JOBS })], {
        description: 'The jobs that the token opens; ["*"]: every job.',
      }),
    ),
    job_types: Type.Optional(
      Type.Union([Every, Type.Array(JobType, { minItems: 1, maxItems: MAX_CLAIMED_JOB_TYPES })], {
        description: 'The token opens every job of these types; ["*"]: every job.',
      }),
    ),
  },
  {
    $id: 'claims',
    description: 'What a token opens, and until when. A job is open whose id or whose type is listed.',
    // In JSON Schema's own words for validators in other languages; `checkClaims` says the same in code.
    anyOf: [{ required: ['jobs'] }, { required: ['job_types'] }],
  },
);
export type Claims = Static<typeof Claims>;

const compiled = TypeCompiler.Compile(Claims);

const EXPECTED: Readonly<Record<string, string>> = {
  exp: 'a time in seconds since 1970',
  nbf: 'a time in seconds since 1970',
  iat: 'a time in seconds since 1970',
  sub: 'text of at most 256 characters',
  jobs: `a list of 1 to ${MAX_CLAIMED_JOBS} jobs, each 1 to 128 of A-Z a-z 0-9 _ -, or ["*"] alone`,
  job_types: `a list of 1 to ${MAX_CLAIMED_JOB_TYPES} types, each 1 to 64 of A-Z a-z 0-9 _ . -, or ["*"] alone`,
};

export type CheckedClaims =
  | { readonly ok: true; readonly claims: Claims }
  | { readonly ok: false; readonly problem: string };

/** Reads the claims of a token. Never throws; the problem names the claim and does not repeat what it holds. */
export function checkClaims(value: unknown): CheckedClaims {
  if (!compiled.Check(value)) {
    const name = compiled.Errors(value).First()?.path.split('/')[1] ?? '';
    const isMissing = typeof value === 'object' && value !== null && !Object.hasOwn(value, name);
    const expected = EXPECTED[name];
    if (expected === undefined) return wrong('the claims are not a JSON object');
    return wrong(`${name} is ${isMissing ? 'missing' : 'not valid'}; expected ${expected}`);
  }
  if (value.jobs === undefined && value.job_types === undefined) {
    return wrong('neither jobs nor job_types is there; expected one of them, to say what the token opens');
  }
  return { ok: true, claims: value };
}

function wrong(problem: string): CheckedClaims {
  return { ok: false, problem };
}
