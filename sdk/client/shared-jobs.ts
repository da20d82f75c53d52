import type { ServerFrame } from '../../schemas/frames.generated.js';
import { type Connection, type ConnectionDeps, createConnection } from './connection.js';
import { Follower } from './follower.js';
import { JobFeed } from './job-feed.js';
import type { Saved } from './saved.js';
import type { JobOptions, ProgressUpdate } from './types.js';

/** An edge follows no more jobs on one connection, unless it is set to. */
const MAX_FOLLOWED = 256;
/** Whatever is wanted within this goes in one frame: an edge takes so many frames a second, and no more. */
const JOIN_MS = 50;
/** A job that an edge cannot take now is asked for again after at least so long, and at most twice as long. */
const AGAIN_MS = 2_000;

export interface SharedJobsDeps extends Omit<ConnectionDeps, 'target'> {
  readonly maxRate: number | undefined;
  readonly lingerMs: number;
  /** The last state, asked for once. */
  readonly get: (id: string) => Promise<ProgressUpdate | null>;
  /** What an earlier page had of each job; undefined: nothing is kept. */
  readonly loadSaved: () => Promise<Saved | undefined>;
}

type Feed = JobFeed<Follower>;

/** All jobs that a page follows by name: one connection, and one feed for each job, however many follow it. */
export interface SharedJobs {
  readonly connection: Connection;
  open(id: string, options: JobOptions): Follower;
  /** Ends everything. */
  close(): void;
}

