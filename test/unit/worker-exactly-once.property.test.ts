/** Exactly once, whatever the way to JetStream does: random programs of losing, delaying, cutting and taking over. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkEvent, type Event, isFinished } from '../../schemas/event.js';
import { readEvent } from '../../sdk/worker/fencing.js';
import { SupersededError } from '../../sdk/worker/index.js';
import type { JobWriter } from '../../sdk/worker/job-writer.js';
import { event } from '../harness/publish.js';
import {
  type CheckOrder,
  type MayRead,
  Simulation,
  type Stored,
  type WorkerProcess,
} from './worker-simulation.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const CHECKS = { numRuns: RUNS, ...(SEED !== undefined && { seed: Number(SEED) }) };

const MOST_RUNS = 3;
const who = fc.nat(MOST_RUNS - 1);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('report' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), who }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('arrive' as const), who, index: fc.nat(2) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('answer' as const), who, index: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), who }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('lose' as const),
      who,
      index: fc.nat(2),
      how: fc.constantFrom('nothing' as const, 'busy' as const, 'in process' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('forgetAnswer' as const), who }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('disconnect' as const, 'reconnect' as const), who }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(1, 40, 100, 5_000, 20_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('takeOver' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('timeOut' as const, 'litter' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Run {
  readonly process: WorkerProcess;
  readonly jobWriter: JobWriter;
  /** The number of the newest state that was reported. */
  newest: number;
  ended: 'no' | 'waiting' | 'stored' | Error;
}

class Program {
  readonly simulation: Simulation;
  readonly runs: Run[] = [];

  constructor(
    order: CheckOrder,
    readonly mayRead: MayRead,
    readonly maxPendingBytes: number,
    attemptsBefore: number,
  ) {
    this.simulation = new Simulation(order);
    for (let attempt = 1; attempt <= attemptsBefore; attempt++) this.failed(attempt);
    this.start();
  }

  /** Somebody tried it before. */
  failed(attempt: number): void {
    const failure = { attempt, status: 'error', error: { code: 'x', message: 'x', retryable: true } };
    this.simulation.stream.publish(
      'progress.job',
      JSON.stringify(event('job', failure)),
      `old-${attempt}`,
      null,
    );
  }

  start(): void {
    const process = this.simulation.process(this.mayRead, { maxPendingBytes: this.maxPendingBytes });
    this.runs.push({ process, jobWriter: process.start({ processingId: 'job' }), newest: 0, ended: 'no' });
  }

  async take(next: Step): Promise<void> {
    const run = 'who' in next ? this.runs[next.who] : undefined;
    const { process } = run ?? {};
    switch (next.do) {
      case 'report':
        if (run !== undefined) this.report(run);
        break;
      case 'end':
        if (run !== undefined) this.end(run);
        break;
      case 'arrive':
        process?.arrive(next.index);
        break;
      case 'answer':
        process?.answer(next.index);
        break;
      case 'read':
        process?.reads.shift()?.();
        break;
      case 'lose':
        process?.lose(next.index, next.how);
        break;
      case 'forgetAnswer':
        process?.replies.shift();
        break;
      case 'disconnect':
        process?.disconnect();
        break;
      case 'reconnect':
        process?.reconnect();
        break;
      case 'pass':
        this.simulation.pass(next.ms);
        break;
      case 'takeOver':
        if (this.runs.length < MOST_RUNS) this.start();
        break;
      case 'timeOut':
        // Who may not read cannot tell it from another worker's event.
        if (this.mayRead !== 'nothing') this.simulation.timeOut('job');
        break;
      case 'litter':
        // And who may not look beneath what is no event waits until he may.
        if (this.mayRead === 'all') this.simulation.litter('job');
        break;
    }
    await this.simulation.settle();
  }

  report(run: Run): void {
    if (run.ended !== 'no') return;
    run.newest += 1;
    try {
      run.jobWriter.report({ fields: { n: run.newest } });
    } catch (error) {
      run.ended = error as Error;
    }
  }

