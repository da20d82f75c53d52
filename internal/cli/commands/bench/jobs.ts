import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { StreamInfo } from 'nats';
import { subjectOf } from '../../../../schemas/ids.js';
import { HeadwayError, NatsUnreachableError } from '../../../errors.js';
import { isApiError, requestFailure } from '../../../jetstream/nats-errors.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { carryOut } from '../purge/plan.js';

/** The `job_type` of every event that a benchmark publishes. */
export const BENCH_TYPE = 'headway.bench';
/** What the id of every job of a benchmark begins with. */
export const BENCH_PREFIX = 'bench-';

/** So many jobs have an event on its way at once, or are being removed. */
const AT_ONCE = 256;
const REMOVED_AT_ONCE = 16;
/** How long it is tried to remove the jobs, while NATS does not answer. */
const REMOVE_MS = 8_000;
const AGAIN_MS = 250;
/** After so many events it is looked again whether there is room for the rest: others publish meanwhile. */
const LOOK_EVERY = 256;
/** What JetStream keeps beside the body of one of these events: subject and headers, rounded up. */
const STORED_BESIDE = 256;
const GONE =
  'It was there when the benchmark began: look at the nats-server and its cluster, then begin again.';

/** JetStream has an event of the benchmark and does not store it: the stream is full, say. */
export class BenchPublishError extends HeadwayError {
  readonly code = 'publish_refused';
  constructor(stream: string, detail: string) {
    super(`NATS does not store the events of the benchmark in the stream ${stream}: ${detail}.`);
  }
}

/** The jobs of one run: published, and removed again. Nobody else has an id that begins with `run`. */
export class BenchJobs {
  /** `bench-` and a random part. */
  readonly run = `${BENCH_PREFIX}${randomBytes(6).toString('hex')}`;
  readonly ids: readonly string[];
  /** The seq of every acknowledged event, of each job. */
  readonly seqs: readonly number[][];
  readonly #access: StreamAccess;
  #published = 0;
  /** Whether an event of the job may be stored. */
  readonly #begun = new Set<number>();

  constructor(access: StreamAccess, count: number) {
    this.#access = access;
    this.ids = Array.from({ length: count }, (_, at) => `${this.run}-${at}`);
    this.seqs = this.ids.map(() => []);
  }

  /** How many events were acknowledged. */
  get published(): number {
    return this.#published;
  }

  /** The bytes of one event, about. */
  get eventBytes(): number {
    return Buffer.byteLength(eventText(this.ids[0] ?? '', 0, 1));
  }

  /**
   * Asks for what the end needs before anything begins: to purge a job, of which nothing is stored yet.
   * @throws PurgeRefusedError; NatsError when NATS does not permit it
   */
  async proveRemovable(): Promise<void> {
    await carryOut(this.#access, { filter: subjectOf(this.ids[0] ?? '') });
  }

  /**
   * Whether the stream, as it is now, would let go or refuse events of others for these.
   * @param events how many are still to be stored
   */
  wouldPushOut(events: number, { config, state }: Pick<StreamInfo, 'config' | 'state'>): boolean {
    const { max_msgs: most, max_bytes: mostBytes } = config;
    const size = events * (this.eventBytes + STORED_BESIDE);
    return (most > 0 && state.messages + events > most) || (mostBytes > 0 && state.bytes + size > mostBytes);
  }

  /**
   * Publishes events of every job, each behind the one before, and waits until all are acknowledged. What is on its way is
   * waited for also when it is stopped or fails, so that nothing is stored behind a removal.
   * @param each how many of each job
   * @throws BenchPublishError; NatsUnreachableError; NatsError; the signal's reason
   */
  async publish(each: number, signal: AbortSignal): Promise<void> {
    let next = 0;
    let begun = 0;
    const total = each * this.ids.length;
    let failure: unknown = null;
    const work = async (): Promise<void> => {
      while (next < this.ids.length && failure === null && !signal.aborted) {
        const at = next++;
        for (let nth = 0; nth < each && failure === null && !signal.aborted; nth++) {
          try {
            if (begun++ % LOOK_EVERY === 0) await this.#look(total - begun + 1);
            await this.#append(at, each);
          } catch (error) {
            failure ??= this.#explained(error);
          }
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, this.ids.length) }, work));
    signal.throwIfAborted();
    if (failure !== null) throw failure;
  }

  /** @param events how many are still to be stored. @throws BenchPublishError */
  async #look(events: number): Promise<void> {
    const { jsm, stream } = this.#access;
    if (!this.wouldPushOut(events, await jsm.streams.info(stream))) return;
    throw new BenchPublishError(
      stream,
      'others have published meanwhile, and there is no longer room for the rest of them beside the events of other jobs',
    );
  }

  async #append(at: number, each: number): Promise<void> {
    const id = this.ids[at] ?? '';
    const seqs = this.seqs[at] ?? [];
    this.#begun.add(at);
    const { js, stream } = this.#access;
    const { seq } = await js.publish(subjectOf(id), eventText(id, seqs.length % each, each), {
      msgID: randomBytes(16).toString('base64url'),
      expect: { streamName: stream, lastSubjectSequence: seqs.at(-1) ?? 0 },
    });
    seqs.push(seq);
    this.#published++;
  }

  #explained(error: unknown): unknown {
    const { stream, shownUrl } = this.#access;
    if (isApiError(error)) return new BenchPublishError(stream, (error as Error).message);
    // JetStream was there when this began, so it is not one that has to be enabled.
    const failure = requestFailure(error);
    const isGone = failure === 'timeout' || failure === 'no_responders';
    return isGone
      ? new NatsUnreachableError(shownUrl, 'an event of the benchmark was not acknowledged', GONE)
      : error;
  }

  /**
   * Removes every event of these jobs from the stream, as far as it can.
   * @param status told how many jobs are still there
   * @returns how many jobs may be left, and why
   */
  async remove(status: (left: number) => void): Promise<{ left: number; reason: string }> {
    const waiting = [...this.#begun];
    let left = waiting.length;
    let reason = '';
    const endsAt = performance.now() + REMOVE_MS;
    const work = async (): Promise<void> => {
      for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
        try {
          await carryOut(this.#access, { filter: subjectOf(this.ids[at] ?? '') });
          left--;
          status(left);
        } catch (error) {
          reason = requestFailure(error) === 'timeout' ? 'NATS does not answer' : (error as Error).message;
          if (performance.now() >= endsAt || requestFailure(error) === 'not_permitted') return;
          waiting.push(at);
          await delay(AGAIN_MS);
        }
      }
    };
    await Promise.all(Array.from({ length: REMOVED_AT_ONCE }, work));
    return { left, reason };
  }
}

/** An event of about 250 bytes, as workers write them. */
function eventText(id: string, nth: number, of: number): string {
  return JSON.stringify({
    processing_id: id,
    status: 'processing',
    progress: Math.round((nth / of) * 10_000) / 100,
    timestamp: new Date().toISOString(),
    job_type: BENCH_TYPE,
    message: `Reading page ${nth + 1} of ${of}`,
    step: { name: 'read', index: nth + 1, total: of },
  });
}
