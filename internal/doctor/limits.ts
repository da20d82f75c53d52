import { bytes, count, plural } from '../formatting.js';
import type { AccountFacts, Facts, FullJob, StreamFacts, UnfinishedJob, Usage } from './facts.js';
import { finding, type Outcome, pass, whenKnown } from './findings.js';
import { edit, percent, time } from './format.js';
import { EVENT_BYTES, isFull } from './storage.js';

const NEAR = 0.8;
const AT = 0.95;
/** Below this a client that was cut off for a moment may already have missed what is kept. */
const SHORT_REACH_MS = 10 * 60_000;

const share = ({ used, limit }: Usage): number => (limit === null || limit === 0 ? 0 : used / limit);

/** Limits of the stream and of the account that are nearly reached. */
export function* checkLimits(facts: Facts): Generator<Outcome> {
  const { stream, account } = facts;
  if (stream.kind === 'known' && stream.value.kind === 'there') {
    yield* judgeStreamLimits(stream.value.stream, facts);
    yield* whenKnown('event-limit', facts.fullJobs, (jobs) =>
      judgeFullJobs(stream.value, jobs, facts.streamName),
    );
    yield* leavingByAge(facts, stream.value.stream);
  }
  yield* whenKnown('account', account, (value) => (value === null ? [] : judgeAccount(value, facts)));
}

function* judgeStreamLimits(stream: StreamFacts, { now, streamName }: Facts): Generator<Outcome> {
  const limits = [
    { name: 'max_bytes', usage: stream.bytes, words: bytes, flag: '--max-bytes SIZE', one: EVENT_BYTES },
    { name: 'max_msgs', usage: stream.messages, words: count, flag: '--max-msgs NUMBER', one: 1 },
  ];
  // A sealed stream takes nothing, however much room there is. One that is full has a finding of its own.
  const isTold = (usage: Usage, one: number): boolean =>
    stream.sealed || (stream.discard === 'new' && isFull(usage, one));
  const full = limits.filter(({ usage, one }) => share(usage) >= NEAR && !isTold(usage, one));
  const reach = stream.oldestAt === null ? null : time(now - stream.oldestAt);
  if (full.length > 0) {
    const raise = edit(streamName, ...full.map(({ flag }) => flag));
    const isAt = full.some(({ usage }) => share(usage) >= AT);
    const details = full.map(({ name, usage, words }) => ofLimit(name, usage, words));
    yield stream.discard === 'new' ? refusesSoon(isAt, raise, details) : losesOldest(reach, raise, details);
  } else if (reach === null) yield pass('stream-limits', 'no events');
  else {
    const size = `${bytes(stream.bytes.used)} in ${plural(stream.messages.used, 'event')}`;
    yield pass('stream-limits', `${size}, the oldest from ${reach} ago`);
  }
  const consumers = share(stream.consumers);
  if (consumers < NEAR) return;
  yield finding(consumers >= AT ? 'error' : 'warning', 'stream-consumers-near-limit', {
    what: `The stream has ${count(stream.consumers.used)} of at most ${count(stream.consumers.limit ?? 0)} consumers.`,
    why: 'At the limit no edge can start or rebuild its feed, and no history can be read.',
    remedy: `Find who makes them: \`nats consumer ls ${streamName}\` lists them. An edge has one, and at most HEADWAY_HISTORY_READS short-lived ones.`,
  });
}

function losesOldest(reach: string | null, raise: string, details: readonly string[]): Outcome {
  return finding('warning', 'stream-nearly-full', {
    what: 'The stream is near a limit of its size.',
    why: `At the limit the oldest events leave, whether their jobs are finished or not. What is kept now reaches back ${reach ?? 'no time at all'}; a client that was away for longer gets a reset, and the last state of a silent job goes.`,
    remedy: `Raise the limit if the disk can spare it (${raise}), or have workers publish less often. If the limit is meant to be reached, see that what is kept reaches back far enough.`,
    details,
  });
}

function refusesSoon(isAt: boolean, raise: string, details: readonly string[]): Outcome {
  return finding(isAt ? 'error' : 'warning', 'stream-nearly-full', {
    what: 'The stream is near a limit of its size, and refuses new events there (discard: new).',
    why: 'At the limit no event is stored, of no job, until others have left by their age or were purged. Jobs then seem to stand still, also those that end.',
    remedy: `Raise the limit if the disk can spare it (${raise}), or remove what is old (\`headway purge --before 3d\`). See stream-drift for how to let the oldest events leave instead, as Headway makes it.`,
    details,
  });
}

const ofLimit = (name: string, usage: Usage, words: (value: number) => string): string =>
  `${name}: ${words(usage.used)} of ${words(usage.limit ?? 0)} (${percent(share(usage))})`;

