import { InvalidArgumentError } from 'commander';
import { idOf, isProcessingId, SUBJECT_FILTER } from '../../../schemas/ids.js';
import { JobNotFoundError } from '../../errors.js';
import type { StreamAccess } from '../runtime/nats.js';

/** What stands for jobs on the command line: an id as it is, or a pattern with `*`, `?` and `[a-z]`. */
const PATTERN = /^(?:[A-Za-z0-9_*?-]|\[!?[A-Za-z0-9_-]+\])+$/;
const MAX_LENGTH = 256;

/** Whether it is a pattern. An id without these characters is one job, whatever else there is. */
export const isGlob = (text: string): boolean => /[*?[]/.test(text);

/**
 * For a variadic `Argument`: a processing_id, or a pattern of them.
 * @throws InvalidArgumentError
 */
export function addJobs(text: string, all: readonly string[] = []): readonly string[] {
  if (isProcessingId(text) || (isGlob(text) && text.length <= MAX_LENGTH && matcherOf(text) !== null)) {
    return [...all, text];
  }
  throw new InvalidArgumentError(
    "Expected a job's processing_id: 1 to 128 of A-Z a-z 0-9 _ -, or a pattern of them with * ? [a-z], in quotes.",
  );
}

/** Whether a job is one of those that ids and patterns name; none of them: every job is. */
export function jobsMatcher(jobs: readonly string[]): (id: string) => boolean {
  if (jobs.length === 0) return () => true;
  const ids = new Set(jobs.filter((one) => !isGlob(one)));
  const patterns = jobs.filter(isGlob).map((one) => matcherOf(one) as RegExp);
  return (id) => ids.has(id) || patterns.some((one) => one.test(id));
}

/**
 * The ids that ids and patterns stand for, each once. Ids stay where they stand, whether there is such a job or not;
 * patterns are matched against the jobs that the stream keeps now, and these come in the order of their names.
 * @throws NoMatchError for a pattern that nothing matches
 */
export async function resolveJobs(access: StreamAccess, jobs: readonly string[]): Promise<readonly string[]> {
  const kept = jobs.some(isGlob) ? await keptJobs(access) : [];
  const found = jobs.map((one) => (isGlob(one) ? matching(kept, one, access.stream) : [one]));
  return [...new Set(found.flat())];
}

/** No job of the stream matches a pattern. */
export class NoMatchError extends JobNotFoundError {
  constructor(pattern: string, stream: string) {
    super(pattern, stream);
    this.message = `The stream ${stream} keeps no job that matches ${pattern}.`;
  }
}

function matching(kept: readonly string[], pattern: string, stream: string): readonly string[] {
  const is = jobsMatcher([pattern]);
  const found = kept.filter(is);
  if (found.length === 0) throw new NoMatchError(pattern, stream);
  return found;
}

/** The jobs that the stream keeps anything of, by name. */
export async function keptJobs({ jsm, stream }: StreamAccess): Promise<readonly string[]> {
  const { state } = await jsm.streams.info(stream, { subjects_filter: SUBJECT_FILTER });
  return Object.keys(state.subjects ?? {})
    .flatMap((subject) => idOf(subject) ?? [])
    .toSorted((one, other) => (one < other ? -1 : 1));
}

/** null: it is none, such as [z-a]. */
function matcherOf(pattern: string): RegExp | null {
  if (!PATTERN.test(pattern)) return null;
  const text = pattern
    // Several in a row mean no more than one, and cost much more.
    .replaceAll(/\*+/g, '*')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
    .replaceAll('[!', '[^');
  try {
    return new RegExp(`^${text}$`);
  } catch {
    return null;
  }
}
