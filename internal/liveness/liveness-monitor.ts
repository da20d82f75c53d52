import { NONE } from './intrusive-queues.js';
import { JobTable } from './job-table.js';
import { PausableClock } from './pausable-clock.js';
import type { LivenessLimits, LivenessSink, LivenessStats, Seen } from './ports.js';
import { TimingWheel } from './timing-wheel.js';

const NEVER = Number.POSITIVE_INFINITY;
const MIN_PERIOD_MS = 1;
const MAX_PERIOD_MS = 2 ** 31 * 1_000;
/** A tick looks at so many jobs at most, and the next one goes on: about 10 ms of the edge's time. */
const JUDGED_PER_TICK = 20_000;
/** When a timeout that could not be written is told again. */
const AGAIN_MS = 10_000;

const STALL_TOLD = 1;
const TIMEOUT_TOLD = 2;
/** The timeout is to be told: the job is not on the wheel but in the parking of those, in the order in which it came. */
const OVERDUE = 4;

/** Where jobs are that do not wait for time: their timeout is to be told, or everything was told. */
const PARKED_OVERDUE = 0;
const PARKED_SPENT = 1;
const PARKINGS = 2;

/**
 * Watches for jobs that fall silent. A sign of life is an event or a heartbeat; a job is watched while it runs and has
 * a stall or a timeout, its own or the default. Pure: whoever owns it calls `tick` a few times a second, at least
 * once.
 *
 * - **Silence is what this edge listened to and did not hear.** It counts from the last sign of life, but not from
 *   before the last `resume`: each job gets a full period from the moment the edge follows (again). It is counted in
 *   ticks that really came, so a clock that jumps, or a process that stood still, times nothing out.
 * - **Late, never early**: by at most 100 ms and the time between two ticks; by more only where more is due at once
 *   than a tick looks at.
 * - `seen`, `alive` and `forget` take the same time whatever the number of jobs. A tick costs what is due, and a look
 *   at each watched job once in its period (or in 410 s, where that is less).
 * - **Above `maxWatched`** a new job takes the place of the one that everything was told of for the longest. Where
 *   there is none, it is not watched, until its next event finds room. Both are counted in `stats`.
 *
 * All `now` are milliseconds of one clock, whichever it is.
 */
export class LivenessMonitor {
  readonly #limits: LivenessLimits;
  readonly #sink: LivenessSink;
  readonly #clock = new PausableClock();
  #jobs: JobTable;
  #wheel = new TimingWheel(PARKINGS, 0);
  /** Nothing heard before this counts: the listening clock at the last `resume`. */
  #since = 0;
  #overdue = 0;
  #rejected = 0;
  #evicted = 0;

  constructor(limits: LivenessLimits, sink: LivenessSink) {
    this.#limits = limits;
    this.#sink = sink;
    this.#jobs = new JobTable(limits.maxWatched);
  }

  get stats(): LivenessStats {
    return {
      watched: this.#jobs.size,
      overdue: this.#overdue,
      rejected: this.#rejected,
      evicted: this.#evicted,
    };
  }

  /** The edge hears everything from here on: it follows the stream, and the heartbeats. To be called at the start, too. */
  resume(now: number): void {
    this.#clock.resume(now);
    this.#since = this.#clock.ms;
  }

  /** The edge may not hear what happens. Nothing is told until `resume`. */
  pause(): void {
    this.#clock.pause();
  }

