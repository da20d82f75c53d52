import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LivenessMonitor } from '../../internal/liveness/liveness-monitor.js';
import { SLOT_MS } from '../../internal/liveness/timing-wheel.js';

const SEED = process.env.HEADWAY_PROPERTY_SEED;
const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const MAX_STEP_MS = 1_000;
const AGAIN_MS = 10_000;
const JOBS = ['a', 'b', 'c', 'd', 'e'];

/** What a naive watcher knows of a job: it looks at every one at every tick. */
interface Watched {
  seq: number;
  heard: number;
  stallMs: number;
  timeoutMs: number;
  isStallTold: boolean;
  isTimeoutTold: boolean;
  /** Its timeout is not told before; after `again`. */
  notBefore: number;
  /** Its stall need not be told before: its timeout waited for room, or waits to be told again. */
  stallFrom: number;
}

const seconds = fc.option(
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 40_000 }).map((ms) => ms / 1_000) },
    { weight: 1, arbitrary: fc.integer({ min: 100, max: 2_000 }) },
    { weight: 1, arbitrary: fc.constantFrom(5e-324, 1e308, 0.001) },
  ),
  { nil: undefined },
);
const job = fc.constantFrom(...JOBS);
const steps = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 1_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(3_600_000, -3_600_000, 10_000, -50) },
);
const command = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('event' as const), job, stall: seconds, timeout: seconds }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end' as const), job }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('old event' as const), job }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('alive' as const), job, after: steps }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('again' as const), job }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('ticks' as const),
      count: fc.integer({ min: 1, max: 60 }),
      step: steps,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('room' as const, 'no room' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('pause' as const, 'resume' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), job }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const) }) },
);
type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;

const periodMs = (period: number | undefined, byDefault: number | null): number =>
  period === undefined
    ? (byDefault ?? Number.POSITIVE_INFINITY)
    : Math.min(Math.max(period * 1_000, 1), 2 ** 31 * 1_000);

/** Runs a program against a `LivenessMonitor`, and against the naive watcher that judges what it tells. */
class World {
  told = { stalls: 0, timeouts: 0 };
  readonly #jobs = new Map<string, Watched>();
  readonly #monitor: LivenessMonitor;
  #now = 1_700_000_000_000;
  #last: number | null = null;
  #time = 0;
  #since = 0;
  #seq = 0;
  #hasRoom = true;

