import type { StreamInfo } from 'nats';
import { idOf } from '../../schemas/ids.js';
import type { FeedDeps } from './feed-handlers.js';
import { LastStateCollector } from './last-states.js';
import { ALL_SUBJECTS, epochOf } from './stream.js';
import type { StreamReader } from './stream-reader.js';

export interface LoadedStates {
  readonly head: number;
  readonly firstSeq: number;
  readonly complete: boolean;
  readonly neverTrimmed: boolean;
}

/**
 * Loads the last state of every job into the log, once, through as many consumers as it takes: what has come stays, and
 * each consumer goes on where the last one was lost.
 */
export class LastStateLoader {
  readonly epoch: string;
  readonly reader: StreamReader;
  readonly #deps: FeedDeps;
  readonly #collector: LastStateCollector;
  /** Jobs that were looked up by themselves already. */
  readonly #lookedUp = new Set<string>();
  /** Whether what was found of them all lies where the log has read. */
  #isComplete = true;
  /** When the newest message that came was stored, in ms since 1970; null: none came. */
  #newestStoredAt: number | null = null;

  /** @param info the stream as of a moment before */
  constructor(deps: FeedDeps, info: StreamInfo, reader: StreamReader) {
    this.#deps = deps;
    this.epoch = epochOf(info);
    this.reader = reader;
    this.#collector = new LastStateCollector(
      deps.connection.info?.version,
      info.state,
      deps.sink.invalid.bind(deps.sink),
    );
  }

  /** The newest message that came, by which it can be told whether the stream still has the same past. */
  get newest(): { readonly seq: number; readonly storedAt: number | null } {
    return { seq: this.reader.read, storedAt: this.#newestStoredAt };
  }

  /**
   * Reads on from where it is, by the reader's open consumer.
   * @param ask puts a question to NATS, and gives it up when it has to be
   * @throws ConsumerLostError, NatsError: it can be called again, with another consumer
   */
  async load(ask: <T>(what: string, request: Promise<T>) => Promise<T>): Promise<LoadedStates> {
    const { log, jsm, stream } = this.#deps;
    const { reader } = this;
    do {
      const batch = await reader.next();
      for (const message of batch) {
        const state = this.#collector.take(message);
        if (state !== null) log.load(state.seq, state.storedAt, state.event);
        this.#newestStoredAt = message.storedAt;
      }
    } while (!(await reader.isAtEnd()));
    const head = Math.max(reader.read, reader.end ?? 0);
    const stateNow = async () => {
      const info = await ask('looking at the stream', jsm.streams.info(stream.name));
      if (epochOf(info) !== this.epoch) throw new Error('the stream was made anew meanwhile');
      return info.state;
    };
    const left = await this.#collector.left(await stateNow(), () => this.#listSubjects(ask));
    const complete = await this.#readBack(left, head);
    // What is untouched after the last states were read was untouched while they were read.
    const after = await stateNow();
    const neverTrimmed = after.first_seq <= 1 && (after.num_deleted ?? 0) === 0;
    return { head, firstSeq: after.first_seq, complete, neverTrimmed };
  }

  async #listSubjects(ask: <T>(what: string, request: Promise<T>) => Promise<T>): Promise<string[]> {
    const { slowJsm, stream } = this.#deps;
    const request = slowJsm.streams.info(stream.name, { subjects_filter: ALL_SUBJECTS });
    const { state } = await ask('listing the jobs', request);
    return Object.keys(state.subjects ?? {});
  }

  // A job whose newest message is not an event shows its newest state that is one; one that the server left out shows
  // its newest. Where that lies behind what the log has read, the feed will bring it; until then the log does not know
  // the job, and must not take it for a new one.
  async #readBack(subjects: readonly string[], head: number): Promise<boolean> {
    const { log, lastState } = this.#deps;
    const lookUp = async (id: string): Promise<void> => {
      const record = await lastState(id);
      this.#lookedUp.add(id);
      if (record === null) return;
      if (record.seq > head) this.#isComplete = false;
      else log.restore(record);
    };
    const ids = subjects.flatMap((subject) => idOf(subject) ?? []);
    await Promise.all(ids.filter((id) => !this.#lookedUp.has(id)).map(lookUp));
    return this.#isComplete;
  }
}
