import type { Core } from './core.js';
import type { HistoryOptions, ProgressUpdate } from './types.js';

interface EventsPage {
  readonly epoch: string;
  readonly events: readonly ProgressUpdate[];
  readonly cursor: number;
  readonly next: string | null;
}

/**
 * The last state of a job; null: it has no event.
 * @throws EdgeError when the edge refuses; whatever `fetch` or `getToken` throws
 */
export async function getJob(
  core: Core,
  id: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<ProgressUpdate | null> {
  const answer = await ask(core, await core.getToken(), `v1/jobs/${id}`, signal);
  if (answer.status === 404) return null;
  return (await body(core, answer)) as ProgressUpdate;
}

/**
 * The stored events of a job, in order.
 * @throws EdgeError when the edge refuses, with the code `stale_cursor` when it cannot serve `after`; whatever `fetch` or
 * `getToken` throws
 */
export async function* readHistory(
  core: Core,
  id: string,
  { after, limit = Number.POSITIVE_INFINITY, signal }: HistoryOptions = {},
): AsyncGenerator<ProgressUpdate> {
  const token = await core.getToken();
  const from = after === undefined ? null : core.parseCursor(after);
  let query = from === null ? '' : `&after=${from.seq}&epoch=${from.epoch}`;
  for (let left = limit; left > 0; ) {
    const path = `v1/jobs/${id}/events?limit=${Math.min(left, 1_000)}${query}`;
    const { events, epoch, cursor, next } = (await body(
      core,
      await ask(core, token, path, signal),
    )) as EventsPage;
    yield* events;
    left -= events.length;
    if (next === null) return;
    query = `&after=${cursor}&epoch=${epoch}`;
  }
}

function ask(
  { base, platform }: Core,
  token: string | null,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Response> {
  return (platform.fetch ?? fetch)(`${base}/${path}`, {
    signal: signal ?? null,
    ...(token !== null && { headers: { authorization: `Bearer ${token}` } }),
  });
}

async function body({ edgeError }: Core, answer: Response): Promise<unknown> {
  if (answer.ok) return await answer.json();
  const problem = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string };
  throw edgeError(answer.status, problem.code, problem.detail ?? `the edge answered ${answer.status}`);
}
