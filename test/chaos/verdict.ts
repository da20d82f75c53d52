import type { Frame } from '../harness/client.js';
import { type Truth, typeOf } from './program-truth.js';
import type { Recorder } from './recorder.js';

/** What one client was given. */
export interface Tally {
  updates: number;
  resets: Record<string, number>;
}

/**
 * Holds what a client was sent against the truth. Within a baseline (a first state, or the client's own cursor) it
 * must have every valid event of every job in scope, once each, in rising seq, with the right prev_seq; or a reset
 * before anything is left out. Throws at the first thing that is wrong.
 */
export function judge(client: Recorder, truths: ReadonlyMap<string, Truth>): Tally {
  const verdict = new Verdict(client, truths);
  for (const one of client.record) {
    if (one.what === 'closed') verdict.closed(one.code, one.at);
    else verdict.frame(one.frame, one.at);
  }
  verdict.finish();
  return verdict.tally;
}

class Verdict {
  readonly tally: Tally = { updates: 0, resets: {} };
  #cursor: number | null = null;
  #epoch: string | null = null;
  /** `hello` named another epoch than that of the cursor: nothing may come before a reset. */
  #owesReset = false;
  #isCaughtUp = false;
  #hasEnded = false;
  /** By job: everything after this seq must arrive. */
  #floors = new Map<string, number>();
  /** Once set, it is the floor of every job without one. */
  #floorOfRest: number | null = null;
  #received = new Map<string, number[]>();

  constructor(
    private readonly client: Recorder,
    private readonly truths: ReadonlyMap<string, Truth>,
  ) {}

  frame(frame: Frame, at: number): void {
    if (this.#owesReset && ['progress_update', 'caught_up', 'end'].includes(frame.type)) {
      this.#fail(`${frame.type} and no reset, though the epoch is another one`);
    }
    switch (frame.type) {
      case 'hello':
        this.#owesReset = this.#cursor !== null && this.#epoch !== frame.epoch;
        if (this.#cursor !== null) return;
        this.#epoch = frame.epoch as string;
        this.#newBaseline();
        return;
      case 'reset':
        this.#complete(this.#cursor ?? 0);
        this.tally.resets[frame.reason as string] = (this.tally.resets[frame.reason as string] ?? 0) + 1;
        this.#owesReset = false;
        this.#isCaughtUp = false;
        this.#epoch = frame.epoch as string;
        this.#cursor = null;
        this.#newBaseline();
        return;
      case 'progress_update':
        this.#update(frame.processing_id as string, frame.seq as number, frame.prev_seq as number | null);
        return;
      case 'caught_up':
        this.#isCaughtUp = true;
        this.#watermark(frame);
        this.#settle(frame.cursor as number, at, 'caught up');
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
    // From here on the cursor is all that the client has: whatever lies below it must have been sent.
    if (this.#cursor !== null) this.#settle(this.#cursor, at, 'cut off');
  }

  finish(): void {
    this.#complete(this.#cursor ?? 0);
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
    if (!this.#floors.has(id) && this.#floorOfRest === null) this.#floors.set(id, seq);
    else this.#received.set(id, [...(this.#received.get(id) ?? []), seq]);
  }

  #end(): void {
    const { scope } = this.client;
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
  }

  // The states are complete up to `cursor`: a job in scope that has an event there must have been shown; or, where the
  // states were cut off, have a later event, which the replay will bring.
  #settle(cursor: number, at: number, how: 'caught up' | 'cut off'): void {
    if (this.#floorOfRest !== null) return;
    this.#floorOfRest = cursor;
    const { jobs, deletedAt } = this.#truth();
    for (const [id, truth] of jobs) {
      const newest = truth.filter((seq) => seq <= cursor).at(-1);
      if (how === 'cut off' && newest !== truth.at(-1)) continue;
      if (newest === undefined || !this.#inScope(id)) continue;
      // What was deleted before any edge could read it cannot be part of a state.
      if ((deletedAt.get(newest) ?? Number.POSITIVE_INFINITY) < at) continue;
      if (!this.#floors.has(id))
        this.#fail(`was never shown the state of ${id} at ${newest}, cursor ${cursor}`);
    }
  }

  /** Everything in scope after the baseline and up to here is there. */
  #complete(upTo: number): void {
    if (this.#epoch === null) return;
    const { jobs, deletedAt } = this.#truth();
    // What is deleted while the state is being read may be in it or not; behind the state it asks for a reset.
    for (const [id, truth] of jobs) {
      const isOwed = (seq: number) => {
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
    const { scope } = this.client;
    return scope.kind === 'job' ? scope.id === id : scope.jobType === null || scope.jobType === typeOf(id);
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
