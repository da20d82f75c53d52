import { type Command, InvalidArgumentError, Option } from 'commander';
import { printable } from '../../../../schemas/text.js';
import { reportOf, runChecks, worstOf } from '../../../doctor/checks.js';
import { FINDING_IDS, type FindingId, RENAMED_FINDINGS, type Report } from '../../../doctor/findings.js';
import { ROLES, type Role } from '../../../doctor/required-permissions.js';
import { serverTooOld } from '../../../doctor/server.js';
import { NatsVersionError } from '../../../errors.js';
import { addColorOption, type ColorFlag } from '../../flags/command-line.js';
import { durationOption } from '../../flags/durations.js';
import { addOutputOption, type OutputFlag, positive } from '../../flags/filters.js';
import { itIsCalled, suggest } from '../../flags/usage-hints.js';
import { isColored } from '../../output/color.js';
import { type CliContext, Exit, PipeClosed } from '../../runtime/cli-context.js';
import { EXIT } from '../../runtime/exit-codes.js';
import { addNatsOptions, type NatsFlags, withNats } from '../../runtime/nats.js';
import { type CollectOptions, collect } from './collect.js';
import { jsonReport, textReport } from './reports.js';
import type { Scan } from './scan.js';

interface DoctorFlags extends NatsFlags, OutputFlag, ColorFlag {
  readonly scan: Scan;
  readonly for?: Role;
  readonly stallAfter?: number;
  readonly listen: number;
  readonly ignore?: readonly FindingId[];
  readonly verbose?: true;
}

const SCAN = 10_000;
/** A read that the doctor cannot do without ends after this; `--scan all` has the time it needs. */
const READ_MS = 30_000;
/** Where neither the job nor the environment says how long it may be silent. */
const STALL_AFTER_MS = 15 * 60_000;

const MORE = `
It only looks: it writes no event, and what it tries of the permissions cannot change anything. Whether an event would be
stored it asks with a message that NATS only traces, and whether the server can write with a consumer that it removes
at once. Each finding says what it is, why it matters and what to do; docs/RUNBOOK.md has more about each. What could
not be looked at is listed, too.

Exit codes:
  0    nothing, or notes only
  10   warnings
  11   errors
  2, 4 as for the other commands; with 4 NATS could not be asked at all

Examples:
  headway doctor                                 what is wrong, with the credentials of an operator
  headway doctor --verbose                       and what is right
  headway doctor --scan all                      every stored event is looked at, not only the newest ${SCAN.toLocaleString('en')}
  headway doctor --for edge --creds edge.creds   may these credentials do all that an edge needs?
  headway doctor -o json | jq -r '.findings[].id'
  headway doctor --ignore single-replica-in-cluster --ignore jobs-stalled
`;

/** `headway doctor`: finds out what is wrong with NATS, the stream, the edges, the jobs and the workers. */
export function addDoctorCommand(program: Command, context: CliContext): void {
  const command = program
    .command('doctor')
    .summary('find out what is wrong')
    .description('Looks at NATS, the stream, the edges, the jobs and the clocks, and says what is wrong.')
    .addOption(
      new Option('--scan <n>', 'look at this many of the newest events; or all')
        .argParser(scanOption)
        .default(SCAN),
    )
    .addOption(
      new Option(
        '--for <role>',
        'check that these credentials may do all that this role needs; what NATS refuses is an error',
      ).choices(ROLES),
    )
    .addOption(
      new Option(
        '--stall-after <duration>',
        'a job is silent after this, when it does not say itself (HEADWAY_STALL_AFTER_SECONDS; default: 15m)',
      ).argParser(durationOption),
    )
    .addOption(
      new Option('--listen <duration>', 'listen so long for heartbeats of silent jobs')
        .argParser(durationOption)
        .default(6_000, '6s'),
    )
    .addOption(
      new Option('--ignore <finding>', 'leave this finding out; may be repeated').argParser(addIgnored),
    )
    .option('--verbose', 'list what is fine, too');
  addColorOption(addOutputOption(addNatsOptions(command), ['table', 'json']))
    .addHelpText('after', MORE)
    .action((flags: DoctorFlags) => examine(flags, context));
}

async function examine(flags: DoctorFlags, context: CliContext): Promise<void> {
  const { report, stream, server, where } = await look(flags, context);
  const { ignore = [] } = flags;
  const shown: Report = { ...report, findings: report.findings.filter(({ id }) => !ignore.includes(id)) };
  const text =
    flags.output === 'json'
      ? jsonReport(shown, stream, { nats_server: server, node: process.versions.node })
      : textReport(shown, where, {
          columns: context.columns(),
          isColoured: isColored(context, flags),
          isVerbose: flags.verbose === true,
        });
  await context.stdout(text).catch((error: unknown) => {
    // What was found stays what it is, also for a script that reads the first line only.
    if (!(error instanceof PipeClosed)) throw error;
  });
  switch (worstOf(shown.findings)) {
    case 'error':
      throw new Exit(EXIT.errors);
    case 'warning':
      throw new Exit(EXIT.warnings);
    default:
  }
}

interface Examined {
  readonly report: Report;
  readonly stream: string;
  /** The server's version; null when it is not known. */
  readonly server: string | null;
  /** What was looked at, for a headline. */
  readonly where: string;
}

async function look(flags: DoctorFlags, context: CliContext): Promise<Examined> {
  const options: CollectOptions = {
    scan: flags.scan,
    listenMs: flags.listen,
    stallAfterMs: flags.stallAfter ?? stallAfterOf(context.env),
    meantFor: flags.for ?? null,
    limitMs: flags.scan === 'all' ? null : READ_MS,
  };
  try {
    return await withNats(context, flags, 'headway doctor', async (access) => {
      const facts = await collect(access, options, context);
      const { version, cluster } = facts.server;
      const place = cluster === null ? '' : ` in cluster ${printable(cluster)}`;
      return {
        report: runChecks(facts),
        stream: access.stream,
        server: version,
        where: `Stream ${access.stream} at ${access.shownUrl}, nats-server ${printable(version)}${place}`,
      };
    });
  } catch (error) {
    if (!(error instanceof NatsVersionError)) throw error;
    const report = reportOf([serverTooOld(error.message)]);
    const stream = flags.stream ?? (context.env.HEADWAY_STREAM || 'PROGRESS');
    return { report, stream, server: null, where: 'The nats-server is too old' };
  }
}

function stallAfterOf(env: CliContext['env']): number {
  const seconds = Number(env.HEADWAY_STALL_AFTER_SECONDS || 0);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : STALL_AFTER_MS;
}

function scanOption(text: string): Scan {
  if (text === 'all') return 'all';
  try {
    return positive(text);
  } catch {
    throw new InvalidArgumentError('Expected an integer from 1, or all.');
  }
}

function addIgnored(id: string, ids: readonly FindingId[] = []): readonly FindingId[] {
  const known = FINDING_IDS.find((one) => one === id);
  if (known !== undefined) return [...ids, known];
  const now = Object.hasOwn(RENAMED_FINDINGS, id) ? RENAMED_FINDINGS[id] : undefined;
  const near = suggest(id, FINDING_IDS);
  const hint = now !== undefined ? itIsCalled(now) : near === '' ? '' : ` ${near}`;
  throw new InvalidArgumentError(
    `Expected the name of a finding, as the report and docs/RUNBOOK.md have it.${hint}`,
  );
}
