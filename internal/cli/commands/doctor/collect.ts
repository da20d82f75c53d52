import type { Facts, Observed, StreamFacts } from '../../../doctor/facts.js';
import type { Role } from '../../../doctor/needs.js';
import type { NeedFacts } from '../../../doctor/permissions.js';
import { Listening } from '../../reads/heartbeat-listener.js';
import type { Io } from '../../runtime/cli-context.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { hear, lookAtAccount, lookAtClock, lookAtStream, lookAtSubjects } from './collectors.js';
import { lookAtConsumers } from './consumer-facts.js';
import { tryToPublish, tryToWrite } from './dry-publish.js';
import { lookAtPermissions } from './permissions-probe.js';
import { known, observe, skipped } from './probe.js';
import { type Scan, type ScanLimits, scanEvents, scanJobs } from './scan.js';

/** These looks ask several times, or for much. */
const SECOND_LOOKS_MS = 15_000;

export interface GatherOptions {
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
export async function gather(access: StreamAccess, options: GatherOptions, io: Io): Promise<Facts> {
  const { connection, stream } = access;
  const listening = new Listening(connection);
  try {
    const [account, state, clock, permissions] = await Promise.all([
      observe(() => lookAtAccount(access)),
      observe(() => lookAtStream(access), SECOND_LOOKS_MS),
      observe(() => lookAtClock(access, io.now)),
      lookAtPermissions(connection, stream, options.meantFor),
    ]);
    const now = io.now() - (clock.kind === 'known' ? clock.value.offsetMs : 0);
    const inStream = await lookInside(
      access,
      state,
      { ...options, now, listening, needs: permissions.needs },
      io,
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
  options: GatherOptions & {
    readonly now: number;
    readonly listening: Listening;
    readonly needs: readonly NeedFacts[];
  },
  io: Io,
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
  const limits: ScanLimits = { limitMs: options.limitMs, stopped: io.stopped };
  const [followers, events, subjects, [jobs, heartbeats]] = await Promise.all([
    observe(() => lookAtConsumers(access), SECOND_LOOKS_MS),
    scanEvents(access, stream, options.scan, limits),
    observe(() => lookAtSubjects(access, stream, options.now), SECOND_LOOKS_MS),
    silentJobs(access, stream, options, limits, io),
  ]);
  // A refusal of the one, and the consumer of the other, may be seen by whoever else looks at the same time.
  const [publish, disk] = await Promise.all([
    observe(() => tryToPublish(access, stream, options.needs)).then(flat),
    observe(() => tryToWrite(access, stream)).then(flat),
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
  { now, stallAfterMs, listenMs, listening }: GatherOptions & { now: number; listening: Listening },
  limits: ScanLimits,
  io: Io,
): Promise<[Facts['jobs'], Facts['heartbeats']]> {
  const jobs = await scanJobs(access, { now, stallAfterMs, maxAgeMs }, limits);
  const silent = jobs.kind === 'known' ? jobs.value.silent : [];
  if (silent.length === 0) return [jobs, skipped('no job is silent')];
  if (io.terminal.note) io.note('headway: some jobs are silent, listening for their heartbeats\n');
  return [jobs, await hear(listening, silent, listenMs, io.stopped)];
}

/** A look that says by itself why it knows nothing. */
const flat = <T>(observed: Observed<Observed<T>>): Observed<T> =>
  observed.kind === 'known' ? observed.value : observed;

/** Why there is nothing to look at inside the stream. */
function because(state: Facts['stream']): Observed<never> {
  if (state.kind === 'known') return skipped('there is no stream');
  return skipped('the stream cannot be looked at');
}
