/** Who is later than this, in milliseconds, does not catch up in a burst: the rest of the schedule moves. */
export const MAX_LATE_MS = 1_000;

export interface PacerOptions {
  readonly speed: Speed;
  /** A silence that was longer, in milliseconds of the past, is cut to it; null: silences stay as they were. */
  readonly maxGapMs: number | null;
  /** Begins paused: nothing is due before a step or `resume`. */
  readonly isPaused: boolean;
}

/**
 * When each event of a replay is due. Events are offered one after the other, in the order of the stream; `now` is any
 * clock that never goes back, in milliseconds.
 *
 * The past has a clock of its own that runs `speed` times as fast as the present, stands still while paused, and leaves
 * out what silences are cut by. An event is due when that clock has reached it. So nothing adds up: an event that was
 * shown late by the grain of a timer does not make the next one late.
 *
 * - An event is never due before the clock of the past has reached it, but for a step, which moves that clock to it.
 * - Stored times that go back (clocks of servers differ) count as no time at all.
 * - Whoever is late by more than `MAX_LATE_MS` (the reader stood still, the output was blocked, the machine slept) goes
 *   on at the pace of the past from there.
 */
export class Pacer {
  readonly #maxGapMs: number | null;
  #speed: Speed;
  #isPaused: boolean;
  /** The clock of the past stood at `#past` when the present was at `#since`. */
  #past = 0;
  #since: number;
  /** When, by the clock of the past, the offered event is due. */
  #due = 0;
  /** The newest stored time so far; null: none was offered. */
  #newest: number | null = null;
  #steps = 0;

  constructor(options: PacerOptions, now: number) {
    this.#speed = options.speed;
    this.#maxGapMs = options.maxGapMs;
    this.#isPaused = options.isPaused;
    this.#since = now;
  }

  get speed(): Speed {
    return this.#speed;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** The next event is here. The first one is due at once. @param storedAt milliseconds since 1970 */
  offer(storedAt: number): void {
    const gap = this.#newest === null ? 0 : Math.max(0, storedAt - this.#newest);
    this.#newest = Math.max(this.#newest ?? storedAt, storedAt);
    this.#due += this.#maxGapMs === null ? gap : Math.min(gap, this.#maxGapMs);
  }

  /** Milliseconds until the offered event is due, 0 when it is; null: not before `resume` or `step`. */
  wait(now: number): number | null {
    if (this.#steps > 0) return 0;
    if (this.#isPaused) return null;
    if (this.#speed === Number.POSITIVE_INFINITY) return 0;
    return Math.max(0, (this.#due - this.#pastAt(now)) / this.#speed);
  }

  /** The offered event, which was due, is shown. */
  shown(now: number): void {
    const past = this.#pastAt(now);
    if (this.#steps > 0) {
      this.#steps--;
      this.#set(Math.max(past, this.#due), now);
    } else if (this.#speed === Number.POSITIVE_INFINITY || past - this.#due > MAX_LATE_MS * this.#speed) {
      this.#set(this.#due, now);
    }
  }

  setSpeed(speed: Speed, now: number): void {
    this.#set(this.#pastAt(now), now);
    this.#speed = speed;
  }

  pause(now: number): void {
    this.#set(this.#pastAt(now), now);
    this.#isPaused = true;
  }

  resume(now: number): void {
    this.#set(this.#pastAt(now), now);
    this.#isPaused = false;
  }

  /** One event more at once, whatever its time; the clock of the past is then at that event. */
  step(): void {
    this.#steps++;
  }

  #pastAt(now: number): number {
    if (this.#isPaused || this.#speed === Number.POSITIVE_INFINITY) return this.#past;
    return this.#past + Math.max(0, now - this.#since) * this.#speed;
  }

  #set(past: number, now: number): void {
    this.#past = past;
    this.#since = now;
  }
}

/** How many milliseconds of the past go by in one of the present; `Infinity`: as fast as the events can be shown. */
export type Speed = number;

/** The steps that the keys go through. */
const SPEED_STEPS: readonly Speed[] = [
  0.1,
  0.25,
  0.5,
  1,
  2,
  5,
  10,
  25,
  50,
  100,
  1_000,
  Number.POSITIVE_INFINITY,
];
const SLOWEST = 0.001;
const FASTEST = 1_000_000;

/** What `parseSpeed` takes, for an error message. */
export const SPEED_EXPECTED = 'a number above 0 such as 0.5x, 1x or 10x (the x may be left out), or max';

/** Reads `0.5x`, `10` or `max`; null when it is no speed. */
export function parseSpeed(text: string): Speed | null {
  if (text === 'max') return Number.POSITIVE_INFINITY;
  const [, digits] = /^(\d{1,7}(?:\.\d{1,6})?)x?$/.exec(text) ?? [];
  const speed = Number(digits);
  return speed >= SLOWEST && speed <= FASTEST ? speed : null;
}

/** As people write it: `0.5x`, `max`. */
export const showSpeed = (speed: Speed): string =>
  speed === Number.POSITIVE_INFINITY ? 'max' : `${String(speed)}x`;

/** The next step up; the fastest stays as it is. */
export const faster = (speed: Speed): Speed => SPEED_STEPS.find((step) => step > speed) ?? speed;

/** The next step down; the slowest stays as it is. */
export const slower = (speed: Speed): Speed => SPEED_STEPS.findLast((step) => step < speed) ?? speed;
