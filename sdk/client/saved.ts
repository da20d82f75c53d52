import type { Core } from './core.js';
import type { Follower } from './follower.js';
import type { JobFeed } from './job-feed.js';
import type { ProgressClientOptions, ProgressUpdate } from './types.js';

/** The storage is written to at most so often, for each job. */
const SAVE_MS = 1_000;

interface SavedJob {
  readonly cursor: string;
  readonly state: ProgressUpdate | null;
}

const seqOf = ({ position }: Follower): number => position?.seq ?? -1;

/** Cursor and last state of each job that is followed, over a reload. A storage that fails is no reason to fail. */
export class Saved {
  /** What is to be written, by job. */
  readonly #waiting = new Map<
    string,
    { readonly followers: ReadonlySet<Follower>; readonly last: Follower }
  >();
  #stopTimer: (() => void) | null = null;
  readonly #stopHiding: () => void;

  constructor(
    private readonly core: Core,
    private readonly storage: NonNullable<ProgressClientOptions['storage']>,
  ) {
    this.#stopHiding = core.platform.onPage(
      () => {},
      () => this.#flush(),
    );
  }

  #read(id: string): SavedJob | null {
    try {
      const { cursor, state } = JSON.parse(this.storage.getItem(this.#key(id)) ?? '') as SavedJob;
      const { seq } = this.core.parseCursor(cursor);
      // Whatever else wrote there: only what this client may have written counts.
      const isRight = state === null || (state.processing_id === id && state.seq <= seq);
      return isRight ? { cursor, state } : null;
    } catch {
      return null;
    }
  }

  /** Begins where an earlier page was. */
  restore(feed: JobFeed<Follower>, follower: Follower): void {
    if (follower.position !== null || feed.state !== null) return;
    const saved = this.#read(feed.id);
    if (saved === null) return;
    const position = this.core.parseCursor(saved.cursor);
    if (feed.position === null && feed.rewind(position)) feed.state = saved.state;
    // Its last state was not taken up to the cursor: it goes on behind it.
    if (saved.state !== null) return;
    // Also a loop that is about to begin.
    follower.looped = position;
    follower.advance(position);
  }

  /** @param last it has taken more */
  write(last: Follower, followers: ReadonlySet<Follower>): void {
    this.#waiting.set(last.id, { followers, last });
    this.#stopTimer ??= this.core.platform.later(SAVE_MS, () => this.#flush());
  }

  /** There is nothing to keep. */
  remove(id: string): void {
    this.#waiting.delete(id);
    try {
      this.storage.removeItem(this.#key(id));
    } catch {}
  }

  close(): void {
    this.#flush();
    this.#stopHiding();
  }

  #flush(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    for (const [id, { followers, last }] of this.#waiting) {
      // The one that has taken least. When all have left it is the one that was there last.
      const least = [...followers].reduce((a, b) => (seqOf(b) < seqOf(a) ? b : a), last);
      const { cursor, state } = least;
      if (cursor === null) continue;
      const isTaken = state !== null && state.seq <= seqOf(least);
      try {
        this.storage.setItem(this.#key(id), JSON.stringify({ cursor, state: isTaken ? state : null }));
      } catch {}
    }
    this.#waiting.clear();
  }

  #key(id: string): string {
    return `headway:${this.core.base}/:${id}`;
  }
}
