import { AckPolicy, DeliverPolicy, nanos, type StreamInfo } from 'nats';
import { SUBJECT_FILTER } from '../../../../schemas/ids.js';
import type { StreamAccess } from '../../runtime/nats.js';
import type { Rates, StreamFigures } from './counts.js';

export function streamFigures({ config, created, state }: StreamInfo): StreamFigures {
  const isEmpty = state.messages === 0;
  return {
    name: config.name,
    created,
    messages: state.messages,
    bytes: state.bytes,
    first_seq: state.first_seq,
    last_seq: state.last_seq,
    first_stored_at: isEmpty ? null : state.first_ts,
    last_stored_at: isEmpty ? null : state.last_ts,
    deleted: state.num_deleted ?? 0,
    consumers: state.consumer_count,
    replicas: config.num_replicas,
  };
}

const MINUTE_MS = 60_000;

/**
 * How many events a minute were stored lately, of those that are still kept. The server counts them: a consumer that
 * would begin at a time knows how much lies before it.
 * @param now ms since 1970, by the server's clock
 */
export async function eventRates(access: StreamAccess, now: number): Promise<Rates> {
  const rate = async (minutes: number): Promise<number> =>
    Math.round(((await storedSince(access, now - minutes * MINUTE_MS)) / minutes) * 10) / 10;
  return { last_1: await rate(1), last_5: await rate(5), last_15: await rate(15), last_60: await rate(60) };
}

async function storedSince({ jsm, stream }: StreamAccess, ms: number): Promise<number> {
  const { name, num_pending } = await jsm.consumers.add(stream, {
    filter_subject: SUBJECT_FILTER,
    deliver_policy: DeliverPolicy.StartTime,
    opt_start_time: new Date(ms).toISOString(),
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(10_000),
  });
  await jsm.consumers.delete(stream, name).catch(() => undefined);
  return num_pending;
}
