/** The walk over last states that a fresh all-jobs connection gets, while jobs move on, are evicted and are read back. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventLog, RECENTLY_FINISHED_MS } from '../../internal/eventlog/log.js';
import { inScope, type LogRecord, makeRecord } from '../../internal/eventlog/record.js';
import type { Snapshot } from '../../internal/eventlog/snapshot.js';
import { all, event } from './edge-fixture.js';

const JOBS = 12;
const TYPES = ['render', 'scan'];

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('append' as const), job: fc.nat(JOBS - 1), ends: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restore' as const), job: fc.nat(JOBS - 1) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(1_000, RECENTLY_FINISHED_MS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('start' as const),
      types: fc.constantFrom([], ['render'], ['scan'], ['scan', 'render'], ['none']),
      /** null: a fresh connection; else one that is owed what changed behind this part of the stream. */
      after: fc.option(fc.constantFrom(0, 0.3, 0.7, 1)),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      walk: fc.nat(9),
      steps: fc.integer({ min: 1, max: 6 }),
    }),
  },
);

/** A job's type is its number's, the third kind has none; so that a filter has something to find and to leave out. */
const typeOf = (job: number) => TYPES[job % 3];
const idOf = (job: number) => `job-${job}`;

interface Walk {
  readonly snapshot: Snapshot;
  readonly scope: ReturnType<typeof all>;
  /** null: fresh. */
  readonly after: number | null;
  /** What it has to show, unless the job moves on before. */
  readonly owed: ReadonlyMap<string, LogRecord>;
  readonly shown: LogRecord[];
  isOver: boolean;
}

function run(
  lastStateBytes: number,
  program: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
): void {
  const log = new EventLog({ tailBytes: 1, lastStateBytes });
  log.begin('epoch');
  log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  const stored: LogRecord[] = [];
  const newest = new Map<string, LogRecord>();
  const walks: Walk[] = [];
  let now = Date.UTC(2026, 0, 1);
  let isComplete = true;

  const advance = (walk: Walk): void => {
    const { snapshot, scope, shown } = walk;
    if (walk.isOver) return;
    const answer = snapshot.next();
    switch (answer.kind) {
      case 'state':
        shown.push(answer.record);
        return;
      case 'evicted': {
        const read = answer.seqs.map((seq) => stored[seq - 1] as LogRecord);
        // A read costs JetStream's time: none is made for what the filter leaves out.
        for (const record of read) expect(inScope(scope, record)).toBe(true);
        shown.push(...read.filter((record) => snapshot.includes(record)));
        return;
      }
      case 'scanned':
        return;
      case 'lost':
        // Said only of what is owed however long it is finished, and only when it is so.
        expect(walk.after).not.toBeNull();
        expect(log.hasChangesSince(walk.after ?? 0)).toBe(false);
        walk.isOver = true;
        return;
      case 'end':
        walk.isOver = true;
        check(walk);
    }
  };
  const check = ({ shown, owed, scope, snapshot, after }: Walk): void => {
    const seqs = shown.map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
    for (const record of shown) {
      expect(inScope(scope, record)).toBe(true);
      expect(owed.get(record.id)?.seq).toBe(record.seq);
    }
    const missing = [...owed.values()].filter((record) => {
      const current = newest.get(record.id)?.seq ?? 0;
      const isOldNow = after === null && record.finished && record.storedAt < now - RECENTLY_FINISHED_MS;
      return current <= snapshot.head && !isOldNow && !seqs.includes(record.seq);
    });
    expect(missing.map(({ id }) => id)).toEqual([]);
  };

  for (const action of program) {
    switch (action.kind) {
      case 'append': {
        now += 1;
        const jobType = typeOf(action.job);
        const fields = {
          ...(jobType && { job_type: jobType }),
          ...(action.ends && { status: 'completed' as const }),
        };
        const seq = stored.length + 1;
        const record = makeRecord(event(idOf(action.job), fields), seq, null, now);
        stored.push(record);
        newest.set(record.id, record);
        log.append(seq, now, event(idOf(action.job), fields));
        isComplete &&= log.hasAllStates;
        break;
      }
      case 'restore': {
        const record = newest.get(idOf(action.job));
        if (record !== undefined) log.restore(record);
        break;
      }
      case 'wait':
        now += action.ms;
        break;
      case 'start': {
        const scope = all(...action.types);
        const after = action.after === null ? null : Math.floor(action.after * stored.length);
        if (after !== null && !log.hasChangesSince(after)) break;
        const owed = [...newest].filter(([, record]) => {
          const isRecent = !record.finished || record.storedAt >= now - RECENTLY_FINISHED_MS;
          return (after === null ? isRecent : record.seq > after) && inScope(scope, record);
        });
        const snapshot = after === null ? log.snapshot(scope, now) : log.changes(scope, after);
        walks.push({ snapshot, scope, after, owed: new Map(owed), shown: [], isOver: false });
        break;
      }
      case 'read': {
        const walk = walks[action.walk % Math.max(1, walks.length)];
        for (let i = 0; i < action.steps && walk !== undefined; i++) advance(walk);
      }
    }
    // From here on a fresh connection is refused, and told why.
    if (!isComplete) return;
  }
  for (const walk of walks) while (!walk.isOver) advance(walk);
}

test('G2 state first: a walk shows every job that is owed once, in rising seq, and reads nothing that its filter leaves out', () => {
  const runs = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
  fc.assert(
    fc.property(
      fc.constantFrom(2_500, 4_000, 1_000_000),
      fc.array(step, { maxLength: 120, size: 'max' }),
      run,
    ),
    {
      numRuns: runs,
    },
  );
});
