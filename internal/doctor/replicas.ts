import { count, plural } from '../formatting.js';
import type { Facts, FollowerFacts, ReplicaFacts } from './facts.js';
import { finding, type Outcome, pass } from './findings.js';
import { edit, time } from './format.js';

/** A copy that is so many operations behind, or more, is worth a word. */
const LAG = 1_000;
/** The leader hears from each copy about once a second. nats-server calls a dead one current, and not offline, for long. */
const SILENT_MS = 5_000;

/** Whether the leader does not reach a copy. */
export const isAway = ({ offline, silentMs }: FollowerFacts): boolean => offline || silentMs >= SILENT_MS;

/** The stream's copies in a cluster: enough, there, and not behind. */
export function* checkReplicas({ stream, server, streamName }: Facts): Generator<Outcome> {
  if (stream.kind !== 'known' || stream.value.kind !== 'there') return;
  const { copies } = stream.value.stream;
  if (copies.wanted === 1) {
    yield server.cluster === null
      ? pass('copies', 'one copy, on one server')
      : single(streamName, server.cluster);
    return;
  }
  if (copies.leader === null) {
    // What the others say of each other then is old.
    yield withoutLeader(copies);
    return;
  }
  const offline = copies.followers.filter(isAway);
  if (offline.length > 0) yield offlineCopies(copies, offline);
  const behind = copies.followers.filter((copy) => !isAway(copy) && (!copy.current || copy.lag >= LAG));
  if (behind.length > 0) yield behindCopies(behind);
  if (copies.wanted % 2 === 0) yield even(streamName, copies.wanted);
  if (offline.length + behind.length === 0) {
    yield pass('copies', `${plural(copies.wanted, 'copy', 'copies')}, all current; ${copies.leader} leads`);
  }
}

function withoutLeader({ wanted }: ReplicaFacts): Outcome {
  return finding('error', 'stream-without-leader', {
    what: 'No server leads the stream.',
    why: 'Nothing is stored and nothing can be read until one does. For some seconds after a server died that is ordinary.',
    remedy: `Run the doctor again in 10 s. If it stays: more than half of the ${count(wanted)} servers with a copy must run and reach each other. If they do, their storage may be full (max_file_store): a server that is full does not lead, and its log says \`resource limits exceeded for server\`. Raise max_file_store in its configuration, and reload or restart it.`,
  });
}

function offlineCopies({ wanted }: ReplicaFacts, offline: readonly FollowerFacts[]): Outcome {
  const left = wanted - offline.length;
  // One more, and there is no majority.
  const isLast = left - 1 < Math.floor(wanted / 2) + 1;
  return finding('warning', 'replica-offline', {
    what: `${plural(offline.length, 'copy', 'copies')} of ${count(wanted)} of the stream cannot be reached.`,
    why: isLast
      ? 'If one more server goes, nothing can be stored any more until one is back.'
      : 'Fewer servers may fail before nothing can be stored any more.',
    remedy: `Start the server, or mend its network. If it will never come back: \`nats server cluster peer-remove ${offline[0]?.server}\`, with credentials of the system account, and the stream gets a copy elsewhere.`,
    details: offline.map(({ server, silentMs }) => `${server}: silent for ${time(silentMs)}`),
  });
}

function behindCopies(behind: readonly FollowerFacts[]): Outcome {
  return finding('warning', 'replica-lagging', {
    what: `${plural(behind.length, 'copy', 'copies')} of the stream ${behind.length === 1 ? 'is' : 'are'} behind the leader.`,
    why: 'Until it has caught up it does not count when another server fails, and what is read from it is old.',
    remedy:
      'Run the doctor again: after a restart a copy catches up by itself. If it does not, look at the log, the disk and the network of that server.',
    details: behind.map(
      ({ server, current, lag }) =>
        `${server}: ${plural(lag, 'operation')} behind${current ? '' : ', not current'}`,
    ),
  });
}

function even(name: string, wanted: number): Outcome {
  const better = wanted === 2 ? 3 : wanted - 1;
  const fewServers = wanted === 2 ? ' Where there are only two servers, 1 is better than 2.' : '';
  return finding('warning', 'replica-count-even', {
    what: `The stream has an even number of copies, ${count(wanted)}.`,
    why: `More than half of them must be there: with ${count(wanted)} no more servers may fail than with ${count(wanted - 1)}, and more can.`,
    remedy: `Change it: ${edit(name, `--replicas ${better}`)}.${fewServers}`,
  });
}

function single(name: string, cluster: string): Outcome {
  return finding('info', 'single-replica-in-cluster', {
    what: `The stream has one copy, though the server belongs to the cluster ${cluster}.`,
    why: 'While the server with the copy is away, nothing is stored and no edge starts; if its disk dies, all events are gone.',
    remedy: `If that is not meant: ${edit(name, '--replicas 3')}.`,
  });
}
