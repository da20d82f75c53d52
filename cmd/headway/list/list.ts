import { type Command, Option } from 'commander';
import { addFollowOption } from '../choice/alias.js';
import {
  addColorOption,
  addFilterOptions,
  addOutputOption,
  addSinceOptions,
  addTimestampsOption,
  JOB_STATUSES,
  positive,
  startOf,
  type TimestampsFlag,
} from '../choice/selection.js';
import { eachState } from '../jobs/each-state.js';
import { type JobEvent, updateJson } from '../jobs/job-event.js';
import { Newest } from '../jobs/newest.js';
import { ArrayEmitter, Emitter, writeLines } from '../show/emit.js';
import { paintFor } from '../show/paint.js';
import { type Io, UsageError } from '../world/io.js';
import { addNatsOptions, eventStreamInfo, type StreamAccess, serverClock, withNats } from '../world/nats.js';
import { type Progress, progressOf } from '../world/notes.js';
import { followList } from './follow.js';
import { type ListOptions, selector } from './options.js';
import { type ListStyle, listTable, rowOf } from './rows.js';

const EXAMPLES = `
The newest come first. With -o ndjson and no --limit jobs are written as they are read, the newest last; then a job
that reports meanwhile may come twice, and the later line counts.

Examples:
  headway list                                       every job the stream keeps anything of
  headway list --status unfinished --since 1h        those that run and spoke within the hour
  headway list --job-type pdf.ocr --limit 20         the newest 20 of a type
  headway list -f                                    watch them
  headway list -o json | jq -r '.[].processing_id'   for programs
`;

/** `headway list`: the last state of jobs. */
export function addListCommand(program: Command, io: Io): void {
  const command = program
    .command('list')
    .summary('list jobs by their last state')
    .description('Lists jobs by their last state.');
  addFilterOptions(command, JOB_STATUSES);
  addSinceOptions(command);
  command.addOption(new Option('-n, --limit <n>', 'only so many, the newest').argParser(positive));
  addFollowOption(command, 'go on: redraws on a terminal, elsewhere a line for each change');
  addOutputOption(command);
  addTimestampsOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (options: ListOptions) => {
      if (options.follow && options.output === 'json') {
        throw new UsageError('-o json is one document, and --follow has no end: use -o ndjson with it.');
      }
      if (options.since !== undefined) startOf(options, 0);
      await withNats(io, options, 'headway list', (access) => list(io, access, options));
    });
}

export async function list(io: Io, access: StreamAccess, options: ListOptions): Promise<void> {
  const now = serverClock(io, await eventStreamInfo(access));
  const style: ListStyle = {
    paint: paintFor(io, options),
    isTerminal: io.terminal.out,
    timestamps: options.timestamps === true,
    now,
    width: io.terminal.out ? io.columns() : Number.POSITIVE_INFINITY,
  };
  const isWanted = selector(options, now);
  const progress = progressOf(io, 'job');
  if (options.follow) {
    await followList(io, access, options, style, isWanted, progress);
    return;
  }
  switch (options.output) {
    case 'table': {
      const rows = await collect(io, access, options, isWanted, progress, (job) => rowOf(job, style));
      if (rows.length === 0) io.note('headway: no jobs\n');
      else await writeLines(io, listTable(rows, style).lines);
      return;
    }
    case 'json': {
      const rows = await collect(io, access, options, isWanted, progress, (job) => jsonRow(job, options));
      const array = new ArrayEmitter(io);
      for (const { json } of rows) await array.item(json);
      await array.end();
      return;
    }
    case 'ndjson':
      await writeNdjson(io, access, options, isWanted, progress);
  }
}

async function writeNdjson(
  io: Io,
  access: StreamAccess,
  options: ListOptions,
  isWanted: (job: JobEvent) => boolean,
  progress: Progress,
): Promise<void> {
  const emitter = new Emitter(io);
  if (options.limit !== undefined) {
    const rows = await collect(io, access, options, isWanted, progress, (job) => jsonRow(job, options));
    for (const { json } of rows) await emitter.line(json);
    await emitter.flush();
    return;
  }
  await eachState(io, access, progress, async (job) => {
    if (isWanted(job)) await emitter.line(jsonRow(job, options).json);
  });
  await emitter.flush();
}

const jsonRow = (job: JobEvent, { timestamps }: TimestampsFlag) => ({
  id: job.id,
  seq: job.seq,
  json: updateJson(job, null, timestamps),
});

async function collect<T extends { id: string; seq: number }>(
  io: Io,
  access: StreamAccess,
  { limit = Number.POSITIVE_INFINITY }: ListOptions,
  isWanted: (job: JobEvent) => boolean,
  progress: Progress,
  make: (job: JobEvent) => T,
): Promise<T[]> {
  const newest = new Newest<T>(limit);
  await eachState(io, access, progress, (job) => {
    if (isWanted(job)) newest.put(make(job));
    else newest.drop(job.id, job.seq);
  });
  return newest.sorted();
}
