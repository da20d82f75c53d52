import type { EventLog } from '../../internal/eventlog/log.js';
import type { Scope } from '../../internal/eventlog/record.js';
import { type FramesPage, JobReader, type PageRange } from '../../internal/session/job-reader.js';
import type { HistorySource } from '../../internal/session/ports.js';
import type { ModelStream } from './stream.js';

type Step = { readonly seq: number; readonly prev_seq: number | null; readonly processing_id: string };

/**
 * Somebody who pages through a job's events over HTTP, and the judge of what the pages say: from the first event on every
 * valid one, once each, in order, however much leaves the stream meanwhile; or `stale`.
 */
export class ModelPager {
  readonly #stream: ModelStream;
  readonly #scope: Extract<Scope, { kind: 'job' }>;
  readonly #limit: number;
  #after: number | null;
  #epoch: string | null = null;
  readonly #received: Step[] = [];
  isDone = false;
  isStale = false;

  /** @param after null: from the beginning of what is kept */
  constructor(stream: ModelStream, id: string, limit: number, after: number | null) {
    this.#stream = stream;
    this.#scope = { kind: 'job', id, jobTypes: null };
    this.#limit = limit;
    this.#after = after;
    if (after !== null) this.#epoch = stream.epoch;
  }

  get events(): number {
    return this.#received.length;
  }

  /** Reads pages until there is no next one. Where the log is being loaded it begins anew. */
  async run(log: () => EventLog, history: () => HistorySource): Promise<void> {
    const begin = this.#after;
    for (let cursor = begin; ; ) {
      const range: PageRange = { after: cursor, epoch: this.#epoch, limit: this.#limit };
      const reader = new JobReader(log(), () => Promise.resolve());
      const page = await reader.events(this.#scope, range, history(), () => true);
      switch (page.kind) {
        case 'not_ready':
          this.isDone = true;
          return;
        case 'stale':
          if (cursor === null) throw new Error('whoever names no cursor is told that it is stale');
          [this.isStale, this.isDone] = [true, true];
          return;
        case 'page':
          this.#take(page, cursor);
          cursor = page.cursor;
          if (!page.isEnd) continue;
          this.isDone = true;
          return;
      }
    }
  }

  #take({ epoch, frames, cursor }: FramesPage, after: number | null): void {
    if (epoch === this.#stream.epoch && cursor > this.#stream.last)
      throw new Error(`a page up to ${cursor} of a stream that ends at ${this.#stream.last}`);
    if (this.#epoch !== null && epoch !== this.#epoch) throw new Error(`${epoch} after ${this.#epoch}`);
    this.#epoch = epoch;
    const events = frames.map((frame) => JSON.parse(frame) as Step);
    if (events.length > this.#limit) throw new Error(`${events.length} events on a page of ${this.#limit}`);
    this.#received.push(...events);
    const id = this.#scope.id;
    const truth = this.#stream.truthOf(epoch).jobs.get(id) ?? [];
    const from = this.#after ?? (this.#received[0]?.seq ?? cursor + 1) - 1;
    const owed = truth.filter((seq) => seq > from && seq <= cursor);
    const got = this.#received.map(({ seq }) => seq);
    if (owed.join() !== got.join())
      throw new Error(`${id} from ${this.#after} (page after ${after}): owed ${owed}, got ${got}`);
    for (const { seq, prev_seq, processing_id } of events) {
      if (processing_id !== id) throw new Error(`${processing_id} among the events of ${id}`);
      const before = truth[truth.indexOf(seq) - 1] ?? 0;
      if (prev_seq !== null && prev_seq !== before)
        throw new Error(`${seq} follows ${before}, not ${prev_seq}`);
    }
    if (this.#after !== null || epoch !== this.#stream.epoch) return;
    const oldest = this.#stream.ofJob(id).find(({ event, seq }) => event !== null && seq <= cursor)?.seq;
    const first = got[0] ?? Number.POSITIVE_INFINITY;
    if (oldest !== undefined && oldest < first)
      throw new Error(`${oldest} is kept, and the pages begin at ${first}`);
  }
}
