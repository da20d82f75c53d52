import { onNextFrame } from '../client/frame.js';
import type { ProgressClient } from '../client/types.js';

// What a page's components watch together: one handle of the client for each job, however many show it.

/** What is used of a `Job` and of `Jobs`. */
interface Handle<Snapshot> {
  subscribe(onChange: () => void): () => void;
  getSnapshot(): Snapshot;
  close(): void;
}

/** What is used of a `JobSnapshot` and of a `JobsSnapshot`. */
interface Shown {
  readonly error: Error | null;
  readonly state?: unknown;
  readonly isEnded?: boolean;
}

/** How long a component that suspends may take to be shown, in milliseconds. React does not say when it gives up. */
const HOLD_MS = 10_000;

/** One handle, and who watches it. What it shows changes with the page's frames alone. */
export class Followed<Snapshot extends Shown> {
  snapshot: Snapshot;
  /** Whether there has been something to show. It stays so when a reset voids it. */
  isReady = false;
  /** Fulfilled once there is something to show, or nothing is awaited any more. */
  readonly ready: Promise<void>;
  readonly #handle: Handle<Snapshot>;
  readonly #watchers = new Set<() => void>();
  readonly #onClosed: () => void;
  #setReady: () => void = () => {};
  #users = 0;
  #release: (() => void) | null = null;

  constructor(handle: Handle<Snapshot>, onClosed: () => void) {
    this.#handle = handle;
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
    this.#watchers.add(onChange);
    const leave = this.#use();
    this.#release?.();
    return () => {
      this.#watchers.delete(onChange);
      leave();
    };
  }

  /** Keeps it for a while for a component that is not there yet, unless somebody watches it. */
  hold(): void {
    if (this.#users > 0) return;
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
    this.snapshot = this.#handle.getSnapshot();
    const { state, isEnded, error } = this.snapshot;
    if (state || isEnded || error) {
      this.isReady = true;
      this.#setReady();
    }
    for (const onChange of this.#watchers) onChange();
  };

  /** Perhaps again: two may have left in one turn. */
  #close(): void {
    this.#handle.close();
    this.#onClosed();
    // A component that waits still renders again, and asks again.
    this.#setReady();
  }
}

/** All that is watched of one kind, by client and key. */
export class FollowedMap<Snapshot extends Shown> {
  readonly #all = new WeakMap<ProgressClient, Map<string, Followed<Snapshot>>>();

  /** @param refused what is shown where `openHandle` throws */
  constructor(
    private readonly openHandle: (client: ProgressClient, key: string) => Handle<Snapshot>,
    private readonly refused: (key: string, error: Error) => Snapshot,
  ) {}

  get(client: ProgressClient, key: string): Followed<Snapshot> | undefined {
    return this.#all.get(client)?.get(key);
  }

  /** What is there already, or is opened for it. */
  open(client: ProgressClient, key: string): Followed<Snapshot> {
    const there = this.get(client, key);
    if (there !== undefined) return there;
    const ofClient = this.#all.get(client) ?? new Map<string, Followed<Snapshot>>();
    this.#all.set(client, ofClient);
    const opened = new Followed(this.#handle(client, key), () => {
      if (ofClient.get(key) === opened) ofClient.delete(key);
    });
    ofClient.set(key, opened);
    return opened;
  }

  // An error that is thrown where React subscribes takes the page away, unless there is an error boundary.
  #handle(client: ProgressClient, key: string): Handle<Snapshot> {
    try {
      return this.openHandle(client, key);
    } catch (error) {
      const shown = this.refused(key, error as Error);
      return { subscribe: () => () => {}, getSnapshot: () => shown, close: () => {} };
    }
  }
}
