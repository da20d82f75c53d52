import type { ServerFrame } from '../../schemas/frames.generated.js';
import { Connection, type ConnectionDeps, type ConnectionOwner } from './connection.js';
import { parseCursor } from './cursor.js';
import { Follower, type FollowerOwner } from './follower.js';
import { JobFeed } from './job-feed.js';
import type { Saved } from './saved.js';
import type { ConnectionState, JobOptions, ProgressUpdate } from './types.js';
import type { FollowedJob, Platform, Position } from './wire.js';

/** An edge follows no more jobs on one connection, unless it is set to. */
const MAX_FOLLOWED = 256;
/** Whatever is wanted within this goes in one frame: an edge takes so many frames a second, and no more. */
const JOIN_MS = 50;
/** A job that an edge cannot take now is asked for again after at least so long, and at most twice as long. */
const AGAIN_MS = 2_000;

export interface SharedJobsDeps extends Omit<ConnectionDeps, 'target'> {
  readonly lingerMs: number;
  /** The last state, asked for once. */
  readonly get: (id: string) => Promise<ProgressUpdate | null>;
  /** What an earlier page had of each job; null: nothing is kept. */
  readonly saved: Promise<Saved | null>;
}

type Feed = JobFeed<Follower>;

/** All jobs that a page follows by name: one connection, and one feed for each job, however many follow it. */
export class SharedJobs implements ConnectionOwner, FollowerOwner {
  readonly platform: Platform;
  readonly connection: Connection;
  readonly #feeds = new Map<string, Feed>();
  /** Asked for together. */
  readonly #wanted = new Set<string>();
  #followedAt = 0;
  /** As the edge named it last. */
  #epoch = '';
  #saved: Saved | null = null;
  #isAway = false;
  #isClosed = false;
  readonly #timers = new Set<() => void>();
  #stopLingering = (): void => {};

  constructor(private readonly deps: SharedJobsDeps) {
    this.platform = deps.platform;
    this.connection = new Connection({ ...deps, target: { kind: 'selected' } }, this);
  }

  open(id: string, options: JobOptions): Follower {
    const follower = new Follower(id, this, options);
    const feed = this.#feedOf(id);
    feed.followers.add(follower);
    if (follower.position === null) follower.preview(feed.state);
    follower.connected(this.connection.state, false);
    // Later: whoever opens it adds its handlers first.
    void this.deps.saved.then((saved) => {
      this.#saved = saved;
      this.#attach(feed, follower);
    });
    return follower;
  }

