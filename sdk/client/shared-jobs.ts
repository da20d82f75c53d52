import type { ServerFrame } from '../../schemas/frames.js';
import { Connection, type ConnectionDeps, type ConnectionOwner } from './connection.js';
import { parseCursor } from './cursor.js';
import { Follower, type FollowerOwner } from './follower.js';
import { JobFeed } from './job-feed.js';
import type { Saved } from './saved.js';
import type { ConnectionState, JobOptions, ProgressUpdate, TransportName } from './types.js';
import type { FollowedJob, Platform, Position } from './wire.js';

/** An edge follows no more jobs on one connection, unless it is set to. */
const MAX_FOLLOWED = 256;

export interface SharedJobsDeps extends Omit<ConnectionDeps, 'target'> {
  readonly lingerMs: number;
  /** The last state, asked for once. */
  readonly get: (id: string) => Promise<ProgressUpdate | null>;
  readonly saved: Saved;
}

interface Shared {
  readonly feed: JobFeed;
  readonly followers: Set<Follower>;
  stopLingering: () => void;
}

/** All jobs that a page follows by name: one connection, and one feed for each job, however many follow it. */
export class SharedJobs implements ConnectionOwner, FollowerOwner {
  readonly platform: Platform;
  readonly #connection: Connection;
  readonly #jobs = new Map<string, Shared>();
  readonly #deps: SharedJobsDeps;
  /** Asked for together, at the end of the turn. */
  readonly #wanted = new Set<string>();
  #isAway = false;

