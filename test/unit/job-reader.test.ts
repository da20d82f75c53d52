import { expect, test } from 'vitest';
import { EventLog } from '../../internal/eventlog/log.js';
import { makeRecord } from '../../internal/eventlog/record.js';
import { JobReader } from '../../internal/session/job-reader.js';
import type { HistorySource } from '../../internal/session/ports.js';
import { event } from './edge-fixture.js';

const unread = () => Promise.reject(new Error('this test does not read that from JetStream'));
const HISTORY: HistorySource = {
  lastState: unread,
  records: unread,
  page: unread,
  oldest: unread,
  isKept: unread,
  reached: unread,
};
const EVERY_JOB = { after: null, epoch: null, limit: 1_000 };

test.each([
  ['by state', null],
  ['by a type that all have, and by state', new Set(['render'])],
])(
  'herds: a filter that matches none of many jobs gives others their turn meanwhile: %s',
  async (_what, jobTypes) => {
    const log = new EventLog({ tailBytes: 1e9, lastStateBytes: 1e9 });
    log.begin('epoch');
    log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
    for (let seq = 1; seq <= 20_000; seq++) log.append(seq, 0, event(`job-${seq}`, { job_type: 'render' }));
    let turns = 0;
    const reader = new JobReader(log, () => Promise.resolve(turns++));
    const page = await reader.jobs(
      { kind: 'all', jobTypes },
      EVERY_JOB,
      () => false,
      HISTORY,
      () => true,
    );
    expect(page).toMatchObject({ kind: 'page', frames: [], isEnd: true, cursor: 20_000 });
    expect(turns).toBeGreaterThanOrEqual(4);
  },
);

test('a job that moves on while states are read for a page is in the list all the same', async () => {
  const log = new EventLog({ tailBytes: 1, lastStateBytes: 8_192 });
  log.begin('epoch');
  log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  const ids = Array.from({ length: 40 }, (_, index) => `job-${index + 1}`);
  for (const [index, id] of ids.entries()) log.append(index + 1, 0, event(id, { message: 'x'.repeat(200) }));
  const read: number[] = [];
  const history: HistorySource = {
    ...HISTORY,
    records: async (seqs) => {
      // Nothing of it was evicted yet, and it would have come behind these.
      if (read.length === 0) log.append(41, 0, event('job-40'));
      read.push(...seqs);
      return seqs.map((seq) => makeRecord(event(`job-${seq}`), seq, null, 0));
    },
  };
  const reader = new JobReader(log, () => Promise.resolve());
  const page = await reader.jobs(
    { kind: 'all', jobTypes: null },
    EVERY_JOB,
    () => true,
    history,
    () => true,
  );
  expect(read.length).toBeGreaterThan(0);
  if (page.kind !== 'page') throw new Error(`it is ${page.kind}`);
  const listed = page.frames.map((frame) => (JSON.parse(frame) as { processing_id: string }).processing_id);
  expect(listed).toEqual(ids);
  expect(page).toMatchObject({ cursor: 41, isEnd: true });
});
