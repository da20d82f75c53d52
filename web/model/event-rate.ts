import type { ProgressUpdate } from '../../sdk/client/index.js';

/** So many seconds are shown. */
export const RATE_SECONDS = 60;
/** The rate is of so many whole seconds: one alone jumps. */
const AVERAGED_SECONDS = 5;

/** For how many stored events an update stands. PROTOCOL.md, "Conflation". */
export const eventsOf = ({ folded = 1 }: Pick<ProgressUpdate, 'folded'>): number => folded;

/** How many events came in each of the last seconds. */
export class EventRate {
  readonly #counts = new Array<number>(RATE_SECONDS + 1).fill(0);
  #second = 0;
  #startedAt: number | null = null;

  /** @param nowMs of a clock that does not go back */
  add(events: number, nowMs: number): void {
    this.#moveTo(nowMs);
    const at = this.#second % this.#counts.length;
    this.#counts[at] = (this.#counts[at] ?? 0) + events;
  }

  /** Events a second, over the last whole seconds since it was first asked or told. */
  rate(nowMs: number): number {
    this.#moveTo(nowMs);
    const seconds = Math.min(AVERAGED_SECONDS, this.#second - (this.#startedAt ?? this.#second));
    if (seconds === 0) return 0;
    return (
      this.perSecond(nowMs)
        .slice(-seconds)
        .reduce((sum, one) => sum + one, 0) / seconds
    );
  }

  /** Of the last whole seconds, the oldest first. */
  perSecond(nowMs: number): number[] {
    this.#moveTo(nowMs);
    const { length } = this.#counts;
    return Array.from(
      { length: RATE_SECONDS },
      (_, at) => this.#counts[(this.#second + 1 + at) % length] ?? 0,
    );
  }

  #moveTo(nowMs: number): void {
    const second = Math.floor(nowMs / 1_000);
    this.#startedAt ??= second;
    const from = Math.max(this.#second + 1, second - this.#counts.length + 1);
    for (let one = from; one <= second; one++) this.#counts[one % this.#counts.length] = 0;
    this.#second = Math.max(this.#second, second);
  }
}
