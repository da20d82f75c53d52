import { type Command, Option } from 'commander';
import type { LastState } from '../../internal/jetstream/last-states.js';
import { readStored } from '../../internal/jetstream/read-stored.js';
import { isFinished } from '../../schemas/event.js';
import { idOf } from '../../schemas/ids.js';
import { durationOption, showDuration } from './choice/durations.js';
import {
  addColorOption,
  addJobTypeOption,
  addOutputOption,
  type ColorFlag,
  type JobTypeFlag,
  type OutputFlag,
  passes,
} from './choice/selection.js';
import { eachState } from './jobs/each-state.js';
import { type JobEvent, jobEvent, statusWord, updateJson } from './jobs/job-event.js';
import { Listening } from './jobs/listening.js';
import { dim, progressCell, statusCell, summaryCell } from './show/cells.js';
import { ArrayEmitter, writeLines } from './show/emit.js';
import { type Paint, paintFor } from './show/paint.js';
import { type Cell, tableLines } from './show/table.js';
import type { Io } from './world/io.js';
import {
  addNatsOptions,
  eventStreamInfo,
  type NatsFlags,
  type StreamAccess,
  serverClock,
  withNats,
} from './world/nats.js';
import { noting, type Progress, plural, progressOf } from './world/notes.js';

interface StalledOptions extends NatsFlags, JobTypeFlag, OutputFlag, ColorFlag {
  /** ms. */
  readonly after?: number;
  /** ms; false: not at all. */
  readonly listen: number | false;
}

const DEFAULT_AFTER_MS = 5 * 60_000;
/** The worker SDKs send a heartbeat every 5 s. */
const DEFAULT_LISTEN_MS = 12_000;

const EXAMPLES = `
A job is silent when its newest event is older than its own stall_after_seconds, or than 5 minutes if it has none.
Workers that have nothing to report send heartbeats, which are not stored: so it listens for a while, and leaves out
the jobs that are heard. It ends early when all of them were. The exit code does not tell whether there are any.

Examples:
  headway stalled                                    the longest silence first
  headway stalled --after 1h --no-listen             no event for an hour, whatever their workers do
  headway stalled -o json | jq 'length'              for scripts
`;

/** A job that fell silent. Its event is read again when it is shown: there may be very many. */
interface Silent extends LastState {
  /** How long it may be silent, in ms. */
  readonly allowedMs: number;
  readonly attempt: number | undefined;
}

const jobOf = ({ seq, storedAt, event }: Silent): JobEvent => jobEvent(seq, storedAt, event);

/** `headway stalled`: unfinished jobs that fell silent. */
export function addStalledCommand(program: Command, io: Io): void {
  const command = program
    .command('stalled')
    .summary('list unfinished jobs that fell silent')
    .description('Lists unfinished jobs that have been silent for too long, the longest silence first.')
    .addOption(
      new Option('--after <duration>', 'silent for longer than this, whatever the jobs say').argParser(
        durationOption,
      ),
    )
    .addOption(
      new Option('--listen <duration>', 'how long to listen for heartbeats')
        .argParser(durationOption)
        .default(DEFAULT_LISTEN_MS, '12s'),
    )
    .option('--no-listen', 'do not listen for heartbeats');
  addJobTypeOption(command);
  addOutputOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((options: StalledOptions) =>
      withNats(io, options, 'headway stalled', (access) => stalled(io, access, options)),
    );
}

async function stalled(io: Io, access: StreamAccess, options: StalledOptions): Promise<void> {
  const now = serverClock(io, await eventStreamInfo(access));
  const listening = options.listen === false ? null : new Listening(access.connection);
  const progress = progressOf(io, 'job');
  const silent = new Map<string, Silent>();
  try {
    const upTo = await eachState(io, access, progress, (job) => {
      const allowedMs = options.after ?? allowance(job);
      const isSilent = now() - job.storedAt > allowedMs;
      if (isSilent && !isFinished(job.event) && passes(options, job.event)) {
        const { seq, storedAt, decoded } = job;
        silent.set(job.id, { seq, storedAt, event: decoded, allowedMs, attempt: job.event.attempt });
      } else silent.delete(job.id);
    });
    if (listening !== null) await listen(io, listening, silent, options.listen || 0, progress);
    await forgetThoseWhoReported(io, access, upTo, silent);
  } finally {
    listening?.close();
    progress.clear();
  }
  const found = [...silent.values()].sort((one, other) => one.storedAt - other.storedAt);
  await write(io, found, now(), options);
}

