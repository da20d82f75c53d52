import { isBefore } from '../server-version.js';
import type { Facts, ServerFacts } from './facts.js';
import { finding, type Outcome, pass, skip } from './findings.js';

const LOSES_STREAMS_BEFORE = '2.10.23';
const LEAVES_OUT_JOBS_BEFORE = '2.11.5';
/** Where it was seen; later ones were not looked at. */
const WEDGES_COPIES = '2.15.1';

/** The server's version and what is known of it, and whether it has JetStream. */
export function* checkServer({ server, account, stream }: Facts): Generator<Outcome> {
  const trouble = [...versionTrouble(server.version)];
  yield* trouble;
  const isCopied =
    stream.kind === 'known' && stream.value.kind === 'there' && stream.value.stream.copies.wanted > 1;
  if (server.version === WEDGES_COPIES && isCopied) yield wedgesCopies();
  else if (trouble.length === 0) yield pass('server', `nats-server ${server.version}`);
  yield* otherServers(server);
  if (account.kind === 'known' && account.value === null) yield jetStreamDisabled();
}

/** The server that Headway does not even connect to. @param told what connecting said of it, in a sentence or two */
export function serverTooOld(told: string): Outcome {
  return finding('error', 'server-too-old', {
    what: told,
    why: 'Edges and the other commands do not start with it. Nothing else could be looked at.',
    remedy: 'Install a newer nats-server, 2.11.5 or later if you can.',
  });
}

/** What is known to be wrong with a version of nats-server. */
function* versionTrouble(version: string): Generator<Outcome> {
  if (isBefore(version, LOSES_STREAMS_BEFORE)) {
    yield finding('error', 'server-data-loss-bug', {
      what: `nats-server ${version} can lose a whole stream when its process is killed (nats-server #6888).`,
      why: 'All jobs and their history would be gone, and no client is told what it missed.',
      remedy: `Install ${LOSES_STREAMS_BEFORE} or newer, on every server.`,
    });
  } else if (isBefore(version, LEAVES_OUT_JOBS_BEFORE)) {
    yield finding('info', 'server-incomplete-snapshot', {
      what: `nats-server ${version} can leave jobs out of the list of last states, where events were deleted.`,
      why: 'An edge notices and lists all subjects to find them, so with many jobs it starts more slowly. Nothing is lost.',
      remedy: `Nothing has to be done. ${LEAVES_OUT_JOBS_BEFORE} and newer do not have it.`,
    });
  }
}

function wedgesCopies(): Outcome {
  return finding('warning', 'server-replica-write-bug', {
    what: `On nats-server ${WEDGES_COPIES} one publish with a wrong Nats-Expected-Last-Msg-Id can stop a stream that has copies.`,
    why: 'Nothing more can be stored then. Whoever may publish can do it; Headway’s own workers never send that header.',
    remedy:
      'Let only workers that you trust publish, and watch for a newer nats-server. 2.10.27 and streams with one copy do not have it.',
  });
}

function* otherServers({ cluster }: ServerFacts): Generator<Outcome> {
  if (cluster === null) return;
  yield skip(
    'other-servers',
    `a client sees the version of the server that it is connected to, not of the others in cluster ${cluster}: give each one’s address to --server in turn`,
  );
}

function jetStreamDisabled(): Outcome {
  return finding('error', 'jetstream-disabled', {
    what: 'JetStream is not enabled for this account.',
    why: 'There is nowhere to store events: no edge starts, and nothing that workers publish here is kept.',
    remedy:
      'Start the server with JetStream (nats-server -js, or a jetstream block) and enable it for the account; or give the credentials of the account that has the stream.',
  });
}