  /** Ends everything. */
  close(): void {
    this.#isClosed = true;
    for (const { followers } of this.#feeds.values()) for (const follower of [...followers]) follower.close();
    this.#feeds.clear();
    for (const stop of this.#timers) stop();
    this.connection.stop('closed');
    void this.deps.saved.then((saved) => saved?.close());
  }

  // What followers ask.

  leave(follower: Follower): void {
    const feed = this.#feeds.get(follower.id);
    if (feed?.followers.delete(follower)) this.#linger();
  }

  rewind(follower: Follower, to: Position): void {
    if (this.#isClosed) {
      follower.close();
      return;
    }
    const feed = this.#feedOf(follower.id);
    feed.followers.add(follower);
    if (feed.rewind(to)) this.#want(follower.id);
    // It may rest since the end of all jobs.
    this.connection.start();
  }

  moved(follower: Follower): void {
    const feed = this.#feeds.get(follower.id);
    if (feed !== undefined) this.#saved?.write(follower, feed.followers);
  }

  // What the connection asks and tells.

  followed(): readonly FollowedJob[] {
    return [...this.#feeds].flatMap(([id, { isEnded, position }]) => (isEnded ? [] : { id, position }));
  }

  received(): null {
    return null;
  }

  connected(state: ConnectionState): void {
    for (const feed of this.#feeds.values()) {
      if (state !== 'open') feed.isFollowing = false;
      this.#tell(feed);
    }
  }

  failed(error: Error): void {
    const feeds = [...this.#feeds.values()];
    this.#feeds.clear();
    for (const { followers } of feeds) {
      const all = [...followers];
      // Who has not had its first word yet gets this one alone.
      followers.clear();
      for (const follower of all) follower.fail(error);
    }
  }

  frame(frame: ServerFrame): void {
    if (frame.type === 'hello' || frame.type === 'reset') this.#epoch = frame.epoch;
    // All of them are asked for now.
    if (frame.type === 'hello') this.#wanted.clear();
    if (frame.type === 'heartbeat') this.#isAway = frame.feed === 'away';
    const named = 'processing_id' in frame ? this.#feeds.get(frame.processing_id ?? '') : undefined;
    // What it is about to be asked for again, from another place, comes after this.
    if (named !== undefined && this.#wanted.has(named.id)) return;
    if (named !== undefined) this.#frame(frame, named);
    else if (frame.type === 'hello' || frame.type === 'heartbeat')
      for (const feed of this.#feeds.values()) this.#frame(frame, feed);
  }

  #frame(frame: ServerFrame, feed: Feed): void {
    const { id } = feed;
    if (frame.type === 'hello') feed.greeted(frame.epoch);
    const wish = feed.take(frame);
    if (wish === 'ask') this.#want(id);
    if (wish === 'ask_later') this.#wantLater(feed);
    if (wish === 'over' || frame.type === 'reset') this.#saved?.remove(id);
    if (wish === 'over') this.#linger();
    if (frame.type === 'error' && wish === 'over') this.#feeds.delete(id);
    if (frame.type === 'following') {
      for (const follower of [...feed.followers]) this.#showState(feed, follower);
      this.#askForState(feed);
    }
    this.#tell(feed);
  }

  /** Its first word to a follower: what is known already. */
  #attach(feed: Feed, follower: Follower): void {
    if (!feed.followers.has(follower)) return;
    this.#restore(feed, follower);
    const { position } = follower;
    if (position !== null && feed.rewind(position)) this.#want(feed.id);
    else this.#showState(feed, follower);
    if (feed.isFollowing && feed.position !== null && !follower.isEmpty) {
      follower.advanceTo(feed.position);
      this.#showState(feed, follower);
    }
    if (feed.isEnded) follower.end(feed.state);
    else this.connection.start();
    if (feed.isFollowing) this.#askForState(feed);
    this.#tell(feed);
  }

  /** Begins where an earlier page was. */
  #restore(feed: Feed, follower: Follower): void {
    if (follower.position !== null || feed.state !== null) return;
    const saved = this.#saved?.read(feed.id) ?? null;
    if (saved === null) return;
    const position = parseCursor(saved.cursor);
    if (feed.position === null) feed.restore(position, saved.state);
    // Its last state was not taken up to the cursor: it goes on behind it.
    if (saved.state === null) follower.advance(position);
  }

  #showState({ state, position }: Feed, follower: Follower): void {
    if (state !== null && position !== null && follower.position === null)
      follower.update(state, { ...position, seq: state.seq }, false);
  }

  /** Somebody wants the last state of a job that is followed from a later place. */
  #askForState(feed: Feed): void {
    const isMissed = () => [...feed.followers].some(({ isEmpty }) => isEmpty);
    if (!feed.isStateUnknown || !isMissed()) return;
    this.deps.get(feed.id).then(
      (state) => {
        feed.state ??= state;
        for (const follower of [...feed.followers]) if (follower.isEmpty) this.#showState(feed, follower);
      },
      () => {}, // asked again the next time that the job is followed
    );
  }

  #feedOf(id: string): Feed {
    const known = this.#feeds.get(id);
    if (known !== undefined) return known;
    if (this.#feeds.size >= MAX_FOLLOWED) this.#sweep();
    const feed: Feed = new JobFeed(id);
    feed.greeted(this.#epoch);
    this.#feeds.set(id, feed);
    this.#want(id);
    return feed;
  }

  #want(id: string): void {
    if (this.#wanted.size === 0) {
      const sinceLast = this.platform.now() - this.#followedAt;
      this.#later(Math.max(0, JOIN_MS - sinceLast), () => this.#follow());
    }
    this.#wanted.add(id);
  }

  #wantLater(feed: Feed): void {
    this.#later(AGAIN_MS * (1 + this.platform.random()), () => {
      if (this.#feeds.get(feed.id) === feed && !feed.isFollowing) this.#want(feed.id);
    });
  }

  #follow(): void {
    const jobs = this.followed().filter(({ id }) => this.#wanted.has(id));
    this.#wanted.clear();
    this.#followedAt = this.platform.now();
    if (jobs.length > 0) this.connection.follow(jobs);
  }

  #linger(): void {
    this.#stopLingering();
    this.#stopLingering = this.#later(this.deps.lingerMs, () => this.#sweep());
  }

  /** None is left behind `close()`, which may be called by what a handler does. */
  #later(ms: number, run: () => void): () => void {
    if (this.#isClosed) return () => {};
    const take = this.platform.later(ms, () => {
      this.#timers.delete(stop);
      run();
    });
    const stop = (): void => {
      this.#timers.delete(stop);
      take();
    };
    this.#timers.add(stop);
    return stop;
  }

  /** Lets go of what nobody follows; and of the connection, when that is all. */
  #sweep(): void {
    const left = [...this.#feeds.values()].filter(({ followers }) => followers.size === 0);
    for (const { id } of left) this.#feeds.delete(id);
    if ([...this.#feeds.values()].every(({ isEnded }) => isEnded)) this.connection.stop();
    else this.connection.unfollow(left.flatMap(({ id, isEnded }) => (isEnded ? [] : id)));
  }

  #tell(feed: Feed): void {
    const { state } = this.connection;
    for (const follower of [...feed.followers])
      follower.connected(state, state === 'open' && feed.isFollowing && !this.#isAway);
  }
}
