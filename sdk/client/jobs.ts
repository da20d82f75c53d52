import type { ServerFrame } from '../../schemas/frames.js';
import { Connection, type ConnectionDeps, type ConnectionOwner } from './connection.js';
import { isOtherLog } from './cursor.js';
import { Handle } from './handle.js';
import type {
  ConnectionState,
  Continuity,
  Job,
  JobOptions,
  JobSnapshot,
  Jobs,
  JobsEvents,
  JobsSnapshot,
  ProgressUpdate,
  ResetReason,
} from './types.js';
import type { FollowedJob, Platform, Position } from './wire.js';

/** What is shown of one of all jobs. */
interface Shown {
  state: ProgressUpdate;
  stalled: JobSnapshot['stalled'];
  /** Until something changes. */
  snapshot: JobSnapshot | null;
}

/** All jobs, or all of some types: a connection of its own. */
export class AllJobs extends Handle<JobsSnapshot, JobsEvents> implements Jobs, ConnectionOwner {
  readonly #connection: Connection;
  readonly #shown = new Map<string, Shown>();
  /** Of each job the last seq, to check the next one by. */
  readonly #last = new Map<string, number>();
  /** What has come: with it the connection goes on. */
  #received: Position | null;
  #epoch = '';
  #scope = '';
  #isCaughtUp = false;
  #isAway = false;
  #gapAt = -1;
  #continuity: Continuity = { kind: 'unknown' };
  #error: Error | null = null;

