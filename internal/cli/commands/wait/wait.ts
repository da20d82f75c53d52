import { type Command, createArgument, Option } from 'commander';
import type { Event } from '../../../../schemas/event.js';
import { idOf } from '../../../../schemas/ids.js';
import { plural } from '../../../formatting.js';
import { readStored } from '../../../jetstream/read-stored.js';
import { durationOption, showDuration } from '../../flags/durations.js';
import { addOutputOption, type OutputFlag } from '../../flags/filters.js';
import { addJobs, resolveJobs } from '../../flags/job-ids.js';
import { readEvent } from '../../reads/job-event.js';
import { type CliContext, Exit } from '../../runtime/cli-context.js';
import { EXIT } from '../../runtime/exit-codes.js';
import { addNatsOptions, type NatsFlags, type OpenStream, withStream } from '../../runtime/nats.js';
import { readStatus } from '../../runtime/status.js';

interface WaitFlags extends NatsFlags, OutputFlag {
  readonly for: Goal;
  /** ms. */
  readonly timeout?: number;
}

const MORE = `
A job that has not reported yet is waited for, too. An error that another attempt may follow is no end. With
--for=status=completed it is over as soon as one of the jobs ends as an error; with --for=end all of them are waited for.
Patterns stand for the jobs that there are when it begins.

Exit codes: 0 all completed; 12 one ended as an error; 13 the time ran out; 130 Ctrl-C.

Examples:
  headway wait invoice-42 && open invoice-42.pdf
  headway wait 'upload-*' --for=end --timeout 5m
  headway wait invoice-42 -o json | jq -r .jobs[0].status
`;

/** `headway wait`: until jobs end; the exit code says how. */
export function addWaitCommand(program: Command, context: CliContext): void {
  const command = program
    .command('wait')
    .summary('wait until jobs end; the exit code says how')
    .description('Waits until jobs complete, or end. The exit code says how they did.')
    .addArgument(
      createArgument('<ids...>', "jobs, or patterns of them such as 'upload-*'").argParser(addJobs),
    )
    .addOption(new Option('--for <what>', 'what to wait for').choices(GOALS).default(GOALS[0]))
    .addOption(
      new Option('--timeout <duration>', 'how long at most (default: without an end)').argParser(
        durationOption,
      ),
    );
  addOutputOption(addNatsOptions(command), ['table', 'json'])
    .addHelpText('after', MORE)
    .action((jobs: readonly string[], flags: WaitFlags) => waitFor(context, jobs, flags));
}

async function waitFor(context: CliContext, jobs: readonly string[], flags: WaitFlags): Promise<void> {
  const timeUp = new AbortController();
  const timer =
    flags.timeout === undefined ? undefined : setTimeout(() => timeUp.abort(new TimeUp()), flags.timeout);
  try {
    await withStream(context, flags, 'wait', async (opened) => {
      const ends = new Map<string, End | null>();
      for (const id of await resolveJobs(opened.access, jobs)) ends.set(id, null);
      const signal = AbortSignal.any([context.stopped, timeUp.signal]);
      const outcome = await follow(opened, ends, flags.for, signal).catch((error: unknown) => {
        if (timeUp.signal.aborted && !context.stopped.aborted) return 'timeout' as const;
        throw error;
      });
      await tell(context, flags, ends, outcome);
      throw new Exit(EXIT_OF[outcome]);
    });
  } finally {
    clearTimeout(timer);
  }
}

class TimeUp extends Error {}

const EXIT_OF = { completed: EXIT.done, error: EXIT.jobFailed, timeout: EXIT.timeout } as const;

/** Fills in how the jobs end, until the wait is over. @throws the signal's reason */
async function follow(
  { context, access, info: { state } }: OpenStream,
  ends: Map<string, End | null>,
  goal: Goal,
  signal: AbortSignal,
): Promise<End> {
  const seen = new Set<string>();
  const take = (message: Parameters<typeof readEvent>[0]): void => {
    const read = readEvent(message);
    if (!read.ok || !ends.has(read.job.id)) return;
    seen.add(read.job.id);
    ends.set(read.job.id, endOf(read.job.event));
  };
  const until = { seq: state.last_seq };
  for (const id of ends.keys()) {
    const range = { id, from: { kind: 'first' }, until } as const;
    for await (const batch of readStored(access, range, signal, readStatus(context))) batch.forEach(take);
  }
  const already = outcomeOf(goal, [...ends.values()]);
  if (already !== null) return already;
  for (const id of ends.keys()) {
    if (!seen.has(id))
      context.stderr(`headway: nothing is stored of the job ${id} yet; waiting for its first event\n`);
  }
  const [only = null] = ends.size === 1 ? ends.keys() : [];
  const range = { id: only, from: { kind: 'seq', seq: state.last_seq + 1 }, until: 'forever' } as const;
  for await (const batch of readStored(access, range, signal, readStatus(context))) {
    for (const message of batch) {
      if (!ends.has(idOf(message.subject) ?? '')) continue;
      take(message);
      const outcome = outcomeOf(goal, [...ends.values()]);
      if (outcome !== null) return outcome;
    }
  }
  // A read without an end ends only by its signal.
  throw signal.reason;
}

async function tell(
  context: CliContext,
  flags: WaitFlags,
  ends: ReadonlyMap<string, End | null>,
  outcome: End | 'timeout',
): Promise<void> {
  if (flags.output === 'json') {
    const jobs = [...ends].map(([processing_id, status]) => ({
      processing_id,
      status: status ?? 'unfinished',
    }));
    await context.stdout(`${JSON.stringify({ outcome, jobs })}\n`);
    return;
  }
  for (const [id, end] of ends) if (end !== null) await context.stdout(`${id} ${end}\n`);
  if (outcome !== 'timeout') return;
  const left = [...ends].filter(([, end]) => end === null).map(([id]) => id);
  context.stderr(
    `headway: after ${showDuration(flags.timeout ?? 0)} ${plural(left.length, 'job')} had not ended: ` +
      `${left.slice(0, 5).join(', ')}${left.length > 5 ? ', …' : ''}\n`,
  );
}

/** What is waited for: that every job completes, or that every job ends, in whichever way. */
export const GOALS = ['status=completed', 'end'] as const;
export type Goal = (typeof GOALS)[number];

export type End = 'completed' | 'error';

/** How a job ended; null: it has not. An error that another attempt may follow is no end. PROTOCOL.md, "Words". */
export function endOf({ status, error }: Event): End | null {
  switch (status) {
    case 'completed':
      return 'completed';
    case 'error':
      return error?.retryable === true ? null : 'error';
    case 'processing':
      return null;
  }
}

/**
 * Whether the wait is over.
 * @param ends how each of the jobs ended; null: it has not
 * @returns null: not yet
 */
export function outcomeOf(goal: Goal, ends: readonly (End | null)[]): End | null {
  const hasFailed = ends.includes('error');
  // Of jobs that all have to complete, one that failed decides.
  if (hasFailed && goal === 'status=completed') return 'error';
  if (ends.includes(null)) return null;
  return hasFailed ? 'error' : 'completed';
}