  constructor(deps: SharedJobsDeps) {
    this.#deps = deps;
    this.platform = deps.platform;
    this.#connection = new Connection({ ...deps, target: { kind: 'selected' } }, this);
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  get transport(): TransportName | null {
    return this.#connection.transport;
  }

  open(id: string, options: JobOptions): Follower {
    const job = this.#jobs.get(id) ?? this.#begin(id);
    const saved = options.after === undefined && job.feed.state === null ? this.#deps.saved.read(id) : null;
    const after = options.after ?? (saved?.state === null ? saved.cursor : undefined);
    const follower = new Follower(id, this, { ...options, ...(after !== undefined && { after }) });
    job.stopLingering();
    job.followers.add(follower);
    if (saved !== null && job.feed.position === null)
      job.feed.restore(parseCursor(saved.cursor), saved.state);
    if (after === undefined) follower.preview(job.feed.state);
    follower.connected(this.state, false);
    // Whoever opens it adds its handlers first.
    queueMicrotask(() => this.#attach(job, follower));
    return follower;
  }

  /** Ends everything. */
  close(): void {
    for (const { followers } of [...this.#jobs.values()])
      for (const follower of [...followers]) follower.close();
    for (const { stopLingering } of this.#jobs.values()) stopLingering();
    this.#jobs.clear();
    this.#connection.stop('closed');
  }

  // --- what followers ask

  leave(follower: Follower): void {
    const { id } = follower;
    const job = this.#jobs.get(id);
    if (!job?.followers.delete(follower) || job.followers.size > 0) return;
    job.stopLingering();
    job.stopLingering = this.platform.later(this.#deps.lingerMs, () => this.#forget(id, job));
  }

  rewind(follower: Follower, to: Position): void {
    const job = this.#jobs.get(follower.id) ?? this.#begin(follower.id);
    job.followers.add(follower);
    if (job.feed.rewind(to)) this.#want(follower.id);
  }

  moved(follower: Follower): void {
    const job = this.#jobs.get(follower.id);
    if (job !== undefined) this.#deps.saved.write(follower, job.followers);
  }

  // --- what the connection asks and tells

  followed(): readonly FollowedJob[] {
    this.#wanted.clear();
    return [...this.#jobs].flatMap(([id, { feed }]) =>
      feed.isEnded ? [] : [{ id, position: feed.position }],
    );
  }

  received(): null {
    return null;
  }

  connected(state: ConnectionState): void {
    for (const { feed } of this.#jobs.values()) if (state !== 'open') feed.lost();
    this.#tellAll();
  }

  failed(error: Error): void {
    const all = [...this.#jobs.values()];
    this.#jobs.clear();
    for (const { followers, stopLingering } of all) {
      stopLingering();
      for (const follower of [...followers]) follower.fail(error);
    }
  }

  frame(frame: ServerFrame): void {
    if (frame.type === 'hello') {
      this.#isAway = false;
      for (const { feed, followers } of this.#jobs.values())
        if (feed.greeted(frame.epoch)) for (const follower of [...followers]) follower.reset('epoch');
    } else if (frame.type === 'heartbeat') {
      const wasAway = this.#isAway;
      this.#isAway = frame.feed === 'away';
      for (const [id, job] of this.#jobs) this.#frame(id, job, frame);
      if (wasAway !== this.#isAway) this.#tellAll();
    } else if ('processing_id' in frame && frame.processing_id !== undefined) {
      const job = this.#jobs.get(frame.processing_id);
      if (job !== undefined) this.#frame(frame.processing_id, job, frame);
    }
  }

  #frame(id: string, job: Shared, frame: ServerFrame): void {
    const { feed } = job;
    const followers = [...job.followers];
    const event = feed.take(frame);
    switch (event.kind) {
      case 'update':
        for (const follower of followers) follower.update(event.update, event.position, event.isLinked);
        return;
      case 'moved':
        for (const follower of followers) this.#advance(job, follower, event.position);
        if (frame.type === 'following') this.#askForState(id, job);
        break;
      case 'reset':
        this.#deps.saved.remove(id);
        for (const follower of followers) follower.reset(event.reason);
        break;
      case 'stalled':
        for (const follower of followers) follower.stall(event.frame);
        return;
      case 'ask':
        this.#want(id);
        break;
      case 'end':
        this.#deps.saved.remove(id);
        for (const follower of followers) follower.end(feed.state);
        this.platform.later(this.#deps.lingerMs, () => this.#rest());
        return;
      case 'failed':
        this.#jobs.delete(id);
        for (const follower of followers) follower.fail(event.error);
        this.platform.later(this.#deps.lingerMs, () => this.#rest());
        return;
      case 'nothing':
        return;
    }
    this.#tell(job);
  }

  /** Its first word to a follower: what is known already. */
  #attach(job: Shared, follower: Follower): void {
    const { feed } = job;
    const { id } = follower;
    if (!job.followers.has(follower)) return;
    const { position } = follower;
    if (position !== null && feed.rewind(position)) this.#want(id);
    else if (feed.isFollowing && feed.position !== null) this.#advance(job, follower, feed.position);
    else this.#showState(job, follower);
    if (feed.isEnded) follower.end(feed.state);
    else this.#connection.start();
    this.#tell(job);
    if (feed.isFollowing) this.#askForState(id, job);
  }

  // A follower of which the stream knows nothing begins anew, with the newest state.
  #advance(job: Shared, follower: Follower, position: Position): void {
    this.#showState(job, follower);
    if (follower.isEmpty) return;
    follower.advanceTo(position);
    this.#showState(job, follower);
  }

  #showState({ feed }: Shared, follower: Follower): void {
    if (feed.state === null || feed.position === null || follower.position !== null) return;
    follower.update(feed.state, { ...feed.position, seq: feed.state.seq }, false);
  }

  /** Somebody wants the last state of a job that is followed from a later place. */
  #askForState(id: string, job: Shared): void {
    if (job.feed.state !== null || ![...job.followers].some(({ isEmpty }) => isEmpty)) return;
    this.#deps.get(id).then(
      (state) => {
        const { feed } = job;
        if (state === null || feed.position === null || this.#jobs.get(id) !== job) return;
        feed.state ??= state;
        for (const follower of job.followers) if (follower.isEmpty) this.#showState(job, follower);
      },
      () => {}, // asked again the next time that the job is followed
    );
  }

  #begin(id: string): Shared {
    if (this.#jobs.size >= MAX_FOLLOWED)
      for (const [other, job] of this.#jobs) if (job.followers.size === 0) this.#forget(other, job);
    const job: Shared = {
      feed: new JobFeed(this.#deps.maxRate === null),
      followers: new Set(),
      stopLingering: () => {},
    };
    this.#jobs.set(id, job);
    this.#want(id);
    return job;
  }

  #want(id: string): void {
    if (this.#wanted.size === 0) queueMicrotask(() => this.#follow());
    this.#wanted.add(id);
  }

  #follow(): void {
    const ids = new Set(this.#wanted);
    const jobs = this.followed().filter(({ id }) => ids.has(id));
    if (jobs.length === 0) return;
    this.#connection.start();
    this.#connection.follow(jobs);
  }

  #forget(id: string, job: Shared): void {
    if (this.#jobs.get(id) !== job) return;
    job.stopLingering();
    this.#jobs.delete(id);
    if (!job.feed.isEnded) this.#connection.unfollow([id]);
    this.#rest();
  }

  /** Nobody needs the connection any more. */
  #rest(): void {
    if ([...this.#jobs.values()].every(({ feed }) => feed.isEnded)) this.#connection.stop();
  }

  #tell({ feed, followers }: Shared): void {
    for (const follower of [...followers])
      follower.connected(this.state, feed.isFollowing && !this.#isAway && this.state === 'open');
  }

  #tellAll(): void {
    for (const job of this.#jobs.values()) this.#tell(job);
  }
}
