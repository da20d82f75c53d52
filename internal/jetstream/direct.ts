import { type NatsConnection, StringCodec } from 'nats';
import { subjectOf } from '../../schemas/ids.js';

/** A message as JetStream stored it. */
export interface StoredMessage {
  readonly subject: string;
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly storedAt: number;
  readonly data: Uint8Array;
}

const codec = StringCodec();
const TIMEOUT_MS = 5_000;

/**
 * The newest message of a job by a direct get (ADR-31), which any replica may answer: it can be a moment old.
 * The package `nats` has no public way to it.
 *
 * @returns null when the job has none
 * @throws NatsError on a time-out; Error when the stream does not allow it
 */
export async function newestMessage(
  connection: NatsConnection,
  stream: string,
  id: string,
): Promise<StoredMessage | null> {
  const request = codec.encode(JSON.stringify({ last_by_subj: subjectOf(id) }));
  const reply = await connection.request(`$JS.API.DIRECT.GET.${stream}`, request, { timeout: TIMEOUT_MS });
  const { headers } = reply;
  if (headers === undefined) throw new Error('a direct get was answered without headers');
  if (headers.code === 404) return null;
  if (headers.hasError) throw new Error(`a direct get was refused: ${headers.status}`);
  return {
    subject: headers.get('Nats-Subject'),
    seq: Number(headers.get('Nats-Sequence')),
    storedAt: Date.parse(headers.get('Nats-Time-Stamp')),
    data: reply.data,
  };
}
