/** Plain NATS for tests: what a worker in any language would publish, and what JetStream really stored. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AckPolicy,
  type ConnectionOptions,
  type Consumer,
  connect,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JetStreamPublishOptions,
  type NatsConnection,
  NatsError,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from 'nats';
import { waitFor } from './wait.js';

/** A busy machine, or a cluster that elects, may keep a test waiting longer than the package's 5 s. */
const PATIENT = { timeout: 30_000, checkAPI: false } as const;

/** How long one consumer to read back with is waited for. */
const PLACING_MS = 3_000;

/** An event by the contract, or something close to it when a test wants it wrong. */
export interface EventFields {
  processing_id: string;
  status: string;
  progress: number;
  timestamp: string;
  [field: string]: unknown;
}

export interface StoredEvent {
  seq: number;
  subject: string;
  /** The payload as JSON; undefined when it is none. */
  json: unknown;
  raw: Uint8Array;
}

/** A connection that comes back for ever and closes with its test. */
export async function connectNats(
  url: string | string[],
  options: ConnectionOptions = {},
): Promise<NatsConnection & AsyncDisposable> {
  const nc = await connect({
    servers: url,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    reconnectJitter: 20,
    noAsyncTraces: true,
    ...options,
  });
  return Object.assign(nc, { [Symbol.asyncDispose]: () => nc.close() });
}

/** Makes the stream of the contract, for tests that publish before an edge made it. */
export async function createStream(
  nc: NatsConnection,
  name = 'PROGRESS',
  changes: Partial<StreamConfig> = {},
): Promise<void> {
  const jsm = await nc.jetstreamManager(PATIENT);
  await addStream(jsm, {
    name,
    subjects: ['progress.*'],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    allow_direct: true,
    allow_rollup_hdrs: false,
    max_msgs_per_subject: 1_000,
    max_age: nanos(7 * 24 * 60 * 60 * 1_000),
    duplicate_window: nanos(2 * 60 * 1_000),
    num_replicas: 1,
    ...changes,
  });
}

/**
 * Makes a stream. Where the one before it was in memory, the server may still be about to remove its account's folder,
 * and then has no place for the new one (2.15.1: one time in seven, 2.10.27: one in a hundred).
 */
async function addStream(
  jsm: JetStreamManager,
  config: Partial<StreamConfig> & { name: string },
): Promise<void> {
  const NO_STORE = 10049;
  const outcome = await waitFor(
    async () => {
      try {
        return await jsm.streams.add(config);
      } catch (error) {
        return error instanceof NatsError && error.api_error?.err_code === NO_STORE ? null : { error };
      }
    },
    { what: `a place for the stream ${config.name}` },
  );
  if ('error' in outcome) throw outcome.error;
}

/**
 * Deletes every stream, and waits until nothing of them is left on the server's disk. It answers before it has removed
 * the files; a stream that is made under the old name meanwhile may be refused, or lose its files, or find the old
 * messages again (seen on 2.10.27 and 2.15.1).
 * @param server on its own: in a cluster each has files
 */
export async function deleteStreams(nc: NatsConnection, server: { readonly folder: string }): Promise<void> {
  const jsm = await nc.jetstreamManager(PATIENT);
  for await (const { config } of jsm.streams.list()) await jsm.streams.delete(config.name);
  const accounts = join(server.folder, 'jetstream');
  const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
  const left = async (): Promise<string[]> =>
    (
      await Promise.all((await namesIn(accounts)).map((name) => namesIn(join(accounts, name, 'streams'))))
    ).flat();
  await waitFor(async () => (await left()).length === 0, { what: 'the files of deleted streams to be gone' });
}

/** A valid event, with `fields` over it. */
export function event(processingId: string, fields: Record<string, unknown> = {}): EventFields {
  return {
    processing_id: processingId,
    status: 'processing',
    progress: 0,
    timestamp: new Date().toISOString(),
    ...fields,
  };
}

/** Publishes `event(processingId, fields)` to the job's subject; returns the sequence that JetStream gave it. */
export async function publish(
  to: NatsConnection | JetStreamClient,
  processingId: string,
  fields: Record<string, unknown> = {},
  options: Partial<JetStreamPublishOptions> = {},
): Promise<number> {
  const bytes = JSON.stringify(event(processingId, fields));
  return await publishRaw(to, `progress.${processingId}`, bytes, options);
}

/**
 * In a cluster the server that a test is connected to may not have heard of a new stream, or of its next leader, and
 * answers that there is nobody. Then nothing was stored, and it is asked again, so many times 250 ms later.
 */
const UNHEARD_OF = 40;

/** Publishes these very bytes; returns the sequence that JetStream gave them. */
export async function publishRaw(
  to: NatsConnection | JetStreamClient,
  subject: string,
  bytes: Uint8Array | string,
  options: Partial<JetStreamPublishOptions> = {},
): Promise<number> {
  const js = 'jetstream' in to ? to.jetstream(PATIENT) : to;
  // The package knows `retries`; its types do not.
  const patient: Partial<JetStreamPublishOptions> & { retries: number } = { retries: UNHEARD_OF, ...options };
  const ack = await js.publish(subject, bytes, patient);
  return ack.seq;
}

