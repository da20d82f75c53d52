import { idOf } from '../../../../schemas/ids.js';
import { within } from '../../../async.js';
import { readStored } from '../../../jetstream/read-stored.js';
import { keptJobs } from '../../flags/job-ids.js';
import { readEvent } from '../../reads/job-event.js';
import type { CliContext } from '../../runtime/cli-context.js';
import { type NatsFlags, type StreamAccess, streamInfo, withNats } from '../../runtime/nats.js';

/** What of NATS the Tab key asks for. */
export type Asked = 'jobs' | 'types';

/**
 * Somebody waits at the keyboard: what is not there so long after the start of this process, in ms, is not offered.
 * HEADWAY_COMPLETION_MS says otherwise, for who is far from NATS.
 */
const PATIENCE_MS = 900;
const MAX_PATIENCE_MS = 60_000;
/** Of a stream with more jobs only those are offered that reported lately. */
const ALL_JOBS = 50_000;
const LATELY = 1_000;
/** A longer list helps nobody. */
const MOST = 200;

/**
 * The ids or the types that begin with what was typed. Whatever hinders it, it gives nothing, and says nothing.
 * @returns at most 200, sorted
 */
export async function offered(
  context: CliContext,
  flags: NatsFlags,
  asked: Asked,
  typed: string,
): Promise<readonly string[]> {
  const over = new AbortController();
  const quiet: CliContext = {
    ...context,
    stderr: () => undefined,
    prompt: async () => null,
    terminal: { in: false, out: false, note: false },
    stopped: AbortSignal.any([context.stopped, over.signal]),
  };
  const asking = withNats(quiet, flags, 'headway complete', async (access) => {
    const found = asked === 'jobs' ? await jobs(access, quiet) : await types(access, quiet);
    return [...new Set(found)]
      .filter((one) => one.startsWith(typed))
      .toSorted((one, other) => (one < other ? -1 : 1))
      .slice(0, MOST);
  }).catch(() => []);
  const leftMs = Math.max(0, patienceMs(context) - performance.now());
  try {
    return await within(asking, leftMs, () => [], context.stopped).catch(() => []);
  } finally {
    over.abort(new Error('nobody waits any longer'));
  }
}

// A completion has nobody to tell of a mistake: what is no number of ms is as if it were not there.
function patienceMs({ env }: CliContext): number {
  const said = Number(env.HEADWAY_COMPLETION_MS ?? Number.NaN);
  return said >= 0 ? Math.min(said, MAX_PATIENCE_MS) : PATIENCE_MS;
}

async function jobs(access: StreamAccess, context: CliContext): Promise<readonly string[]> {
  const { state } = await streamInfo(access);
  if ((state.num_subjects ?? 0) <= ALL_JOBS) return await keptJobs(access);
  const found: string[] = [];
  for await (const { subject } of lately(access, context, state.last_seq)) found.push(idOf(subject) ?? '');
  return found.filter((id) => id !== '');
}

async function types(access: StreamAccess, context: CliContext): Promise<readonly string[]> {
  const { state } = await streamInfo(access);
  const found: string[] = [];
  for await (const message of lately(access, context, state.last_seq)) {
    const read = readEvent(message);
    if (read.ok && read.job.event.job_type !== undefined) found.push(read.job.event.job_type);
  }
  return found;
}

async function* lately(access: StreamAccess, context: CliContext, lastSeq: number) {
  const from = { kind: 'seq', seq: Math.max(1, lastSeq - LATELY + 1) } as const;
  const range = { id: null, from, until: { seq: lastSeq } };
  for await (const batch of readStored(access, range, context.stopped)) yield* batch;
}
