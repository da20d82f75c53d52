import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Pacer } from '../../internal/cli/commands/replay/pacer.js';

const SEED = process.env.HEADWAY_PROPERTY_SEED;
const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const BEGIN = 1_769_860_800_000;

// Speeds and gaps of which sums are exact, so that the model can count in steps of a millisecond.
const speed = fc.constantFrom(0.25, 0.5, 1, 2, 10, Number.POSITIVE_INFINITY);
const gap = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 60 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -40, 700, 3_000) },
);
const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 400 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('pause' as const, 'resume' as const, 'step' as const) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('speed' as const), speed }) },
);
const world = fc.record({
  gaps: fc.array(gap, { minLength: 1, maxLength: 30 }),
  maxGapMs: fc.constantFrom(null, 50, 1_000),
  speed,
  isPaused: fc.boolean(),
  program: fc.array(command, { maxLength: 40, size: 'max' }),
});

interface Shown {
  index: number;
  /** ms since the replay began. */
  at: number;
}

/** A naive player: the clock of the past is moved on with every millisecond, and asked after each. */
class Model {
  readonly shown: Shown[] = [];
  readonly #due: number[] = [];
  #past = 0;
  #steps = 0;

  constructor(
    gaps: readonly number[],
    maxGapMs: number | null,
    private speed: number,
    private isPaused: boolean,
  ) {
    let newest = BEGIN;
    let stored = BEGIN;
    let due = 0;
    for (const [index, ms] of gaps.entries()) {
      stored += ms;
      const liveness = index === 0 ? 0 : Math.max(0, stored - newest);
      newest = index === 0 ? stored : Math.max(newest, stored);
      due += Math.min(liveness, maxGapMs ?? liveness);
      this.#due.push(due);
    }
  }

  millisecond(): void {
    if (!this.isPaused && this.speed !== Number.POSITIVE_INFINITY) this.#past += this.speed;
  }

  do(one: { kind: 'pause' | 'resume' | 'step' } | { kind: 'speed'; speed: number }): void {
    if (one.kind === 'speed') this.speed = one.speed;
    else if (one.kind === 'step') this.#steps++;
    else this.isPaused = one.kind === 'pause';
  }

  show(at: number): void {
    for (;;) {
      const due = this.#due[this.shown.length];
      if (due === undefined) return;
      if (this.#steps > 0) {
        this.#steps--;
        this.#past = Math.max(this.#past, due);
      } else if (this.isPaused) return;
      else if (this.speed === Number.POSITIVE_INFINITY) this.#past = due;
      else if (this.#past < due) return;
      this.shown.push({ index: this.shown.length, at });
    }
  }
}

test('whatever is pressed and whenever, each event is shown in its order and at its time: never early, never late', () => {
  fc.assert(
    fc.property(world, ({ gaps, maxGapMs, speed: begin, isPaused, program }) => {
      const model = new Model(gaps, maxGapMs, begin, isPaused);
      const start = 12_345;
      let at = 0;
      const now = () => start + at;
      const pacer = new Pacer({ speed: begin, maxGapMs, isPaused }, now());
      const shown: Shown[] = [];
      let stored = BEGIN;
      const offer = () => {
        const ms = gaps[shown.length];
        if (ms === undefined) return;
        stored += ms;
        pacer.offer(stored);
      };
      /** When the pacer said it would be, as long as nobody presses anything. */
      let told: number | null = null;
      const show = () => {
        while (shown.length < gaps.length) {
          const wait = pacer.wait(now());
          if (wait !== 0) {
            told = wait === null ? null : at + wait;
            return;
          }
          pacer.shown(now());
          shown.push({ index: shown.length, at });
          offer();
        }
      };
      offer();
      show();
      model.show(at);
      for (const one of program) {
        if (one.kind === 'pass') {
          for (let ms = 0; ms < one.ms; ms++) {
            const before = shown.length;
            const said = told;
            at++;
            model.millisecond();
            show();
            model.show(at);
            if (shown.length > before) expect(Math.ceil(said ?? Number.NaN)).toBe(at);
          }
          continue;
        }
        if (one.kind === 'speed') pacer.setSpeed(one.speed, now());
        else if (one.kind === 'step') pacer.step();
        else pacer[one.kind](now());
        model.do(one);
        show();
        model.show(at);
      }
      expect(shown).toEqual(model.shown);
    }),
    { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
  );
});

test('whoever asks only when a coarse timer rings is never early, and not later for having been late before', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 200 }),
      fc.constantFrom(0.5, 1, 2, 10),
      fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 200, maxLength: 200 }),
      (gaps, speed, lateness) => {
        let now = 0;
        const pacer = new Pacer({ speed, maxGapMs: null, isPaused: false }, now);
        let stored = BEGIN;
        let due = 0;
        for (const [index, ms] of gaps.entries()) {
          stored += ms;
          due += index === 0 ? 0 : ms / speed;
          pacer.offer(stored);
          const wait = pacer.wait(now);
          if (wait !== null && wait > 0) now += wait + (lateness[index] ?? 0);
          expect(now).toBeGreaterThanOrEqual(due - 1e-6);
          expect(now).toBeLessThanOrEqual(due + 20 + 1e-6);
          pacer.shown(now);
        }
      },
    ),
    { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
  );
});
