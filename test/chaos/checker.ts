import type { Frame } from '../harness/client.js';
import { type Truth, typeOf } from './oracle.js';
import type { Judged, Scope } from './recorder.js';

/** What one client was given. */
export interface Tally {
  updates: number;
  resets: Record<string, number>;
  skips: Record<string, number>;
  gone: number;
}

/** A piece of the stream that a client was told is left out: strictly between the two. */
interface Skip {
  readonly after: number;
  readonly before: number;
}

/** What may not come while a reset is owed. */
const OF_A_PLACE = ['progress_update', 'caught_up', 'end', 'skipped', 'gone'];

const count = (counts: Record<string, number>, name: string): void => {
  counts[name] = (counts[name] ?? 0) + 1;
};

/**
 * Holds what a client was sent against the truth. Within a baseline (a first state, or the client's own cursor) it
 * must have every valid event of every job in scope, once each, in rising seq, with the right prev_seq; or a reset
 * before anything is left out. On all jobs a piece may be skipped: of that it must have the newest state of each job
 * that changed there. Throws at the first thing that is wrong.
 */
export function judge(client: Judged, truths: ReadonlyMap<string, Truth>): Tally {
  const checker = new ClientChecker(client, truths);
  for (const one of client.record) {
    switch (one.what) {
      case 'opened':
        break;
      case 'claimed':
        checker.claimed(one.cursor, one.epoch);
        break;
      case 'rescoped':
        checker.rescoped(one.scope);
        break;
      case 'frame':
        checker.frame(one.frame, one.at);
        break;
      case 'closed':
        checker.closed(one.code, one.at);
        break;
    }
  }
  checker.finish();
  return checker.tally;
}

class ClientChecker {
  readonly tally: Tally = { updates: 0, resets: {}, skips: {}, gone: 0 };
  #scope: Scope;
  /** What it follows from its next connection on. */
  #nextScope: Scope;
  #cursor: number | null = null;
  #epoch: string | null = null;
  /** What the edge called the scope. */
  #scopeId: string | null = null;
  /** `hello` named another epoch or scope than that of the cursor: nothing may come before a reset. */
  #owesReset = false;
  #isCaughtUp = false;
  #hasEnded = false;
  /** By job: everything after this seq must arrive. */
  #floors = new Map<string, number>();
  /** Once set, it is the floor of every job without one. */
  #floorOfRest: number | null = null;
  #received = new Map<string, number[]>();
  /** The newest seq that was shown of each job, since the baseline. */
  #shown = new Map<string, number>();
  #skips: Skip[] = [];

  constructor(
    private readonly client: Judged,
    private readonly truths: ReadonlyMap<string, Truth>,
  ) {
    this.#scope = client.firstScope;
    this.#nextScope = client.firstScope;
  }

  claimed(cursor: number, epoch: string): void {
    this.#cursor = cursor;
    this.#epoch = epoch;
    this.#floorOfRest = cursor;
  }

  rescoped(scope: Scope): void {
    this.#nextScope = scope;
  }