  end(run: Run): void {
    if (run.ended !== 'no') return;
    run.ended = 'waiting';
    try {
      run.jobWriter.end({ status: 'completed', result: null }).then(
        () => {
          run.ended = 'stored';
        },
        (error: Error) => {
          run.ended = error;
        },
      );
    } catch (error) {
      run.ended = error as Error;
    }
  }

  /** What is stored of one run, in order. */
  stored(run: Run): Stored[] {
    return this.simulation.stream.stored.filter(({ msgId }) => msgId.startsWith(run.process.name));
  }

  of(run: Run): Event[] {
    return this.stored(run).map(({ text }) => JSON.parse(text) as Event);
  }

  get events(): Event[] {
    return this.simulation.stream.stored
      .map(({ text }) => readEvent('job', Buffer.from(text)))
      .filter((event) => event !== null);
  }
}

const numberOf = (event: Event): number => Number((event as { n?: number }).n ?? 0);

/** What holds for each run, with others or alone. */
function checkRun(program: Program, run: Run): void {
  const events = program.of(run);
  for (const event of events) expect(checkEvent(event)).toBeNull();
  const states = events.map((event) => [numberOf(event), isFinished(event)]);
  // Each state once, in order; the end may carry the number of the update before it.
  for (let i = 1; i < states.length; i++) {
    const [before, now] = [states[i - 1], states[i]];
    expect(before?.[1], 'nothing comes after the end').toBe(false);
    const isNewer = Number(now?.[0]) > Number(before?.[0]);
    expect(isNewer || now?.[1] === true, JSON.stringify(states)).toBe(true);
  }
  const isLost = run.jobWriter.signal.aborted;
  if (isLost) {
    expect(run.jobWriter.signal.reason).toBeInstanceOf(SupersededError);
    if (run.ended === 'waiting') expect.fail('whoever waits for the end of a lost job is told');
    return;
  }
  const last = events.at(-1);
  expect(last && numberOf(last), 'the last state is stored').toBe(run.newest);
  if (run.ended === 'no') expect(last?.status).toBe('processing');
  else expect([run.ended, last?.status]).toEqual(['stored', 'completed']);
}

const order = fc.constantFrom<CheckOrder>('duplicate first', 'expected first');
const attemptsBefore = fc.nat(3);
/** Later JetStream need not know a message again, and one that may be stored yields to a higher attempt. */
const KNOWN_AGAIN_MS = 110_000;

test('G6 the end: through losses, delays and cuts each state of a job is stored at most once, the first, the last and the end exactly once', async () => {
  await fc.assert(
    fc.asyncProperty(
      order,
      fc.constantFrom<MayRead>('all', 'newest', 'nothing'),
      attemptsBefore,
      fc.array(step, { maxLength: 60, size: 'max' }),
      async (checkOrder, mayRead, before, steps) => {
        // Who may read nothing writes nothing where something was written before.
        const program = new Program(checkOrder, mayRead, 1_000_000, mayRead === 'nothing' ? 0 : before);
        // Where the sequence is looked at first, whoever sees too little does not find his own first event again.
        if (checkOrder === 'expected first' && mayRead !== 'all') await program.simulation.heal();
        for (const next of steps) if (next.do !== 'takeOver') await program.take(next);
        await program.simulation.heal();
        const run = program.runs[0] as Run;
        if (program.simulation.now >= KNOWN_AGAIN_MS && before > 1 && run.jobWriter.signal.aborted) return;
        expect(run.jobWriter.signal.aborted, 'nobody else was there').toBe(false);
        checkRun(program, run);
        const first = program.of(run)[0];
        expect(first && numberOf(first), 'the first is never coalesced into another').toBe(0);
        const ids = program.simulation.stream.stored
          .map(({ msgId }) => msgId)
          .filter((msgId) => msgId !== '');
        expect(ids).toHaveLength(new Set(ids).size);
      },
    ),
    CHECKS,
  );
});

