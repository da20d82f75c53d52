import { type Command, createArgument } from 'commander';
import { JobMissingError } from '../../../internal/errors/catalogue.js';
import { type ReadFrom, readStored, type StoredMessage } from '../../../internal/jetstream/read-stored.js';
import { newestSeq } from '../../../internal/jetstream/stream.js';
import { subjectOf } from '../../../schemas/ids.js';
import {
  addColorOption,
  addLastOption,
  addOutputOption,
  addSinceOptions,
  addStartSequenceOption,
  addTimestampsOption,
  addUntilOption,
  jobIdArgument,
  startOf,
  untilOf,
} from '../choice/selection.js';
import { addPagerOption } from '../show/output.js';
import type { Io } from '../world/io.js';
import { addNatsOptions, eventStreamInfo, type StreamAccess, withNats } from '../world/nats.js';
import { noting } from '../world/notes.js';
import { withPager } from '../world/pager.js';
import { beginningOf } from './beginning.js';
import type { HistoryOptions } from './options.js';
import { historyWriter } from './writer.js';

const EXAMPLES = `
Each line has the time since the first one shown and since the one before. What is stored and is no valid event is
shown as such, with the reason; with -o json or ndjson its type is "invalid".

Examples:
  headway history invoice-42                         all that is kept, in order
  headway history invoice-42 --since 10m --timestamps
  headway history invoice-42 --last 20
  headway history invoice-42 -o ndjson | jq -r .message
`;

/** `headway history`: every stored event of a job. */
export function addHistoryCommand(program: Command, io: Io): void {
  const command = program
    .command('history')
    .summary('show every stored event of a job')
    .description('Shows every stored event of a job, in order.')
    .addArgument(createArgument('<id>', 'the job').argParser(jobIdArgument));
  addSinceOptions(command);
  addUntilOption(command);
  addStartSequenceOption(command);
  addLastOption(command);
  addOutputOption(command);
  addPagerOption(command);
  addTimestampsOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (id: string, options: HistoryOptions) => {
      startOf(options, 0);
      untilOf(options, io.now());
      await withPager(io, options.pager, (paged) =>
        withNats(paged, options, 'headway history', (access) => history(paged, access, id, options)),
      );
    });
}

async function history(io: Io, access: StreamAccess, id: string, options: HistoryOptions): Promise<void> {
  const info = await eventStreamInfo(access);
  const now = io.now();
  const from = startOf(options, now) ?? { kind: 'first' };
  const until = untilOf(options, now) ?? Number.POSITIVE_INFINITY;
  const writer = await historyWriter(io, id, options);
  const messages = selected(io, access, id, from, until, options.last);
  const first = await messages.next();
  if (first.done === true) {
    if ((await newestSeq(access.jsm, access.stream, subjectOf(id))) === 0) {
      throw new JobMissingError(id, access.stream);
    }
    io.note(`headway: the job ${id} has no event in this range\n`);
    await writer.end();
    return;
  }
  // Only who asked for the beginning is told what is missing before it.
  if (from.kind === 'first' && options.last === undefined) {
    writer.begin(await beginningOf(access, info, first.value[0]));
  }
  await writer.take(first.value);
  for await (const batch of messages) await writer.take(batch);
  await writer.end();
}

async function* selected(
  io: Io,
  access: StreamAccess,
  id: string,
  from: ReadFrom,
  untilMs: number,
  last: number | undefined,
): AsyncGenerator<readonly [StoredMessage, ...StoredMessage[]], void, undefined> {
  let kept: StoredMessage[] = [];
  for await (const batch of readStored(access, { id, from, until: 'head' }, io.stopped, noting(io))) {
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
