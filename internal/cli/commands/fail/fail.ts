import { randomBytes } from 'node:crypto';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { type Event, isFinished } from '../../../../schemas/event.js';
import { subjectOf } from '../../../../schemas/ids.js';
import { HeadwayError, JobNotFoundError } from '../../../errors.js';
import { requestFailure } from '../../../jetstream/nats-errors.js';
import { readStored } from '../../../jetstream/read-stored.js';
import { lastMessage } from '../../../jetstream/stream.js';
import { failureEvent } from '../../../liveness/timeout-event.js';
import { durationOption, showDuration } from '../../flags/durations.js';
import { addOutputOption, jobIdArgument, type OutputFlag } from '../../flags/filters.js';
import { HeartbeatListener } from '../../reads/heartbeat-listener.js';
import { type JobEvent, readEvent } from '../../reads/job-event.js';
import { allowedSilence, isSilent, lastHeardAt } from '../../reads/job-status.js';
import { type CliContext, Exit, UsageError } from '../../runtime/cli-context.js';
import { EXIT } from '../../runtime/exit-codes.js';
import {
  addNatsOptions,
  type NatsFlags,
  type OpenStream,
  type StreamAccess,
  withStream,
} from '../../runtime/nats.js';
import { readStatus, withStatus } from '../../runtime/status.js';

/** The `error.code` of the event that `headway fail` writes. PROTOCOL.md, "Silence". */
export const FAILED_CODE = 'failed_by_operator';

/** The worker SDKs send a heartbeat every 5 s. */
const DEFAULT_LISTEN_MS = 12_000;
const REASON_LENGTH = 4_096;

interface FailFlags extends NatsFlags, OutputFlag {
  readonly reason: string;
  readonly force?: true;
  readonly yes?: true;
  /** ms. */
  readonly listen: number;
}

const MORE = `
It writes one event: the job's last state, with the status error, the next attempt, the code ${FAILED_CODE} and your
reason. That is an end: clients get it and are done. A worker that comes back finds that it has lost the job. Whoever
starts the job again takes the attempt after that.

It writes nothing when the job has ended, when its worker shows life (an event within the time that the job may be
silent, or a heartbeat while it listens), or when anything is stored of the job meanwhile. --force does not look for
life.

On a terminal it asks first; --yes is the answer for scripts. It needs the right to publish to the job: in docs/nats that
is the user admin, not the operator.

Exit codes: 0 ended; 1 not ended, because the job has ended, lives, or moved on, or because you answered no; 3 no such job.

Examples:
  headway stalled                                            which jobs are dead?
  headway fail invoice-42 --reason "the machine burnt down"
  headway fail invoice-42 --reason "worker lost" --yes -o json
`;

/** The job is none that can be ended. */
export class NotFailedError extends HeadwayError {
  readonly code = 'not_failed';
}

/** `headway fail`: ends a dead job, after asking. */
export function addFailCommand(program: Command, context: CliContext): void {
  const command = program
    .command('fail')
    .summary('end a dead job as an error')
    .description('Ends a job whose worker is dead: as an error, with the next attempt.')
    .addArgument(new Argument('<id>', "a job's processing_id").argParser(jobIdArgument))
    .addOption(
      new Option('--reason <text>', 'why, for those who wait').argParser(reason).makeOptionMandatory(),
    )
    .option('--force', 'do not look whether the worker lives')
    .addOption(
      new Option('--listen <duration>', 'how long to listen for heartbeats')
        .argParser(durationOption)
        .default(DEFAULT_LISTEN_MS, '12s'),
    )
    .option('-y, --yes', 'do not ask');
  addOutputOption(addNatsOptions(command), ['table', 'json'])
    .addHelpText('after', MORE)
    .action(async (id: string, flags: FailFlags) => {
      if (!flags.yes && !context.terminal.in) {
        throw new UsageError('There is no terminal to ask at; give --yes to end the job without a question.');
      }
      await withStream(context, flags, 'fail', (opened) => fail(opened, id, flags));
    });
}

async function fail({ context, access, now }: OpenStream, id: string, flags: FailFlags): Promise<void> {
  // From before the first look, so that no heartbeat falls between.
  const listening = flags.force ? null : new HeartbeatListener(access.connection);
  try {
    const { lastSeq, newest, attempt } = await readStanding(context, access, id);
    if (newest === null) {
      throw new JobNotFoundError(
        id,
        access.stream,
        lastSeq === 0 ? undefined : 'messages that are no valid events',
      );
    }
    if (isFinished(newest.event)) {
      throw new NotFailedError(
        `The job ${id} has ended already (${newest.event.status}, seq ${newest.seq}): nothing was written.`,
      );
    }
    if (attempt >= Number.MAX_SAFE_INTEGER) {
      throw new NotFailedError(`The job ${id} has the highest attempt that there is: nothing was written.`);
    }
    const awaited = { id, attempt: attempt === 0 ? undefined : attempt };
    if (listening !== null) {
      checkSilent(newest, now());
      await withStatus(
        context,
        `listening ${showDuration(flags.listen)} for heartbeats of ${id} …`,
        listening.wait(flags.listen, () => listening.has(awaited), context.stopped),
      );
      checkNotHeard(listening, awaited);
    }
    const silentMs = Math.max(0, Math.floor(now() - lastHeardAt(newest)));
    if (!flags.yes && !(await isMeant(context, newest, silentMs))) {
      context.stderr('headway: nothing was written\n');
      throw new Exit(EXIT.failed);
    }
    if (listening !== null) checkNotHeard(listening, awaited);
    const text = failureEvent(newest.event, {
      timestamp: new Date(now()).toISOString(),
      attempt: attempt + 1,
      error: {
        code: FAILED_CODE,
        message: flags.reason,
        retryable: false,
        details: { silent_ms: silentMs },
      },
    });
    const seq = await append(access, id, lastSeq, text);
    if (flags.output === 'json') {
      await context.stdout(`${JSON.stringify({ processing_id: id, seq, attempt: attempt + 1 })}\n`);
    } else await context.stdout(`Ended ${id} as an error with attempt ${attempt + 1}, seq ${seq}.\n`);
  } finally {
    listening?.close();
  }
}