  frame(frame: Frame, at: number): void {
    if (this.#owesReset && OF_A_PLACE.includes(frame.type)) {
      this.#fail(`${frame.type} and no reset, though the epoch or the scope is another one`);
    }
    switch (frame.type) {
      case 'hello':
        this.#hello(frame);
        return;
      case 'reset':
        this.#complete(this.#cursor ?? 0);
        count(this.tally.resets, frame.reason as string);
        this.#checkReset(frame.reason as string);
        this.#owesReset = false;
        this.#isCaughtUp = false;
        this.#epoch = frame.epoch as string;
        this.#cursor = null;
        this.#newBaseline();
        return;
      case 'progress_update':
        this.#update(frame.processing_id as string, frame.seq as number, frame.prev_seq as number | null);
        return;
      case 'skipped':
        this.#skipped(frame, at);
        return;
      case 'gone':
        this.#gone(frame.processing_id as string, at);
        return;
      case 'caught_up':
        this.#isCaughtUp = true;
        this.#watermark(frame);
        this.#settle(frame.cursor as number, at, 'caught up');
        this.#checkSkips(frame.cursor as number, at);
        return;
      case 'heartbeat':
        if (this.#isCaughtUp && !this.#owesReset) this.#watermark(frame);
        return;
      case 'end':
        this.#end();
        return;
      case 'draining':
        return;
      default:
        this.#fail(`unexpected ${JSON.stringify(frame)}`);
    }
  }

  closed(code: number, at: number): void {
    if (code !== 1000 && code !== 1006 && code !== 1012) this.#fail(`closed with ${code}`);
    if (code === 1000 && !this.#hasEnded) this.#fail('closed with 1000 and no end');
    this.#hasEnded = false;
    this.#isCaughtUp = false;
    this.#owesReset = false;
    // From here on the cursor is all that the client has: whatever lies below it must have been sent, and of what lies
    // above it nothing is skipped but what it will be told of anew.
    if (this.#cursor === null) return;
    this.#settle(this.#cursor, at, 'cut off');
    this.#skips = clipped(this.#skips, this.#cursor);
  }

  /** Everything has come to rest. */
  finish(): void {
    this.#complete(this.#cursor ?? 0);
    if (!this.#isCaughtUp) return;
    this.#checkSkips(this.#cursor ?? 0, Number.POSITIVE_INFINITY);
    for (const id of ghostsOf(this.client, this.#truth())) this.#fail(`still shows ${id}, which is gone`);
  }

  #hello({ epoch, scope }: Frame): void {
    const isRescoped = !isSame(this.#scope, this.#nextScope);
    if (this.#scopeId !== null && (scope !== this.#scopeId) !== isRescoped) {
      this.#fail(`the scope is called ${scope}, and was called ${this.#scopeId}`);
    }
    const isOther = this.#epoch !== epoch || isRescoped;
    this.#owesReset = this.#cursor !== null && isOther;
    if (this.#owesReset) this.#complete(this.#cursor ?? 0);
    this.#scopeId = scope as string;
    this.#scope = this.#nextScope;
    if (this.#cursor !== null && !isOther) return;
    this.#epoch = epoch as string;
    this.#cursor = null;
    this.#newBaseline();
  }

  // On all jobs what cannot be given is skipped: the page stays.
  #checkReset(reason: string): void {
    const isSkippable = reason === 'retention' || reason === 'limit';
    if (this.#scope.kind === 'all' && isSkippable) this.#fail(`reset ${reason}, on all jobs`);
    if (reason === 'scope' && !this.#owesReset) this.#fail('reset scope, and the scope is the same');
  }

  #skipped({ after, before, reason }: Frame, at: number): void {
    count(this.tally.skips, reason as string);
    const skip = { after: after as number, before: before as number };
    if (this.#scope.kind !== 'all') this.#fail('skipped, on one job');
    if (this.#cursor !== null && skip.after < this.#cursor)
      this.#fail(`skipped from ${after}, cursor ${this.#cursor}`);
    if (skip.before <= skip.after + 1) this.#fail(`skipped nothing: ${after} to ${before}`);
    const truth = this.#truth();
    if (reason === 'retention' && !truth.isDistrusted && !truth.isHole(skip, at))
      this.#fail(`skipped ${after} to ${before}, and nothing is gone there`);
    if (reason === 'limit' && truth.last - skip.after <= truth.maxReplay)
      this.#fail(`skipped after ${after}, and the limit is not reached`);
    this.#skips.push(skip);
  }

  // A client takes the job off its page. All that it was shown of it must have left the stream.
  #gone(id: string, at: number): void {
    this.tally.gone++;
    if (this.#scope.kind !== 'all') this.#fail('gone, on one job');
    const { jobs, deletedAt } = this.#truth();
    const kept = (jobs.get(id) ?? []).filter(
      (seq) => seq <= (this.#shown.get(id) ?? 0) && !((deletedAt.get(seq) ?? Number.POSITIVE_INFINITY) < at),
    );
    if (kept.length > 0) this.#fail(`${id} is said to be gone, and ${kept} are kept`);
    this.#shown.delete(id);
  }

  #isSkipped(seq: number): boolean {
    return this.#skips.some(({ after, before }) => seq > after && seq < before);
  }

  /** What changed in a piece that was left out is shown as it stands. */
  #checkSkips(upTo: number, at: number): void {
    if (this.#skips.length === 0) return;
    const { jobs, deletedAt, unsure } = this.#truth();
    for (const [id, truth] of jobs) {
      const newest = truth.findLast((seq) => seq <= upTo);
      if (newest === undefined || !this.#inScope(id) || !this.#isSkipped(newest)) continue;
      if (unsure.has(newest)) continue;
      if ((deletedAt.get(newest) ?? Number.POSITIVE_INFINITY) < at) continue;
      const shown = this.#shown.get(id) ?? 0;
      if (shown < newest) this.#fail(`${id} changed at ${newest} in what was skipped, and shows ${shown}`);
    }
  }

  #watermark({ type, cursor }: Frame): void {
    if (this.#cursor !== null && (cursor as number) < this.#cursor) this.#fail(`${type} falls to ${cursor}`);
    this.#cursor = cursor as number;
  }

  #update(id: string, seq: number, prevSeq: number | null): void {
    this.tally.updates++;
    if (!this.#inScope(id)) this.#fail(`got ${id}, which is not in scope`);
    if (this.#cursor !== null && seq <= this.#cursor) this.#fail(`got ${seq} again, cursor ${this.#cursor}`);
    const truth = this.#truth().jobs.get(id) ?? [];
    const index = truth.indexOf(seq);
    if (index < 0) this.#fail(`got ${seq} of ${id}, which is no event`);
    const isRight = prevSeq === (truth[index - 1] ?? 0) || this.#truth().isNeighbour(id, prevSeq ?? -1, seq);
    if (prevSeq !== null && !isRight) {
      this.#fail(`prev_seq of ${seq} is ${prevSeq}, the job's previous event is ${truth[index - 1] ?? 0}`);
    }
    this.#cursor = seq;
    this.#shown.set(id, seq);
    if (!this.#floors.has(id) && this.#floorOfRest === null) this.#floors.set(id, seq);
    else this.#received.set(id, [...(this.#received.get(id) ?? []), seq]);
  }

  #end(): void {
    const scope = this.#scope;
    if (scope.kind === 'all') this.#fail('end on all jobs');
    const newest = (this.#truth().jobs.get(scope.id) ?? [])
      .filter((seq) => seq <= (this.#cursor ?? 0))
      .at(-1);
    if (newest === undefined || !this.#truth().finishing.has(newest)) this.#fail(`end after ${newest}`);
    this.#hasEnded = true;
  }

  #newBaseline(): void {
    this.#floors = new Map();
    this.#floorOfRest = null;
    this.#received = new Map();
    this.#shown = new Map();
    this.#skips = [];
  }

  // The states are complete up to `cursor`: a job in scope that has an event there must have been shown; or, where the
  // states were cut off, have a later event, which the replay will bring.
  #settle(cursor: number, at: number, how: 'caught up' | 'cut off'): void {
    if (this.#floorOfRest !== null) return;
    this.#floorOfRest = cursor;
    const { jobs, deletedAt, unsure } = this.#truth();
    for (const [id, truth] of jobs) {
      const newest = truth.filter((seq) => seq <= cursor).at(-1);
      if (how === 'cut off' && newest !== truth.at(-1)) continue;
      if (newest === undefined || !this.#inScope(id) || unsure.has(newest)) continue;
      // What was deleted before any edge could read it cannot be part of a state.
      if ((deletedAt.get(newest) ?? Number.POSITIVE_INFINITY) < at) continue;
      if (!this.#floors.has(id))
        this.#fail(`was never shown the state of ${id} at ${newest}, cursor ${cursor}`);
    }
  }

  /** Everything in scope after the baseline and up to here is there. */
  #complete(upTo: number): void {
    if (this.#epoch === null) return;
    const { jobs, deletedAt, unsure } = this.#truth();
    // What is deleted while the state is being read may be in it or not; behind the state it asks for a reset, or for
    // word that it is skipped.
    for (const [id, truth] of jobs) {
      const isOwed = (seq: number) => {
        if (this.#isSkipped(seq) || unsure.has(seq)) return false;
        if (!deletedAt.has(seq)) return true;
        return seq > (this.#floorOfRest ?? 0) && this.#truth().isVisiblyDeleted(id, seq);
      };
      const floor = this.#floors.get(id) ?? this.#floorOfRest;
      if (!this.#inScope(id) || floor === null) continue;
      const owed = truth.filter((seq) => seq > floor && seq <= upTo && isOwed(seq));
      const got = (this.#received.get(id) ?? []).filter(isOwed);
      const missing = owed.filter((seq) => !got.includes(seq));
      if (missing.length > 0 || got.length !== owed.length) {
        this.#fail(
          `${id} from ${floor} to ${upTo}: owed ${owed.length}, got ${got.length}, missing ${missing}`,
        );
      }
    }
  }

  #inScope(id: string): boolean {
    const scope = this.#scope;
    if (scope.kind === 'job') return scope.id === id;
    return scope.jobTypes === null || scope.jobTypes.includes(typeOf(id));
  }

  #truth(): Truth {
    const truth = this.truths.get(this.#epoch ?? '');
    if (truth === undefined) this.#fail(`was told of an epoch ${this.#epoch}, which there never was`);
    return truth;
  }

  #fail(what: string): never {
    throw new Error(`${what}\n${this.client.describe()}`);
  }
}

/** The part of what was skipped that lies at or below a cursor. */
function clipped(skips: readonly Skip[], cursor: number): Skip[] {
  return skips
    .filter(({ after }) => after < cursor)
    .map(({ after, before }) => ({ after, before: Math.min(before, cursor + 1) }));
}

/**
 * The jobs on a page that the stream holds nothing of, and that the edge knows to be gone: it showed them itself, and
 * the client was with no other since. Of one job nothing is told: whoever follows it keeps its last state.
 */
export function ghostsOf({ scope, shown }: Judged, truth: Truth): string[] {
  if (scope.kind === 'job') return [];
  return [...shown].flatMap(([id, edge]) => (edge !== null && !truth.isKept(id) ? [id] : []));
}

function isSame(one: Scope, other: Scope): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