function* judgeAccount(account: AccountFacts, { stream, streamName }: Facts): Generator<Outcome> {
  // As long as the stream is there, no other one is needed.
  const streams = stream.kind === 'known' && stream.value.kind === 'missing' ? account.streams : null;
  const kinds: readonly (readonly [string, Usage, (value: number) => string])[] = [
    ['storage', account.storage, bytes],
    ['memory', account.memory, bytes],
    ['consumers', account.consumers, count],
    ...(streams === null ? [] : [['streams', streams, count] as const]),
  ];
  const isTold = ([name, usage]: (typeof kinds)[number]): boolean =>
    name === toldFull(stream) && isFull(usage, EVENT_BYTES);
  const near = kinds.filter((kind) => share(kind[1]) >= NEAR && !isTold(kind));
  if (kinds.some(isTold) && near.length === 0) return;
  if (near.length === 0) {
    yield pass('account', `${bytes(account.storage.used)} stored, ${limitWords(account.storage)}`);
    return;
  }
  const isAt = near.some(([, usage]) => share(usage) >= AT);
  yield finding(isAt ? 'error' : 'warning', 'account-near-limit', {
    what: `The account is near a limit of JetStream: ${near.map(([name]) => name).join(', ')}.`,
    why: 'At a limit JetStream refuses: events are not stored (storage), edges have no consumers (memory, consumers), or the stream cannot be made (streams).',
    remedy: `Raise the limits of the account or of the server, or give the stream a limit of its own below the account's (${edit(streamName, '--max-bytes SIZE')}), so that old events leave instead of new ones being refused.`,
    details: near.map(([name, usage, words]) => ofLimit(name, usage, words)),
  });
}

/** What of the account has a finding of its own when it is full. */
function toldFull(stream: Facts['stream']): string | null {
  if (stream.kind !== 'known' || stream.value.kind !== 'there' || stream.value.stream.sealed) return null;
  return stream.value.stream.storage === 'file' ? 'storage' : 'memory';
}

const limitWords = ({ limit }: Usage): string => (limit === null ? 'no limit' : `at most ${bytes(limit)}`);

function* judgeFullJobs(
  state: { kind: string; stream?: StreamFacts },
  jobs: readonly FullJob[],
  streamName: string,
): Generator<Outcome> {
  const { stream } = state;
  const limit = stream?.maxEventsPerJob ?? null;
  if (stream === undefined || limit === null) {
    yield pass('event-limit', 'no limit of events for each job');
    return;
  }
  if (jobs.length === 0) {
    yield pass('event-limit', `no job has reached ${plural(limit, 'event')}`);
    return;
  }
  const what = `${plural(jobs.length, 'job has', 'jobs have')} reached ${plural(limit, 'event')}, the most that the stream keeps of one (max_msgs_per_subject).`;
  const details = [...jobs]
    .sort(
      (one, other) => (one.reachMs ?? Number.POSITIVE_INFINITY) - (other.reachMs ?? Number.POSITIVE_INFINITY),
    )
    .map(({ id, events, reachMs }) =>
      reachMs === null
        ? `${id}: ${plural(events, 'event')}`
        : `${id}: ${plural(events, 'event')}, the oldest from ${time(reachMs)} ago`,
    );
  if (refusesPerJob(stream)) {
    yield finding('error', 'jobs-at-event-limit', {
      what,
      why: 'This stream refuses more (discard: new, of each subject), so no event of theirs is stored any more: they seem to stand still, also those that end.',
      remedy: `Let the oldest events leave instead, as Headway makes it: ${edit(streamName, '--discard old --no-discard-per-subject')}. Or remove the older ones of a job: \`headway purge ID --keep 10\`.`,
      details,
    });
    return;
  }
  const reaches = jobs.flatMap(({ reachMs }) => (reachMs === null ? [] : [reachMs]));
  const isShort = reaches.some((reach) => reach < SHORT_REACH_MS);
  const raise = edit(streamName, '--max-msgs-per-subject NUMBER');
  yield finding(isShort ? 'warning' : 'info', 'jobs-at-event-limit', {
    what,
    why: 'Their older events have left. A client that comes back with an older cursor gets a reset (retention) and the last state; the history before cannot be read.',
    remedy: isShort
      ? `They publish so often that only minutes are kept: let their worker report less often (maxUpdatesPerSecond), or raise the limit: ${raise}.`
      : `Nothing, if that is enough. Else let their worker report less often, or raise the limit: ${raise}.`,
    details,
  });
}

const refusesPerJob = ({ discard, choices }: StreamFacts): boolean =>
  discard === 'new' && choices.some(({ field }) => field === 'discard_new_per_subject');

function* leavingByAge({ jobs, now, streamName }: Facts, { maxAgeMs }: StreamFacts): Generator<Outcome> {
  if (jobs.kind !== 'known' || maxAgeMs === null || jobs.value.leavingInAll === 0) return;
  const { leaving, leavingInAll } = jobs.value;
  const left = (job: UnfinishedJob): string => time(Math.max(0, maxAgeMs - (now - job.storedAt)));
  yield finding('warning', 'jobs-near-max-age', {
    what: `${plural(leavingInAll, 'unfinished job')} will leave the stream soon: the last event is nearly as old as max_age (${time(maxAgeMs)}) lets it be.`,
    why: 'With its last event a job is forgotten. Who asks for it then waits for a first event that may never come.',
    remedy: `See whether they are still worked on. Start them again or end them (publish completed or error); for jobs that are quiet for days raise max_age (${edit(streamName, '--max-age TIME')}), or have the worker report now and then.`,
    details: leaving.map((job) => `${job.id}: leaves in ${left(job)}`),
    inAll: leavingInAll,
  });
}
