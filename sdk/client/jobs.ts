import type { ServerFrame } from '../../schemas/frames.generated.js';
import type { Connection } from './connection.js';
import type { Core } from './core.js';
import type { Handle } from './handle.js';
import type { Loop } from './loop.js';
import type {
  ConnectionState,
  Continuity,
  Job,
  JobSnapshot,
  JobsEvents,
  JobsFilter,
  JobsOptions,
  JobsSnapshot,
  ProgressUpdate,
  ResetReason,
} from './types.js';
import type { Position, Target } from './wire.js';

/** Several jobs: what `client.jobs()` gives at once, and what feeds it when it is loaded. */
export type JobsHandle = Handle<JobsSnapshot, JobsEvents>;

interface JobsEngine {
  snapshot(): JobsSnapshot;
  /** Once its handle is whole. */
  start?(): void;
  /** Where it has a loop of its own. */
  readonly loop?: Loop;
  rewind?(): void;
  leave(): void;
}

// What feeds a handle of several jobs. A page that follows jobs one by one does not load it.

/**
 * @param open as `client.job()` does
 * @throws TypeError when `maxFinished` is no number of jobs, or is given with `ids`
 */
export function feedJobs(
  core: Core,
  handle: JobsHandle,
  { ids, jobTypes = [] }: JobsFilter,
  { maxRate, maxFinished }: JobsOptions,
  open: (id: string) => Job,
): void {
  if (maxFinished !== undefined && !(Number.isSafeInteger(maxFinished) && maxFinished >= 0))
    throw new TypeError(`maxFinished is ${maxFinished}; expected a whole number from 0`);
  if (ids !== undefined && maxFinished !== undefined)
    throw new TypeError('ids are given with maxFinished; expected ids alone');
  const query = (position: Position | null): string => allJobsQuery(jobTypes, position);
  const engine: JobsEngine =
    ids === undefined
      ? new AllJobs(core, handle, { kind: 'all', jobTypes, maxRate, query }, maxFinished)
      : new NamedJobs(
          handle,
          [...new Set(ids)].map((id) => open(id)),
        );
  Object.assign(handle.owner, {
    snapshot: () => engine.snapshot(),
    rewind: () => engine.rewind?.(),
    leave: () => engine.leave(),
    loop: engine.loop,
  });
  handle.show(null);
  if (handle.isOver) engine.leave();
  else engine.start?.();
}

/** PROTOCOL.md, "Connecting". */
function allJobsQuery(jobTypes: readonly string[], position: Position | null): string {
  const query = new URLSearchParams(jobTypes.map((type) => ['job_type', type]));
  if (position !== null) {
    query.set('last_seq', String(position.seq));
    query.set('epoch', position.epoch);
    if (position.scope !== '') query.set('scope', position.scope);
  }
  return String(query);
}

/** Whether it is a job's last, unless somebody begins another attempt. */
const isFinished = ({ status, error }: ProgressUpdate): boolean =>
  status === 'completed' ||
  (status === 'error' && (error as { retryable?: boolean } | undefined)?.retryable !== true);

/** What is shown of one of all jobs. */
interface Shown {
  state: ProgressUpdate;
  stalled: JobSnapshot['stalled'];
  /** Until something changes. */
  snapshot: JobSnapshot | null;
}

/** All jobs, or all of some types: a connection of its own. */
class AllJobs implements JobsEngine {
  readonly #connection: Connection;
  readonly #shown = new Map<string, Shown>();
  /** Of each job the last seq, to check the next one by. */
  readonly #last = new Map<string, number>();
  /** Those of the shown that are finished, the one that did so first comes first. */
  readonly #finished = new Set<string>();
  #hasForgotten = false;
  /**
   * With a rate: updates behind which others are still to come that stand for events before them. They are given together,
   * so that a connection that is cut in between has brought none of them.
   */
  #window: ProgressUpdate[] = [];
  /** What has come: with it the connection goes on. */
  #received: Position | null;
  #epoch = '';
  #scope = '';
  #isCaughtUp = false;
  #isAway = false;
  #gapAt = -1;
  #continuity: Continuity = { kind: 'unknown' };
  /** Nothing has been shown, and nothing left out. */
  #isNew = true;

