import { setImmediate as nextTurn } from 'node:timers/promises';
import type { StreamInfo } from 'nats';
import pLimit from 'p-limit';
import { subjectOf } from '../../schemas/ids.js';
import type { FeedDeps } from './feed-handlers.js';
import { ALL_SUBJECTS, oldestSeq } from './stream.js';

/** Jobs are listed at most so often while nothing but their number of messages tells that some may be gone. */
const LIST_EVERY_MS = 60_000;
/** A listing that took a second is not made again for so many seconds. */
const REST_FACTOR = 100;
/** A server lists so many subjects in one answer; a longer list is put together of several, and may have holes. */
const LISTED_AT_ONCE = 100_000;
const CHECKS_AT_ONCE = 16;

type StreamState = StreamInfo['state'];
type Ask = <T>(request: () => Promise<T>) => Promise<T>;

/**
 * Takes out of memory what the stream has let go. What left at its front is known by its first sequence. A job that was
 * purged is not to be seen there, so the jobs are listed when there are fewer than there were, and else now and then
 * while messages go on to leave.
 */
export class GoneJobsFinder {
  readonly #deps: Pick<FeedDeps, 'jsm' | 'log' | 'now' | 'slowJsm' | 'stream'>;
  #subjects = 0;
  #isDue = false;
  /** Messages that had left by the time of the last listing. */
  #leftAtListing = 0;
  #listedAt = Number.NEGATIVE_INFINITY;
  #restsUntil = Number.NEGATIVE_INFINITY;

  constructor(deps: Pick<FeedDeps, 'jsm' | 'log' | 'now' | 'slowJsm' | 'stream'>) {
    this.#deps = deps;
  }

  /** @param state the stream's, as it has just come */
  async look(state: StreamState, ask: Ask): Promise<void> {
    const { log, now } = this.#deps;
    const ends = { firstSeq: state.first_seq, lastSeq: state.last_seq };
    for (;;) {
      if (log.trim(ends, now()).length === 0) break;
      await nextTurn();
      if (!log.isReady) return;
    }
    const { num_subjects: subjects = 0 } = state;
    if (subjects < this.#subjects || subjects < log.jobCount) this.#isDue = true;
    this.#subjects = subjects;
    const left = state.last_seq - state.messages;
    if (left !== this.#leftAtListing && now() - this.#listedAt >= LIST_EVERY_MS) this.#isDue = true;
    if (!this.#isDue || log.jobCount === 0 || now() < this.#restsUntil) return;
    const startedAt = now();
    await this.#list(ask);
    this.#isDue = false;
    this.#leftAtListing = left;
    this.#listedAt = now();
    this.#restsUntil = now() + REST_FACTOR * (now() - startedAt);
  }

  // What has a newer event than the head as of the beginning may be missing in the list for good reason.
  async #list(ask: Ask): Promise<void> {
    const { jsm, log, slowJsm, stream } = this.#deps;
    const { epoch, head } = log;
    const { state } = await ask(() => slowJsm.streams.info(stream.name, { subjects_filter: ALL_SUBJECTS }));
    if (!log.isReady || log.epoch !== epoch) return;
    const kept = state.subjects ?? {};
    let gone: string[] = [];
    for (const id of log.jobIds()) if (!Object.hasOwn(kept, subjectOf(id))) gone.push(id);
    if (Object.keys(kept).length >= LISTED_AT_ONCE) {
      const limit = pLimit(CHECKS_AT_ONCE);
      const isGone = (id: string) =>
        limit(async () => (await ask(() => oldestSeq(jsm, stream.name, subjectOf(id)))) === 0);
      const checked = await Promise.all(gone.map(isGone));
      gone = gone.filter((_, at) => checked[at]);
      if (!log.isReady || log.epoch !== epoch) return;
    }
    log.drop(gone, head, this.#deps.now());
  }
}
