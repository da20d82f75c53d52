import { NatsError } from 'nats';
import { within } from '../../../async.js';
import type { Observed } from '../../../doctor/facts.js';
import { HeadwayError } from '../../../errors.js';
import { requestFailure } from '../../../jetstream/nats-errors.js';

/** How long an answer to one question is waited for. */
export const ANSWER_MS = 5_000;

export const known = <T>(value: T): Observed<T> => ({ kind: 'known', value });
export const skipped = (reason: string): Observed<never> => ({ kind: 'skipped', reason });

/** Looks, in at most so much time. Whatever goes wrong is told and not thrown, so that the other looks go on. */
export async function probe<T>(look: () => Promise<T>, limitMs = ANSWER_MS): Promise<Observed<T>> {
  const looking = look().then(known, (error: unknown) => explainFailure<T>(error));
  return await within(
    looking,
    limitMs,
    (): Observed<T> => ({ kind: 'failed', reason: `no answer within ${limitMs / 1_000} s` }),
  );
}

/** What an error says about a look. */
export function explainFailure<T>(error: unknown): Observed<T> {
  const refused = refusedSubject(error);
  if (refused !== null) return { kind: 'not_permitted', subject: refused };
  const failure = requestFailure(error);
  if (failure === 'timeout') return { kind: 'failed', reason: 'the server did not answer' };
  if (failure === 'no_responders') {
    return { kind: 'failed', reason: 'nobody answers on the JetStream API' };
  }
  return { kind: 'failed', reason: error instanceof Error ? error.message : 'an unknown error' };
}

/** What NATS did not permit: `publish $JS.API.INFO`; null when the error is another one. */
export function refusedSubject(error: unknown): string | null {
  if (error instanceof NatsError && requestFailure(error) === 'not_permitted') {
    const context = error.permissionContext;
    if (context !== undefined)
      return `${context.operation === 'publish' ? 'publish' : 'subscribe'} ${context.subject}`;
  }
  if (!(error instanceof NatsError || error instanceof HeadwayError)) return null;
  const [, operation, subject] =
    /Permissions Violation for (Publish|Subscription) to "([^"]*)"/.exec(error.message) ?? [];
  if (subject === undefined) return null;
  return `${operation === 'Publish' ? 'publish' : 'subscribe'} ${subject}`;
}
