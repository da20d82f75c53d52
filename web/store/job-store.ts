import type { Job, JobSnapshot, ProgressClient, ProgressUpdate } from '../../sdk/client/index.js';
import { EdgeError } from '../../sdk/client/index.js';
import { Store } from './store.js';

/** More than a stream keeps of one job, unless somebody has changed it. */
export const MOST_EVENTS = 10_000;

export type HistoryState =
  | { readonly kind: 'loading' }
  | { readonly kind: 'loaded'; readonly isCut: boolean }
  | { readonly kind: 'failed'; readonly error: Error };

/** One job: what it says now, and every event that the stream keeps of it. */
export class JobStore extends Store {
  /** In the order of their `seq`. */
  events: readonly ProgressUpdate[] = [];
  history: HistoryState = { kind: 'loading' };
  snapshot: JobSnapshot;
  readonly #job: Job;
  readonly #bySeq = new Map<number, ProgressUpdate>();
  #isSorted = true;
  #loading = new AbortController();

  constructor(
    private readonly client: ProgressClient,
    readonly id: string,
  ) {
    super();
    this.#job = client.job(id);
    this.snapshot = this.#job.getSnapshot();
    this.#job.addEventListener('update', ({ detail }) => this.#add(detail));
    this.#job.addEventListener('reset', () => void this.load());
    this.#job.subscribe(() => this.changed());
    void this.load();
  }

  get cursor(): string | null {
    return this.#job.cursor;
  }

  /** Reads what is stored, anew. */
  async load(): Promise<void> {
    this.#loading.abort();
    const loading = new AbortController();
    this.#loading = loading;
    this.#bySeq.clear();
    this.#isSorted = false;
    const { state } = this.#job.getSnapshot();
    if (state !== null) this.#add(state);
    this.history = { kind: 'loading' };
    this.changed();
    let count = 0;
    try {
      const { signal } = loading;
      for await (const event of this.client.history(this.id, { limit: MOST_EVENTS, signal })) {
        if (signal.aborted) return;
        this.#add(event);
        count += 1;
      }
      this.history = { kind: 'loaded', isCut: count >= MOST_EVENTS };
    } catch (error) {
      if (loading.signal.aborted) return;
      // A job without an event has no history, and may begin yet.
      const isNone = error instanceof EdgeError && error.code === 'no_event';
      this.history = isNone ? { kind: 'loaded', isCut: false } : { kind: 'failed', error: error as Error };
    }
    this.changed();
  }

  close(): void {
    this.#loading.abort();
    this.#job.close();
  }

  protected override update(): void {
    this.snapshot = this.#job.getSnapshot();
    if (this.#isSorted) return;
    this.#isSorted = true;
    const events = [...this.#bySeq.values()].sort((a, b) => a.seq - b.seq);
    // A page that stays open for days keeps the newest.
    for (const { seq } of events.splice(0, Math.max(0, events.length - MOST_EVENTS))) this.#bySeq.delete(seq);
    this.events = events;
  }

  #add(event: ProgressUpdate): void {
    this.#bySeq.set(event.seq, event);
    this.#isSorted = false;
  }
}