  constructor(
    private readonly deps: ConnectionDeps,
    options: JobOptions,
    private readonly onLeave: () => void,
  ) {
    super(deps.platform, options);
    this.#received = this.taken;
    this.#connection = new Connection(deps, this);
    queueMicrotask(() => this.isOver || this.#connection.start());
  }

  followed(): readonly FollowedJob[] {
    return [];
  }

  received(): Position | null {
    return this.#received;
  }

  connected(state: ConnectionState): void {
    if (state !== 'open') this.#isCaughtUp = false;
    this.#changedAll();
    if (!this.isOver) this.emit('connection', state);
  }

  failed(error: Error): void {
    this.#error = error;
    if (this.finish(error)) this.emit('error', error);
  }

  frame(frame: ServerFrame): void {
    switch (frame.type) {
      case 'hello':
        this.#isCaughtUp = this.#isAway = false;
        this.#epoch = frame.epoch;
        this.#scope = frame.scope;
        if (this.#received !== null && isOtherLog(this.#received, this.#at(0)))
          this.#reset(this.#received.epoch === frame.epoch ? 'scope' : 'epoch');
        return;
      case 'auth_ok':
        // The new token opens less: begin anew with what it opens.
        if (frame.scope === this.#scope) return;
        this.#received = null;
        this.#connection.restart();
        return;
      case 'progress_update':
        this.#update(frame);
        return;
      case 'skipped':
        this.#last.clear();
        this.#continuity = { kind: 'unknown' };
        this.changed();
        this.emit('skipped', { after: frame.after, before: frame.before });
        return;
      case 'caught_up':
        this.#isCaughtUp = true;
        this.#received = this.#at(frame.cursor);
        this.advance(this.#received);
        this.#changedAll();
        return;
      case 'heartbeat':
        if (this.#isAway !== (frame.feed === 'away')) {
          this.#isAway = !this.#isAway;
          this.#changedAll();
        }
        if (!this.#isCaughtUp) return;
        this.#received = this.#at(frame.cursor);
        this.advance(this.#received);
        return;
      case 'reset':
        this.#epoch = frame.epoch;
        this.#reset(frame.reason);
        return;
      case 'gone':
        this.#last.delete(frame.processing_id);
        if (this.#shown.delete(frame.processing_id)) this.changed();
        this.emit('gone', { id: frame.processing_id });
        return;
      case 'stalled': {
        const shown = this.#shown.get(frame.processing_id);
        if (shown !== undefined) Object.assign(shown, { stalled: frame, snapshot: null });
        this.changed();
        this.emit('stalled', frame);
        return;
      }
      default:
    }
  }

  protected snapshot(): JobsSnapshot {
    const connection = this.#state;
    const isCurrent = this.#isCurrent;
    const jobs = new Map<string, JobSnapshot>();
    for (const [id, shown] of this.#shown) {
      shown.snapshot ??= {
        id,
        state: shown.state,
        connection,
        isCurrent,
        continuity: this.#continuity,
        stalled: shown.stalled,
        isEnded: isFinished(shown.state),
        error: null,
      };
      jobs.set(id, shown.snapshot);
    }
    return { jobs, connection, isCurrent, continuity: this.#continuity, error: this.#error };
  }

  /** A loop that begins late gets what comes. What is shown is in the snapshot. */
  protected newest(): null {
    return null;
  }

  protected rewind(to: Position): void {
    if (this.#received === null || isOtherLog(this.#received, to)) return;
    this.#received = to;
    this.#last.clear();
    this.#connection.restart();
  }

  protected leave(): void {
    this.#connection.stop('closed');
    this.onLeave();
  }

  get #state(): ConnectionState {
    return this.#connection.state;
  }

  get #isCurrent(): boolean {
    return this.#isCaughtUp && !this.#isAway && this.#state === 'open';
  }

  /** What is the same of all jobs has changed. */
  #changedAll(): void {
    for (const shown of this.#shown.values()) shown.snapshot = null;
    this.changed();
  }

  #at(seq: number): Position {
    return { seq, epoch: this.#epoch, scope: this.#scope };
  }

  #update(update: ProgressUpdate): void {
    const { processing_id: id, seq, prev_seq } = update;
    const last = this.#last.get(id);
    const isGap = last !== undefined && prev_seq !== null && prev_seq > last && this.deps.maxRate === null;
    if (isGap && this.#gapAt !== last) {
      this.#gapAt = last;
      this.#connection.restart();
      return;
    }
    this.#last.set(id, seq);
    this.#received = this.#at(seq);
    this.give(update, this.#received, () => {
      if (this.#continuity.kind === 'unknown' && this.taken === null) this.#continuity = { kind: 'proven' };
      if (isGap && this.#continuity.kind === 'proven') this.#continuity = { kind: 'unknown' };
      this.#shown.set(id, { state: update, stalled: null, snapshot: null });
    });
  }

  #reset(reason: ResetReason): void {
    this.#received = null;
    this.#isCaughtUp = false;
    this.#last.clear();
    if (!this.forget() && this.#shown.size === 0) return;
    this.#shown.clear();
    this.#continuity = { kind: 'reset', reason };
    this.changed();
    this.emit('reset', { reason });
  }
}

const isFinished = ({ status, error }: ProgressUpdate): boolean =>
  status === 'completed' ||
  (status === 'error' && (error as { retryable?: boolean } | undefined)?.retryable !== true);

/** Jobs by name, each followed as by itself, over the connection that they share. */
export class NamedJobs extends Handle<JobsSnapshot, JobsEvents> implements Jobs {
  constructor(
    private readonly jobs: readonly Job[],
    platform: Platform,
    { after, signal }: JobOptions,
  ) {
    if (after !== undefined) throw new TypeError('after is given with ids; expected it of each job');
    super(platform, signal === undefined ? {} : { signal });
    for (const job of jobs) {
      const { id } = job;
      job.addEventListener('update', ({ detail }) => this.emit('update', detail));
      job.addEventListener('reset', ({ detail }) => this.emit('reset', { ...detail, id }));
      job.addEventListener('stalled', ({ detail }) => this.emit('stalled', detail));
      job.addEventListener('error', ({ detail }) => this.emit('error', detail));
      job.subscribe(() => this.changed());
    }
    jobs[0]?.addEventListener('connection', ({ detail }) => this.emit('connection', detail));
  }

  /** Each has its own. */
  override get cursor(): null {
    return null;
  }

  override [Symbol.asyncIterator](): AsyncIterator<ProgressUpdate> {
    return merged(this.jobs, () => this.close());
  }

  protected snapshot(): JobsSnapshot {
    const all = this.jobs.map((job) => job.getSnapshot());
    const isFailed = all.length > 0 && all.every(({ error }) => error !== null);
    const worst =
      all.find(({ continuity }) => continuity.kind === 'reset') ??
      all.find(({ continuity }) => continuity.kind === 'unknown') ??
      all[0];
    return {
      jobs: new Map(all.map((job) => [job.id, job])),
      connection: (all.find(({ isEnded }) => !isEnded) ?? all[0])?.connection ?? 'idle',
      isCurrent: all.every(({ isCurrent, isEnded }) => isCurrent || isEnded),
      continuity: worst?.continuity ?? { kind: 'unknown' },
      error: isFailed ? (all[0]?.error ?? null) : null,
    };
  }

  protected newest(): null {
    return null;
  }

  protected rewind(): void {}

  protected leave(): void {
    for (const job of this.jobs) job.close();
  }
}

/** What any of them gives next. Of each only one update is taken ahead. One that fails ends nothing but itself, unless all do. */
async function* merged(jobs: readonly Job[], close: () => void): AsyncGenerator<ProgressUpdate> {
  let failure: unknown = null;
  let hasEnd = false;
  const next = async (loop: AsyncIterator<ProgressUpdate>) => {
    try {
      const { done, value } = await loop.next();
      hasEnd ||= done === true;
      return { loop, update: done ? null : value };
    } catch (error) {
      failure = error;
      return { loop, update: null };
    }
  };
  const loops = jobs.map((job) => job[Symbol.asyncIterator]());
  const pending = new Map(loops.map((loop) => [loop, next(loop)]));
  try {
    while (pending.size > 0) {
      const { loop, update } = await Promise.race(pending.values());
      pending.delete(loop);
      if (update === null) continue;
      pending.set(loop, next(loop));
      yield update;
    }
    if (failure !== null && !hasEnd) throw failure;
  } finally {
    close();
  }
}
