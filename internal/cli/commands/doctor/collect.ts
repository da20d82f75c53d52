import type { Facts, NeedFacts, Observed, StreamFacts } from '../../../doctor/facts.js';
import type { Role } from '../../../doctor/required-permissions.js';
import { HeartbeatListener } from '../../reads/heartbeat-listener.js';
import type { CliContext } from '../../runtime/cli-context.js';
import type { StreamAccess } from '../../runtime/nats.js';
import {
  collectAccount,
  collectClock,
  collectHeartbeats,
  collectStream,
  collectSubjects,
} from './collectors.js';
import { collectConsumers } from './consumer-facts.js';
import { probePublish, probeWrite } from './dry-publish.js';
import { probePermissions } from './permissions-probe.js';
import { known, probe, skipped } from './probe.js';
import { type Scan, type ScanLimits, scanEvents, scanJobs } from './scan.js';

/** These looks ask several times, or for much. */
const SECOND_LOOKS_MS = 15_000;

export interface CollectOptions {
  readonly scan: Scan;
  /** How long heartbeats are listened for, when jobs are silent. */
  readonly listenMs: number;
  /** How long a job may be silent that says nothing itself. */
  readonly stallAfterMs: number;
  readonly meantFor: Role | null;
  /** How long one read may take; null: as long as it needs. */
  readonly limitMs: number | null;
}

/** Looks at everything. What cannot be looked at is in the facts, with the reason; it stops nothing else. */
export async function collect(
  access: StreamAccess,
  options: CollectOptions,
  context: CliContext,
): Promise<Facts> {
  const { connection, stream } = access;
  const listening = new HeartbeatListener(connection);
  try {
    const [account, state, clock, permissions] = await Promise.all([
      probe(() => collectAccount(access)),
      probe(() => collectStream(access), SECOND_LOOKS_MS),
      probe(() => collectClock(access, context.now)),
      probePermissions(connection, stream, options.meantFor),
    ]);
    const now = context.now() - (clock.kind === 'known' ? clock.value.offsetMs : 0);
    const inStream = await lookInside(
      access,
      state,
      { ...options, now, listening, needs: permissions.needs },
      context,
    );
    return {
      now,
      streamName: stream,
      server: {
        version: connection.info?.version ?? 'unknown',
        cluster: connection.info?.cluster ?? null,
        maxPayload: connection.info?.max_payload ?? Number.MAX_SAFE_INTEGER,
      },
      account,
      stream: state,
      clock: state.kind === 'known' && state.value.kind === 'there' ? clock : because(state),
      permissions,
      ...inStream,
    };
  } finally {
    listening.close();
  }
}

type Inside = Pick<
  Facts,
  'consumers' | 'ends' | 'events' | 'jobs' | 'fullJobs' | 'strays' | 'heartbeats' | 'publish' | 'disk'
>;

async function lookInside(
  access: StreamAccess,
  state: Facts['stream'],
  options: CollectOptions & {
    readonly now: number;
    readonly listening: HeartbeatListener;
    readonly needs: readonly NeedFacts[];
  },
  context: CliContext,
): Promise<Inside> {
  if (state.kind !== 'known' || state.value.kind === 'missing') {
    const none = because(state);
    return {
      consumers: none,
      ends: null,
      events: none,
      jobs: none,
      fullJobs: none,
      strays: none,
      heartbeats: none,
      publish: none,
      disk: none,
    };
  }
  const { stream } = state.value;
  const limits: ScanLimits = { limitMs: options.limitMs, stopped: context.stopped };
  const [followers, events, subjects, [jobs, heartbeats]] = await Promise.all([
    probe(() => collectConsumers(access), SECOND_LOOKS_MS),
    scanEvents(access, stream, options.scan, limits),
    probe(() => collectSubjects(access, stream, options.now), SECOND_LOOKS_MS),
    silentJobs(access, stream, options, limits, context),
  ]);
  // A refusal of the one, and the consumer of the other, may be seen by whoever else looks at the same time.
  const [publish, disk] = await Promise.all([
    probe(() => probePublish(access, stream, options.needs)).then(flat),
    probe(() => probeWrite(access, stream)).then(flat),
  ]);
  const isKnown = followers.kind === 'known';
  return {
    consumers: isKnown ? known(followers.value.consumers) : followers,
    ends: isKnown ? followers.value.ends : null,
    events,
    fullJobs: subjects.kind === 'known' ? known(subjects.value.full) : subjects,
    strays: subjects.kind === 'known' ? known(subjects.value.strays) : subjects,
    jobs,
    heartbeats,
    publish,
    disk,
  };
}

/** The jobs, and whether the silent ones among them are heard. */
async function silentJobs(
  access: StreamAccess,
  { maxAgeMs }: StreamFacts,
  { now, stallAfterMs, listenMs, listening }: CollectOptions & { now: number; listening: HeartbeatListener },
  limits: ScanLimits,
  context: CliContext,
): Promise<[Facts['jobs'], Facts['heartbeats']]> {
  const jobs = await scanJobs(access, { now, stallAfterMs, maxAgeMs }, limits);
  const silent = jobs.kind === 'known' ? jobs.value.silent : [];
  if (silent.length === 0) return [jobs, skipped('no job is silent')];
  if (context.terminal.note)
    context.stderr('headway: some jobs are silent, listening for their heartbeats\n');
  return [jobs, await collectHeartbeats(listening, silent, listenMs, context.stopped)];
}

/** A look that says by itself why it knows nothing. */
const flat = <T>(observed: Observed<Observed<T>>): Observed<T> =>
  observed.kind === 'known' ? observed.value : observed;

/** Why there is nothing to look at inside the stream. */
function because(state: Facts['stream']): Observed<never> {
  if (state.kind === 'known') return skipped('there is no stream');
  return skipped('the stream cannot be looked at');
}
