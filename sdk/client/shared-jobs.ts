import type { ServerFrame } from '../../schemas/frames.generated.js';
import { type Connection, type ConnectionDeps, createConnection } from './connection.js';
import { edgeError } from './errors.js';
import { Follower } from './follower.js';
import type { HandleOwner } from './handle.js';
import { JobFeed } from './job-feed.js';
import type { Saved } from './saved.js';
import type { JobOptions, JobSnapshot, ProgressUpdate } from './types.js';

/** An edge follows no more jobs on one connection, unless it is set to. */
const MAX_FOLLOWED = 256;
/** Whatever is wanted within this goes in one frame: an edge takes so many frames a second, and no more. */
const JOIN_MS = 50;
/** A job that an edge cannot take now is asked for again after at least so long, and at most twice as long. */
const AGAIN_MS = 2_000;

export interface SharedJobsDeps extends Omit<ConnectionDeps, 'target'> {
  readonly handles: HandleOwner<unknown>['handles'];
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
  /** Lets go of the connection, for good. */
  close(): void;
}

export function createSharedJobs(deps: SharedJobsDeps): SharedJobs {
  const { platform, handles, lingerMs } = deps;
  const feeds = new Map<string, Feed>();
  /** Asked for together. */
  const wanted = new Set<string>();
  /** How long whoever is wanted waits. */
  let joinMs = 0;
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
      later(joinMs, () => {
        const jobs = followed().filter(({ id }) => wanted.has(id));
        wanted.clear();
        // By a timer, and not by the time of day, which may be set back.
        joinMs = JOIN_MS;
        later(JOIN_MS, () => {
          joinMs = 0;
        });
        if (jobs.length > 0) connection.wire?.follow(jobs);
      });
    }
    wanted.add(id);
  };

  /** Lets go of what nobody has followed for a while; and of the connection, when that is all. */
  const sweep = (leastMs = lingerMs): void => {
    const since = platform.now() - leastMs;
    const left = [...feeds.values()].filter(
      ({ followers, leftAt }) => followers.size === 0 && leftAt <= since,
    );
    for (const { id } of left) feeds.delete(id);
    const ids = left.flatMap(({ id, isEnded }) => (isEnded ? [] : id));
    if (ids.length > 0) connection.wire?.unfollow(ids);
    if (feeds.size === 0) connection.stop();
  };

  const feedOf = (id: string): Feed => {
    const known = feeds.get(id);
    if (known) return known;
    const feed: Feed = new JobFeed(id, epoch, platform.now());
    feeds.set(id, feed);
    if (feeds.size > MAX_FOLLOWED) sweep(0);
    want(id);
    return feed;
  };

  const sync = (feed: Feed): void => {
    for (const follower of [...feed.followers]) follower.sync(feed, connection.state, isAway);
  };

  /** Somebody wants the last state of a job that is followed from a later place. */
  const askForState = (feed: Feed): void => {
    const { resumedAt } = feed;
    if (!feed.isFollowing || !resumedAt || feed.state) return;
    if ([...feed.followers].every(({ taken }) => taken)) return;
    deps.get(feed.id).then(
      (state) => {
        // A reset may have come before it, and somebody with a cursor behind that.
        if (feed.resumedAt === resumedAt && !feed.state) feed.state = state;
        sync(feed);
      },
      () => {}, // asked again the next time that the job is followed
    );
  };

  const seek = (feed: Feed, { position }: Follower): void => {
    if (position && feed.rewind(position)) want(feed.id);
  };

  /** What a follower or its loop has missed: what is known already, and the rest from where it is. */
  const attach = (follower: Follower): void => {
    if (isClosed) follower.close();
    // It was closed or refused before its first word. A loop goes on behind the end.
    if (isClosed || follower.error) return;
    const feed = feedOf(follower.id);
    feed.followers.add(follower);
    handles.add(follower);
    saved?.restore(feed, follower);
    seek(feed, follower);
    sync(feed);
    // It may rest since the end of all jobs.
    if (!feed.isEnded) connection.start();
    askForState(feed);
  };

  /** The edge does not go on with a job. What is to be done then, most pages need not know. */
  const reconsider = (frame: ServerFrame, feed: Feed): void => {
    const { id } = feed;
    feed.isFollowing = false;
    sync(feed);
    const goOn = (isAgain: boolean): void => {
      // It may have been let go of meanwhile, or be followed all the same, over another connection.
      if (feeds.get(id) !== feed || feed.isFollowing) return;
      if (isAgain) want(id);
      else take(frame, feed, true);
    };
    import('./refusals.js')
      .then(({ isToBeAskedAgain }) => isToBeAskedAgain(frame, feed, deps.get, connection.newerToken))
      .then(goOn, () => later(AGAIN_MS * (1 + platform.random()), () => goOn(true)));
  };

  const fail = ({ followers }: Feed, error: Error): void => {
    for (const follower of [...followers]) follower.fail(error);
  };

  /** @param isFinal there is nothing to reconsider any more */
  const take = (frame: ServerFrame, feed: Feed, isFinal = false): void => {
    const { id } = feed;
    const { type } = frame;
    if (!isFinal && (type === 'error' || (type === 'end' && !feed.state))) {
      reconsider(frame, feed);
      return;
    }
    if (type === 'error' || type === 'end' || type === 'reset') saved?.remove(id);
    if (type === 'error') {
      // A handler that follows it again begins anew.
      feeds.delete(id);
      fail(feed, edgeError(0, frame.code, frame.message));
      return;
    }
    if (feed.take(frame)) want(id);
    sync(feed);
    if (type === 'following') askForState(feed);
  };

  const connection = createConnection(
    { ...deps, target: { kind: 'selected', maxRate: deps.maxRate, query: () => 'select=' } },
    {
      followed,
      position: () => null,
      connected() {
        for (const feed of feeds.values()) {
          // Also where it opens: the edge has said hello, and not yet that it goes on.
          feed.isFollowing = false;
          sync(feed);
        }
      },
      failed(error) {
        const all = [...feeds.values()];
        feeds.clear();
        for (const feed of all) fail(feed, error);
      },
      frame(frame) {
        const { type } = frame;
        const { processing_id: id = '' } = frame as { readonly processing_id?: string };
        if (type === 'hello' || type === 'reset') epoch = frame.epoch;
        // All of them are asked for now.
        if (type === 'hello') wanted.clear();
        if (type === 'hello' || type === 'heartbeat') {
          isAway = type === 'heartbeat' && frame.feed === 'away';
          for (const feed of feeds.values()) take(frame, feed);
        }
        const named = feeds.get(id);
        // What it is about to be asked for again, from another place, comes after this.
        if (named && !wanted.has(id)) {
          // Of a job of which nothing had come nothing is reset: it is of the stream that was named last.
          if (!named.position) named.greeted(epoch);
          take(frame, named);
        }
      },
    },
  );

  return {
    connection,
    open(id, options) {
      const owner: HandleOwner<JobSnapshot> = {
        platform,
        handles,
        rewind: () => attach(follower),
        leave() {
          const feed = feeds.get(id);
          if (feed?.followers.delete(follower)) feed.leftAt = platform.now();
          // All at full steps of time: what is left one by one goes in few frames.
          later(lingerMs + JOIN_MS - (platform.now() % JOIN_MS), sweep);
        },
        moved() {
          const feed = feeds.get(id);
          if (feed) saved?.write(follower, feed.followers);
        },
      };
      const follower: Follower = new Follower(id, owner, options);
      const feed = feedOf(id);
      // Another attempt may have begun behind its end.
      if (feed.isEnded) {
        feed.greeted(epoch);
        want(id);
      }
      feed.followers.add(follower);
      // At once: what comes before it is attached is not what it goes on with.
      seek(feed, follower);
      follower.show({ connection: connection.state, state: follower.taken ? null : feed.state });
      // Later: whoever opens it adds its handlers first.
      void deps.loadSaved().then((loaded) => {
        saved = loaded;
        attach(follower);
      });
      return follower;
    },
    close() {
      isClosed = true;
      feeds.clear();
      for (const stop of timers) stop();
      connection.stop('closed');
      void deps.loadSaved().then((loaded) => loaded?.close());
    },
  };
}
