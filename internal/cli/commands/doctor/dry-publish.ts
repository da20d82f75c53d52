import {
  AckPolicy,
  type ConsumerConfig,
  createInbox,
  DeliverPolicy,
  headers,
  type Msg,
  type NatsConnection,
  nanos,
} from 'nats';
import { SUBJECT_FILTER } from '../../../../schemas/ids.js';
import type { NeedFacts, Observed, PublishFacts, StreamFacts, WriteFacts } from '../../../doctor/facts.js';
import { DRY_INBOX, DRY_SUBJECT } from '../../../doctor/required-permissions.js';
import { watchPermissionErrors } from '../../../jetstream/connection-monitor.js';
import { requestFailure } from '../../../jetstream/nats-errors.js';
import { isAtLeast } from '../../../server-version.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { known, skipped } from './probe.js';

/** Since this version a server can be asked to go through a message and not to store it. */
const TRACES = '2.11.0';
const ANSWER_MS = 3_000;

/**
 * What a worker's event would meet, asked with a message that the server goes through, answers for, and gives to nobody:
 * it is only traced (`Nats-Trace-Only`). So the server that has the stream must be the one that we are connected to: an
 * older one would store it.
 *
 * In a cluster nothing is asked. A server whose storage is full gives up leading at each publish that it refuses, and
 * where every copy is full none leads again: to look would take from the stream what can still be read and purged.
 * @param needs what is known of the credentials' permissions
 */
export async function probePublish(
  { connection, stream }: StreamAccess,
  { copies }: StreamFacts,
  needs: readonly NeedFacts[],
): Promise<Observed<PublishFacts>> {
  const isRefused = needs.some(({ need, result }) => result === 'refused' && need.subject === DRY_SUBJECT);
  if (isRefused) return { kind: 'not_permitted', subject: `publish ${DRY_SUBJECT}` };
  const own = connection.info;
  if (own === undefined || own.cluster !== undefined || copies.wanted > 1) {
    return skipped(
      'in a cluster a server whose storage is full stops leading the stream when it is asked: its log says whether it is',
    );
  }
  if (copies.leader !== own.server_name) {
    return skipped(
      `only the server that has the stream (${copies.leader ?? 'unknown'}) could be asked: give its address to --server`,
    );
  }
  if (!isAtLeast(own.version, TRACES)) {
    return skipped(
      `nats-server ${own.version} cannot be asked without storing something: whether its storage is full, its log says`,
    );
  }
  return await askForTrace(connection, stream);
}

async function askForTrace(connection: NatsConnection, stream: string): Promise<Observed<PublishFacts>> {
  // Where the trace goes these credentials must be permitted to publish, too. A refusal of that answers no request.
  const reply = createInbox(DRY_INBOX);
  const forbidden = new Promise<Observed<PublishFacts>>((resolve) => {
    watchPermissionErrors(connection, (refusal) => {
      if (refusal.subject === reply) resolve({ kind: 'not_permitted', subject: `publish ${DRY_INBOX}.*` });
    });
  });
  const asked = headers();
  asked.set('Nats-Trace-Dest', reply);
  asked.set('Nats-Trace-Only', 'true');
  const options = { timeout: ANSWER_MS, headers: asked, noMux: true, reply };
  const answered = connection.request(DRY_SUBJECT, '', options).then((answer) => factsIn(answer, stream));
  // Whichever comes second is of no use.
  answered.catch(() => undefined);
  return await Promise.race([answered, forbidden]);
}

/** What comes first is the stream's refusal, or what the server traced. */
function factsIn(answer: Msg, stream: string): Observed<PublishFacts> {
  const refusal = refusalIn(answer);
  if (refusal !== null) return known(refusal);
  const { events = [] } = answer.json<{ events?: TraceEvent[] }>();
  const passed = events.find((one) => one.type === 'js' && one.stream === stream);
  if (passed === undefined)
    return { kind: 'failed', reason: `what is published to ${SUBJECT_FILTER} does not reach it` };
  return known(passed.error === undefined ? { kind: 'takes' } : refusalOf(passed.error));
}

interface TraceEvent {
  readonly type: string;
  readonly stream?: string;
  /** "insufficient resources (10023)" */
  readonly error?: string;
}

function refusalOf(told: string): PublishFacts {
  const [, reason = told, code] = /^(.*) \((\d+)\)$/.exec(told) ?? [];
  return { kind: 'refuses', code: code === undefined ? null : Number(code), reason };
}

function refusalIn(answer: Msg): Extract<PublishFacts, { kind: 'refuses' }> | null {
  const { error } = answer.json<{ error?: { err_code?: number; description?: string } }>();
  if (error === undefined) return null;
  return {
    kind: 'refuses',
    code: error.err_code ?? null,
    reason: error.description ?? 'it does not say why',
  };
}

/** If it is not removed, the server does it after so long. */
const ABANDONED_MS = 5_000;

/**
 * Whether the server can write files beside the stream's: a short-lived consumer is made that is kept in files. That a
 * disk is full shows in nothing else that clients are told. In a cluster it is one of the servers with a copy.
 */
export async function probeWrite(
  { jsm, stream }: StreamAccess,
  { storage, lastSeq }: StreamFacts,
): Promise<Observed<WriteFacts>> {
  if (storage !== 'file') return skipped('the stream is in memory');
  const config: Partial<ConsumerConfig> = {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: lastSeq + 1,
    inactive_threshold: nanos(ABANDONED_MS),
    mem_storage: false,
    num_replicas: 1,
  };
  try {
    const { name } = await jsm.consumers.add(stream, config);
    await jsm.consumers.delete(stream, name).catch(() => false);
    return known({ kind: 'writes' });
  } catch (error) {
    const { message } = error as Error;
    // "error creating store for consumer"
    const isOfStorage = requestFailure(error) === 'consumer_not_created' && message.includes('store');
    if (!isOfStorage) throw error;
    return known({ kind: 'fails', reason: message });
  }
}
