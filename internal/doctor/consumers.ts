import type { ConsumerFacts, Facts } from './facts.js';
import { finding, fine, type Outcome, whenKnown } from './findings.js';
import { count, plural, time } from './words.js';

const EDGE_PREFIX = 'edge-';
const REPLAY_PREFIX = 'replay-';
/** A pull of an edge is renewed within a few seconds; what was made just now may not have had its first yet. */
const NEW_MS = 5_000;
const FORGOTTEN_MS = 24 * 60 * 60_000;
/** An edge that has more than so many events to get, and no fewer at the second look, is behind. */
const BEHIND = 1_000;

/** Consumers of edges that are dead or behind, and of replays that nobody goes on with. */
export function* judgeConsumers({ consumers, now, streamName }: Facts): Generator<Outcome> {
  yield* whenKnown('consumers', consumers, (all) => judge(all, now, streamName));
}

function* judge(all: readonly ConsumerFacts[], now: number, stream: string): Generator<Outcome> {
  const edges = all.filter(({ name, isDurable }) => isDurable && name.startsWith(EDGE_PREFIX));
  const idle = edges.filter((edge) => !edge.isPulled && now - edge.createdAt >= NEW_MS);
  const live = edges.filter(({ isPulled }) => isPulled);
  if (idle.length > 0) yield idleEdges(idle, now, stream);
  const behind = live.filter(({ pending: [first, last] }) => last >= BEHIND && last >= first);
  if (behind.length > 0) yield edgesBehind(behind);
  if (live.length === 0) yield noEdge(stream);
  else if (behind.length === 0)
    yield fine('consumers', `${plural(live.length, 'edge')} at the head of the stream`);
  const forgotten = all.filter(
    (one) => one.isDurable && one.name.startsWith(REPLAY_PREFIX) && isForgotten(one, now),
  );
  if (forgotten.length > 0) yield forgottenReplays(forgotten, now, stream);
}

const lastUsed = ({ lastDeliveredAt, createdAt }: ConsumerFacts): number => lastDeliveredAt ?? createdAt;

const isForgotten = (replay: ConsumerFacts, now: number): boolean =>
  !replay.isPulled && now - lastUsed(replay) >= FORGOTTEN_MS;

function idleEdges(idle: readonly ConsumerFacts[], now: number, stream: string): Outcome {
  const stays = idle.filter(({ removedAfterMs }) => removedAfterMs === null);
  return finding('warning', 'edge-consumer-idle', {
    what: `${plural(idle.length, 'consumer')} of ${idle.length === 1 ? 'an edge is' : 'edges are'} not pulled: the edge is dead, stands still, or is cut off from NATS.`,
    why: 'Its clients got no updates until they reached another edge. Which edge it is, its name says.',
    whatToDo:
      stays.length === 0
        ? 'If you have not stopped the edge, see why it is gone: its log, its machine, its way to NATS. The server removes what a dead edge leaves after five minutes.'
        : `If you have not stopped the edge, see why it is gone. The server never removes these by itself: \`nats consumer rm ${stream} ${stays[0]?.name}\`.`,
    details: idle.map(
      (edge) =>
        `${edge.name}: ${edge.lastDeliveredAt === null ? 'never delivered anything' : `last delivered ${time(now - edge.lastDeliveredAt)} ago`}`,
    ),
  });
}

function edgesBehind(behind: readonly ConsumerFacts[]): Outcome {
  return finding('warning', 'edge-behind', {
    what: `${plural(behind.length, 'edge')} ${behind.length === 1 ? 'is' : 'are'} behind the stream and ${behind.length === 1 ? 'does' : 'do'} not catch up.`,
    why: 'Its clients see updates late.',
    whatToDo:
      'Look at the CPU of the edge and at its way to NATS. One edge uses one core: give its clients more edges.',
    details: behind.map(({ name, pending }) => `${name}: ${plural(pending[1], 'event')} behind`),
  });
}

function noEdge(stream: string): Outcome {
  return finding('info', 'no-edge', {
    what: `No edge follows the stream ${stream}.`,
    why: 'Events are stored, and nobody is shown them.',
    whatToDo: 'Start an edge, if there should be one. An edge that just starts shows within seconds.',
  });
}

function forgottenReplays(forgotten: readonly ConsumerFacts[], now: number, stream: string): Outcome {
  return finding('info', 'replay-consumer-forgotten', {
    what: `${plural(forgotten.length, 'durable replay was', 'durable replays were')} left where ${forgotten.length === 1 ? 'it' : 'they'} stood, for more than ${count(FORGOTTEN_MS / 3_600_000)} h.`,
    why: 'Each is a consumer that the server keeps. What it has not shown yet may leave the stream meanwhile.',
    whatToDo: `Go on with \`headway replay --durable NAME\`, or remove it: \`nats consumer rm ${stream} ${forgotten[0]?.name}\`.`,
    details: forgotten.map((one) => `${one.name}: unused for ${time(now - lastUsed(one))}`),
  });
}
