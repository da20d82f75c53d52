/** What the demo shows of a client that is cut and comes back: @headway/client, over real sockets. */
import { beforeEach, expect, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { type Resumed, Watcher } from '../../demo/watcher.js';
import { event } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { startWsServer } from '../harness/ws-server.js';

type Say = (type: string, fields?: Record<string, unknown>) => void;
type Life = (say: Say, socket: WebSocket) => void;

// Chance decides how long the client waits.
beforeEach(() => {
  const chance = vi.spyOn(Math, 'random').mockReturnValue(0);
  return () => chance.mockRestore();
});

const sayTo =
  (socket: WebSocket): Say =>
  (type, fields = {}) =>
    socket.send(JSON.stringify({ type, ...(type === 'hello' && { heartbeat_ms: 15_000 }), ...fields }));
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
    searchParams.delete('job_type');
    asked.push(Object.fromEntries(searchParams));
    life?.(sayTo(socket), socket);
  });
  return { server, asked, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const watch = (url: string, cutAfter = 1_000) => {
  const reports: Resumed[] = [];
  const told: string[] = [];
  const events = {
    update: ({ seq }: { seq: number }, isReplayed: boolean) =>
      void told.push(`${isReplayed ? '>' : ''}${seq}`),
    cut: (cursor: number, planned: boolean) => void told.push(`${planned ? 'cut' : 'lost'} at ${cursor}`),
    back: (cursor: number, epoch: string) => void told.push(`back at ${cursor} of ${epoch}`),
    resumed: (report: Resumed) => void reports.push(report),
  };
  const { signal } = new AbortController();
  const options = { url, jobs: new Set(['a']), cutAfter, awayMs: 1, events, signal };
  return { watcher: new Watcher(options), reports, told };
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
  let cut = (): void => {};
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
      cut = () => socket.close();
    },
    (say) => {
      say('hello', { epoch: 'one', scope: 'all' });
      say('caught_up', { cursor: 25 });
    },
  );
  const { watcher, reports } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => reports.length === 1, { what: 'all that was missed' });
  cut();
  await waitFor(() => world.asked.length === 4, { what: 'the fourth connection' });
  expect(world.asked.map(({ last_seq }) => last_seq)).toEqual([undefined, '9', '9', '25']);
  expect(reports[0]).toMatchObject({ from: 9, updates: [{ seq: 12 }], problems: [] });
});

test('what never came, also when it is asked for once more, shows by prev_seq', async () => {
  const askedAgain: Life = (say) => {
    say('hello', { epoch: 'one', scope: 'all' });
    say('progress_update', update(12, 10));
  };
  await using world = await lives(firstThenCut, askedAgain, (say) => {
    say('hello', { epoch: 'one', scope: 'all' });
    say('progress_update', update(12, 10));
    say('caught_up', { cursor: 12 });
  });
  const { watcher, reports } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => reports.length === 1, { what: 'a resume' });
  expect(reports).toMatchObject([{ problems: ['seq 12 follows seq 10, which never came'] }]);
  expect(world.asked.map(({ last_seq }) => last_seq)).toEqual([undefined, '9', '9']);
});

test('what never came before a reset is no problem: the reset says so', async () => {
  await using world = await lives(firstThenCut, (say) => {
    say('hello', { epoch: 'one', scope: 'all' });
    say('reset', { reason: 'retention', epoch: 'one', first_seq: 30, last_seq: 40 });
    say('progress_update', update(33, 31));
    say('caught_up', { cursor: 40 });
  });
  const { watcher, reports } = watch(world.server.url);
  using _ = watcher;
  await waitFor(() => reports.length === 1, { what: 'a resume' });
  expect(reports).toMatchObject([{ problems: [], leftOut: 'reset (retention)' }]);
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

test('it cuts once, loses what was under way, and tells what came after the return apart from what comes live', async () => {
  const hello = { epoch: 'one', scope: 'all' };
  await using world = await lives(
    (say) => {
      say('hello', hello);
      say('caught_up', { cursor: 0 });
      // In one piece: what is behind the cut was delivered, and is lost all the same.
      say('progress_update', update(1, 0));
      say('progress_update', update(2, 1));
      say('progress_update', update(3, 2));
    },
    (say) => {
      say('hello', hello);
      say('progress_update', update(3, 2));
      say('progress_update', update(4, 3));
      say('caught_up', { cursor: 4 });
      say('progress_update', update(5, 4, { status: 'completed' }));
    },
  );
  const { watcher, reports, told } = watch(world.server.url, 2);
  using _ = watcher;
  await watcher.finished;
  expect(told).toEqual(['1', '2', 'cut at 2', 'back at 2 of one', '>3', '>4', '5']);
  expect(reports).toMatchObject([{ from: 2, problems: [], leftOut: undefined }]);
  expect(world.asked).toEqual([{}, { last_seq: '2', epoch: 'one', scope: 'all' }]);
});

test('a job that ends before the cut is cut behind its end, and it is finished when it has caught up', async () => {
  const hello = { epoch: 'one', scope: 'all' };
  await using world = await lives(
    (say) => {
      say('hello', hello);
      say('caught_up', { cursor: 0 });
      say('progress_update', update(1, 0, { status: 'completed' }));
    },
    (say) => {
      say('hello', hello);
      say('caught_up', { cursor: 1 });
    },
  );
  const { watcher, told } = watch(world.server.url);
  using _ = watcher;
  await watcher.finished;
  expect(told).toEqual(['1', 'cut at 1', 'back at 1 of one']);
});
