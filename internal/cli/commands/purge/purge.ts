import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { JobNotFoundError } from '../../../errors.js';
import {
  addOutputOption,
  jobIdArgument,
  momentOption,
  type OutputFlag,
  positive,
  type TimeSpec,
} from '../../flags/filters.js';
import { type CliContext, Exit, UsageError } from '../../runtime/cli-context.js';
import { EXIT } from '../../runtime/exit-codes.js';
import {
  addNatsOptions,
  type NatsFlags,
  type OpenStream,
  type StreamAccess,
  withStream,
} from '../../runtime/nats.js';
import { carryOut, type PurgePlan, type PurgeRequest, planPurge } from './plan.js';

interface PurgeFlags extends NatsFlags, OutputFlag {
  readonly before?: TimeSpec;
  readonly all?: true;
  readonly keep?: number;
  readonly dryRun?: true;
  readonly yes?: true;
}

const MORE = `
What is purged is gone for good: take a copy first (headway export). Clients that come back with a cursor from before get
the last state that is left, after a reset or, on all jobs, skipped. Edges that run take jobs of which nothing is left off
their pages within a minute or so. Stop the worker of a job before you purge the job: its next event may be refused, or
stored as if it were the first.

On a terminal it asks first; --yes is the answer for scripts.

Exit codes: 0 purged, or nothing to purge; 1 not purged, because you answered no; 3 no such job.

Examples:
  headway purge invoice-42                    every event of a job
  headway purge invoice-42 --keep 1           all but its last state
  headway purge --before 3d --dry-run         how many events of all jobs are older than three days?
  headway purge --before 2026-03-01T00:00:00Z --yes
  headway purge --all                         the whole stream
`;

/** `headway purge`: removes stored events, after asking. */
export function addPurgeCommand(program: Command, context: CliContext): void {
  const command = program
    .command('purge')
    .summary('remove stored events of a job, or old ones')
    .description('Removes stored events: of one job, of all jobs before a time, or all.')
    .addArgument(new Argument('[id]', "a job's processing_id").argParser(jobIdArgument))
    .addOption(
      new Option(
        '--before <time>',
        'only what was stored before: RFC 3339, or so long ago, such as 3d',
      ).argParser(beforeOption),
    )
    .addOption(new Option('--all', 'every event of every job').conflicts('before'))
    .addOption(new Option('--keep <n>', 'keep the newest so many').argParser(positive).conflicts('before'))
    .option('--dry-run', 'purge nothing, and say how many events would go')
    .option('-y, --yes', 'do not ask');
  addOutputOption(addNatsOptions(command), ['table', 'json'])
    .addHelpText('after', MORE)
    .action((id: string | undefined, flags: PurgeFlags) => purge(id ?? null, flags, context));
}

const RM_MORE = `
It is headway purge JOB: what is removed is gone for good, and an edge takes the job off its pages within a minute or so.
On a terminal it asks first; --yes is the answer for scripts.

Exit codes: 0 removed; 1 not removed, because the answer was another; 3 no such job.

Examples:
  headway rm invoice-42
  headway rm invoice-42 --dry-run                    how many events are there?
  headway rm invoice-42 --yes
`;

/** `headway rm`: removes one job. */
export function addRmCommand(program: Command, context: CliContext): void {
  const command = program
    .command('rm')
    .summary('remove every stored event of a job')
    .description('Removes every stored event of one job, as headway purge JOB does.')
    .addArgument(new Argument('<id>', "a job's processing_id").argParser(jobIdArgument))
    .option('--dry-run', 'remove nothing, and say how many events would go')
    .option('-y, --yes', 'do not ask');
  addOutputOption(addNatsOptions(command), ['table', 'json'])
    .addHelpText('after', RM_MORE)
    .action((id: string, flags: PurgeFlags) => purge(id, flags, context));
}

async function purge(id: string | null, flags: PurgeFlags, context: CliContext): Promise<void> {
  if (id === null && flags.before === undefined && !flags.all) {
    throw new UsageError('Say what to purge: a job, --before TIME, or --all.');
  }
  if (id !== null && flags.all)
    throw new UsageError('--all purges every job: leave out either the job or --all.');
  if (!flags.yes && !flags.dryRun && !context.terminal.in) {
    throw new UsageError(
      'There is no terminal to ask at; give --yes to purge without a question, or --dry-run.',
    );
  }
  const { before } = flags;
  const at = before === undefined ? null : before.kind === 'at' ? before.ms : context.now() - before.ms;
  const wish: PurgeRequest = { id, before: at, keep: flags.keep ?? 0 };
  await withStream(context, flags, 'purge', (opened) => purgeAsWished(opened, wish, flags));
}

async function purgeAsWished(opened: OpenStream, wish: PurgeRequest, flags: PurgeFlags): Promise<void> {
  const { access, context } = opened;
  const plan = await planPurge(opened, wish);
  if (wish.id !== null && plan.of === 0) throw new JobNotFoundError(wish.id, access.stream);
  if (flags.dryRun || plan.request === null) {
    await tell(context, flags, wish, plan, null);
    return;
  }
  if (!flags.yes && !(await isMeant(access, wish, plan, context))) {
    context.stderr('headway: nothing was purged\n');
    throw new Exit(EXIT.failed);
  }
  await tell(context, flags, wish, plan, await carryOut(access, plan.request));
}

/** Asks: what is typed must be the job's id or the stream's name, so that nobody purges by habit. */
async function isMeant(
  access: StreamAccess,
  { id }: PurgeRequest,
  plan: PurgePlan,
  context: CliContext,
): Promise<boolean> {
  const what = id === null ? `the stream ${access.stream} at ${access.shownUrl}` : `the job ${id}`;
  const running = plan.isUnfinished ? ' The job is not finished.' : '';
  context.stderr(`This removes ${events(plan.events)} of ${what} for good.${running}\n`);
  const word = id ?? access.stream;
  const answer = await context.prompt(`Type ${word} to go on: `);
  return answer?.trim() === word;
}

async function tell(
  context: CliContext,
  { output }: OutputFlag,
  { id }: PurgeRequest,
  plan: PurgePlan,
  purged: number | null,
): Promise<void> {
  const isDone = purged !== null;
  const left = Math.max(0, plan.of - (purged ?? plan.events));
  if (output === 'json') {
    const document = { processing_id: id, purged: purged ?? 0, would_purge: isDone ? 0 : plan.events, left };
    await context.stdout(`${JSON.stringify(document)}\n`);
    return;
  }
  const of = id === null ? '' : ` of ${id}`;
  if (isDone) {
    await context.stdout(`Purged ${events(purged)}${of}; ${events(left)} left.\n`);
    context.stderr(
      'headway: clients with an older cursor are told that events are gone; edges take jobs off their pages within a minute or so\n',
    );
  } else if (plan.events === 0) await context.stdout(`Nothing to purge${of}; ${events(left)} left.\n`);
  else await context.stdout(`Would purge ${events(plan.events)}${of}; ${events(left)} would be left.\n`);
}

const events = (count: number): string => `${count.toLocaleString('en')} ${count === 1 ? 'event' : 'events'}`;

function beforeOption(text: string): TimeSpec {
  try {
    const moment = momentOption(text);
    // What lies less than a moment back would be everything.
    if (moment.kind === 'at' || moment.ms > 0) return moment;
  } catch {
    // Told below, with what fits here.
  }
  throw new InvalidArgumentError(
    'Expected a time by RFC 3339, such as 2026-03-01T03:00:00Z, or a duration such as 12h or 3d.',
  );
}
