import { count, plural } from '../formatting.js';
import { driftOf } from './drift.js';
import type { ConsumerFacts, Facts, StreamEnds } from './facts.js';
import { finding, type Outcome, pass, whenKnown } from './findings.js';
import { shown, time } from './format.js';

const EDGE_PREFIX = 'edge-';
const REPLAY_PREFIX = 'replay-';
/** A pull of an edge is renewed within a few seconds; what was made just now may not have had its first yet. */
export const NEW_MS = 5_000;
const FORGOTTEN_MS = 24 * 60 * 60_000;
/** An edge that has more than so many events to get, and no fewer at the second look, is behind. */
const BEHIND = 1_000;

/** Whether a consumer of this name is an edge's. */
export const isEdge = (name: string): boolean => name.startsWith(EDGE_PREFIX);

/** Consumers of edges that are dead, behind or stand still, and of replays that nobody goes on with. */
export function* checkConsumers(facts: Facts): Generator<Outcome> {
  const { consumers, ends, now, streamName } = facts;
  yield* whenKnown('consumers', consumers, (all) => judge(all, ends, now, streamName, isDrifted(facts)));
}

/** The consumers of edges that nobody pulls. */
export function idleEdges({ consumers, ends, now }: Facts): readonly ConsumerFacts[] {
  if (consumers.kind !== 'known') return [];
  return consumers.value.filter((one) => isEdge(one.name) && stateOf(one, ends, now) === 'idle');
}

/** Edges pull nothing while the stream is not as they need it: that is the fault of the stream, and told there. */
const isDrifted = ({ stream }: Facts): boolean =>
  stream.kind === 'known' && stream.value.kind === 'there' && driftOf(stream.value.stream).length > 0;

function* judge(
  all: readonly ConsumerFacts[],
  ends: StreamEnds | null,
  now: number,
  stream: string,
  isWaiting: boolean,
): Generator<Outcome> {
  const edges = all.filter(({ name }) => isEdge(name));
  const groups = new Map<EdgeState, ConsumerFacts[]>();
  for (const edge of edges) {
    const state = stateOf(edge, ends, now);
    groups.set(state, [...(groups.get(state) ?? []), edge]);
  }
  const those = (state: EdgeState): readonly ConsumerFacts[] => groups.get(state) ?? [];
  const told = [
    ...some(those('paused'), (paused) => pausedEdges(paused, stream)),
    ...some(those('edited'), (edited) => editedEdges(edited, stream)),
    ...some(those('stalled'), (stalled) => stalledEdges(stalled, ends, stream)),
    ...some(those('refused'), refusedEdges),
    ...some(isWaiting ? [] : those('idle'), (idle) => idleFinding(idle, now, stream)),
    ...some(those('behind'), edgesBehind),
  ];
  yield* told;
  const live = edges.filter(isFed);
  if (live.length === 0 && !(isWaiting && those('idle').length > 0)) yield noEdge(stream);
  else if (live.length > 0 && those('follows').length === live.length)
    yield pass('consumers', following(live));
  const forgotten = all.filter(
    (one) => one.isDurable && one.name.startsWith(REPLAY_PREFIX) && isForgotten(one, now),
  );
  if (forgotten.length > 0) yield forgottenReplays(forgotten, now, stream);
}

/** The first that fits says what to do. */
type EdgeState = 'paused' | 'edited' | 'stalled' | 'refused' | 'idle' | 'behind' | 'follows' | 'starts';

/** Whether it gets events, or would: an edge that has much to do is given events and has no pull that waits. */
const isFed = ({ isPulled, delivered: [first, last] }: ConsumerFacts): boolean => isPulled || last > first;

function stateOf(edge: ConsumerFacts, ends: StreamEnds | null, now: number): EdgeState {
  if (edge.pausedForMs !== null) return 'paused';
  if (edge.changes.length > 0) return 'edited';
  if (!isFed(edge)) {
    if (edge.isRebuilt) return 'refused';
    return now - edge.createdAt >= NEW_MS ? 'idle' : 'starts';
  }
  if (isStalled(edge, ends)) return 'stalled';
  const [first, last] = edge.pending;
  return last >= BEHIND && last >= first ? 'behind' : 'follows';
}

