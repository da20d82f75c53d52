import { type Command, createArgument } from 'commander';
import { JobMissingError } from '../../../internal/errors/catalogue.js';
import { readStored } from '../../../internal/jetstream/read-stored.js';
import {
  addColorOption,
  addOutputOption,
  type ColorFlag,
  jobIdArgument,
  type OutputFlag,
} from '../choice/selection.js';
import { type JobEvent, readEvent, updateJson } from '../jobs/job-event.js';
import { isPristine } from '../jobs/stream-state.js';
import { writeLines } from '../show/emit.js';
import { widthFor } from '../show/event-line.js';
import { writeDocument } from '../show/item-writer.js';
import { addPagerOption, isTable, type PagerFlag } from '../show/output.js';
import { paintFor } from '../show/paint.js';
import type { Io } from '../world/io.js';
import {
  addNatsOptions,
  eventStreamInfo,
  type NatsFlags,
  type StreamAccess,
  serverClock,
  streamInfo,
  withNats,
} from '../world/nats.js';
import { count, noting } from '../world/notes.js';
import { withPager } from '../world/pager.js';
import { describeJob, type Kept } from './text.js';

type GetOptions = NatsFlags & OutputFlag & ColorFlag & PagerFlag;

const EXAMPLES = `
With -o json it is the update that a client would get: the event, with seq and, as far as it is known, prev_seq.

Examples:
  headway get invoice-42
  headway get invoice-42 -o json | jq .result
  headway get invoice-42 -o jsonpath='{.status} {.progress}'
`;

/** `headway get`: all of one job's last state. */
export function addGetCommand(program: Command, io: Io): void {
  const command = program
    .command('get')
    .summary("show one job's last state")
    .description("Shows all of one job's last state.")
    .addArgument(createArgument('<id>', 'the job').argParser(jobIdArgument));
  addOutputOption(command);
  addPagerOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((id: string, options: GetOptions) =>
      withPager(io, options.pager, (paged) =>
        withNats(paged, options, 'headway get', (access) => get(paged, access, id, options)),
      ),
    );
}

async function get(io: Io, access: StreamAccess, id: string, options: GetOptions): Promise<void> {
  const info = await eventStreamInfo(access);
  const now = serverClock(io, info);
  const { newest, kept } = await readJob(io, access, id);
  if (kept.messages === 0) throw new JobMissingError(id, access.stream);
  if (newest === null) {
    throw new JobMissingError(
      id,
      access.stream,
      kept.messages === 1
        ? '1 message, which is no valid event'
        : `${count(kept.messages)} messages, none of which is a valid event`,
    );
  }
  // Asked only now: what is gone by now may have been gone while the job was read.
  const prevSeq = kept.previous ?? (isPristine(await streamInfo(access)) ? 0 : null);
  const { output } = options;
  if (isTable(output)) {
    const width = widthFor(io, output === 'wide')();
    const style = { paint: paintFor(io, options), now: now(), withBar: io.terminal.out, width };
    await writeLines(io, describeJob(newest, kept, prevSeq, style));
  } else await writeDocument(io, output, updateJson(newest, prevSeq, output === 'csv'));
}

// One job's messages are few by the stream's own limit, and only all of them tell what came before the newest.
async function readJob(
  io: Io,
  access: StreamAccess,
  id: string,
): Promise<{ newest: JobEvent | null; kept: Kept }> {
  let newest: JobEvent | null = null;
  let previous: number | null = null;
  let first: Kept['first'] = null;
  let messages = 0;
  let spoilt: string | null = null;
  const range = { id, from: { kind: 'first' }, until: 'head' } as const;
  for await (const batch of readStored(access, range, io.stopped, noting(io))) {
    for (const message of batch) {
      messages++;
      first ??= { seq: message.seq, storedAt: message.storedAt };
      const read = readEvent(message);
      spoilt = read.ok ? null : `seq ${message.seq}: ${read.reason}, ${read.detail}`;
      if (!read.ok) continue;
      previous = newest?.seq ?? null;
      newest = read.job;
    }
  }
  if (spoilt !== null && newest !== null) {
    io.note(
      `headway: the newest message of ${id} is not a valid event (${spoilt}); what is shown is the newest that is one\n`,
    );
  }
  return { newest, kept: { messages, first, previous } };
}