export function createSharedJobs(deps: SharedJobsDeps): SharedJobs {
  const { platform, lingerMs } = deps;
  const feeds = new Map<string, Feed>();
  /** Asked for together. */
  const wanted = new Set<string>();
  let followedAt = 0;
  /** As the edge named it last. */
  let epoch = '';
  let saved: Saved | undefined;
  let isAway = false;
  let isClosed = false;
  const timers = new Set<() => void>();

  // What has ended is not followed.
  const followed = () =>
    [...feeds.values()].flatMap(({ id, isEnded, position }) => (isEnded ? [] : { id, position }));

  /** None is left behind `close()`, which may be called by what a handler does. */
  const later = (ms: number, run: () => void): void => {
    if (isClosed) return;
    const stop = platform.later(ms, () => {
      timers.delete(stop);
      run();
    });
    timers.add(stop);
  };

  const want = (id: string): void => {
    if (wanted.size === 0) {
      later(Math.max(0, JOIN_MS + followedAt - platform.now()), () => {
        const jobs = followed().filter((job) => wanted.has(job.id));
        wanted.clear();
        followedAt = platform.now();
        if (jobs.length > 0) connection.follow(jobs);
      });
    }
    wanted.add(id);
  };

  const wantLater = (feed: Feed): void => {
    feeds.set(feed.id, feed);
    later(AGAIN_MS * (1 + platform.random()), () => {
      if (feeds.get(feed.id) === feed && !feed.isFollowing) want(feed.id);
    });
  };

  /** Lets go of what nobody has followed for a while; and of the connection, when that is all. */
  const sweep = (leastMs = lingerMs): void => {
    const since = platform.now() - leastMs;
    const unused = [...feeds.values()].filter(({ followers }) => followers.size === 0);
    const left = unused.filter(({ leftAt }) => leftAt <= since);
    for (const { id } of left) feeds.delete(id);
    const ids = left.flatMap(({ id, isEnded }) => (isEnded ? [] : id));
    if (ids.length > 0) connection.unfollow(ids);
    if (left.length === unused.length && followed().length === 0) connection.stop();
  };
  // All at full steps of time: what is left one by one goes in few frames.
  const linger = (): void => later(lingerMs + JOIN_MS - (platform.now() % JOIN_MS), sweep);

  const feedOf = (id: string): Feed => {
    const known = feeds.get(id);
    if (known) return known;
    if (feeds.size >= MAX_FOLLOWED) sweep(0);
    const feed: Feed = new JobFeed(id);
    feed.since = platform.now();
    feed.greeted(epoch);
    feeds.set(id, feed);
    want(id);
    return feed;
  };

  const tell = (feed: Feed): void => {
    const { state } = connection;
    for (const follower of [...feed.followers])
      follower.connected(state, state === 'open' && feed.isFollowing && !isAway);
  };

  /** To those who have been given nothing yet. */
  const showState = ({ state, position, followers }: Feed): void => {
    if (!state || !position) return;
    for (const follower of [...followers])
      if (follower.position === null) follower.update(state, { ...position, seq: state.seq }, false);
  };

  /** Somebody wants the last state of a job that is followed from a later place. */
  const askForState = (feed: Feed): void => {
    const isMissed = [...feed.followers].some(({ isEmpty }) => isEmpty);
    if (!feed.isFollowing || !feed.isStateUnknown || !isMissed) return;
    deps.get(feed.id).then(
      (state) => {
        // A reset may have come before it.
        if (feed.isStateUnknown) feed.state = state;
        showState(feed);
      },
      () => {}, // asked again the next time that the job is followed
    );
  };

  /** Its first word to a follower: what is known already. */
  const attach = (feed: Feed, follower: Follower): void => {
    if (!feed.followers.has(follower)) return;
    saved?.restore(feed, follower);
    const { position } = follower;
    if (position && feed.rewind(position)) want(feed.id);
    else showState(feed);
    if (feed.isFollowing && feed.position && !follower.isEmpty) {
      follower.advanceTo(feed.position);
      showState(feed);
    }
    if (feed.stalled) follower.stall(feed.stalled);
    if (feed.isEnded) follower.end(feed.state);
    else connection.start();
    askForState(feed);
    tell(feed);
  };

  /** A page gets jobs that the token in use does not open yet: a newer one may. */
  const askWithNewerToken = async (refusal: ServerFrame, feed: Feed): Promise<void> => {
    feed.isFollowing = false;
    tell(feed);
    // A token that does not come now may come the next time that it is refused.
    const isNewer = await connection.newerToken(feed.since).catch(() => null);
    if (feeds.get(feed.id) !== feed) return;
    if (isNewer === null) wantLater(feed);
    else if (isNewer) want(feed.id);
    else take(refusal, feed, true);
  };

  const take = (frame: ServerFrame, feed: Feed, isFinal = false): void => {
    const { id } = feed;
    if (frame.type === 'error' && frame.code === 'forbidden' && !isFinal) {
      void askWithNewerToken(frame, feed);
      return;
    }
    if (frame.type === 'hello') feed.greeted(frame.epoch);
    // A handler that follows it again begins anew.
    if (frame.type === 'error') feeds.delete(id);
    const wish = feed.take(frame);
    if (wish === 'ask') want(id);
    if (wish === 'ask_later') wantLater(feed);
    if (wish === 'over') linger();
    if (wish === 'over' || frame.type === 'reset') saved?.remove(id);
    if (frame.type === 'following') {
      showState(feed);
      askForState(feed);
    }
    tell(feed);
  };

  const connection = createConnection(
    { ...deps, target: { kind: 'selected', maxRate: deps.maxRate } },
    {
      followed,
      received: () => null,
      connected(state) {
        for (const feed of feeds.values()) {
          if (state !== 'open') feed.isFollowing = false;
          tell(feed);
        }
      },
      failed(error) {
        const all = [...feeds.values()].flatMap(({ followers }) => [...followers]);
        // Who has not had its first word yet gets this one alone.
        for (const { followers } of feeds.values()) followers.clear();
        feeds.clear();
        for (const follower of all) follower.fail(error);
      },
      frame(frame) {
        const { type } = frame;
        if (type === 'hello' || type === 'reset') epoch = frame.epoch;
        if (type === 'hello') {
          // All of them are asked for now.
          wanted.clear();
          isAway = false;
        }
        if (type === 'heartbeat') isAway = frame.feed === 'away';
        const id = ('processing_id' in frame && frame.processing_id) || '';
        const named = feeds.get(id);
        // What it is about to be asked for again, from another place, comes after this.
        if (named && !wanted.has(id)) take(frame, named);
        if (type === 'hello' || type === 'heartbeat') for (const feed of feeds.values()) take(frame, feed);
      },
    },
  );

  /** What followers ask. */
  const owner = {
    platform,
    leave(follower: Follower): void {
      const feed = feeds.get(follower.id);
      if (!feed?.followers.delete(follower)) return;
      feed.leftAt = platform.now();
      linger();
    },
    rewind(follower: Follower, to: NonNullable<Follower['position']>): void {
      if (isClosed) {
        follower.close();
        return;
      }
      const feed = feedOf(follower.id);
      feed.followers.add(follower);
      if (feed.rewind(to)) want(follower.id);
      // It may rest since the end of all jobs.
      connection.start();
    },
    moved(follower: Follower): void {
      const feed = feeds.get(follower.id);
      if (feed) saved?.write(follower, feed.followers);
    },
  };

  return {
    connection,
    open(id, options) {
      const follower = new Follower(id, owner, options);
      const feed = feedOf(id);
      // Another attempt may have begun behind its end.
      if (feed.isEnded) {
        feed.reopen(epoch);
        want(id);
      }
      feed.followers.add(follower);
      if (follower.position === null) follower.preview(feed.state);
      follower.connected(connection.state, false);
      // Later: whoever opens it adds its handlers first.
      void deps.loadSaved().then((loaded) => {
        saved = loaded;
        attach(feed, follower);
      });
      return follower;
    },
    close() {
      isClosed = true;
      for (const { followers } of feeds.values()) for (const follower of [...followers]) follower.close();
      feeds.clear();
      for (const stop of timers) stop();
      connection.stop('closed');
      void deps.loadSaved().then((loaded) => loaded?.close());
    },
  };
}
