import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { decodeEvent } from '../../internal/eventlog/decode.js';
import { EventLog } from '../../internal/eventlog/log.js';
import { type LogRecord, makeRecord } from '../../internal/eventlog/record.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function usedBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

const bytesOf = (body: string): Uint8Array => new TextEncoder().encode(body);

function recordOf(body: Uint8Array): LogRecord {
  const decoded = decodeEvent('progress.job-1', body);
  if (!decoded.ok) throw new Error(decoded.detail);
  return makeRecord(decoded.event, 7, 3, 0);
}

function expectFrame(record: LogRecord): void {
  if (!record.frame.includes('"seq":7,"prev_seq":3,')) expect.fail(record.frame);
}

const EVENT =
  '{"processing_id":"job-1","status":"processing","progress":50,"timestamp":"2026-01-31T12:00:00Z"}';

test.each([
  ['before', (space: string) => space + EVENT],
  ['behind', (space: string) => EVENT + space],
  ['within', (space: string) => EVENT.replace('{', `{${space}`)],
  ['around a field that has our name', (space: string) => EVENT.replace('{', `{"seq":${space}1,`)],
])('G9 memory: a record costs about what is counted for it, with white space %s', (_where, spaced) => {
  // As it is after a while: V8 leaves out of optimised code whatever has no effect that it knows of.
  const short = bytesOf(spaced('  '));
  for (let n = 0; n < 50_000; n++) expectFrame(recordOf(short));

  const bodies = [...Array(600).keys()].map((n) => bytesOf(spaced(' '.repeat(60_000 + n))));
  for (const isAsked of [false, true]) {
    const before = usedBytes();
    const records = bodies.map(recordOf);
    if (isAsked) for (const record of records) expectFrame(record);
    const used = usedBytes() - before;
    const counted = records.reduce((sum, { bytes }) => sum + bytes, 0);
    // All that is around it would be twice that; the rest of the process takes some meanwhile.
    const others = bodies.reduce((sum, { byteLength }) => sum + byteLength, 0) / 2;
    expect(used).toBeLessThan(1.2 * counted + others);
  }
});

test('G9 memory: the events of a job keep its id and its type once', () => {
  const EVENTS = 20_000;
  const [id, type] = ['i'.repeat(120), 't'.repeat(64)];
  const body = bytesOf(EVENT.replace('job-1', id).replace('{', `{"job_type":"${type}",`));
  const log = new EventLog({ tailBytes: 1e9, lastStateBytes: 1e9 });
  log.begin('epoch');
  log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  const before = usedBytes();
  for (let seq = 1; seq <= EVENTS; seq++) {
    const decoded = decodeEvent(`progress.${id}`, body);
    log.append(seq, 0, decoded.ok ? decoded.event : null);
  }
  const used = (usedBytes() - before) / EVENTS;
  expect(log.stats.tailEvents).toBe(EVENTS);
  expect(used).toBeLessThan(body.byteLength + 250);
});

test('the frame of a record is made once', () => {
  const record = recordOf(bytesOf(EVENT));
  const { frame } = record;
  expect(frame).toBe(`{"type":"progress_update","seq":7,"prev_seq":3,${EVENT.slice(1)}`);
  expect(record.frame).toBe(frame);
  const typed = recordOf(bytesOf(EVENT.replace('{', '{"type":"progress_update",')));
  expect(typed.frame).toBe(`{"seq":7,"prev_seq":3,"type":"progress_update",${EVENT.slice(1)}`);
});