/** Whether it is pulled, has something to deliver, and delivers nothing. */
function isStalled({ pending, delivered, isRebuilt }: ConsumerFacts, ends: StreamEnds | null): boolean {
  const [first, last] = delivered;
  if (isRebuilt || last > first) return false;
  const isBehind = (pending[0] > 0 && pending[1] > 0) || (ends !== null && ends.newestEvent > last);
  return isBehind || (ends !== null && last > ends.last);
}

const some = <T>(found: readonly T[], tell: (found: readonly T[]) => Outcome): readonly Outcome[] =>
  found.length === 0 ? [] : [tell(found)];

const lastUsed = ({ lastDeliveredAt, createdAt }: ConsumerFacts): number => lastDeliveredAt ?? createdAt;

const isForgotten = (replay: ConsumerFacts, now: number): boolean =>
  !replay.isPulled && now - lastUsed(replay) >= FORGOTTEN_MS;

/** How far an edge is behind the stream, by its consumer. */
const lag = ({ pending }: ConsumerFacts): string => `${plural(pending[1], 'event')} behind`;

/** "An edge has", "2 edges have" */
const edgesWith = (edges: readonly unknown[], one: string, many: string): string =>
  edges.length === 1 ? `An edge ${one}` : `${count(edges.length)} edges ${many}`;

function following(live: readonly ConsumerFacts[]): string {
  const late = live.filter(({ pending }) => pending[1] > 0);
  if (late.length === 0) return `${plural(live.length, 'edge')} at the head of the stream`;
  const lags = late.map((edge) => `${edge.name} is ${lag(edge)}`).join(', ');
  return `${plural(live.length, 'edge')} that ${live.length === 1 ? 'follows' : 'follow'} the stream; ${lags}, and catching up`;
}

/** Edges notice that their consumer is gone, and make it anew within a second. */
const remove = (stream: string, name: string | undefined): string => `\`nats consumer rm ${stream} ${name}\``;

function pausedEdges(paused: readonly ConsumerFacts[], stream: string): Outcome {
  return finding('error', 'edge-consumer-paused', {
    what: `${edgesWith(paused, 'gets', 'get')} nothing: somebody paused the consumer.`,
    why: 'It answers, and delivers no event until the time it was paused to. Clients of that edge see their jobs stand still.',
    remedy: `Let it go on: \`nats consumer resume ${stream} ${paused[0]?.name}\`. What it has not delivered comes then, in order.`,
    details: paused.map(
      (edge) => `${edge.name}: paused for ${time(edge.pausedForMs ?? 0)} more, ${lag(edge)}`,
    ),
  });
}

function editedEdges(edited: readonly ConsumerFacts[], stream: string): Outcome {
  return finding('error', 'edge-consumer-edited', {
    what: `${edgesWith(edited, 'has a consumer', 'have consumers')} that somebody edited, or made in the place of the edge's own.`,
    why: 'It leaves events out, or delivers them late or without their bodies. Clients of that edge do not see what was left out, and are not told.',
    remedy: `Remove it: ${remove(stream, edited[0]?.name)}. The edge makes it anew within a second, as it should be. Then restart the edge: what was left out before is not sent again to those who are connected.`,
    details: edited.flatMap((edge) =>
      edge.changes.map((change) => `${edge.name}: ${shown(change, 'an edge')}`),
    ),
  });
}

function stalledEdges(stalled: readonly ConsumerFacts[], ends: StreamEnds | null, stream: string): Outcome {
  const isBeyond = ({ delivered }: ConsumerFacts): boolean => ends !== null && delivered[1] > ends.last;
  return finding('error', 'edge-stalled', {
    what: `${edgesWith(stalled, 'asks', 'ask')} for events and ${stalled.length === 1 ? 'gets' : 'get'} none, though there are some.`,
    why: 'The consumer answers and does not move, so the edge takes the stream for quiet. Its clients see their jobs stand still.',
    remedy: `Remove the consumer: ${remove(stream, stalled[0]?.name)}. The edge makes it anew within a second, and goes on where its memory ends. If it stalls again, look at the log of the nats-server that holds it (\`nats consumer info\` names it).`,
    details: stalled.map((edge) =>
      isBeyond(edge)
        ? `${edge.name}: stands at seq ${edge.delivered[1]}, and the stream ends at ${ends?.last}`
        : `${edge.name}: stands at seq ${edge.delivered[1]}, ${lag(edge)}`,
    ),
  });
}

