import type { Command } from 'commander';
import type { StreamInfo } from 'nats';
import { SUBJECT_FILTER } from '../../../../schemas/ids.js';
import { printableJson } from '../../../../schemas/text.js';
import { addColorOption, type ColorFlag } from '../../flags/command-line.js';
import { addOutputOption, type OutputFlag } from '../../flags/filters.js';
import { colorizer } from '../../output/color.js';
import { widthFor } from '../../output/event-line.js';
import {
  addPagerOption,
  addSortOptions,
  compareKeys,
  isTable,
  type PagerFlag,
  type SortFlags,
} from '../../output/format.js';
import { itemWriter, writeDocument } from '../../output/item-writer.js';
import { writeLines } from '../../output/line-writer.js';
import { eachState } from '../../reads/each-state.js';
import { firstSince } from '../../reads/retention.js';
import type { CliContext } from '../../runtime/cli-context.js';
import {
  addNatsOptions,
  type NatsFlags,
  type OpenStream,
  type StreamAccess,
  withStream,
} from '../../runtime/nats.js';
import { progressOf } from '../../runtime/status.js';
import { JobCounts, type Rates, type Stats, type StreamFigures, type TypeFigures } from './counts.js';
import { scan } from './scan.js';
import { describeStats } from './text.js';

const MINUTE_MS = 60_000;
const SORT_FIELDS = ['type', 'jobs', 'processing', 'completed', 'error', 'retrying'] as const;

interface StatsOptions
  extends NatsFlags,
    OutputFlag,
    ColorFlag,
    PagerFlag,
    SortFlags<(typeof SORT_FIELDS)[number]> {
  readonly scan?: true;
}

const EXAMPLES = `
Jobs are counted by their last events. --scan reads every stored message: it counts those that are no valid events, and
says how long finished jobs took, from the first event that is kept to the last.

The order is that of the types; numbers come largest first. CSV has the types, -o wide all of them.

Examples:
  headway stats
  headway stats --scan
  headway stats --sort-by error
  headway stats -o jsonpath='{.jobs.by_status.error}'
`;

/** `headway stats`: figures of jobs and the stream. */
export function addStatsCommand(program: Command, context: CliContext): void {
  const command = program
    .command('stats')
    .summary('count jobs, events and bytes')
    .description('Counts jobs by status and type, events by the minute, and what the stream holds.')
    .option('--scan', 'read every stored message, for invalid ones and durations');
  addSortOptions(command, SORT_FIELDS, 'the most frequent type');
  addOutputOption(command, ['table', 'wide', 'json', 'yaml', 'csv', 'jsonpath=']);
  addPagerOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((options: StatsOptions) =>
      withStream(context, options, 'stats', (opened) => stats(opened, options)),
    );
}

async function stats({ context, access, info, now }: OpenStream, options: StatsOptions): Promise<void> {
  const rates = await eventRates(access, now());
  const counts = new JobCounts();
  await eachState(context, access, progressOf(context, 'job'), (job) => counts.add(job));
  const found: Stats = {
    stream: streamFigures(info),
    jobs: counts.figures(),
    events_per_minute: rates,
    ...(options.scan && { scan: await scan(context, access, info) }),
  };
  const { output } = options;
  const sorted = { ...found, jobs: { ...found.jobs, by_type: sortedTypes(found.jobs.by_type, options) } };
  if (isTable(output)) {
    const isWide = output === 'wide';
    const style = {
      paint: colorizer(context, options),
      now: now(),
      width: widthFor(context, isWide)(),
      isWide,
    };
    await writeLines(context, describeStats(sorted, style));
    return;
  }
  // CSV has one table, and this is the one there is.
  if (output === 'csv') {
    const writer = await itemWriter(context, output, TYPE_CSV);
    for (const type of sorted.jobs.by_type) await writer.item(JSON.stringify(type));
    await writer.end();
    return;
  }
  await writeDocument(context, output, printableJson(JSON.stringify(sorted)));
}

function streamFigures({ config, created, state }: StreamInfo): StreamFigures {
  const isEmpty = state.messages === 0;
  return {
    name: config.name,
    created,
    messages: state.messages,
    bytes: state.bytes,
    first_seq: state.first_seq,
    last_seq: state.last_seq,
    first_stored_at: isEmpty ? null : state.first_ts,
    last_stored_at: isEmpty ? null : state.last_ts,
    deleted: state.num_deleted ?? 0,
    consumers: state.consumer_count,
    replicas: config.num_replicas,
  };
}

/**
 * How many events a minute were stored lately, of those that are still kept. The server counts them: a consumer that
 * would begin at a time knows how much lies before it.
 * @param now ms since 1970, by the server's clock
 */
async function eventRates(access: StreamAccess, now: number): Promise<Rates> {
  const rate = async (minutes: number): Promise<number> =>
    Math.round(((await firstSince(access, SUBJECT_FILTER, now - minutes * MINUTE_MS)).kept / minutes) * 10) /
    10;
  return { last_1: await rate(1), last_5: await rate(5), last_15: await rate(15), last_60: await rate(60) };
}

/** The types in the order that was asked for; without one as they are: the most frequent first. */
function sortedTypes(types: readonly TypeFigures[], { sortBy, reverse }: StatsOptions): TypeFigures[] {
  const sorted = [...types];
  if (sortBy === 'type') sorted.sort((one, other) => compareKeys(one.job_type ?? '', other.job_type ?? ''));
  else if (sortBy !== undefined) {
    const field = sortBy === 'jobs' ? 'total' : sortBy;
    sorted.sort((one, other) => other[field] - one[field]);
  }
  return reverse ? sorted.reverse() : sorted;
}

const TYPE_CSV = Object.fromEntries(
  ['job_type', 'total', 'processing', 'completed', 'error', 'retrying'].map((field) => [
    field,
    (type: Readonly<Record<string, unknown>>) => type[field] as string | number | null,
  ]),
);
