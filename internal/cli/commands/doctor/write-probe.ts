import { AckPolicy, type ConsumerConfig, DeliverPolicy, nanos } from 'nats';
import type { Observed, StreamFacts, WriteFacts } from '../../../doctor/facts.js';
import { apiErrorCode } from '../../../jetstream/stream.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { known, skipped } from './probe.js';

/** "error creating store for consumer" comes with this. */
const COULD_NOT_CREATE = 10012;
/** If it is not removed, the server does it after so long. */
const ABANDONED_MS = 5_000;

/**
 * Whether the server can write files beside the stream's: a short-lived consumer is made that is kept in files. That a
 * disk is full shows in nothing else that clients are told. In a cluster it is one of the servers with a copy.
 */
export async function tryToWrite(
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
    const isOfStorage = apiErrorCode(error) === COULD_NOT_CREATE && message.includes('store');
    if (!isOfStorage) throw error;
    return known({ kind: 'fails', reason: message });
  }
}