function refusedEdges(refused: readonly ConsumerFacts[]): Outcome {
  return finding('error', 'edge-pulls-refused', {
    what: `${edgesWith(refused, 'makes its', 'make their')} consumer anew again and again, and none of ${refused.length === 1 ? 'its' : 'their'} pulls arrives.`,
    why: 'The edge lives and is never given an event. Most often NATS forbids it to pull.',
    remedy:
      'See what its credentials lack: `headway doctor --for edge --creds edge.creds`. It needs to publish `$JS.API.CONSUMER.MSG.NEXT.STREAM.*`; docs/nats/permissions.conf has it. Its log says `NATS does not permit this`, or why else its feed is lost.',
    details: refused.map((edge) => `${edge.name}: ${lag(edge)}`),
  });
}

function idleFinding(idle: readonly ConsumerFacts[], now: number, stream: string): Outcome {
  const stays = idle.filter(({ removedAfterMs }) => removedAfterMs === null);
  return finding('warning', 'edge-consumer-idle', {
    what: `${plural(idle.length, 'consumer')} of ${idle.length === 1 ? 'an edge is' : 'edges are'} not pulled: the edge is dead, stands still, or is cut off from NATS.`,
    why: 'Its clients got no updates until they reached another edge. Which edge it is, its name says.',
    remedy:
      stays.length === 0
        ? 'If you have not stopped the edge, see why it is gone: its log, its machine, its way to NATS. The server removes what a dead edge leaves after five minutes.'
        : `If you have not stopped the edge, see why it is gone. The server never removes these by itself: ${remove(stream, stays[0]?.name)}.`,
    details: idle.map((edge) => {
      const { lastDeliveredAt } = edge;
      const used =
        lastDeliveredAt === null
          ? 'never delivered anything'
          : `last delivered ${time(now - lastDeliveredAt)} ago`;
      return `${edge.name}: ${used}, ${lag(edge)}`;
    }),
  });
}

function edgesBehind(behind: readonly ConsumerFacts[]): Outcome {
  return finding('warning', 'edge-behind', {
    what: `${plural(behind.length, 'edge')} ${behind.length === 1 ? 'is' : 'are'} behind the stream and ${behind.length === 1 ? 'does' : 'do'} not catch up.`,
    why: 'Its clients see updates late.',
    remedy:
      'Look at the CPU of the edge and at its way to NATS. One edge uses one core: give its clients more edges.',
    details: behind.map((edge) => `${edge.name}: ${lag(edge)}`),
  });
}

function noEdge(stream: string): Outcome {
  return finding('info', 'no-edge', {
    what: `No edge follows the stream ${stream}.`,
    why: 'Events are stored, and nobody is shown them.',
    remedy: 'Start an edge, if there should be one. An edge that just starts shows within seconds.',
  });
}

function forgottenReplays(forgotten: readonly ConsumerFacts[], now: number, stream: string): Outcome {
  return finding('info', 'replay-consumer-stale', {
    what: `${plural(forgotten.length, 'durable replay was', 'durable replays were')} left where ${forgotten.length === 1 ? 'it' : 'they'} stood, for more than ${count(FORGOTTEN_MS / 3_600_000)} h.`,
    why: 'Each is a consumer that the server keeps. What it has not shown yet may leave the stream meanwhile.',
    remedy: `Go on with \`headway replay --durable NAME\`, or remove it: \`nats consumer rm ${stream} ${forgotten[0]?.name}\`.`,
    details: forgotten.map((one) => `${one.name}: unused for ${time(now - lastUsed(one))}`),
  });
}