  constructor(
    private readonly stallAfterMs: number | null,
    private readonly timeoutMs: number | null,
  ) {
    this.#monitor = new LivenessMonitor(
      { stallAfterMs, timeoutMs, maxWatched: JOBS.length },
      {
        stalled: (id, silentMs) => {
          const one = this.#mustBeWatched(id);
          expect(one.isStallTold).toBe(false);
          expect(this.#silent(one)).toBeGreaterThanOrEqual(one.stallMs);
          expect(silentMs).toBe(Math.floor(this.#silent(one)));
          one.isStallTold = true;
          this.told.stalls++;
        },
        timedOut: (id, lastSeq, silentMs) => {
          const one = this.#mustBeWatched(id);
          expect(one.isTimeoutTold).toBe(false);
          expect(lastSeq).toBe(one.seq);
          expect(this.#silent(one)).toBeGreaterThanOrEqual(one.timeoutMs);
          expect(this.#time).toBeGreaterThanOrEqual(one.notBefore);
          expect(silentMs).toBe(Math.floor(this.#silent(one)));
          if (!this.#hasRoom) return false;
          one.isTimeoutTold = true;
          one.stallFrom = this.#time;
          this.told.timeouts++;
          return true;
        },
      },
    );
  }

  run(one: Command): void {
    switch (one.kind) {
      case 'event':
        this.#event(one.job, one.stall, one.timeout);
        break;
      case 'end':
        this.#jobs.delete(one.job);
        this.#monitor.recordEvent({ id: one.job, seq: ++this.#seq, isRunning: false }, this.#now);
        break;
      case 'old event': {
        const known = this.#jobs.get(one.job);
        if (known === undefined) break;
        this.#monitor.recordEvent({ id: one.job, seq: known.seq, isRunning: false }, this.#now);
        break;
      }
      case 'alive':
        this.#alive(one.job, one.after);
        break;
      case 'again':
        this.#again(one.job);
        break;
      case 'ticks':
        // A jump once, and not again and again.
        for (let i = 0; i < (Math.abs(one.step) > MAX_STEP_MS ? 1 : one.count); i++) this.#tick(one.step);
        break;
      case 'room':
      case 'no room':
        this.#hasRoom = one.kind === 'room';
        break;
      case 'pause':
        this.#last = null;
        this.#monitor.pause();
        break;
      case 'resume':
        this.#last = this.#now;
        this.#since = this.#time;
        this.#monitor.resume(this.#now);
        break;
      case 'forget':
        this.#jobs.delete(one.job);
        this.#monitor.remove(one.job);
        break;
      case 'reset':
        this.#jobs.clear();
        this.#monitor.reset();
        break;
    }
    const { watched, rejected, evicted } = this.#monitor.stats;
    if (watched !== this.#jobs.size || rejected + evicted > 0)
      throw new Error('the watched jobs are not those');
  }

  #event(id: string, stall: number | undefined, timeout: number | undefined): void {
    const seq = ++this.#seq;
    const stallMs = periodMs(stall, this.stallAfterMs);
    const timeoutMs = periodMs(timeout, this.timeoutMs);
    const told = { isStallTold: false, isTimeoutTold: false, notBefore: 0, stallFrom: 0 };
    if (Math.min(stallMs, timeoutMs) === Number.POSITIVE_INFINITY) this.#jobs.delete(id);
    else this.#jobs.set(id, { seq, heard: this.#time, stallMs, timeoutMs, ...told });
    this.#monitor.recordEvent(
      { id, seq, isRunning: true, stallAfterSeconds: stall, timeoutSeconds: timeout },
      this.#now,
    );
  }

  #alive(id: string, after: number): void {
    const one = this.#jobs.get(id);
    // Between two ticks.
    const ahead = this.#last === null ? 0 : Math.min(Math.max(after, 0), MAX_STEP_MS);
    if (one !== undefined)
      Object.assign(one, { heard: this.#time + ahead, isStallTold: false, notBefore: 0, stallFrom: 0 });
    this.#monitor.recordHeartbeat(id, this.#now + after);
  }

  #again(id: string): void {
    const one = this.#jobs.get(id);
    if (one?.isTimeoutTold) {
      one.isTimeoutTold = false;
      one.notBefore = this.#time + AGAIN_MS;
      one.stallFrom = one.notBefore;
    }
    this.#monitor.retryTimeout(id, one?.seq ?? 0);
  }

  #tick(step: number): void {
    this.#now += step;
    if (this.#last !== null) {
      this.#time += Math.min(Math.max(this.#now - this.#last, 0), MAX_STEP_MS);
      this.#last = this.#now;
    }
    this.#monitor.tick(this.#now);
    if (this.#last === null) return;
    for (const [id, one] of this.#jobs) {
      const heard = Math.max(one.heard, this.#since);
      const stallAt = Math.max(heard + one.stallMs, one.stallFrom);
      const timeoutAt = Math.max(heard + one.timeoutMs, one.notBefore);
      if (
        !one.isStallTold &&
        this.#time >= stallAt + SLOT_MS &&
        (this.#hasRoom || one.isTimeoutTold || this.#time < timeoutAt)
      )
        throw new Error(`${id} stalled and it was not told`);
      if (!one.isTimeoutTold && this.#hasRoom && this.#time >= timeoutAt + SLOT_MS)
        throw new Error(`${id} timed out and it was not told`);
      if (!one.isTimeoutTold && !this.#hasRoom && this.#time >= timeoutAt) one.stallFrom = this.#time;
      if ((this.#monitor.stalledFor(id) !== null) !== one.isStallTold)
        throw new Error(`${id}: stalledFor is not what was told`);
    }
  }

  #silent(one: Watched): number {
    return this.#time - Math.max(one.heard, this.#since);
  }

  #mustBeWatched(id: string): Watched {
    expect(this.#last, 'told while the edge does not listen').not.toBeNull();
    const one = this.#jobs.get(id);
    if (one === undefined) throw new Error(`${id} was told and is not watched`);
    return one;
  }
}

test('whatever happens to jobs, the clock and the link: each silence is told once, never early, and no more than a slot late', () => {
  const defaults = fc.constantFrom(null, null, 2_500, 15_000);
  const told = { stalls: 0, timeouts: 0 };
  fc.assert(
    fc.property(
      defaults,
      defaults,
      fc.array(command, { minLength: 1, maxLength: 120, size: 'max' }),
      (stallAfterMs, timeoutMs, program) => {
        const world = new World(stallAfterMs, timeoutMs);
        world.run({ kind: 'resume' });
        for (const one of program) world.run(one);
        told.stalls += world.told.stalls;
        told.timeouts += world.told.timeouts;
      },
    ),
    { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
  );
  // Programs in which nothing falls silent would prove nothing.
  if (SEED === undefined) {
    expect(told.stalls).toBeGreaterThan(RUNS);
    expect(told.timeouts).toBeGreaterThan(RUNS);
  }
}, 60_000);