  constructor(
    private readonly core: Core,
    private readonly handle: JobsHandle,
    target: Target,
    private readonly maxFinished = Number.POSITIVE_INFINITY,
  ) {
    this.#received = handle.taken;
    this.#connection = core.createConnection(
      { ...core, target },
      {
        followed: () => [],
        position: () => this.#resumeAt(),
        frame: (frame) => this.#frame(frame),
        connected: (state) => this.#connected(state),
        failed: (error) => handle.fail(error),
      },
    );
  }

  start(): void {
    this.#connection.start();
  }

  #connected(state: ConnectionState): void {
    if (state !== 'open') {
      this.#isCaughtUp = false;
      this.#window = [];
    }
    this.#changedAll();
    if (!this.handle.isOver) this.handle.emit('connection', state);
  }

  #frame(frame: ServerFrame): void {
    if (frame.type === 'progress_update') {
      this.#window.push(frame);
      if (frame.resume_seq !== undefined) return;
    }
    this.#giveWindow();
    // Closed by a handler of it: what follows is not taken any more.
    if (this.handle.isOver) return;
    switch (frame.type) {
      case 'hello':
        this.#isCaughtUp = this.#isAway = false;
        this.#epoch = frame.epoch;
        this.#scope = frame.scope;
        if (this.#received !== null && this.core.isOtherLog(this.#received, this.#at(0)))
          this.#reset(this.#received.epoch === frame.epoch ? 'scope' : 'epoch');
        return;
      case 'auth_ok':
        if (frame.scope === this.#scope) return;
        // The new token opens less: nothing stays of what it does not open, and what it does comes anew.
        this.#reset('scope');
        this.#connection.restart();
        return;
      case 'skipped':
        this.#last.clear();
        this.#isNew = false;
        this.#continuity = { kind: 'unknown' };
        this.handle.show(null);
        this.handle.emit('skipped', { reason: frame.reason, after: frame.after, before: frame.before });
        return;
      case 'caught_up':
        this.#isCaughtUp = true;
        this.#advance(frame.cursor);
        this.#changedAll();
        return;
      case 'heartbeat':
        if (this.#isAway !== (frame.feed === 'away')) {
          this.#isAway = !this.#isAway;
          this.#changedAll();
        }
        if (!this.#isCaughtUp) return;
        this.#advance(frame.cursor);
        return;
      case 'reset':
        this.#epoch = frame.epoch;
        this.#reset(frame.reason);
        return;
      case 'gone':
        if (this.#forget(frame.processing_id)) this.handle.show(null);
        this.handle.emit('gone', { id: frame.processing_id });
        return;
      case 'stalled': {
        const shown = this.#shown.get(frame.processing_id);
        if (shown !== undefined) Object.assign(shown, { stalled: frame, snapshot: null });
        this.handle.show(null);
        this.handle.emit('stalled', frame);
        return;
      }
      default:
    }
  }

  snapshot(): JobsSnapshot {
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
    return {
      ...{ jobs, connection, isCurrent },
      hasForgotten: this.#hasForgotten,
      continuity: this.#continuity,
      error: this.handle.error,
    };
  }

  rewind(): void {
    const { looped: to } = this.handle;
    if (to === null || this.#received === null || this.core.isOtherLog(this.#received, to)) return;
    this.#received = to;
    this.#last.clear();
    this.#connection.restart();
  }

  leave(): void {
    this.#connection.stop('closed');
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
    this.handle.show(null);
  }

  #at(seq: number, resume?: number): Position {
    return { seq, resume, epoch: this.#epoch, scope: this.#scope };
  }

  #resumeAt(): Position | null {
    const received = this.#received;
    return received && { ...received, seq: received.resume ?? received.seq };
  }

  #giveWindow(): void {
    // Behind one that shows a gap nothing counts: it comes again.
    this.#window.splice(0).every((update) => this.#update(update));
  }

  /** Everything up to here has come. An edge that is a little behind another takes nothing back. */
  #advance(cursor: number): void {
    const { seq = 0, resume } = this.#received ?? {};
    this.#received = cursor < seq ? this.#at(seq, resume) : this.#at(cursor);
    if (cursor >= (this.handle.taken?.seq ?? 0)) this.handle.advance(this.#at(cursor));
  }

  /** @returns false: something is missing before it, and is asked for */
  #update(update: ProgressUpdate): boolean {
    const { processing_id: id, seq, prev_seq, resume_seq } = update;
    const last = this.#last.get(id);
    const isGap = last !== undefined && prev_seq !== null && prev_seq > last;
    if (isGap && this.#gapAt !== last) {
      this.#gapAt = last;
      this.#connection.restart();
      return false;
    }
    this.#last.set(id, seq);
    this.#received = this.#at(seq, resume_seq);
    this.handle.give(update, this.#received, () => {
      if (this.#isNew && this.#continuity.kind === 'unknown') this.#continuity = { kind: 'proven' };
      this.#isNew = false;
      if (isGap && this.#continuity.kind === 'proven') this.#continuity = { kind: 'unknown' };
      this.#shown.set(id, { state: update, stalled: null, snapshot: null });
      this.#forgetOldest(update);
      this.handle.show(null);
    });
    // One that is forgotten is so also where its events come once more, for a loop.
    if (!this.#shown.has(id) && isFinished(update)) this.#last.delete(id);
    return true;
  }

  /** Of the finished jobs no more stay than the page wants. */
  #forgetOldest(newest: ProgressUpdate): void {
    this.#finished.delete(newest.processing_id);
    if (!isFinished(newest)) return;
    this.#finished.add(newest.processing_id);
    for (const oldest of this.#finished) {
      if (this.#finished.size <= this.maxFinished) return;
      this.#hasForgotten = true;
      this.#forget(oldest);
    }
  }

  /** @returns whether it was shown */
  #forget(id: string): boolean {
    this.#last.delete(id);
    this.#finished.delete(id);
    return this.#shown.delete(id);
  }

  #reset(reason: ResetReason): void {
    this.#received = null;
    this.#isCaughtUp = false;
    this.#last.clear();
    if (!this.handle.forget() && this.#shown.size === 0) return;
    this.#shown.clear();
    this.#finished.clear();
    this.#hasForgotten = false;
    this.#continuity = { kind: 'reset', reason };
    this.handle.show(null);
    this.handle.emit('reset', { reason });
  }
}

/** Jobs by name, each followed as by itself, over the connection that they share. */
class NamedJobs implements JobsEngine {
  constructor(
    private readonly handle: JobsHandle,
    private readonly jobs: readonly Job[],
  ) {
    let last: ConnectionState | null = null;
    for (const job of jobs) {
      const { id } = job;
      // Whoever is told of something sees it in the snapshot.
      const tell: JobsHandle['emit'] = (type: keyof JobsEvents, detail: JobsEvents[typeof type]) => {
        handle.show(null);
        handle.emit(type, detail);
      };
      job.addEventListener('update', ({ detail }) => tell('update', detail));
      job.addEventListener('reset', ({ detail }) => tell('reset', { ...detail, id }));
      job.addEventListener('stalled', ({ detail }) => tell('stalled', detail));
      job.addEventListener('error', ({ detail }) => tell('error', detail));
      job.addEventListener('connection', ({ detail }) => {
        // All of them tell the same, but for those that are over.
        if (detail !== last) tell('connection', detail);
        last = detail;
      });
      job.subscribe(() => handle.show(null));
    }
    handle.show(null);
  }

  snapshot(): JobsSnapshot {
    const all = this.jobs.map((job) => job.getSnapshot());
    const going = all.filter(({ error }) => error === null);
    const isFailed = all.length > 0 && going.length === 0;
    // One that is refused says nothing of the others.
    const told = isFailed ? all : going;
    const worst =
      told.find(({ continuity }) => continuity.kind === 'reset') ??
      told.find(({ continuity }) => continuity.kind === 'unknown') ??
      told[0];
    return {
      jobs: new Map(all.map((job) => [job.id, job])),
      connection: (told.find(({ isEnded }) => !isEnded) ?? told[0])?.connection ?? 'idle',
      isCurrent: told.every(({ isCurrent, isEnded }) => isCurrent || isEnded),
      hasForgotten: false,
      continuity: worst?.continuity ?? { kind: 'unknown' },
      error: isFailed ? (all[0]?.error ?? null) : null,
    };
  }

  get loop(): Loop {
    const { handle } = this;
    const all = merged(this.jobs);
    const ignored = (): void => {};
    return {
      async next() {
        // Of each job one may have been taken ahead.
        if (handle.isOver) return { done: true, value: undefined };
        const result = await all.next().catch((error: unknown) => {
          handle.close();
          throw error;
        });
        if (result.done) handle.close();
        return result;
      },
      // What the jobs are told is told by them.
      ...{ give: ignored, advance: ignored, forget: ignored, finish: ignored },
    };
  }

  leave(): void {
    for (const job of this.jobs) job.close();
  }
}

/** What any of them gives next. Of each only one update is taken ahead. One that fails ends nothing but itself, unless all do. */
async function* merged(jobs: readonly Job[]): AsyncGenerator<ProgressUpdate> {
  let failure: unknown = null;
  let hasEnd = false;
  let wake = (): void => {};
  const ready: { readonly loop: AsyncIterator<ProgressUpdate>; readonly update: ProgressUpdate }[] = [];
  let going = jobs.length;
  // No race: each would leave something at every job that is silent.
  const ask = async (loop: AsyncIterator<ProgressUpdate>): Promise<void> => {
    try {
      const { done, value } = await loop.next();
      if (done) {
        hasEnd = true;
        going -= 1;
      } else ready.push({ loop, update: value });
    } catch (error) {
      failure = error;
      going -= 1;
    }
    wake();
  };
  for (const job of jobs) void ask(job[Symbol.asyncIterator]());
  while (going > 0) {
    const next = ready.shift();
    if (next === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    void ask(next.loop);
    yield next.update;
  }
  if (failure !== null && !hasEnd) throw failure;
}
