import type { Command } from 'commander';
import { printableJson } from '../../../schemas/text.js';
import { addColorOption, addOutputOption, type ColorFlag, type OutputFlag } from '../choice/selection.js';
import { eachState } from '../jobs/each-state.js';
import { writeLines } from '../show/emit.js';
import { paintFor } from '../show/paint.js';
import type { Io } from '../world/io.js';
import {
  addNatsOptions,
  eventStreamInfo,
  type NatsFlags,
  type StreamAccess,
  serverClock,
  withNats,
} from '../world/nats.js';
import { progressOf } from '../world/notes.js';
import { JobCounts, type Stats } from './counts.js';
import { scan } from './scan.js';
import { eventRates, streamFigures } from './stream.js';
import { describeStats } from './text.js';

interface StatsOptions extends NatsFlags, OutputFlag, ColorFlag {
  readonly scan?: true;
}

const EXAMPLES = `
Jobs are counted by their last events. --scan reads every stored message: it counts those that are no valid events, and
says how long finished jobs took, from the first event that is kept to the last.

Examples:
  headway stats
  headway stats --scan
  headway stats -o json | jq .jobs.by_status
`;

/** `headway stats`: figures of jobs and the stream. */
export function addStatsCommand(program: Command, io: Io): void {
  const command = program
    .command('stats')
    .summary('count jobs, events and bytes')
    .description('Counts jobs by status and type, events by the minute, and what the stream holds.')
    .option('--scan', 'read every stored message, for invalid ones and durations');
  addOutputOption(command, ['table', 'json']);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((options: StatsOptions) =>
      withNats(io, options, 'headway stats', (access) => stats(io, access, options)),
    );
}

async function stats(io: Io, access: StreamAccess, options: StatsOptions): Promise<void> {
  const info = await eventStreamInfo(access);
  const now = serverClock(io, info);
  const rates = await eventRates(access, now());
  const counts = new JobCounts();
  await eachState(io, access, progressOf(io, 'job'), (job) => counts.add(job));
  const found: Stats = {
    stream: streamFigures(info),
    jobs: counts.figures(),
    events_per_minute: rates,
    ...(options.scan && { scan: await scan(io, access, info) }),
  };
  if (options.output === 'json') await writeLines(io, [printableJson(JSON.stringify(found))]);
  else await writeLines(io, describeStats(found, paintFor(io, options), now()));
}