const allowance = ({ event }: JobEvent): number =>
  event.stall_after_seconds === undefined ? DEFAULT_AFTER_MS : event.stall_after_seconds * 1_000;

async function listen(
  io: Io,
  listening: Listening,
  silent: Map<string, Silent>,
  ms: number,
  progress: Progress,
): Promise<void> {
  const asked = silent.size;
  if (asked === 0) return;
  if (io.terminal.note)
    io.note(`listening ${showDuration(ms)} for heartbeats of ${plural(asked, 'silent job')} …`);
  const isHeard = ([id, { attempt }]: [string, Silent]): boolean => listening.has({ id, attempt });
  const isEnough = (): boolean => [...silent].every(isHeard);
  await listening.wait(ms, isEnough, io.stopped).finally(() => {
    if (io.terminal.note) io.note('\r\u001b[K');
    progress.clear();
  });
  for (const job of silent) if (isHeard(job)) silent.delete(job[0]);
  if (listening.refusal !== null) {
    io.note(
      `headway: heartbeats cannot be heard (${listening.refusal.message}); jobs that only send heartbeats are listed as silent\n`,
    );
    return;
  }
  const alive = asked - silent.size;
  io.note(
    `headway: listened ${showDuration(listening.listenedMs)} for heartbeats: of ${plural(asked, 'job')} without a ` +
      `recent event ${alive} ${alive === 1 ? 'is' : 'are'} alive\n`,
  );
}

// It took a while; some may have spoken.
async function forgetThoseWhoReported(
  io: Io,
  access: StreamAccess,
  upTo: number,
  silent: Map<string, Silent>,
): Promise<void> {
  if (silent.size === 0) return;
  const range = { id: null, from: { kind: 'seq', seq: upTo + 1 }, until: 'head' } as const;
  for await (const batch of readStored(access, range, io.stopped, noting(io))) {
    for (const { subject } of batch) silent.delete(idOf(subject) ?? '');
  }
}

async function write(io: Io, found: readonly Silent[], now: number, options: StalledOptions): Promise<void> {
  const json = (one: Silent): string =>
    `{"silent_ms":${Math.round(now - one.storedAt)},"allowed_ms":${one.allowedMs},` +
    updateJson(jobOf(one), null).slice(1);
  switch (options.output) {
    case 'table':
      if (found.length === 0) io.note('headway: no unfinished job is silent\n');
      else await writeLines(io, table(io, found, now, paintFor(io, options)));
      return;
    case 'json': {
      const array = new ArrayEmitter(io);
      for (const one of found) await array.item(json(one));
      await array.end();
      return;
    }
    case 'ndjson':
      await writeLines(io, found.map(json));
  }
}

function table(io: Io, found: readonly Silent[], now: number, paint: Paint): string[] {
  const columns = [
    { title: 'JOB' },
    { title: 'TYPE' },
    { title: 'STATUS' },
    { title: 'PROGRESS', align: 'right' },
    { title: 'SILENT', align: 'right' },
    { title: 'ALLOWED', align: 'right' },
    { title: 'MESSAGE' },
  ] as const;
  const rows = found.map((one): Cell[] => {
    const job = jobOf(one);
    return [
      { text: job.id },
      { text: job.event.job_type ?? '-' },
      statusCell(statusWord(job.event), paint),
      progressCell(job, io.terminal.out),
      { text: showDuration(now - job.storedAt), dress: (text) => paint('yellow', text) },
      { text: showDuration(one.allowedMs) },
      summaryCell(job),
    ];
  });
  const width = io.terminal.out ? io.columns() : Number.POSITIVE_INFINITY;
  return tableLines(columns, rows, width, dim(paint));
}
