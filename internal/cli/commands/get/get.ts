import { type Command, createArgument } from 'commander';
import { JobNotFoundError } from '../../../errors.js';
import { count } from '../../../formatting.js';
import { readStored } from '../../../jetstream/read-stored.js';
import { addColorOption, type ColorFlag } from '../../flags/command-line.js';
import { addOutputOption, type OutputFlag } from '../../flags/filters.js';
import { addJobs, isGlob, resolveJobs } from '../../flags/job-ids.js';
import { colorizer } from '../../output/color.js';
import { widthFor } from '../../output/event-line.js';
import { addPagerOption, isTable, type PagerFlag } from '../../output/format.js';
import { itemWriter, writeDocument } from '../../output/item-writer.js';
import { writeLines } from '../../output/line-writer.js';
import { type JobEvent, readEvent, updateJson } from '../../reads/job-event.js';
import { isPristine } from '../../reads/retention.js';
import { type CliContext, Exit } from '../../runtime/cli-context.js';
import { EXIT } from '../../runtime/exit-codes.js';
import {
  addNatsOptions,
  type NatsFlags,
  type OpenStream,
  type StreamAccess,
  streamInfo,
  withStream,
} from '../../runtime/nats.js';
import { readStatus } from '../../runtime/status.js';
import { describeJob, type Kept } from './text.js';

type GetOptions = NatsFlags & OutputFlag & ColorFlag & PagerFlag;

const EXAMPLES = `
With -o json it is the update that a client would get: the event, with seq and, as far as it is known, prev_seq.

Examples:
  headway get invoice-42
  headway get invoice-42 -o json | jq .result
  headway get invoice-42 -o jsonpath='{.status} {.progress}'
  headway get 'upload-*' job-7                       several: with -o json they are an array
`;

/** `headway get`: all of one job's last state. */
export function addGetCommand(program: Command, context: CliContext): void {
  const command = program
    .command('get')
    .summary('show the last state of a job, or of several')
    .description("Shows all of a job's last state.")
    .addArgument(
      createArgument('<ids...>', "jobs, or patterns of them such as 'upload-*'").argParser(addJobs),
    );
  addOutputOption(command);
  addPagerOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((jobs: readonly string[], options: GetOptions) =>
      withStream(context, options, 'get', (opened) => get(opened, jobs, options)),
    );
}

async function get(opened: OpenStream, jobs: readonly string[], options: GetOptions): Promise<void> {
  const { context, access, now } = opened;
  const [id, ...others] = await resolveJobs(access, jobs);
  if (id === undefined) return;
  if (others.length > 0 || jobs.some(isGlob)) {
    await getEach(opened, [id, ...others], options);
    return;
  }
  const found = await lookUp(context, access, id);
  const { output } = options;
  if (isTable(output)) await writeLines(context, described(context, found, options, now));
  else await writeDocument(context, output, jsonOf(found, options));
}

/** Those that are not there are told, and the others shown. */
async function getEach(
  { context, access, now }: OpenStream,
  ids: readonly string[],
  options: GetOptions,
): Promise<void> {
  let missing = 0;
  let shown = 0;
  const { output } = options;
  const writer = isTable(output) ? null : await itemWriter(context, output);
  for (const id of ids) {
    const found = await lookUp(context, access, id).catch((error: unknown) => {
      if (!(error instanceof JobNotFoundError)) throw error;
      context.stderr(`headway: ${error.message}\n`);
      missing++;
      return null;
    });
    if (found === null) continue;
    if (writer !== null) await writer.item(jsonOf(found, options));
    else
      await writeLines(context, [...(shown === 0 ? [] : ['']), ...described(context, found, options, now)]);
    shown++;
  }
  await writer?.end();
  if (missing > 0) throw new Exit(EXIT.missing);
}

interface Found {
  readonly newest: JobEvent;
  readonly kept: Kept;
  /** null: not known. */
  readonly prevSeq: number | null;
}

// CSV always says when.
const jsonOf = ({ newest, prevSeq }: Found, { output }: GetOptions): string =>
  updateJson(newest, prevSeq, output === 'csv');

function described(
  context: CliContext,
  { newest, kept, prevSeq }: Found,
  options: GetOptions,
  now: () => number,
): string[] {
  const width = widthFor(context, options.output === 'wide')();
  const style = { paint: colorizer(context, options), now: now(), withBar: context.terminal.out, width };
  return describeJob(newest, kept, prevSeq, style);
}

/** @throws JobNotFoundError */
async function lookUp(context: CliContext, access: StreamAccess, id: string): Promise<Found> {
  const { newest, kept } = await readJob(context, access, id);
  if (kept.messages === 0) throw new JobNotFoundError(id, access.stream);
  if (newest === null) {
    throw new JobNotFoundError(
      id,
      access.stream,
      kept.messages === 1
        ? '1 message, which is no valid event'
        : `${count(kept.messages)} messages, none of which is a valid event`,
    );
  }
  // Asked only now: what is gone by now may have been gone while the job was read.
  const prevSeq = kept.previous ?? (isPristine(await streamInfo(access)) ? 0 : null);
  return { newest, kept, prevSeq };
}

// One job's messages are few by the stream's own limit, and only all of them tell what came before the newest.
async function readJob(
  context: CliContext,
  access: StreamAccess,
  id: string,
): Promise<{ newest: JobEvent | null; kept: Kept }> {
  let newest: JobEvent | null = null;
  let previous: number | null = null;
  let first: Kept['first'] = null;
  let messages = 0;
  let invalid: string | null = null;
  const range = { id, from: { kind: 'first' }, until: 'head' } as const;
  for await (const batch of readStored(access, range, context.stopped, readStatus(context))) {
    for (const message of batch) {
      messages++;
      first ??= { seq: message.seq, storedAt: message.storedAt };
      const read = readEvent(message);
      invalid = read.ok ? null : `seq ${message.seq}: ${read.reason}, ${read.detail}`;
      if (!read.ok) continue;
      previous = newest?.seq ?? null;
      newest = read.job;
    }
  }
  if (invalid !== null && newest !== null) {
    context.stderr(
      `headway: the newest message of ${id} is not a valid event (${invalid}); what is shown is the newest that is one\n`,
    );
  }
  return { newest, kept: { messages, first, previous } };
}
