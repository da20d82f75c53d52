import { setTimeout as delay } from 'node:timers/promises';
import type { StreamInfo } from 'nats';
import { pause, untilAborted, within } from '../../../async.js';
import { count, plural } from '../../../formatting.js';
import { epochOf } from '../../../jetstream/stream.js';
import { type CliContext, SignalError } from '../../runtime/cli-context.js';
import type { NatsFlags, StreamAccess } from '../../runtime/nats.js';
import { StatusLine } from '../../runtime/status.js';
import { quantile } from '../stats/counts.js';
import { BenchClient, ClientCounts, type EdgeAccess } from './client.js';
import { EdgeRefusedError } from './errors.js';
import type { BenchJobs } from './jobs.js';

/** How many events of each job there are before anybody connects. */
export const EVENTS_BEFORE = 3;

/** How long an edge may take to greet the very first client. */
const GREET_MS = 15_000;
/** So many connect at once, the first time: what is measured is how they come back. */
const CONNECT_AT_ONCE = 50;
/** An edge limits new connections by the second; nothing of the first ones is to count for those that come back. */
const REST_MS = 1_100;
/** So long after the last has everything, an update that comes twice is still noticed. */
const SETTLE_MS = 250;
const DRAW_MS = 100;

export interface BenchPlan {
  readonly clients: number;
  readonly jobs: number;
  /** Events that each client has missed when it comes back. */
  readonly behind: number;
  /** How long the clients may take to connect, and to come back. ms. */
  readonly timeoutMs: number;
  readonly url: string;
  readonly token: string | undefined;
}

/** What was measured. `-o json` has it with these names. */
export interface BenchFigures {
  readonly clients: number;
  readonly jobs: number;
  readonly behind: number;
  /** How many clients had everything in time. */
  readonly caught_up: number;
  /** From the moment at which all come back; null where none had everything. */
  readonly caught_up_ms: { readonly p50: number; readonly p99: number; readonly last: number } | null;
  readonly updates: number;
  /** Until the last had everything, or the time was over. */
  readonly updates_per_second: number | null;
  readonly bytes: number;
  readonly missed: number;
  /** What had not come when the time was over. */
  readonly outstanding: number;
  readonly repeated: number;
  readonly wrong: number;
  readonly resets: number;
  readonly reset_reason: string | null;
  readonly turned_away: number;
  readonly turned_away_by: string | null;
  /** The processor time of this program while it measured, as a share of one core. */
  readonly own_cpu: number;
}

/** Whether every client got each update once, and in time. */
export const isFlawless = (figures: BenchFigures): boolean =>
  figures.caught_up === figures.clients &&
  figures.missed + figures.repeated + figures.wrong + figures.resets === 0;

/**
 * Runs the benchmark, on jobs that it removes again on every way out.
 * @returns the figures, and how many jobs could not be removed
 * @throws HeadwayError; SignalError when it is stopped
 */
export async function runBench(
  context: CliContext,
  access: StreamAccess,
  flags: NatsFlags,
  info: StreamInfo,
  jobs: BenchJobs,
  plan: BenchPlan,
): Promise<{ figures: BenchFigures; left: number }> {
  const { url, token } = plan;
  const edge: EdgeAccess = { url, token, epoch: epochOf(info), stream: access.stream };
  await jobs.proveRemovable();
  await greet(edge, jobs, context.stopped);
  const clients = Array.from({ length: plan.clients }, (_, at) => new BenchClient(edge, jobOf(jobs, at)));
  const status = new StatusLine(context);
  let figures: BenchFigures | undefined;
  let left = 0;
  try {
    figures = await measure(context, jobs, clients, plan, status);
  } finally {
    for (const client of clients) client.cut();
    status.clear();
    left = await remove(context, access, flags, jobs, status);
  }
  return { figures, left };
}

const jobOf = ({ ids }: BenchJobs, client: number): string => ids[client % ids.length] ?? '';

/** Before anything is published: the edge is there, lets a client in, and follows this stream. */
async function greet(edge: EdgeAccess, jobs: BenchJobs, stopped: AbortSignal): Promise<void> {
  const first = new BenchClient(edge, jobOf(jobs, 0));
  const counts = new ClientCounts();
  const late = (): never => {
    throw new EdgeRefusedError(edge.url, counts.turnedAwayBy || 'it does not answer');
  };
  try {
    await within(first.connect('hello', counts), GREET_MS, late, stopped);
  } finally {
    first.cut();
  }
}

async function measure(
  context: CliContext,
  jobs: BenchJobs,
  clients: readonly BenchClient[],
  plan: BenchPlan,
  status: StatusLine,
): Promise<BenchFigures> {
  const { stopped } = context;
  const events = plan.jobs * (EVENTS_BEFORE + plan.behind);
  const arrived = (): number => clients.filter(({ arrivedAt }) => arrivedAt !== null).length;
  const publishing = (): string => `publishing: ${count(jobs.published)} of ${plural(events, 'event')}`;
  const of = plural(clients.length, 'client');
  await drawing(context, status, publishing, jobs.publish(EVENTS_BEFORE, stopped));
  await drawing(
    context,
    status,
    () => `connecting: ${count(arrived())} of ${of}`,
    connectAll(clients, jobs, plan, stopped),
  );
  for (const client of clients) client.cut();
  const rest = delay(REST_MS);
  await drawing(context, status, publishing, jobs.publish(plan.behind, stopped));
  await untilAborted(rest, stopped);
  return await drawing(
    context,
    status,
    () => `catching up: ${count(arrived())} of ${of}`,
    resumeAll(clients, jobs, plan, stopped),
  );
}

