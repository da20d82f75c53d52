import { type Command, createArgument } from 'commander';
import { isFinished } from '../../../../schemas/event.js';
import { subjectOf } from '../../../../schemas/ids.js';
import { JobNotFoundError } from '../../../errors.js';
import { newestValid } from '../../../jetstream/last-states.js';
import { type ReadFrom, readStored, type StoredMessage } from '../../../jetstream/read-stored.js';
import { newestSeq } from '../../../jetstream/stream.js';
import { addColorOption, addFollowOption, type ColorFlag } from '../../flags/command-line.js';
import {
  addLastOption,
  addOutputOption,
  addSinceOptions,
  addStartSequenceOption,
  addTimestampsOption,
  addUntilOption,
  jobIdArgument,
  type LastFlag,
  type OutputFlag,
  resolveStart,
  type SinceFlags,
  type StartSequenceFlag,
  type TimestampsFlag,
  type UntilFlag,
  untilOf,
} from '../../flags/filters.js';
import { addPagerOption, checkFollow, type PagerFlag } from '../../output/format.js';
import { readEvent } from '../../reads/job-event.js';
import { beginningOf } from '../../reads/retention.js';
import { type CliContext, UsageError } from '../../runtime/cli-context.js';
import {
  addNatsOptions,
  type NatsFlags,
  type OpenStream,
  type StreamAccess,
  withStream,
} from '../../runtime/nats.js';
import { readStatus } from '../../runtime/status.js';
import { type HistoryWriter, historyWriter } from './writer.js';

const EXAMPLES = `
Each line has the time since the first one shown and since the one before. A stored message that is no
valid event is shown as "invalid", with the reason; with -o json or ndjson that is its type.

Examples:
  headway history invoice-42                         all that is kept, in order
  headway history invoice-42 --since 10m --timestamps
  headway history invoice-42 --last 20
  headway logs -f invoice-42                         and what comes, until it ends
  headway history invoice-42 -o ndjson | jq -r .message
`;

/** `headway history`: every stored event of a job. */
export function addHistoryCommand(program: Command, context: CliContext): void {
  const command = program
    .command('history')
    .summary('show every stored event of a job')
    .description('Shows every stored event of a job, in order.')
    .addArgument(createArgument('<id>', 'the job').argParser(jobIdArgument));
  addSinceOptions(command);
  addUntilOption(command);
  addStartSequenceOption(command);
  addLastOption(command);
  addFollowOption(command, 'go on with what comes, to the end of the job');
  addOutputOption(command);
  addPagerOption(command);
  addTimestampsOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (id: string, options: HistoryOptions) => {
      if (options.follow) checkFollow(options.output);
      if (options.follow && options.until !== undefined) {
        throw new UsageError('--until is an end, and --follow goes on: leave one of them out.');
      }
      resolveStart(options, 0);
      untilOf(options, context.now());
      await withStream(context, options, 'history', (opened) => history(opened, id, options));
    });
}

async function history(opened: OpenStream, id: string, options: HistoryOptions): Promise<void> {
  const { context, access, info } = opened;
  const now = context.now();
  const from = resolveStart(options, now) ?? { kind: 'first' };
  const until = untilOf(options, now) ?? Number.POSITIVE_INFINITY;
  const writer = await historyWriter(context, id, options);
  // Only who asked for the beginning is told what is missing before it.
  const isFromBeginning = from.kind === 'first' && options.last === undefined;
  let isEmpty = true;
  let hasEnded: boolean | null = null;
  let lastSeq = info.state.last_seq;
  for await (const batch of selected(context, access, id, from, until, options.last)) {
    if (isEmpty && isFromBeginning) writer.begin(await beginningOf(access, info, batch[0]));
    isEmpty = false;
    await writer.take(batch);
    hasEnded = isEnd(batch) ?? hasEnded;
    lastSeq = batch.at(-1)?.seq ?? lastSeq;
  }
  if (isEmpty) {
    if ((await newestSeq(access.jsm, access.stream, subjectOf(id))) === 0) {
      throw new JobNotFoundError(id, access.stream);
    }
    if (!options.follow) context.stderr(`headway: the job ${id} has no event in this range\n`);
  }
  if (options.follow) {
    // What was shown need not tell: it may be nothing, or no event.
    if (!(hasEnded ?? (await hasEndedBefore(opened, id, lastSeq)))) {
      await followToEnd(context, access, id, lastSeq, writer);
    }
  }
  await writer.end();
}

/** Whether the newest valid event of a job is its end, and not after `seq`. */
async function hasEndedBefore({ context, access }: OpenStream, id: string, seq: number): Promise<boolean> {
  const newest = await newestValid(access, subjectOf(id), context.stopped, readStatus(context));
  return newest?.event.finished === true && newest.seq <= seq;
}

/** Writes what comes after `seq`, up to the job's end. */
async function followToEnd(
  context: CliContext,
  access: StreamAccess,
  id: string,
  seq: number,
  writer: HistoryWriter,
): Promise<void> {
  await writer.flush();
  const range = { id, from: { kind: 'seq', seq: seq + 1 }, until: 'forever' } as const;
  for await (const batch of readStored(access, range, context.stopped, readStatus(context))) {
    await writer.take(batch);
    // What a writer gathers is wanted now.
    await writer.flush();
    if (isEnd(batch)) return;
  }
}

/** Whether the newest valid event of these is the end of the job; null: none of them is valid. */
function isEnd(messages: readonly StoredMessage[]): boolean | null {
  const events = messages.flatMap((message) => {
    const read = readEvent(message);
    return read.ok ? [read.job.event] : [];
  });
  const newest = events.at(-1);
  return newest === undefined ? null : isFinished(newest);
}

async function* selected(
  context: CliContext,
  access: StreamAccess,
  id: string,
  from: ReadFrom,
  untilMs: number,
  last: number | undefined,
): AsyncGenerator<readonly [StoredMessage, ...StoredMessage[]], void, undefined> {
  let kept: StoredMessage[] = [];
  for await (const batch of readStored(
    access,
    { id, from, until: 'head' },
    context.stopped,
    readStatus(context),
  )) {
    const wanted = batch.filter(({ storedAt }) => storedAt <= untilMs);
    if (last === undefined) {
      if (isSome(wanted)) yield wanted;
    } else kept = last === 0 ? [] : [...kept, ...wanted].slice(-last);
    if (wanted.length < batch.length) break;
  }
  if (isSome(kept)) yield kept;
}

const isSome = (
  messages: readonly StoredMessage[],
): messages is readonly [StoredMessage, ...StoredMessage[]] => messages.length > 0;

export type HistoryOptions = NatsFlags &
  SinceFlags &
  UntilFlag &
  StartSequenceFlag &
  LastFlag &
  OutputFlag &
  TimestampsFlag &
  ColorFlag &
  PagerFlag & { readonly follow?: true };
