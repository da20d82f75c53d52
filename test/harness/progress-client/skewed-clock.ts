/** The clock of a page or a worker, which a test can put forward. Imported before the code that is to live by it. */

const real = {
  setTimeout: globalThis.setTimeout.bind(globalThis),
  clearTimeout: globalThis.clearTimeout.bind(globalThis),
  now: Date.now,
};
const realMonotonic = performance.now.bind(performance);
let skewMs = 0;
let isHeld = false;
let count = 0;
const waiting = new Map<number, { due: number; run: () => void; timer: unknown }>();

const now = (): number => real.now() + skewMs;

function arm(id: number, due: number, run: () => void): void {
  const timer = real.setTimeout(() => isHeld || fire(id), Math.max(0, due - now()));
  waiting.set(id, { due, run, timer });
}

function fire(id: number): void {
  const one = waiting.get(id);
  waiting.delete(id);
  one?.run();
}

/** Time passes at once, as for a machine that slept: what was due meanwhile runs now, in order. */
export function putForward(ms: number): void {
  skewMs += ms;
  const all = [...waiting].sort(([, a], [, b]) => a.due - b.due);
  for (const [id, { due, run, timer }] of all) {
    if (!waiting.has(id)) continue;
    real.clearTimeout(timer as number);
    if (due <= now()) fire(id);
    else arm(id, due, run);
  }
}

/** While they are held, no timer fires but by `putForward`: what happens then was not waited for. */
export function holdTimers(hold: boolean): void {
  isHeld = hold;
  if (!hold) putForward(0);
}

/** What `setTimeout` gives: as a number it is its id, and platforms' own code asks more of it. */
class Timer {
  readonly #id: number;

  constructor(
    private readonly run: () => void,
    private readonly ms: number,
  ) {
    count += 1;
    this.#id = count;
    this.refresh();
  }

  refresh(): this {
    real.clearTimeout(waiting.get(this.#id)?.timer as number);
    arm(this.#id, now() + this.ms, this.run);
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  [Symbol.toPrimitive](): number {
    return this.#id;
  }
}

Date.now = now;
performance.now = () => realMonotonic() + skewMs;
Object.assign(globalThis, {
  setTimeout: (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
    new Timer(() => run(...args), ms),
  clearTimeout: (timer: unknown) => {
    const one = waiting.get(Number(timer));
    waiting.delete(Number(timer));
    // Not one of ours: a timer of the platform's own code.
    real.clearTimeout((one === undefined ? timer : one.timer) as number);
  },
});