async function connectAll(
  clients: readonly BenchClient[],
  { seqs }: BenchJobs,
  { timeoutMs, url }: BenchPlan,
  stopped: AbortSignal,
): Promise<void> {
  const counts = new ClientCounts();
  const waiting = clients.entries();
  const work = async (): Promise<void> => {
    for (const [at, client] of waiting) {
      await client.connect('caught_up', counts, seqs[at % seqs.length]?.at(-1));
    }
  };
  const late = (): never => {
    const inside = clients.filter(({ arrivedAt }) => arrivedAt !== null).length;
    const why = counts.turnedAwayBy === '' ? 'it does not say why' : counts.turnedAwayBy;
    throw new EdgeRefusedError(
      url,
      `only ${count(inside)} of ${count(clients.length)} were in in time; ${why}`,
    );
  };
  await within(Promise.all(Array.from({ length: CONNECT_AT_ONCE }, work)), timeoutMs, late, stopped);
}

async function resumeAll(
  clients: readonly BenchClient[],
  jobs: BenchJobs,
  { timeoutMs, behind }: BenchPlan,
  stopped: AbortSignal,
): Promise<BenchFigures> {
  const counts = new ClientCounts();
  const cpu = process.cpuUsage();
  const from = performance.now();
  const all = clients.map((client, at) => client.resume(jobs.seqs[at % jobs.ids.length] ?? [], counts));
  await within(Promise.all(all), timeoutMs, () => undefined, stopped);
  const elapsed = performance.now() - from;
  const { updates } = counts;
  const { user, system } = process.cpuUsage(cpu);
  await pause(SETTLE_MS, stopped);
  const took = clients
    .flatMap(({ arrivedAt }) => (arrivedAt === null ? [] : [arrivedAt - from]))
    .toSorted((one, other) => one - other);
  const sum = (of: 'missed' | 'repeated' | 'wrong'): number =>
    clients.reduce((total, { departures }) => total + (departures?.[of] ?? 0), 0);
  const last = took.at(-1);
  return {
    clients: clients.length,
    jobs: jobs.ids.length,
    behind,
    caught_up: took.length,
    caught_up_ms:
      last === undefined
        ? null
        : { p50: tenths(quantile(took, 0.5)), p99: tenths(quantile(took, 0.99)), last: tenths(last) },
    updates: counts.updates,
    updates_per_second: last === undefined ? null : Math.round((updates / elapsed) * 1_000),
    bytes: counts.bytes,
    missed: sum('missed'),
    outstanding: clients.reduce((total, client) => total + client.outstanding, 0),
    repeated: sum('repeated'),
    wrong: sum('wrong'),
    resets: counts.resets,
    reset_reason: counts.resetReason || null,
    turned_away: counts.turnedAway,
    turned_away_by: counts.turnedAwayBy || null,
    own_cpu: Math.round(((user + system) / 1_000 / elapsed) * 100) / 100,
  };
}

const tenths = (ms: number | null): number => Math.round((ms ?? 0) * 10) / 10;

/** Removes what was published, and says of what is left how it is removed. @returns how many jobs are left */
async function remove(
  context: CliContext,
  access: StreamAccess,
  flags: NatsFlags,
  jobs: BenchJobs,
  status: StatusLine,
): Promise<number> {
  const { reason: signal } = context.stopped;
  if (signal instanceof SignalError) {
    context.stderr(
      `headway: removing the jobs of ${jobs.run}; a second ${signal.signal} ends at once, and leaves them\n`,
    );
  }
  const removing = (left: number): void => {
    const now = context.now();
    if (status.wants(now)) status.draw(`removing: ${plural(left, 'job')} left`, now);
  };
  const { left, reason } = await jobs.remove(removing);
  status.clear();
  if (left > 0) {
    context.stderr(
      `headway: ${plural(left, 'job')} of ${jobs.run} may be left in the stream ${access.stream} (${reason}). This ` +
        `removes them:\n  ${removeCommand(jobs.run, access.shownUrl, flags)}\n`,
    );
  }
  return left;
}

/**
 * The command line that removes the jobs of a run. What came from the environment, it takes from there as well.
 * @param shownUrl where NATS is, without credentials
 */
export function removeCommand(run: string, shownUrl: string, flags: NatsFlags): string {
  const given: readonly [string, string | undefined][] = [
    ['server', flags.server && shownUrl],
    ['creds', flags.creds],
    ['stream', flags.stream],
  ];
  const options = given.flatMap(([name, value]) => (value ? [` --${name} ${inShell(value)}`] : [])).join('');
  return `headway get '${run}-*' -o name${options} | xargs -I{} headway purge {} --yes${options}`;
}

const inShell = (text: string): string =>
  /^[\w:/.,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** Draws what `text` says while it waits for `work`. */
async function drawing<T>(
  context: CliContext,
  status: StatusLine,
  text: () => string,
  work: Promise<T>,
): Promise<T> {
  const draw = (): void => {
    const now = context.now();
    if (status.wants(now)) status.draw(text(), now);
  };
  draw();
  const timer = setInterval(draw, DRAW_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    status.clear();
  }
}
