import { IntrusiveQueues, NONE } from './intrusive-queues.js';

/** How exact the wheel is: a node comes at most so many milliseconds late, and never early. */
export const SLOT_MS = 100;
/** So the wheel looks ahead 410 s. What is due later is looked at once in that time. */
const SLOTS = 4_096;

/**
 * A timing wheel: gives out nodes (small integers) when their time has come. Filing, taking out and giving out one node
 * each take the same time, however many there are. Besides its slots it has a few rings for nodes that wait for
 * something else than time; a node is in one place only.
 *
 * Times are milliseconds from 0, of a clock that is passed in and never goes back.
 */
export class TimingWheel {
  readonly #rings: IntrusiveQueues;
  /** The slot that is being emptied, counted from time 0; those before it are empty. */
  #at: number;

  /** @param parkings how many rings there are beside the slots */
  constructor(parkings: number, now: number) {
    this.#rings = new IntrusiveQueues(SLOTS + parkings);
    this.#at = Math.floor(now / SLOT_MS);
  }

  /** Makes room for the nodes 0 to `nodes - 1`, if there is less. */
  grow(nodes: number): void {
    this.#rings.grow(nodes);
  }

  /**
   * Gives `node` out at `due`, wherever it was until now: earlier when that is further ahead than the wheel looks, and
   * with the next slot when it is past. So a node that comes has to be looked at, and may be filed anew.
   */
  file(node: number, due: number): void {
    const slot = Math.min(Math.max(Math.ceil(due / SLOT_MS), this.#at + 1), this.#at + SLOTS - 1);
    this.#rings.enqueue(slot % SLOTS, node);
  }

  /** Takes out a node whose time has come; NONE when there is none (any more). */
  takeDue(now: number): number {
    const until = Math.floor(now / SLOT_MS);
    for (;;) {
      const node = this.#rings.first(this.#at % SLOTS);
      if (node !== NONE) {
        this.#rings.remove(node);
        return node;
      }
      if (this.#at >= until) return NONE;
      this.#at++;
    }
  }

  /** Puts `node` last into a parking, out of the reach of time, wherever it was until now. */
  park(parking: number, node: number): void {
    this.#rings.enqueue(SLOTS + parking, node);
  }

  /** The same, but first. */
  parkFirst(parking: number, node: number): void {
    this.#rings.enqueueFirst(SLOTS + parking, node);
  }

  /** The node that is first in a parking, or NONE. It stays there. */
  firstParked(parking: number): number {
    return this.#rings.first(SLOTS + parking);
  }

  /** Takes `node` out of wherever it is. */
  remove(node: number): void {
    this.#rings.remove(node);
  }
}