/** Publishes many events in this order with at most `window` unacknowledged; returns their sequences. */
export async function publishAll(
  nc: NatsConnection,
  events: EventFields[],
  window = 1_000,
): Promise<number[]> {
  const js = nc.jetstream(PATIENT);
  const seqs: number[] = [];
  for (let start = 0; start < events.length; start += window) {
    const acks = events
      .slice(start, start + window)
      .map((one) =>
        publishRaw(js, `progress.${one.processing_id}`, JSON.stringify(one), { timeout: 30_000 }),
      );
    seqs.push(...(await Promise.all(acks)));
  }
  return seqs;
}

/**
 * Everything the stream holds, or one job's part of it, up to the last sequence at the time of the call: the truth
 * that tests compare with. What the end is comes from the stream's leader, because the copy that the messages are
 * read from may still be catching up. Throws rather than return less.
 * @param timeoutMs how long the next message is waited for
 */
export async function storedEvents(
  nc: NatsConnection,
  stream: string,
  processingId?: string,
  timeoutMs = 30_000,
): Promise<StoredEvent[]> {
  const jsm = await nc.jetstreamManager(PATIENT);
  const { state } = await jsm.streams.info(stream);
  const filter = processingId === undefined ? '>' : `progress.${processingId}`;
  const last = processingId === undefined ? lastKept(jsm, stream) : lastSeq(jsm, stream, filter);
  const end = Math.min(state.last_seq, await last);
  const events: StoredEvent[] = [];
  for (let readAt = performance.now(); end > 0; ) {
    const from = (events.at(-1)?.seq ?? 0) + 1;
    const name = await readingConsumer(nc, stream, { filter, from, timeoutMs });
    try {
      const consumer = await nc.jetstream(PATIENT).consumers.get(stream, name);
      if (await readOn(consumer, events, end)) break;
    } finally {
      await jsm.consumers.delete(stream, name).catch(() => false);
    }
    if ((events.at(-1)?.seq ?? 0) >= from) readAt = performance.now();
    else if (performance.now() - readAt > timeoutMs)
      throw new Error(`reading back ended at ${from - 1} and not at ${end}`);
  }
  return events.filter(({ seq }) => seq <= state.last_seq);
}

/** Silence after which another consumer is asked. */
const SILENT_FETCHES = 3;

/**
 * Reads on to `end`. Nothing is acknowledged: what a request had asked for, and what came after this process had given
 * the request up because it stood still for a moment, does not come again. Nor does anything from a consumer whose server
 * is gone.
 * @returns false when there is such a hole, before which it ended; behind the last message that came it is a silence
 */
async function readOn(consumer: Consumer, events: StoredEvent[], end: number): Promise<boolean> {
  let delivered = 0;
  for (let silent = 0; silent < SILENT_FETCHES; silent++) {
    for await (const { seq, subject, data, info } of await consumer.fetch({
      max_messages: 1_000,
      expires: 1_000,
    })) {
      silent = -1;
      delivered += 1;
      if (info.deliverySequence !== delivered) return false;
      events.push({ seq, subject, json: parse(data), raw: data });
      if (seq >= end) return true;
    }
  }
  return false;
}

/**
 * In a cluster the server may place a consumer of one copy on a server that was killed a moment ago, and then nobody
 * ever answers (2.10.27: one time in three). Each further try is another consumer, placed anew.
 */
async function readingConsumer(
  nc: NatsConnection,
  stream: string,
  { filter, from, timeoutMs }: { filter: string; from: number; timeoutMs: number },
): Promise<string> {
  const impatient = await nc.jetstreamManager({ ...PATIENT, timeout: PLACING_MS });
  const { name } = await waitFor(
    () =>
      impatient.consumers.add(stream, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: from,
        filter_subject: filter,
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: nanos(30_000),
      }),
    { what: `a consumer to read back ${stream}`, timeoutMs },
  );
  return name;
}

/**
 * The sequence of the last message that the stream keeps, as its leader knows it; 0 when there is none. Asked for the
 * last one on `>`, a server says that there is none when the very last one was deleted.
 */
async function lastKept(jsm: JetStreamManager, stream: string): Promise<number> {
  const { state } = await jsm.streams.info(stream, { deleted_details: true });
  if (state.messages === 0) return 0;
  const deleted = new Set(state.deleted ?? []);
  let seq = state.last_seq;
  while (deleted.has(seq)) seq--;
  return seq;
}

/** The sequence of the last message on a subject, as the stream's leader knows it; 0 when there is none. */
async function lastSeq(jsm: JetStreamManager, stream: string, subject: string): Promise<number> {
  try {
    return (await jsm.streams.getMessage(stream, { last_by_subj: subject })).seq;
  } catch (error) {
    const NO_MESSAGE = 10037;
    if (error instanceof NatsError && error.api_error?.err_code === NO_MESSAGE) return 0;
    throw error;
  }
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}
