import { randomBytes } from 'node:crypto';

/** Gives bytes that nobody can guess. */
export type RandomBytes = (count: number) => Uint8Array;

const POOL = 4_096;
const RUN_BYTES = 16;
const TAIL_BYTES = 9;

/** Random bytes in base64url, drawn in large pieces: one call to the system for some hundred ids. */
export function randomText(random: RandomBytes = randomBytes): (bytes: number) => string {
  let pool = Buffer.alloc(0);
  let used = 0;
  return (bytes) => {
    if (used + bytes > pool.length) {
      pool = Buffer.from(random(POOL));
      used = 0;
    }
    used += bytes;
    return pool.toString('base64url', used - bytes, used);
  };
}

/**
 * The message ids of one run: 128 random bits that name the run, a counter for people, and 72 random bits for each
 * event. The duplicates of a stream are found by these ids, so one that could be guessed from those before it could be
 * taken by somebody else.
 */
export class RunIds {
  /** Begins each of the ids. */
  readonly runId: string;
  #count = 0;

  constructor(private readonly text: (bytes: number) => string) {
    this.runId = `${text(RUN_BYTES)}.`;
  }

  next(): string {
    this.#count += 1;
    return `${this.runId}${this.#count}.${this.text(TAIL_BYTES)}`;
  }
}
