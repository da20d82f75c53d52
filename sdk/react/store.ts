import { notOnNextFrame, onNextFrame } from '../client/frame.js';
import type { ProgressClient } from '../client/types.js';

// What a page's components watch together: one handle of the client for each job, however many show it.

/** What is used of a `Job` and of `Jobs`. */
interface Handle<Snapshot> {
  subscribe(onChange: () => void): () => void;
  getSnapshot(): Snapshot;
  close(): void;
}

interface WithError {
  readonly error: Error | null;
}

/** How long a component that suspends may take to be shown, in milliseconds. React does not say when it gives up. */
const HOLD_MS = 10_000;

/** One handle, and who watches it. What it shows changes with the page's frames alone. */
export class Followed<Snapshot extends WithError> {
  snapshot: Snapshot;
  /** Whether there has been something to show. It stays so when a reset voids it. */
  isReady = false;
  /** Fulfilled once there is something to show, or nothing is awaited any more. */
  readonly ready: Promise<void>;
  readonly #handle: Handle<Snapshot>;
  readonly #watchers = new Set<() => void>();
  readonly #onClosed: () => void;
  readonly #hasNews: (snapshot: Snapshot) => boolean;
  #setReady: () => void = () => {};
  #users = 0;
  #isClosed = false;
  #release: (() => void) | null = null;

  constructor(handle: Handle<Snapshot>, hasNews: (snapshot: Snapshot) => boolean, onClosed: () => void) {
    this.#handle = handle;
    this.#hasNews = hasNews;
    this.#onClosed = onClosed;
    this.snapshot = handle.getSnapshot();
    this.ready = new Promise((resolve) => {
      this.#setReady = resolve;
    });
    handle.subscribe(() => onNextFrame(this.#show));
    // It may be known already, from another handle of the same job.
    onNextFrame(this.#show);
  }

  /** @returns how to stop */
  watch(onChange: () => void): () => void {
    // Each its own, were it the same function twice.
    const watcher = (): void => onChange();
    this.#watchers.add(watcher);
    const leave = this.#use();
    this.#release?.();
    return () => {
      this.#watchers.delete(watcher);
      leave();
    };
  }

  /** Keeps it for a component that is not there yet. */
  hold(): void {
    const leave = this.#use();
    const release = (): void => {
      clearTimeout(timer);
      this.#release = null;
      leave();
    };
    const timer = setTimeout(release, HOLD_MS);
    this.#release = release;
  }

  #use(): () => void {
    this.#users++;
    return () => {
      this.#users--;
      const closeUnused = (): void => {
        if (this.#users === 0) this.#close();
      };
      // Whoever comes now tries anew.
      if (this.snapshot.error !== null) closeUnused();
      // Strict mode leaves and comes back in one turn, and so does a component with another key.
      else queueMicrotask(closeUnused);
    };
  }

  readonly #show = (): void => {
    const newest = this.#handle.getSnapshot();
    const isNew = newest !== this.snapshot;
    this.snapshot = newest;
    if (this.#hasNews(newest)) {
      this.isReady = true;
      this.#setReady();
    }
    if (!isNew) return;
    for (const watcher of [...this.#watchers]) watcher();
  };

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    notOnNextFrame(this.#show);
    this.#handle.close();
    this.#onClosed();
    // A component that waits still renders again, and asks again.
    this.#setReady();
  }
}

/** All that is watched of one kind, by client and key. */
export class FollowedMap<Snapshot extends WithError> {
  readonly #all = new WeakMap<ProgressClient, Map<string, Followed<Snapshot>>>();

  constructor(
    private readonly open: (client: ProgressClient, key: string) => Handle<Snapshot>,
    private readonly hasNews: (snapshot: Snapshot) => boolean,
  ) {}

  get(client: ProgressClient, key: string): Followed<Snapshot> | undefined {
    return this.#all.get(client)?.get(key);
  }

  watch(client: ProgressClient, key: string, onChange: () => void): () => void {
    return (this.get(client, key) ?? this.#open(client, key)).watch(onChange);
  }

  /** What is watched, or will be: opened now, and kept for a while if nobody comes. */
  hold(client: ProgressClient, key: string): Followed<Snapshot> {
    const there = this.get(client, key);
    if (there !== undefined) return there;
    const opened = this.#open(client, key);
    opened.hold();
    return opened;
  }

  #open(client: ProgressClient, key: string): Followed<Snapshot> {
    const ofClient = this.#all.get(client) ?? new Map<string, Followed<Snapshot>>();
    this.#all.set(client, ofClient);
    const opened = new Followed(this.open(client, key), this.hasNews, () => {
      if (ofClient.get(key) === opened) ofClient.delete(key);
    });
    ofClient.set(key, opened);
    return opened;
  }
}