test('G6 the end: of several workers on one job the latest one wins; attempts only rise, and nothing follows an end but a higher attempt', async () => {
  await fc.assert(
    fc.asyncProperty(
      order,
      attemptsBefore,
      fc.array(step, { minLength: 5, maxLength: 80, size: 'max' }),
      async (checkOrder, before, steps) => {
        const program = new Program(checkOrder, 'all', 1_000_000, before);
        for (const next of steps) await program.take(next);
        await program.simulation.heal();
        for (const run of program.runs) {
          // A run that has lost its job hears of it at its next report, at the latest.
          program.report(run);
          program.end(run);
        }
        await program.simulation.heal();
        for (const run of program.runs) checkRun(program, run);
        const { events } = program;
        for (let i = 1; i < events.length; i++) {
          const [before, now] = [events[i - 1] as Event, events[i] as Event];
          const rises = Number(now.attempt) - Number(before.attempt);
          expect(rises, 'attempts never fall').toBeGreaterThanOrEqual(0);
          if (isFinished(before)) expect(rises, 'only a higher attempt follows an end').toBeGreaterThan(0);
        }
        const inTurn = program.runs
          .map((run) => program.stored(run))
          .filter(({ length }) => length > 0)
          .sort(([a], [b]) => (a?.seq ?? 0) - (b?.seq ?? 0));
        const all = inTurn.flat().map(({ seq }) => seq);
        expect(all, 'a job that was taken is not taken back').toEqual([...all].sort((a, b) => a - b));
        if (program.simulation.now >= KNOWN_AGAIN_MS && before > 1) return;
        const last = events.at(-1);
        expect(last?.status).toBe('completed');
      },
    ),
    CHECKS,
  );
});

test('G9 memory: with too little memory updates are evicted, but never the end, and the rest still holds', async () => {
  await fc.assert(
    fc.asyncProperty(
      order,
      fc.nat(1),
      fc.array(step, { maxLength: 60, size: 'max' }),
      async (checkOrder, before, steps) => {
        const program = new Program(checkOrder, 'all', 64 * 1024, before);
        const process = program.runs[0]?.process as WorkerProcess;
        // Other jobs of the same process fill the memory again and again.
        const big = 'x'.repeat(40_000);
        for (const [index, next] of steps.entries()) {
          if (next.do === 'takeOver') continue;
          if (index % 7 === 0) process.start({ processingId: `other-${index}` }).report({ fields: { big } });
          await program.take(next);
        }
        await program.simulation.heal();
        const run = program.runs[0] as Run;
        const events = program.simulation.stream.stored.filter(
          ({ subject, msgId }) => subject === 'progress.job' && msgId.startsWith('w'),
        );
        const last = JSON.parse(events.at(-1)?.text ?? '{}') as Event;
        expect(numberOf(last)).toBe(run.newest);
        expect(last.status).toBe(run.ended === 'no' ? 'processing' : 'completed');
        expect(
          new Set(events.map(({ text }) => `${numberOf(JSON.parse(text))}${JSON.parse(text).status}`)).size,
        ).toBe(events.length);
      },
    ),
    { ...CHECKS, numRuns: Math.ceil(RUNS / 4) },
  );
});

test.each<CheckOrder>(['duplicate first', 'expected first'])(
  'G6 the end: where memory was too little for all that came before it, the end begins the attempt (%s)',
  async (checkOrder) => {
    const simulation = new Simulation(checkOrder);
    const failure = { attempt: 1, status: 'error', error: { code: 'x', message: 'x', retryable: true } };
    simulation.stream.publish('progress.job', JSON.stringify(event('job', failure)), 'old', null);
    const process = simulation.process('all', { maxPendingBytes: 64 * 1024 });
    process.disconnect();
    const jobWriter = process.start({ processingId: 'job' });
    jobWriter.report({ progress: 10 });
    for (let i = 0; i < 20; i++) process.start({ processingId: `${i}`, message: 'x'.repeat(4_000) });
    expect(process.counts.dropped).toBeGreaterThan(0);
    const end = jobWriter.end({ status: 'completed', result: '{"words":1234}' });
    await simulation.heal();
    await end;
    const events = simulation.stream.stored.filter(({ subject }) => subject === 'progress.job');
    expect(events.slice(1).map(({ text }) => JSON.parse(text))).toEqual([
      expect.objectContaining({ attempt: 2, status: 'completed', progress: 100, result: { words: 1234 } }),
    ]);
  },
);
