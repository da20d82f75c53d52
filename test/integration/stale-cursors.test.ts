import { expect, test } from 'vitest';
import { edgeHasRead } from '../harness/edge-head.js';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { publish, publishRaw } from '../harness/publish.js';
import { replayed } from '../harness/replayed.js';
import { natsWithStream } from '../harness/shared-nats.js';

const STREAM = 'PROGRESS';

test('G5 stale cursors: on an edge that has just started, every cursor of a job is served or reset, never a silent gap', async () => {
  await using world = await natsWithStream({ max_msgs_per_subject: 3 });
  const { nc, nats } = world;
  await publish(nc, 'other');
  for (let i = 0; i < 6; i++) await publish(nc, 'job');
  await publish(nc, 'other');
  // The job's 2, 3 and 4 were trimmed; 5, 6 and 7 are kept. first_seq is still 1.
  await using edge = await startLocalEdge(nats.url);
  const served: Record<string, string[]> = {};
  for (let cursor = 0; cursor <= 8; cursor++)
    served[cursor] = await replayed(edge.ws, `/job?last_seq=${cursor}`);
  const reset = ['reset retention', '7', 'caught_up 8'];
  expect(served).toEqual({
    0: reset,
    1: reset,
    2: reset,
    3: reset,
    4: ['5', '6', '7', 'caught_up 8'],
    5: ['6', '7', 'caught_up 8'],
    6: ['7', 'caught_up 8'],
    7: ['caught_up 8'],
    8: ['caught_up 8'],
  });
});

test('G5 stale cursors: a cursor behind the last event of a job that is not in memory is answered, not waited on', async () => {
  await using world = await natsWithStream();
  const { nc, nats } = world;
  for (let i = 0; i < 3; i++) await publish(nc, 'job', { status: 'completed', progress: 100 });
  for (let i = 0; i < 200; i++) await publish(nc, `other-${i}`, { message: 'x'.repeat(3_000) });
  // So little memory that the job is let go, and its place with it.
  await using edge = await startLocalEdge(nats.url, {
    HEADWAY_TAIL_BYTES: '65536',
    HEADWAY_LAST_STATE_BYTES: '65536',
  });
  for (const cursor of [3, 4, 100, 203]) {
    expect(await replayed(edge.ws, `/job?last_seq=${cursor}`)).toEqual(['caught_up 203']);
  }
});

test('G5 stale cursors: over all jobs, a cursor before anything that was deleted gets newest states, one after it is served', async () => {
  await using world = await natsWithStream({ max_msgs_per_subject: 2 });
  const { nc, nats } = world;
  for (let i = 0; i < 4; i++) await publish(nc, 'a');
  await publish(nc, 'b');
  // 1 and 2 are gone.
  await using edge = await startLocalEdge(nats.url);
  expect(await replayed(edge.ws, '?last_seq=1')).toEqual(['skipped retention 1 6', '4', '5', 'caught_up 5']);
  expect(await replayed(edge.ws, '?last_seq=2')).toEqual(['3', '4', '5', 'caught_up 5']);
  expect(await replayed(edge.ws, '?last_seq=5')).toEqual(['caught_up 5']);
});

test('G5 stale cursors: a job whose events are all gone says so to whoever had seen it', async () => {
  await using world = await natsWithStream();
  const { nc, nats, jsm } = world;
  for (let i = 0; i < 3; i++) await publish(nc, 'gone');
  for (let i = 0; i < 3; i++) await publish(nc, 'kept');
  await jsm.streams.purge(STREAM, { filter: 'progress.gone' });
  await using edge = await startLocalEdge(nats.url);
  expect(await replayed(edge.ws, '/gone?last_seq=1')).toEqual(['reset retention', 'caught_up 6']);
  // Nothing of it was after this cursor, and nothing deleted was either.
  expect(await replayed(edge.ws, '/gone?last_seq=3')).toEqual(['caught_up 6']);
  const seq = await publish(nc, 'gone');
  await edgeHasRead(edge.http, nc);
  expect(await replayed(edge.ws, '/gone?last_seq=1')).toEqual(['reset retention', '7', `caught_up ${seq}`]);
  expect(await replayed(edge.ws, '/gone?last_seq=6')).toEqual(['7', `caught_up ${seq}`]);
});

