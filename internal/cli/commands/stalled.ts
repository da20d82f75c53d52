import { type Command, Option } from 'commander';
import { idOf } from '../../../schemas/ids.js';
import { plural } from '../../formatting.js';
import type { LastState } from '../../jetstream/last-states.js';
import { readStored } from '../../jetstream/read-stored.js';
import { addColorOption, type ColorFlag } from '../flags/command-line.js';
import { durationOption, showDuration } from '../flags/durations.js';
import {
  addJobTypeOption,
  addOutputOption,
  type JobTypeFlag,
  matches,
  type OutputFlag,
} from '../flags/filters.js';
import { dim, progressCell, statusCell, summaryCell } from '../output/cells.js';
import { type Colorize, colorizer } from '../output/color.js';
import { widthFor } from '../output/event-line.js';
import { addPagerOption, isTable, type PagerFlag } from '../output/format.js';
import { type CsvColumns, EVENT_CSV, itemWriter } from '../output/item-writer.js';
import { JOB_COLUMN, TYPE_COLUMN } from '../output/layout.js';
import { writeLines } from '../output/line-writer.js';
import { type Cell, tableLines } from '../output/table.js';
import { eachState } from '../reads/each-state.js';
import { HeartbeatListener } from '../reads/heartbeat-listener.js';
import { type JobEvent, jobEvent, readEvent, statusWord, updateJson } from '../reads/job-event.js';
import { allowedSilence, isSilent, lastHeardAt } from '../reads/job-status.js';
import type { CliContext } from '../runtime/cli-context.js';
import {
  addNatsOptions,
  type NatsFlags,
  type OpenStream,
  type StreamAccess,
  withStream,
} from '../runtime/nats.js';
import { progressOf, readStatus, withStatus } from '../runtime/status.js';

interface StalledOptions extends NatsFlags, JobTypeFlag, OutputFlag, ColorFlag, PagerFlag {
  /** ms. */
  readonly after?: number;
  /** ms; false: not at all. */
  readonly listen: number | false;
}

/** The worker SDKs send a heartbeat every 5 s. */
const DEFAULT_LISTEN_MS = 12_000;

const EXAMPLES = `
A job is silent when its worker last reported longer ago than its own stall_after_seconds, or than 5 minutes if it has
none. The timeout that an edge writes is not a report of the worker: the silence goes on.
Workers that have nothing to report send heartbeats, which are not stored: so it listens for a while, and leaves out
the jobs that are heard. It ends early when all of them were. The exit code does not tell whether there are any.

Examples:
  headway stalled                                    the longest silence first
  headway stalled --after 1h --no-listen             no event for an hour, whatever their workers do
  headway stalled -o json | jq 'length'              for scripts
`;

/** A job that fell silent. Its event is read again when it is shown: there may be very many. */
export interface Silent extends LastState {
  /** How long it may be silent, in ms. */
  readonly allowedMs: number;
  readonly attempt: number | undefined;
  /** When the worker last reported, in ms since 1970 by the server's clock. */
  readonly heardAt: number;
}

/** How it was noticed that jobs without a recent event are not silent. */
interface Alive {
  readonly heartbeat: number;
  readonly event: number;
}

/** Whether an edge wrote it, for a worker that fell silent. */
const isTimeout = (job: JobEvent): boolean => lastHeardAt(job) !== job.storedAt;

const jobOf = ({ seq, storedAt, event }: Silent): JobEvent => jobEvent(seq, storedAt, event);

/** `headway stalled`: unfinished jobs that fell silent. */
export function addStalledCommand(program: Command, context: CliContext): void {
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
  addPagerOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((options: StalledOptions) =>
      withStream(context, options, 'stalled', (opened) => stalled(opened, options)),
    );
}

async function stalled({ context, access, now }: OpenStream, options: StalledOptions): Promise<void> {
  const listening = options.listen === false ? null : new HeartbeatListener(access.connection);
  const progress = progressOf(context, 'job');
  const silent = new Map<string, Silent>();
  try {
    const upTo = await eachState(context, access, progress, (job) => {
      const allowedMs = options.after ?? allowedSilence(job);
      if (isSilent(job, now(), allowedMs) && matches(options, job.event)) {
        const { seq, storedAt, decoded } = job;
        const heardAt = lastHeardAt(job);
        silent.set(job.id, { seq, storedAt, event: decoded, allowedMs, attempt: job.event.attempt, heardAt });
      } else silent.delete(job.id);
    });
    const asked = silent.size;
    if (listening !== null) await listen(context, listening, silent, options.listen || 0);
    const heartbeat = asked - silent.size;
    await forgetThoseWhoReported(context, access, upTo, silent);
    // Told only now: who reported while it listened is alive as well.
    if (listening !== null)
      sayWhoLives(context, listening, asked, { heartbeat, event: asked - heartbeat - silent.size });
  } finally {
    listening?.close();
    progress.clear();
  }
  const found = [...silent.values()].sort((one, other) => one.heardAt - other.heardAt);
  await write(context, found, now(), options);
}

