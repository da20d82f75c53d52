/** The demo's client keeps its cursor as PROTOCOL.md, "What a client must do", says. */
import { expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { Watcher } from '../../demo/watcher.js';
import { event } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { startWsServer } from '../harness/ws-server.js';

type Say = (type: string, fields?: Record<string, unknown>) => void;
type Life = (say: Say, socket: WebSocket) => void;

const sayTo =
  (socket: WebSocket): Say =>
  (type, fields = {}) =>
    socket.send(JSON.stringify({ type, ...fields }));
const update = (seq: number, prev_seq: number, fields: Record<string, unknown> = {}) => ({
  ...event('a', fields),
  seq,
  prev_seq,
});

/** A server that goes through these lives, one for each connection, and what the watcher asked for at each. */
async function lives(...lives: Life[]) {
  const asked: Record<string, string>[] = [];
  const server = await startWsServer((socket, request) => {
    const { searchParams } = new URL(String(request.url), 'ws://any');
    const life = lives[asked.length];
    asked.push(Object.fromEntries(searchParams));
    life?.(sayTo(socket), socket);
  });
  return { server, asked, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const watch = (url: string) => {
  const reports: { problems: readonly string[] }[] = [];
  const events = {
    update: () => undefined,
    cut: () => undefined,
    back: () => undefined,
    resumed: (report: { problems: readonly string[] }) => void reports.push(report),
  };
  const { signal } = new AbortController();
  const options = { url, jobs: new Set(['a']), cutAfter: 1_000, awayMs: 1, events, signal };
  return { watcher: new Watcher(options), reports };
};

const first = (say: Say): void => {
  say('hello', { epoch: 'one', scope: 'all' });
  say('progress_update', update(7, 0));
  say('caught_up', { cursor: 9 });
};
const firstThenCut: Life = (say, socket) => {
  first(say);
  socket.close();
};

test('G5 a stale cursor: a hello of another epoch, and a line that breaks before the reset: it comes back with neither', async () => {
  await using world = await lives(
    firstThenCut,
    (say, socket) => {
      say('hello', { epoch: 'two', scope: 'all' });
      socket.close();
    },
    (say) => {
      say('hello', { epoch: 'two', scope: 'all' });
      say('progress_update', update(3, 2));
      say('caught_up', { cursor: 3 });
    },
  );
  const { watcher } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => watcher.updates.length === 2, { what: 'the second update' });
  expect(world.asked).toEqual([{}, { last_seq: '9', epoch: 'one', scope: 'all' }, {}]);
});

test('G1 order: a heartbeat before the replay is over moves no cursor', async () => {
  await using world = await lives(
    firstThenCut,
    (say, socket) => {
      say('hello', { epoch: 'one', scope: 'all' });
      say('heartbeat', { cursor: 20 });
      socket.close();
    },
    (say, socket) => {
      say('hello', { epoch: 'one', scope: 'all' });
      say('progress_update', update(12, 7));
      say('caught_up', { cursor: 20 });
      say('heartbeat', { cursor: 25 });
      socket.close();
    },
    () => undefined,
  );
  const { watcher, reports } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => world.asked.length === 4, { what: 'the fourth connection' });
  expect(world.asked.map(({ last_seq }) => last_seq)).toEqual([undefined, '9', '9', '25']);
  expect(reports.map(({ problems }) => problems)).toEqual([[]]);
});

test('what never came shows by prev_seq, but not after a reset', async () => {
  await using world = await lives(
    firstThenCut,
    (say, socket) => {
      say('hello', { epoch: 'one', scope: 'all' });
      say('progress_update', update(12, 10));
      say('caught_up', { cursor: 12 });
      socket.close();
    },
    (say) => {
      say('hello', { epoch: 'one', scope: 'all' });
      say('reset', { reason: 'retention', epoch: 'one', first_seq: 30, last_seq: 40 });
      say('progress_update', update(33, 31));
      say('caught_up', { cursor: 40 });
    },
  );
  const { watcher, reports } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => reports.length === 2, { what: 'two resumes' });
  expect(reports.map(({ problems }) => problems)).toEqual([['seq 12 follows seq 10, which never came'], []]);
  expect(watcher.leftOut).toEqual(['reset (retention)']);
});

test('what was skipped is no problem, and the cursor goes on: what a client showed stays', async () => {
  await using world = await lives(
    firstThenCut,
    (say, socket) => {
      say('hello', { epoch: 'one', scope: 'all' });
      say('skipped', { reason: 'retention', after: 9, before: 41 });
      say('progress_update', update(33, 31));
      socket.close();
    },
    (say) => {
      say('hello', { epoch: 'one', scope: 'all' });
      say('caught_up', { cursor: 40 });
    },
  );
  const { watcher, reports } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => reports.length === 1, { what: 'a resume' });
  expect(reports.map(({ problems }) => problems)).toEqual([[]]);
  expect(watcher.updates.map(({ seq }) => seq)).toEqual([7, 33]);
  expect(watcher.leftOut).toEqual(['skipped (retention)']);
  expect(world.asked.map(({ last_seq }) => last_seq)).toEqual([undefined, '9', '33']);
});

test('G5 a stale cursor: a hello of another scope, and a line that breaks before the reset: it comes back without a cursor', async () => {
  await using world = await lives(
    firstThenCut,
    (say, socket) => {
      say('hello', { epoch: 'one', scope: 'wider' });
      socket.close();
    },
    () => undefined,
  );
  const { watcher } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => world.asked.length === 3, { what: 'the third connection' });
  expect(world.asked).toEqual([{}, { last_seq: '9', epoch: 'one', scope: 'all' }, {}]);
});

test('a job that is gone is not waited for', async () => {
  await using world = await lives(
    (say, socket) => {
      first(say);
      say('gone', { processing_id: 'a' });
      socket.close();
    },
    (say) => {
      say('hello', { epoch: 'one', scope: 'all' });
      say('caught_up', { cursor: 9 });
      say('progress_update', update(12, 0, { status: 'completed' }));
    },
  );
  const { watcher, reports } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => watcher.updates.length === 2, { what: 'the job that began anew' });
  expect(reports.map(({ problems }) => problems)).toEqual([[]]);
});
