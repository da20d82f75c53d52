import { setTimeout as delay } from 'node:timers/promises';
import type { JetStreamAccountStats, StreamInfo } from 'nats';
import { idOf, SUBJECT_FILTER } from '../../../../schemas/ids.js';
import type {
  AccountFacts,
  ClockFacts,
  FullJob,
  HeartbeatFacts,
  Observed,
  StraySubject,
  StreamFacts,
  StreamState,
  Usage,
} from '../../../doctor/facts.js';
import { isAway } from '../../../doctor/replicas.js';
import { JetStreamUnavailableError } from '../../../errors.js';
import { explainRequestError, requestFailure } from '../../../jetstream/nats-errors.js';
import { ALL_SUBJECTS, oldestSeq, storedTime } from '../../../jetstream/stream.js';
import type { HeartbeatListener, HeartbeatTarget } from '../../reads/heartbeat-listener.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { known, refusedSubject } from './probe.js';
import { streamFactsOf } from './stream-facts.js';

/** A copy that is not current for a moment is not what is looked for. */
const SECOND_LOOK_MS = 1_500;
const CLOCK_QUESTIONS = 3;
const REACHES = 20;

/** The account's use of JetStream; null when JetStream is not enabled for it. */
export async function collectAccount({ jsm, stream, shownUrl }: StreamAccess): Promise<AccountFacts | null> {
  try {
    return accountFacts(await jsm.getAccountInfo());
  } catch (error) {
    const meaning = explainRequestError(error, stream, shownUrl);
    const isTimeout = requestFailure(error) === 'timeout';
    if (meaning instanceof JetStreamUnavailableError && !isTimeout) return null;
    throw error;
  }
}

function accountFacts(stats: JetStreamAccountStats): AccountFacts {
  const tiers = Object.values(stats.tiers ?? {});
  const parts = tiers.length > 0 ? tiers : [stats];
  // Each tier has limits of its own; the one that is the nearest to its limit tells.
  const fullest = (pick: (part: (typeof parts)[number]) => Usage): Usage =>
    parts.map(pick).sort((one, other) => fill(other) - fill(one))[0] ?? { used: 0, limit: null };
  return {
    storage: fullest(({ storage, limits }) => usage(storage, limits.max_storage)),
    memory: fullest(({ memory, limits }) => usage(memory, limits.max_memory)),
    streams: fullest(({ streams, limits }) => usage(streams, limits.max_streams)),
    consumers: fullest(({ consumers, limits }) => usage(consumers, limits.max_consumers)),
  };
}

const usage = (used: number, limit: number): Usage => ({ used, limit: limit < 0 ? null : limit });
const fill = ({ used, limit }: Usage): number => (limit === null || limit === 0 ? 0 : used / limit);

/** The stream, its copies looked at twice where one of them is not current. */
export async function collectStream({ connection, jsm, stream }: StreamAccess): Promise<StreamState> {
  const version = connection.info?.version ?? '';
  try {
    const first = streamFactsOf(await jsm.streams.info(stream), version);
    const isSteady = first.copies.followers.every((copy) => copy.current && !isAway(copy));
    if (isSteady) return { kind: 'there', stream: first };
    await delay(SECOND_LOOK_MS);
    return { kind: 'there', stream: streamFactsOf(await jsm.streams.info(stream), version) };
  } catch (error) {
    if (requestFailure(error) !== 'stream_not_found') throw error;
    return { kind: 'missing', takenBy: await jsm.streams.find(SUBJECT_FILTER).catch(() => null) };
  }
}

/** This machine's clock against that of the server which leads the stream, and so gives events their time. */
export async function collectClock({ jsm, stream }: StreamAccess, now: () => number): Promise<ClockFacts> {
  const looks: ClockFacts[] = [];
  for (let asked = 0; asked < CLOCK_QUESTIONS; asked++) {
    const before = now();
    const info: StreamInfo = await jsm.streams.info(stream);
    const after = now();
    const at = Date.parse(info.ts ?? '');
    if (!Number.isNaN(at)) {
      looks.push({ offsetMs: (before + after) / 2 - at, uncertaintyMs: (after - before) / 2 + 1 });
    }
  }
  const [best] = looks.sort((one, other) => one.uncertaintyMs - other.uncertaintyMs);
  if (best === undefined) throw new Error('the server does not say what time it is');
  return best;
}

export interface Subjects {
  /** Jobs with as many events as the stream keeps of one. */
  readonly full: readonly FullJob[];
  readonly strays: readonly StraySubject[];
}

/** All subjects of the stream, for those that are full and those that name no job. @param now by the server's clock */
export async function collectSubjects(
  { jsm, stream }: StreamAccess,
  { maxEventsPerJob }: StreamFacts,
  now: number,
): Promise<Subjects> {
  // Of all: what is stored may be on other subjects than the stream has now.
  const { state } = await jsm.streams.info(stream, { subjects_filter: ALL_SUBJECTS });
  const all = Object.entries(state.subjects ?? {});
  const strays = all
    .filter(([subject]) => idOf(subject) === null)
    .map(([subject, messages]) => ({ subject, messages }));
  const limit = maxEventsPerJob ?? Number.POSITIVE_INFINITY;
  const full = all.flatMap(([subject, events]) => {
    const id = idOf(subject);
    return id !== null && events >= limit ? [{ id, subject, events }] : [];
  });
  const reaches = await Promise.all(
    full.slice(0, REACHES).map(async ({ subject }) => {
      const oldest = oldestSeq(jsm, stream, subject);
      const at = await oldest.then((seq) => storedTime(jsm, stream, seq)).catch(() => null);
      return at === null ? null : Math.max(0, now - at);
    }),
  );
  return { full: full.map(({ id, events }, at) => ({ id, events, reachMs: reaches[at] ?? null })), strays };
}

/** Listens on until each of these jobs was heard, or for so long since the start. */
export async function collectHeartbeats(
  listening: HeartbeatListener,
  silent: readonly HeartbeatTarget[],
  listenMs: number,
  stopped: AbortSignal,
): Promise<Observed<HeartbeatFacts>> {
  await listening.wait(listenMs, () => silent.every((job) => listening.has(job)), stopped);
  const { refusal, listenedMs } = listening;
  if (refusal === null) {
    const heard = silent.filter((job) => listening.has(job)).map(({ id }) => id);
    return known({ listenedMs, heard: new Set(heard) });
  }
  const subject = refusedSubject(refusal);
  return subject === null ? { kind: 'failed', reason: refusal.message } : { kind: 'not_permitted', subject };
}