async function listen(
  context: CliContext,
  listening: HeartbeatListener,
  silent: Map<string, Silent>,
  ms: number,
): Promise<void> {
  const asked = silent.size;
  if (asked === 0) return;
  const isHeard = ([id, { attempt }]: [string, Silent]): boolean => listening.has({ id, attempt });
  const isEnough = (): boolean => [...silent].every(isHeard);
  const text = `listening ${showDuration(ms)} for heartbeats of ${plural(asked, 'silent job')} …`;
  await withStatus(context, text, listening.wait(ms, isEnough, context.stopped));
  for (const job of silent) if (isHeard(job)) silent.delete(job[0]);
}

function sayWhoLives(
  context: CliContext,
  { refusal, listenedMs }: HeartbeatListener,
  asked: number,
  { heartbeat, event }: Alive,
): void {
  if (asked === 0) return;
  if (refusal !== null) {
    context.stderr(
      `headway: heartbeats cannot be heard (${refusal.message}); jobs that only send heartbeats are listed as silent\n`,
    );
    return;
  }
  const alive = heartbeat + event;
  const how = event === 0 ? '' : ` (${heartbeat} by heartbeat, ${event} by a new event)`;
  context.stderr(
    `headway: listened ${showDuration(listenedMs)} for heartbeats: of ${plural(asked, 'job')} without a ` +
      `recent event ${alive} ${alive === 1 ? 'is' : 'are'} alive${how}\n`,
  );
}

// It took a while; some may have reported. What an edge wrote meanwhile, a timeout, leaves the job as silent as it was.
async function forgetThoseWhoReported(
  context: CliContext,
  access: StreamAccess,
  upTo: number,
  silent: Map<string, Silent>,
): Promise<void> {
  if (silent.size === 0) return;
  const range = { id: null, from: { kind: 'seq', seq: upTo + 1 }, until: 'head' } as const;
  for await (const batch of readStored(access, range, context.stopped, readStatus(context))) {
    for (const message of batch) {
      const id = idOf(message.subject) ?? '';
      const known = silent.get(id);
      if (known === undefined) continue;
      const read = readEvent(message);
      if (!read.ok || !isTimeout(read.job)) silent.delete(id);
      else
        silent.set(id, { ...known, seq: read.job.seq, storedAt: read.job.storedAt, event: read.job.decoded });
    }
  }
}

async function write(
  context: CliContext,
  found: readonly Silent[],
  now: number,
  options: StalledOptions,
): Promise<void> {
  const { output } = options;
  if (isTable(output)) {
    const isWide = output === 'wide';
    const style = {
      paint: colorizer(context, options),
      withBar: context.terminal.out,
      width: widthFor(context, isWide)(),
    };
    if (found.length === 0) context.stderr('headway: no unfinished job is silent\n');
    else await writeLines(context, silentTable(found, now, style));
    return;
  }
  const writer = await itemWriter(context, output, SILENT_CSV);
  for (const one of found) {
    const job = updateJson(jobOf(one), null, output === 'csv').slice(1);
    const silentMs = Math.round(now - one.heardAt);
    await writer.item(`{"silent_ms":${silentMs},"allowed_ms":${one.allowedMs},${job}`);
  }
  await writer.end();
}

const SILENT_CSV: CsvColumns = {
  silent_ms: ({ silent_ms }) => silent_ms as number,
  allowed_ms: ({ allowed_ms }) => allowed_ms as number,
  ...EVENT_CSV,
};

interface SilentStyle {
  readonly paint: Colorize;
  readonly withBar: boolean;
  /** No line is wider; Infinity where nothing needs to fit. */
  readonly width: number;
}

/** @param now ms since 1970, by the server's clock */
export function silentTable(
  found: readonly Silent[],
  now: number,
  { paint, withBar, width }: SilentStyle,
): string[] {
  const columns = [
    JOB_COLUMN,
    TYPE_COLUMN,
    { title: 'STATUS' },
    { title: 'PROGRESS', align: 'right' },
    { title: 'SILENT', align: 'right' },
    { title: 'ALLOWED', align: 'right', expendable: 1 },
    { title: 'MESSAGE' },
  ] as const;
  const rows = found.map((one): Cell[] => {
    const job = jobOf(one);
    return [
      { text: job.id },
      { text: job.event.job_type ?? '-' },
      statusCell(statusWord(job.event), paint),
      progressCell(job, withBar),
      { text: showDuration(now - one.heardAt), dress: (text) => paint('yellow', text) },
      { text: showDuration(one.allowedMs) },
      summaryCell(job),
    ];
  });
  return tableLines(columns, rows, width, dim(paint));
}
