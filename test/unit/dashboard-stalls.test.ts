/** How the dashboard finds out which of many silent jobs have stalled. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Job, JobSnapshot, ProgressClient } from '../../sdk/client/types.js';
import { StallProbe } from '../../web/store/stall-probe.js';

/** A job that does what the test says. */
class FakeJob extends EventTarget {
  isClosed = false;
  snapshot: Partial<JobSnapshot> = { isCurrent: false, isEnded: false };
  readonly #subscribers: (() => void)[] = [];

  subscribe(onChange: () => void): () => void {
    this.#subscribers.push(onChange);
    return () => {};
  }

  getSnapshot = () => this.snapshot;

  close(): void {
    this.isClosed = true;
  }

  is(snapshot: Partial<JobSnapshot>): void {
    this.snapshot = { ...this.snapshot, ...snapshot };
    for (const call of this.#subscribers) call();
  }

  tell(type: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

let jobs: Map<string, FakeJob>;
let stalled: string[];
let alive: string[];
let isClosed: boolean;
let probe: StallProbe;
const open = (): string[] => [...jobs].filter(([, job]) => !job.isClosed).map(([id]) => id);
const jobOf = (id: string): FakeJob => {
  const job = jobs.get(id);
  if (job === undefined) throw new Error(`nobody asked for ${id}`);
  return job;
};

beforeEach(() => {
  vi.useFakeTimers();
  jobs = new Map();
  stalled = [];
  alive = [];
  isClosed = false;
  const client: Pick<ProgressClient, 'job' | 'close'> = {
    close() {
      isClosed = true;
    },
    job(id) {
      const job = new FakeJob();
      jobs.set(id, job);
      return job as unknown as Job;
    },
  };
  probe = new StallProbe(client, (id, detail) => void (detail === null ? alive : stalled).push(id));
});
afterEach(() => {
  probe.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

test('one that has stalled is told, the others are let go of, whatever becomes of them', () => {
  probe.ask(['stalled', 'alive', 'ended', 'refused', 'no-answer']);
  jobOf('stalled').is({ isCurrent: true });
  jobOf('stalled').tell('stalled', { type: 'stalled', processing_id: 'stalled', silent_ms: 1 });
  jobOf('alive').is({ isCurrent: true });
  jobOf('ended').is({ isEnded: true });
  jobOf('refused').tell('error', new Error('no'));
  expect(open()).toEqual(['alive', 'no-answer']);
  vi.advanceTimersByTime(499);
  expect(open()).toEqual(['alive', 'no-answer']);
  vi.advanceTimersByTime(1);
  expect([open(), alive]).toEqual([['no-answer'], ['alive']]);
  vi.advanceTimersByTime(10_000);
  expect(open()).toEqual([]);
  // Of who did not answer nothing is known.
  expect([stalled, alive]).toEqual([['stalled'], ['alive']]);
});

test('a hundred are asked about at once, and the next when one is done; nobody twice at once', () => {
  const ids = Array.from({ length: 250 }, (_, index) => `job-${index}`);
  probe.ask(ids);
  probe.ask(ids.slice(0, 150));
  expect(open()).toHaveLength(100);
  for (const id of open()) jobOf(id).is({ isEnded: true });
  expect(open()).toHaveLength(100);
  for (const id of open()) jobOf(id).is({ isEnded: true });
  expect(open()).toHaveLength(50);
  expect(jobs.size).toBe(250);
  // Those that are asked about last come first.
  probe.ask([...ids.map((id) => `${id}-later`), 'first']);
  probe.ask(['now']);
  for (const id of open().slice(0, 1)) jobOf(id).is({ isEnded: true });
  probe.ask(['next']);
  for (const id of open().slice(0, 1)) jobOf(id).is({ isEnded: true });
  expect([jobs.has('now'), jobs.has('next'), jobs.has('first')]).toEqual([true, true, false]);
  probe.close();
  expect([open(), isClosed]).toEqual([[], true]);
});
