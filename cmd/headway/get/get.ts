import { type Command, createArgument } from 'commander';
import { JobNotFoundError } from '../../../internal/errors.js';
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
import { describeJob, type Kept } from './text.js';

type GetOptions = NatsFlags & OutputFlag & ColorFlag;

const EXAMPLES = `
With -o json it is the update that a client would get: the event, with seq and, as far as it is known, prev_seq.

Examples:
  headway get invoice-42
  headway get invoice-42 -o json | jq .result
`;

/** `headway get`: all of one job's last state. */
export function addGetCommand(program: Command, io: Io): void {
  const command = program
    .command('get')
    .summary("show one job's last state")
    .description("Shows all of one job's last state.")
    .addArgument(createArgument('<id>', 'the job').argParser(jobIdArgument));
  addOutputOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((id: string, options: GetOptions) =>
      withNats(io, options, 'headway get', (access) => get(io, access, id, options)),
    );
}

async function get(io: Io, access: StreamAccess, id: string, options: GetOptions): Promise<void> {
  const info = await eventStreamInfo(access);
  const now = serverClock(io, info);
  const { newest, kept } = await readJob(io, access, id);
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
  if (options.output === 'table') {
    const style = { paint: paintFor(io, options), now: now(), withBar: io.terminal.out };
    await writeLines(io, describeJob(newest, kept, prevSeq, style));
  } else await writeLines(io, [updateJson(newest, prevSeq)]);
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
