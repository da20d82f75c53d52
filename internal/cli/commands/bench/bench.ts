import { type Command, InvalidArgumentError, Option } from 'commander';
import type { StreamInfo } from 'nats';
import { bytes, count, plural } from '../../../formatting.js';
import { addColorOption, type ColorFlag } from '../../flags/command-line.js';
import { durationOption } from '../../flags/durations.js';
import { addOutputOption, type OutputFlag, positive } from '../../flags/filters.js';
import { colorizer } from '../../output/color.js';
import { widthFor } from '../../output/event-line.js';
import { writeLines } from '../../output/line-writer.js';
import { type CliContext, Exit, UsageError } from '../../runtime/cli-context.js';
import { EXIT } from '../../runtime/exit-codes.js';
import { addNatsOptions, type NatsFlags, type StreamAccess, withEventStream } from '../../runtime/nats.js';
import { BENCH_TYPE, BenchJobs } from './jobs.js';
import { describeFigures } from './report.js';
import { type BenchPlan, EVENTS_BEFORE, isFlawless, removeCommand, runBench } from './run.js';

interface BenchFlags extends NatsFlags, OutputFlag, ColorFlag {
  readonly edge?: string;
  readonly token?: string;
  readonly clients: number;
  readonly jobs?: number;
  readonly behind: number;
  /** ms. */
  readonly timeout: number;
  readonly dryRun?: true;
}

/** With its default limits an edge lets so many in at once from one address, and 100 more. */
const CLIENTS = 400;
const MOST_CLIENTS = 20_000;
const JOBS = 100;
const MOST_EVENTS = 1_000_000;
const DEFAULT_EDGE = 'http://127.0.0.1:8080';
/** What was published is removed, also when the command is stopped. */
const REMOVE_GRACE_MS = 20_000;

const MORE = `
Clients connect to jobs that the benchmark makes for itself, and are all cut. Each job gets --behind more events. Then all
clients come back at once, each with its cursor. What is measured is how long it takes until all have what they missed.
Every update is checked: the sequences must be those that JetStream acknowledged, each once, in order, and each prev_seq
must fit.

The jobs have ids that begin with bench- and a random part, and the type ${BENCH_TYPE}. No other job is touched, and the
jobs are removed again, whatever happens; if that fails, the command says how. Clients of all jobs and dashboards see them
meanwhile, and such a client that comes back later with a cursor from before may be told that events are gone (skipped).
Where the stream is so full that it would let go older events for these, nothing begins; where others fill it meanwhile, it
ends.

It needs the right to publish to these jobs and to purge: in docs/nats that is the user admin. The clients all come from
one address, so the limits of the edge for one address count: beyond ${CLIENTS} clients raise HEADWAY_MAX_UPGRADES_PER_ADDRESS,
HEADWAY_MAX_UNAUTHENTICATED_PER_ADDRESS, HEADWAY_MAX_CONNECTIONS_PER_ADDRESS and HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS. The
same for ulimit -n, here and at the edge. One program plays all clients: where it used most of a core, the edge may be faster.

Exit codes: 0 every client got everything once; 1 something was missed, came twice, was reset or came too late, or jobs
could not be removed.

Examples:
  headway bench --dry-run
  headway bench --edge https://progress.example.com
  headway bench --clients 5000 --jobs 1000 -o json
  HEADWAY_TOKEN=$(headway token --job-type ${BENCH_TYPE}) headway bench
`;

/** `headway bench`: measures how fast an edge's clients have what they missed, when all come back at once. */
export function addBenchCommand(program: Command, context: CliContext): void {
  const command = program
    .command('bench')
    .summary('measure how fast clients catch up when all come back at once')
    .description('Measures an edge: how fast clients have what they missed, when all come back at once.')
    .addOption(
      new Option('--edge <url>', `where the edge is (HEADWAY_EDGE_URL; default: ${DEFAULT_EDGE})`).argParser(
        edgeOption,
      ),
    )
    .option('--token <jwt>', 'the token of the clients (HEADWAY_TOKEN, which no list of processes shows)')
    .addOption(
      new Option('--clients <n>', `how many connect; at most ${MOST_CLIENTS.toLocaleString('en')}`)
        .argParser(clientsOption)
        .default(CLIENTS),
    )
    .addOption(
      new Option(
        '--jobs <n>',
        `how many jobs they share (default: ${JOBS}, or one for each client)`,
      ).argParser(positive),
    )
    .addOption(new Option('--behind <n>', 'how many events each has missed').argParser(positive).default(50))
    .addOption(
      new Option('--timeout <duration>', 'how long they may take to connect, and to catch up')
        .argParser(durationOption)
        .default(60_000, '1m'),
    )
    .option('--dry-run', 'say what it would do, and do nothing');
  addColorOption(addOutputOption(addNatsOptions(command), ['table', 'json']))
    .addHelpText('after', MORE)
    .action((flags: BenchFlags) => bench(flags, context));
}

