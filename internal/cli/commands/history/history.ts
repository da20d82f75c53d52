import { type Command, createArgument } from 'commander';
import type { StoredMsg, StreamInfo } from 'nats';
import { isFinished } from '../../../../schemas/event.js';
import { subjectOf } from '../../../../schemas/ids.js';
import { JobNotFoundError } from '../../../errors.js';
import { type ReadFrom, readStored, type StoredMessage } from '../../../jetstream/read-stored.js';
import { lastMessage, newestSeq, storedMessage } from '../../../jetstream/stream.js';
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
import { isPristine } from '../../reads/each-state.js';
import { readEvent } from '../../reads/job-event.js';
import { type CliContext, UsageError } from '../../runtime/cli-context.js';
import {
  addNatsOptions,
  eventStreamInfo,
  type NatsFlags,
  type StreamAccess,
  withNats,
} from '../../runtime/nats.js';
import { withPager } from '../../runtime/pager.js';
import { readStatus } from '../../runtime/status.js';
import { type HistoryStart, type HistoryWriter, historyWriter } from './writer.js';

const EXAMPLES = `
Each line has the time since the first one shown and since the one before. What is stored and is no valid event is
shown as such, with the reason; with -o json or ndjson its type is "invalid".

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
      await withPager(context, options.pager && !options.follow, (paged) =>
        withNats(paged, options, 'headway history', (access) => history(paged, access, id, options)),
      );
    });
}

async function history(
  context: CliContext,
  access: StreamAccess,
  id: string,
  options: HistoryOptions,
): Promise<void> {
  const info = await eventStreamInfo(access);
  const now = context.now();
  const from = resolveStart(options, now) ?? { kind: 'first' };
  const until = untilOf(options, now) ?? Number.POSITIVE_INFINITY;
  const writer = await historyWriter(context, id, options);
  const messages = selected(context, access, id, from, until, options.last);
  const first = await messages.next();
  if (first.done === true) {
    if ((await newestSeq(access.jsm, access.stream, subjectOf(id))) === 0) {
      throw new JobNotFoundError(id, access.stream);
    }
    if (options.follow) {
      const stored = await lastMessage(access.jsm, access.stream, subjectOf(id));
      const last = stored === null ? [] : [asRead(stored)];
      if (isEnd(last)) await writer.end();
      else await followToEnd(context, access, id, info.state.last_seq, writer);
      return;
    }
    context.stderr(`headway: the job ${id} has no event in this range\n`);
    await writer.end();
    return;
  }
  let newest = first.value;
  // Only who asked for the beginning is told what is missing before it.
  if (from.kind === 'first' && options.last === undefined) {
    writer.begin(await beginningOf(access, info, first.value[0]));
  }
  await writer.take(first.value);
  for await (const batch of messages) {
    await writer.take(batch);
    newest = batch;
  }
  if (options.follow && !isEnd(newest)) {
    await followToEnd(context, access, id, newest.at(-1)?.seq ?? 0, writer);
    return;
  }
  await writer.end();
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
    if (isEnd(batch)) break;
  }
  await writer.end();
}

const asRead = ({ seq, subject, time, data }: StoredMsg): StoredMessage => ({
  seq,
  subject,
  storedAt: time.getTime(),
  data,
});

/** Whether the newest valid event of these is the end of the job. */
function isEnd(messages: readonly StoredMessage[]): boolean {
  const events = messages.flatMap((message) => {
    const read = readEvent(message);
    return read.ok ? [read.job.event] : [];
  });
  const newest = events.at(-1);
  return newest !== undefined && isFinished(newest);
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

/** The header in which workers say which of the job's messages they write after. */
const EXPECTED = 'Nats-Expected-Last-Subject-Sequence';

/** @param info the stream's, from before the message was read */
export async function beginningOf(
  access: StreamAccess,
  info: StreamInfo,
  { seq, subject }: StoredMessage,
): Promise<HistoryStart> {
  if (isPristine(info)) return { kind: 'first' };
  const said = (await storedMessage(access.jsm, access.stream, { seq }))?.header.get(EXPECTED) ?? '';
  if (said === '0') return { kind: 'first' };
  if (/^\d+$/.test(said)) return { kind: 'cut', because: `the worker wrote it after seq ${said}` };
  const limit = info.config.max_msgs_per_subject;
  if (limit <= 0) return { kind: 'unknown' };
  const counted = await access.jsm.streams.info(access.stream, { subjects_filter: subject });
  const kept = counted.state.subjects?.[subject] ?? 0;
  return kept >= limit
    ? { kind: 'cut', because: `the stream keeps ${limit} messages of a job` }
    : { kind: 'unknown' };
}

export type HistoryOptions = NatsFlags &
  SinceFlags &
  UntilFlag &
  StartSequenceFlag &
  LastFlag &
  OutputFlag &
  TimestampsFlag &
  ColorFlag &
  PagerFlag & { readonly follow?: true };