  /**
   * An event of a job: a last state that was loaded, or a new one. One that is not newer than what is known changes
   * nothing.
   * @param now when it came here. Not when it was stored: that is another machine's clock
   */
  recordEvent(event: Seen, now: number): void {
    const known = this.#jobs.nodeOf(event.id);
    if (known !== undefined && event.seq <= (this.#jobs.seq[known] as number)) return;
    const stallMs = periodMs(event.stallAfterSeconds, this.#limits.stallAfterMs);
    const timeoutMs = periodMs(event.timeoutSeconds, this.#limits.timeoutMs);
    if (!event.isRunning || Math.min(stallMs, timeoutMs) === NEVER) {
      if (known !== undefined) this.#drop(known);
      return;
    }
    const node = known ?? this.#admit(event.id);
    if (node === NONE) return;
    this.#jobs.seq[node] = event.seq;
    this.#jobs.heard[node] = this.#clock.at(now);
    this.#jobs.attempt[node] = event.attempt ?? 0;
    this.#jobs.stallMs[node] = stallMs;
    this.#jobs.timeoutMs[node] = timeoutMs;
    this.#jobs.clear(node, STALL_TOLD | TIMEOUT_TOLD);
    this.#expect(node);
  }

  /**
   * A heartbeat of a job. One of a job that is not watched costs nothing. A worker that has lost its job and does not
   * know it lives on; so one of an older attempt than the newest event's says nothing of the job.
   * @param attempt null: the heartbeat names none
   */
  recordHeartbeat(id: string, now: number, attempt: number | null = null): void {
    const node = this.#jobs.nodeOf(id);
    if (node === undefined || (attempt !== null && attempt < (this.#jobs.attempt[node] as number))) return;
    this.#jobs.heard[node] = this.#clock.at(now);
    this.#jobs.clear(node, STALL_TOLD);
    this.#expect(node);
  }

  /** The timeout of this job was told and could not be written. It is told again in 10 s, if it still holds then. */
  retryTimeout(id: string, lastSeq: number): void {
    const node = this.#jobs.nodeOf(id);
    if (node === undefined || this.#jobs.seq[node] !== lastSeq || !this.#jobs.has(node, TIMEOUT_TOLD)) return;
    this.#jobs.clear(node, TIMEOUT_TOLD);
    this.#fileAt(node, Math.max(this.#dueAt(node), this.#clock.ms + AGAIN_MS));
  }

  /** The job is gone from the stream. */
  remove(id: string): void {
    const node = this.#jobs.nodeOf(id);
    if (node !== undefined) this.#drop(node);
  }

  /** The stream is another one, or its log is loaded anew: nothing that was known holds. The counters stay. */
  reset(): void {
    this.#jobs = new JobTable(this.#limits.maxWatched);
    this.#wheel = new TimingWheel(PARKINGS, this.#clock.ms);
    this.#overdue = 0;
  }

  /**
   * For how many milliseconds that this edge listened a job has been silent whose stall was told; null: it is not
   * stalled. For whoever comes after it was told.
   */
  stalledFor(id: string): number | null {
    const node = this.#jobs.nodeOf(id);
    if (node === undefined || !this.#jobs.has(node, STALL_TOLD)) return null;
    return Math.floor(this.#clock.ms - (this.#jobs.heard[node] as number));
  }

  /** Tells the sink what is due. */
  tick(now: number): void {
    this.#clock.tick(now);
    if (!this.#clock.isListening) return;
    for (let left = JUDGED_PER_TICK; left > 0; left--) {
      const node = this.#wheel.takeDue(this.#clock.ms);
      if (node === NONE) break;
      this.#judge(node);
    }
    for (let left = JUDGED_PER_TICK; left > 0; left--) if (!this.#tellTimeout()) break;
  }

  #judge(node: number): void {
    const silentMs = this.#silentMs(node);
    const isStalled = !this.#jobs.has(node, STALL_TOLD) && silentMs >= (this.#jobs.stallMs[node] as number);
    if (isStalled) this.#jobs.set(node, STALL_TOLD);
    if (this.#isTimedOut(node)) this.#parkOverdue(node);
    else this.#expect(node);
    // Last, since the sink may call back.
    if (isStalled) this.#sink.stalled(this.#jobs.idOf(node), Math.floor(silentMs));
  }

  /** @returns false: there is none to tell, or no room for it */
  #tellTimeout(): boolean {
    const node = this.#wheel.firstParked(PARKED_OVERDUE);
    if (node === NONE) return false;
    const isDue = this.#isTimedOut(node);
    if (isDue) this.#jobs.set(node, TIMEOUT_TOLD);
    this.#expect(node);
    // It was due before the last `resume`.
    if (!isDue) return true;
    const id = this.#jobs.idOf(node);
    const seq = this.#jobs.seq[node] as number;
    if (this.#sink.timedOut(id, seq, Math.floor(this.#silentMs(node)))) return true;
    // The sink may have called back.
    if (this.#jobs.nodeOf(id) === node && this.#jobs.has(node, TIMEOUT_TOLD)) {
      this.#jobs.clear(node, TIMEOUT_TOLD);
      this.#parkOverdue(node, 'first');
    }
    return false;
  }

  #silentMs(node: number): number {
    return this.#clock.ms - this.#heardAt(node);
  }

  #heardAt(node: number): number {
    return Math.max(this.#jobs.heard[node] as number, this.#since);
  }

  #isTimedOut(node: number): boolean {
    return (
      !this.#jobs.has(node, TIMEOUT_TOLD) && this.#silentMs(node) >= (this.#jobs.timeoutMs[node] as number)
    );
  }

  /** When something is to be told of a job that stays silent, by the listening clock; Infinity: never. */
  #dueAt(node: number): number {
    const stallMs = this.#jobs.has(node, STALL_TOLD) ? NEVER : (this.#jobs.stallMs[node] as number);
    const timeoutMs = this.#jobs.has(node, TIMEOUT_TOLD) ? NEVER : (this.#jobs.timeoutMs[node] as number);
    return this.#heardAt(node) + Math.min(stallMs, timeoutMs);
  }

  /** Waits for the next thing that this job's silence would mean. */
  #expect(node: number): void {
    this.#fileAt(node, this.#dueAt(node));
  }

  #fileAt(node: number, due: number): void {
    this.#leaveOverdue(node);
    if (due === NEVER) this.#wheel.park(PARKED_SPENT, node);
    else this.#wheel.file(node, due);
  }

  #parkOverdue(node: number, where: 'first' | 'last' = 'last'): void {
    this.#jobs.set(node, OVERDUE);
    this.#overdue++;
    if (where === 'first') this.#wheel.parkFirst(PARKED_OVERDUE, node);
    else this.#wheel.park(PARKED_OVERDUE, node);
  }

  #leaveOverdue(node: number): void {
    if (!this.#jobs.has(node, OVERDUE)) return;
    this.#jobs.clear(node, OVERDUE);
    this.#overdue--;
  }

  /** @returns NONE: there is no room */
  #admit(id: string): number {
    if (this.#jobs.isFull) {
      const spent = this.#wheel.firstParked(PARKED_SPENT);
      if (spent === NONE) {
        this.#rejected++;
        return NONE;
      }
      this.#drop(spent);
      this.#evicted++;
    }
    const node = this.#jobs.add(id);
    this.#wheel.grow(this.#jobs.nodes);
    return node;
  }

  #drop(node: number): void {
    this.#leaveOverdue(node);
    this.#wheel.remove(node);
    this.#jobs.remove(node);
  }
}

function periodMs(seconds: number | undefined, byDefault: number | null): number {
  if (seconds === undefined && byDefault === null) return NEVER;
  const ms = seconds === undefined ? (byDefault as number) : seconds * 1_000;
  return Math.min(Math.max(ms, MIN_PERIOD_MS), MAX_PERIOD_MS);
}
