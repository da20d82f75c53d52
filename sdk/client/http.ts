import { parseCursor } from './cursor.js';
import { edgeError } from './errors.js';
import type { HistoryOptions, ProgressUpdate } from './types.js';

/** How an edge is asked once. */
export interface Http {
  readonly base: URL;
  readonly fetch: typeof fetch;
  readonly token: string | null;
}

interface EventsPage {
  readonly epoch: string;
  readonly events: readonly ProgressUpdate[];
  readonly cursor: number;
  readonly next: string | null;
}

/**
 * The last state of a job; null: it has no event.
 * @throws EdgeError when the edge refuses; whatever `fetch` throws
 */
export async function getJob(http: Http, id: string, signal?: AbortSignal): Promise<ProgressUpdate | null> {
  const answer = await ask(http, `v1/jobs/${id}`, signal);
  if (answer.status === 404) return null;
  return (await body(answer)) as ProgressUpdate;
}

/**
 * The stored events of a job, in order.
 * @throws EdgeError when the edge refuses, with the code `stale_cursor` when it cannot serve `after`; whatever `fetch` throws
 */
export async function* readHistory(
  http: Http,
  id: string,
  { after, limit = Number.POSITIVE_INFINITY, signal }: HistoryOptions,
): AsyncGenerator<ProgressUpdate> {
  const from = after === undefined ? null : parseCursor(after);
  let query = from === null ? '' : `&after=${from.seq}&epoch=${from.epoch}`;
  for (let left = limit; left > 0; ) {
    const answer = await ask(http, `v1/jobs/${id}/events?limit=${Math.min(left, 1_000)}${query}`, signal);
    const { events, epoch, cursor, next } = (await body(answer)) as EventsPage;
    yield* events;
    left -= events.length;
    if (next === null) return;
    query = `&after=${cursor}&epoch=${epoch}`;
  }
}

function ask({ base, fetch, token }: Http, path: string, signal: AbortSignal | undefined): Promise<Response> {
  const url = `${base.href.replace(/\/$/, '')}/${path}`;
  return fetch(url, {
    signal: signal ?? null,
    ...(token !== null && { headers: { authorization: `Bearer ${token}` } }),
  });
}

async function body(answer: Response): Promise<unknown> {
  if (answer.ok) return await answer.json();
  const problem = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string };
  throw edgeError(answer.status, problem.code, problem.detail ?? `the edge answered ${answer.status}`);
}
