import { type Command, Option } from 'commander';
import { addColorOption, addFollowOption } from '../../flags/command-line.js';
import {
  addFilterOptions,
  addJobTypeOption,
  addOutputOption,
  addSinceOptions,
  addTimestampsOption,
  JOB_STATUSES,
  positive,
  resolveStart,
} from '../../flags/filters.js';
import { colorizer } from '../../output/color.js';
import { widthFor } from '../../output/event-line.js';
import { addPagerOption, addSortOptions, checkFollow, isTable } from '../../output/format.js';
import { itemWriter } from '../../output/item-writer.js';
import { writeLines } from '../../output/line-writer.js';
import { eachState } from '../../reads/each-state.js';
import { type CliContext, UsageError } from '../../runtime/cli-context.js';
import { addNatsOptions, type OpenStream, withStream } from '../../runtime/nats.js';
import { progressOf } from '../../runtime/status.js';
import { collect } from './collect.js';
import { followList } from './follow.js';
import { jsonOf, type ListOptions, SORT_FIELDS, selector, sinceOf } from './options.js';
import { type ListStyle, listTable, rowOf } from './rows.js';

const EXAMPLES = `
The newest come first: then --limit and --since read only as much of the stream as they need. --sort-by and --reverse
read the last state of all jobs. An unfinished job whose worker is silent for longer than it may be is "stalled"; heartbeats
are not stored, so headway stalled listens for them before it says so. With -o ndjson, no --limit and no order jobs are
written as they are read, the newest last; then a job that reports meanwhile may come twice, and the later line counts.

Examples:
  headway list                                       every job the stream keeps anything of
  headway list --status unfinished --since 1h        those that run and reported within the hour
  headway list --job-type pdf.ocr --limit 20         the newest 20 of a type
  headway list --sort-by progress --reverse          the farthest first
  headway list -f                                    watch them
  headway list -o wide                               ids are whole, and nothing is cut
  headway list --status error -o name | xargs -n1 headway history
  headway list -o json | jq -r '.[].processing_id'   for programs
`;

/** `headway list`: the last state of jobs. */
export function addListCommand(program: Command, context: CliContext): void {
  const command = program
    .command('list')
    .summary('list jobs by their last state')
    .description('Lists jobs by their last state.');
  addFilterOptions(command, JOB_STATUSES);
  addSinceOptions(command);
  command.addOption(
    new Option('-n, --limit <n>', 'only so many, the first of the order').argParser(positive),
  );
  addFollowOption(command, 'go on: redraws on a terminal, elsewhere a line for each change');
  addOutputOption(command);
  addSortOptions(command, SORT_FIELDS, 'what reported last');
  addPagerOption(command);
  addTimestampsOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (options: ListOptions) => {
      if (options.follow) checkFollow(options.output);
      if (options.follow && (options.sortBy !== undefined || options.reverse)) {
        throw new UsageError(
          'With --follow each job keeps its line: --sort-by and --reverse do not go with it.',
        );
      }
      if (options.since !== undefined) resolveStart(options, 0);
      await withStream(context, options, 'list', (opened) => list(opened, options));
    });
}

type TopOptions = Omit<ListOptions, 'output' | 'follow' | 'status' | 'limit'>;

const TOP_EXAMPLES = `
It is headway list --follow --status unfinished: on a terminal the jobs that are not finished, redrawn as they change,
until Ctrl-C; elsewhere a line for each change. How many there are of each, says headway stats.

Examples:
  headway top
  headway top --type pdf.ocr
`;

/** `headway top`: what runs now, as it changes. */
export function addTopCommand(program: Command, context: CliContext): void {
  const command = program
    .command('top')
    .summary('watch the jobs that are not finished')
    .description('Shows the jobs that are not finished, and redraws them as they change.');
  addJobTypeOption(command);
  addTimestampsOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', TOP_EXAMPLES)
    .action((options: TopOptions) =>
      withStream(context, options, 'top', (opened) =>
        list(opened, { ...options, output: 'table', follow: true, status: ['unfinished'] }),
      ),
    );
}

async function list({ context, access, now }: OpenStream, options: ListOptions): Promise<void> {
  const isWide = options.output === 'wide';
  const style: ListStyle = {
    paint: colorizer(context, options),
    isTerminal: context.terminal.out,
    timestamps: options.timestamps === true,
    isWide,
    now,
    width: widthFor(context, isWide)(),
  };
  const isWanted = selector(options, now);
  const progress = progressOf(context, 'job');
  if (options.follow) {
    await followList(context, access, options, style, isWanted, progress);
    return;
  }
  const wanted = { options, isWanted, after: sinceOf(options, now()), now };
  if (isTable(options.output)) {
    const rows = await collect(context, access, wanted, progress, (job) => rowOf(job, style));
    if (rows.length === 0) context.stderr('headway: no jobs\n');
    else await writeLines(context, listTable(rows, style).lines);
    return;
  }
  const writer = await itemWriter(context, options.output);
  const json = jsonOf(options);
  if (options.output === 'ndjson' && isUnordered(options)) {
    await eachState(context, access, progress, async (job) => {
      if (isWanted(job)) await writer.item(json(job));
    });
  } else {
    for (const text of await collect(context, access, wanted, progress, json)) await writer.item(text);
  }
  await writer.end();
}

/** Whether jobs may be written as they come: nobody asked for an order or for some of them. */
const isUnordered = ({ limit, sortBy, reverse }: ListOptions): boolean =>
  limit === undefined && sortBy === undefined && reverse === undefined;
