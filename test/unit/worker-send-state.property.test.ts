/** Coalescing, by itself: what leaves when, for any program of reports, answers and time. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  hasWaiting,
  initialSendState,
  isPending,
  reduce,
  type SendSignal,
  type SendState,
} from '../../sdk/worker/send-state.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const CHECKS = { numRuns: RUNS, ...(SEED !== undefined && { seed: Number(SEED) }) };
const INTERVAL_MS = 100;

const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant('report' as const) },
  { weight: 4, arbitrary: fc.constant('stored' as const) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 150 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('disconnected' as const, 'reconnected' as const, 'evicted' as const),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Sent {
  readonly at: number;
  readonly what: 'update' | 'terminal';
  /** The number of the newest report at that time. */
  readonly state: number;
}

/** A job whose sends are written down; each report has a number. */
class Bench {
  now = 0;
  newest = 0;
  isConnected = true;
  state: SendState = initialSendState(0, INTERVAL_MS);
  readonly sent: Sent[] = [{ at: 0, what: 'update', state: 0 }];
  /** States that are stored, or evicted before they were. */
  readonly stored: Sent[] = [];

  signal(signal: SendSignal): void {
    const { state, send } = reduce(this.state, signal, this.now, INTERVAL_MS);
    this.state = state;
    if (send !== null) this.sent.push({ at: this.now, what: send, state: this.newest });
  }

  take(next: Step): void {
    if (typeof next === 'number') {
      this.now += next;
      if (this.isConnected) this.signal({ kind: 'due' });
      return;
    }
    switch (next) {
      case 'report':
        this.newest += 1;
        this.signal({ kind: 'report', isConnected: this.isConnected });
        break;
      case 'stored':
        this.land();
        break;
      case 'disconnected':
        this.isConnected = false;
        break;
      case 'reconnected':
        this.isConnected = true;
        this.signal({ kind: 'due' });
        break;
      case 'evicted':
        if (this.state.kind === 'in_flight' && this.state.sending === 'update') this.sent.pop();
        this.signal({ kind: 'evicted' });
        break;
    }
  }

  land(): void {
    if (this.state.kind !== 'in_flight') return;
    const last = this.sent.at(-1);
    if (last !== undefined) this.stored.push(last);
    this.signal({ kind: 'stored' });
  }

  rest(): void {
    this.isConnected = true;
    for (let turn = 0; turn < 10 && isPending(this.state); turn++) {
      this.land();
      this.take(INTERVAL_MS);
    }
  }
}

function played(steps: readonly Step[]): Bench {
  const bench = new Bench();
  for (const next of steps) bench.take(next);
  return bench;
}

describe('any program', () => {
  test('ends with the newest state, whatever was left out before it', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const bench = played(steps);
        bench.rest();
        expect(bench.state.kind).toBe('idle');
        expect(bench.stored.at(-1)?.state).toBe(bench.newest);
      }),
      CHECKS,
    );
  });

  test('never sends two updates within the distance, and never one state twice', () => {
    fc.assert(
      fc.property(
        fc.array(
          step.filter((one) => one !== 'evicted'),
          { maxLength: 60, size: 'max' },
        ),
        (steps) => {
          const bench = played(steps);
          bench.rest();
          for (let i = 1; i < bench.sent.length; i++) {
            const [before, now] = [bench.sent[i - 1] as Sent, bench.sent[i] as Sent];
            expect(now.at - before.at).toBeGreaterThanOrEqual(INTERVAL_MS);
            expect(now.state).toBeGreaterThan(before.state);
          }
        },
      ),
      CHECKS,
    );
  });

  test('sends the first state by itself, then one at a time', () => {
    fc.assert(
      fc.property(
        fc.array(
          step.filter((one) => one !== 'evicted'),
          { maxLength: 60, size: 'max' },
        ),
        (steps) => {
          const bench = played(steps);
          expect(bench.sent[0]).toEqual({ at: 0, what: 'update', state: 0 });
          expect(bench.sent.length - bench.stored.length).toBe(bench.state.kind === 'in_flight' ? 1 : 0);
        },
      ),
      CHECKS,
    );
  });

  test('G6 the end: it waits for what is in flight and for nothing else, is sent once, and nothing follows it', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40, size: 'max' }),
        fc.array(step, { maxLength: 20, size: 'max' }),
        (before, after) => {
          const bench = played(before);
          const isInFlight = bench.state.kind === 'in_flight';
          const at = bench.now;
          bench.signal({ kind: 'end' });
          // A stray report after the end changes nothing.
          bench.signal({ kind: 'report', isConnected: true });
          if (isInFlight) bench.land();
          expect(bench.sent.at(-1)).toEqual({ at, what: 'terminal', state: bench.newest });
          for (const next of after) if (next !== 'stored') bench.take(next);
          bench.signal({ kind: 'end' });
          bench.land();
          expect(bench.sent.filter(({ what }) => what === 'terminal')).toHaveLength(1);
          expect(bench.sent.at(-1)?.what).toBe('terminal');
          expect(bench.state.kind).toBe('closed');
          for (const next of after) bench.take(next);
          expect(bench.sent.at(-1)?.what).toBe('terminal');
        },
      ),
      CHECKS,
    );
  });
});

test('a report leaves at once when nothing is in flight and the last one is long ago', () => {
  const bench = played(['stored', 100, 'report']);
  expect(bench.sent.at(-1)).toEqual({ at: 100, what: 'update', state: 1 });
});

test('while NATS cannot be reached reports wait, however long ago the last one was', () => {
  const bench = played(['stored', 100, 'disconnected', 'report', 150, 'report']);
  expect(bench.sent).toHaveLength(1);
  expect(hasWaiting(bench.state)).toBe(true);
  bench.take('reconnected');
  expect(bench.sent.at(-1)).toEqual({ at: 250, what: 'update', state: 2 });
});

test('a job that was closed sends nothing any more', () => {
  const bench = played(['report']);
  bench.signal({ kind: 'close' });
  for (const next of ['stored', 'report', 200, 'reconnected', 'evicted'] as const) bench.take(next);
  bench.signal({ kind: 'end' });
  expect(bench.sent).toHaveLength(1);
});