/** Where a job stands, by all that the stream keeps of it. */
interface Standing {
  /** The seq of the newest message, valid or not; 0 when there is none. */
  readonly lastSeq: number;
  /** The newest valid event. */
  readonly newest: JobEvent | null;
  /** The highest attempt of the history; 0 before attempt 1. */
  readonly attempt: number;
}

/** Reads all that is kept of the job: only its whole history tells the attempt. */
async function readStanding(context: CliContext, access: StreamAccess, id: string): Promise<Standing> {
  let standing: Standing = { lastSeq: 0, newest: null, attempt: 0 };
  const range = { id, from: { kind: 'first' }, until: 'head' } as const;
  for await (const batch of readStored(access, range, context.stopped, readStatus(context))) {
    for (const message of batch) {
      const read = readEvent(message);
      standing = {
        lastSeq: message.seq,
        newest: read.ok ? read.job : standing.newest,
        attempt: read.ok ? attemptAfter(standing.attempt, read.job.event) : standing.attempt,
      };
    }
  }
  return standing;
}

/**
 * The highest attempt of a history with one event more. PROTOCOL.md, "Attempts".
 * @param before the highest so far; 0: none
 */
export function attemptAfter(before: number, { attempt, status }: Event): number {
  if (attempt !== undefined) return Math.max(before, attempt);
  // An end that names no attempt, before any that does, is the end of attempt 1.
  return before === 0 && status !== 'processing' ? 1 : before;
}

/** @throws NotFailedError when the worker has just reported */
function checkSilent(newest: JobEvent, now: number): void {
  if (isSilent(newest, now)) return;
  throw new NotFailedError(
    `The worker of ${newest.id} reported ${showDuration(Math.max(0, now - lastHeardAt(newest)))} ago, and may be silent ` +
      `for ${showDuration(allowedSilence(newest))}: nothing was written. Wait, or end it all the same with --force.`,
  );
}

/** @throws NotFailedError when the worker gave a sign of life, or when none could be heard */
function checkNotHeard(listening: HeartbeatListener, awaited: Parameters<HeartbeatListener['has']>[0]): void {
  if (listening.refusal !== null) {
    throw new NotFailedError(
      `Heartbeats cannot be heard (${listening.refusal.message}), so nobody knows whether the worker of ${awaited.id} ` +
        'lives: nothing was written. End it all the same with --force.',
    );
  }
  if (!listening.has(awaited)) return;
  throw new NotFailedError(
    `The worker of ${awaited.id} lives: it sent a heartbeat. Nothing was written. Stop the worker, or end the job all ` +
      'the same with --force.',
  );
}

/** Asks: what is typed must be the job's id, so that nobody ends a job by habit. */
async function isMeant(context: CliContext, { id, event }: JobEvent, silentMs: number): Promise<boolean> {
  const type = event.job_type === undefined ? '' : ` (${event.job_type})`;
  context.stderr(
    `This ends the job ${id}${type} at ${event.progress}% as an error for good. Its worker was heard ` +
      `${showDuration(silentMs)} ago.\n`,
  );
  const answer = await context.prompt(`Type ${id} to go on: `);
  return answer?.trim() === id;
}

function reason(text: string): string {
  const length = [...text].length;
  if (text.trim() !== '' && length <= REASON_LENGTH) return text;
  throw new InvalidArgumentError('Expected text of 1 to 4,096 characters.');
}

/** Somebody wrote to the job between the look at it and the end that was to be written. */
export class JobMovedError extends HeadwayError {
  readonly code = 'job_moved';
  constructor(id: string) {
    super(
      `The job ${id} got another event meanwhile, so nothing was written: its worker may live, or somebody else has ` +
        `ended it. Look at it with headway get ${id}.`,
    );
  }
}

/**
 * Appends an event to a job, if `behind` is still the seq of the job's newest message. The leader of the stream decides,
 * so of many who write at once one is stored.
 * @returns the seq of the event
 * @throws JobMovedError when the job has a newer message; NatsError when NATS refuses it or does not answer
 */
export async function append(
  { js, jsm, stream }: StreamAccess,
  id: string,
  behind: number,
  text: string,
): Promise<number> {
  const msgID = randomBytes(16).toString('base64url');
  try {
    const ack = await js.publish(subjectOf(id), new TextEncoder().encode(text), {
      msgID,
      expect: { streamName: stream, lastSubjectSequence: behind },
    });
    return ack.seq;
  } catch (error) {
    if (requestFailure(error) === 'not_permitted') throw error;
    // The acknowledgement may have been lost, and the event is stored all the same.
    const newest = await lastMessage(jsm, stream, subjectOf(id));
    if (newest?.header.get('Nats-Msg-Id') === msgID) return newest.seq;
    if (requestFailure(error) === 'wrong_last_sequence') throw new JobMovedError(id);
    throw error;
  }
}