async function bench(flags: BenchFlags, context: CliContext): Promise<void> {
  const plan = planOf(flags, context);
  await withEventStream(context, flags, 'bench', REMOVE_GRACE_MS, async (access, info) => {
    const jobs = new BenchJobs(access, plan.jobs);
    checkRoom(plan, jobs, access, info);
    context.stderr(announcement(plan, jobs, access, flags));
    if (flags.dryRun) return;
    const { figures, left } = await runBench(context, access, flags, info, jobs, plan);
    if (flags.output === 'json') {
      const document = { run: jobs.run, edge: plan.url, stream: access.stream, ...figures, jobs_left: left };
      await context.stdout(`${JSON.stringify(document)}\n`);
    } else {
      const lines = describeFigures(figures, colorizer(context, flags), widthFor(context)());
      await writeLines(context, lines);
    }
    if (left > 0 || !isFlawless(figures)) throw new Exit(EXIT.failed);
  });
}

/** @throws UsageError */
function planOf(flags: BenchFlags, { env }: CliContext): BenchPlan {
  const { clients, behind, timeout } = flags;
  const jobs = flags.jobs ?? Math.min(JOBS, clients);
  if (jobs > clients) {
    throw new UsageError('--jobs is more than --clients: each job needs a client, or nobody looks at it.');
  }
  const events = jobs * (EVENTS_BEFORE + behind);
  if (events > MOST_EVENTS) {
    throw new UsageError(
      `That would publish ${count(events)} events; at most ${count(MOST_EVENTS)} are published. Give fewer --jobs, or a ` +
        'smaller --behind.',
    );
  }
  const url = flags.edge ?? edgeOfEnvironment(env.HEADWAY_EDGE_URL);
  return {
    clients,
    jobs,
    behind,
    timeoutMs: timeout,
    url,
    token: tokenOf(flags, env),
  };
}

/** @throws UsageError for what could not be sent in a header */
function tokenOf({ token }: BenchFlags, env: CliContext['env']): string | undefined {
  const text = token ?? (env.HEADWAY_TOKEN || undefined);
  if (text === undefined || /^[!-~]{1,8192}$/.test(text)) return text;
  throw new UsageError(
    `${token === undefined ? 'HEADWAY_TOKEN' : '--token'} is not valid; expected a JWT, as headway token makes one.`,
  );
}

/** @throws UsageError where the stream would not keep these events, or would let go others for them */
function checkRoom(plan: BenchPlan, jobs: BenchJobs, { stream }: StreamAccess, info: StreamInfo): void {
  const { config } = info;
  const each = EVENTS_BEFORE + plan.behind;
  const ofJob = config.max_msgs_per_subject ?? -1;
  if (ofJob > 0 && each > ofJob) {
    throw new UsageError(
      `The stream ${stream} keeps ${plural(ofJob, 'event')} of each job, and this needs ${count(each)}: give a smaller ` +
        '--behind.',
    );
  }
  const events = plan.jobs * each;
  if (!jobs.wouldPushOut(events, info)) return;
  const instead =
    config.discard === 'new' ? 'refuse the events of other jobs' : 'let go older events of other jobs';
  throw new UsageError(
    `The stream ${stream} is nearly full (max_msgs, max_bytes): it would ${instead} for the ` +
      `${plural(events, 'event')} of this benchmark. Give fewer --jobs or a smaller --behind, or more room to the stream.`,
  );
}

function announcement(
  plan: BenchPlan,
  jobs: BenchJobs,
  { stream, shownUrl }: StreamAccess,
  flags: BenchFlags,
): string {
  const isDry = flags.dryRun === true;
  const events = plan.jobs * (EVENTS_BEFORE + plan.behind);
  const size = bytes(events * jobs.eventBytes);
  const [publishes, connects, removes] = isDry
    ? ['would publish', 'would connect', 'would remove']
    : ['publishes', 'connects', 'removes'];
  return (
    `headway: this ${publishes} ${plural(events, 'event')} (${size}) of ${plural(plan.jobs, 'job')} ` +
    `${jobs.run}-0 to ${jobs.run}-${plan.jobs - 1} to the stream ${stream} at ${shownUrl}, ${connects} ` +
    `${plural(plan.clients, 'client')} to ${plan.url}, and ${removes} the jobs again\n` +
    (isDry
      ? ''
      : `headway: if it is killed, this removes them: ${removeCommand(jobs.run, shownUrl, flags)}\n`)
  );
}

function clientsOption(text: string): number {
  const clients = positive(text);
  if (clients <= MOST_CLIENTS) return clients;
  throw new InvalidArgumentError(
    `Expected an integer from 1 to ${MOST_CLIENTS}: one address has no more ports.`,
  );
}

const EDGE_EXPECTED = 'the address of an edge, such as http://127.0.0.1:8080 or wss://progress.example.com';

/** The address of an edge's WebSockets. @throws InvalidArgumentError */
export function edgeOption(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const scheme = url === null ? undefined : SCHEMES[url.protocol];
  if (
    url === null ||
    scheme === undefined ||
    url.host === '' ||
    url.username + url.password + url.search + url.hash !== ''
  )
    throw new InvalidArgumentError(`Expected ${EDGE_EXPECTED}.`);
  return `${scheme}//${url.host}${url.pathname.replace(/\/+$/, '')}`;
}

const SCHEMES: Readonly<Record<string, string>> = {
  'http:': 'ws:',
  'https:': 'wss:',
  'ws:': 'ws:',
  'wss:': 'wss:',
};

function edgeOfEnvironment(text: string | undefined): string {
  try {
    return edgeOption(text || DEFAULT_EDGE);
  } catch {
    throw new UsageError(`HEADWAY_EDGE_URL is not valid; expected ${EDGE_EXPECTED}.`);
  }
}