test('G5 stale cursors: a limit that was raised since does not make a trimmed job look whole', async () => {
  await using world = await natsWithStream({ max_msgs_per_subject: 2 });
  const { nc, nats, jsm } = world;
  await publish(nc, 'other');
  for (let i = 0; i < 5; i++) await publish(nc, 'job');
  await jsm.streams.update(STREAM, { max_msgs_per_subject: 1_000 });
  await using edge = await startLocalEdge(nats.url);
  expect(await replayed(edge.ws, '/job?last_seq=1')).toEqual(['reset retention', '6', 'caught_up 6']);
});

test('G5 stale cursors: events that aged out at the front are a reset for one job, and skipped for all', async () => {
  await using world = await natsWithStream();
  const { nc, nats, jsm } = world;
  for (let i = 0; i < 4; i++) await publish(nc, 'job');
  await jsm.streams.purge(STREAM, { seq: 3 });
  await using edge = await startLocalEdge(nats.url);
  for (const [path, told] of [
    ['/job', 'reset retention'],
    ['', 'skipped retention 1 5'],
  ]) {
    expect(await replayed(edge.ws, `${path}?last_seq=1`)).toEqual([told, '4', 'caught_up 4']);
    expect(await replayed(edge.ws, `${path}?last_seq=2`)).toEqual(['3', '4', 'caught_up 4']);
  }
});

test('G5 stale cursors: ahead of the stream, of another epoch, too far behind', async () => {
  await using world = await natsWithStream();
  const { nc, nats } = world;
  for (let i = 0; i < 5; i++) await publish(nc, 'job');
  await using edge = await startLocalEdge(nats.url, {
    HEADWAY_MAX_REPLAY_JOB: '3',
    HEADWAY_MAX_REPLAY_ALL: '2',
  });
  expect(await replayed(edge.ws, '/job?last_seq=6')).toEqual(['reset ahead', '5', 'caught_up 5']);
  expect(await replayed(edge.ws, '?last_seq=6')).toEqual(['reset ahead', '5', 'caught_up 5']);
  expect(await replayed(edge.ws, '/job?last_seq=5&epoch=another')).toEqual([
    'reset epoch',
    '5',
    'caught_up 5',
  ]);
  expect(await replayed(edge.ws, '/job?last_seq=2')).toEqual(['3', '4', '5', 'caught_up 5']);
  expect(await replayed(edge.ws, '/job?last_seq=1')).toEqual(['reset limit', '5', 'caught_up 5']);
  expect(await replayed(edge.ws, '?last_seq=2')).toEqual(['skipped limit 2 6', '5', 'caught_up 5']);
  expect(await replayed(edge.ws, '?last_seq=3')).toEqual(['4', '5', 'caught_up 5']);
});

test('G1 order: a client that waited for a job’s first event gets it from an edge that started since', async () => {
  await using world = await natsWithStream();
  const { nc, nats } = world;
  await publish(nc, 'other');
  await publish(nc, 'job');
  await publish(nc, 'other');
  await publish(nc, 'job');
  await using edge = await startLocalEdge(nats.url);
  expect(await replayed(edge.ws, '/job?last_seq=1')).toEqual(['2', '4', 'caught_up 4']);
  expect(await replayed(edge.ws, '/nothing?last_seq=1')).toEqual(['caught_up 4']);
});

test('G1 order: far behind a small tail, pages of history and the tail make one sequence', async () => {
  await using world = await natsWithStream();
  const { nc, nats } = world;
  await using edge = await startLocalEdge(nats.url, { HEADWAY_TAIL_BYTES: '65536' });
  const owed: Record<string, string[]> = { a: [], b: [] };
  for (let i = 0; i < 600; i++) {
    const id = i % 3 === 0 ? 'b' : 'a';
    // A message that is not an event belongs to nobody, and holds nobody up.
    if (i % 50 === 7) await publishRaw(nc, `progress.${id}`, 'no event');
    else owed[id]?.push(String(await publish(nc, id, { message: 'x'.repeat(i) })));
  }
  await edgeHasRead(edge.http, nc);
  for (const id of ['a', 'b']) {
    expect(await replayed(edge.ws, `/${id}?last_seq=0`)).toEqual([...(owed[id] ?? []), 'caught_up 600']);
  }
  const both = [...(owed.a ?? []), ...(owed.b ?? [])].sort((x, y) => Number(x) - Number(y));
  expect(await replayed(edge.ws, '?last_seq=0')).toEqual([...both, 'caught_up 600']);
});
