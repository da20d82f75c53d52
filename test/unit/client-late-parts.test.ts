import { beforeEach, expect, test, vi } from 'vitest';
import type { JobOptions, ProgressClientOptions, WebSocketClass } from '../../sdk/client/types.js';
import { settled } from '../model/page.js';
import { update } from './client-fixture.js';

// Parts that are loaded when they are needed, over a network that may not be there then.

const PARTS = ['loop', 'fallback', 'jobs', 'saved', 'http', 'refusals'] as const;
type Part = (typeof PARTS)[number];

/** From now on the part cannot be loaded. */
function lose(part: Part): void {
  vi.doMock(`../../sdk/client/${part}.js`, () => {
    throw new Error(`cannot load ${part}`);
  });
}

/** Nothing is loaded yet. */
async function freshWorld(options: ProgressClientOptions = {}) {
  const { clientWorld } = await import('./client-fixture.js');
  return clientWorld(options);
}

beforeEach(() => {
  for (const part of PARTS) vi.doUnmock(`../../sdk/client/${part}.js`);
  vi.resetModules();
});

const loopOf = (w: Awaited<ReturnType<typeof freshWorld>>, options?: JobOptions) =>
  w.client.job('a', options)[Symbol.asyncIterator]();

test('a loop that cannot be loaded says so, the handlers go on; whoever loops again gets what is shown, and the rest', async () => {
  const w = await freshWorld();
  lose('loop');
  const job = w.client.job('a');
  const seqs: number[] = [];
  job.addEventListener('update', ({ detail }) => seqs.push(detail.seq));
  // One that is begun and not asked is no unhandled rejection.
  const lost = job[Symbol.asyncIterator]();
  await w.loaded();
  await w.hello();
  await w.say(update('a', 5), update('a', 6, 5));
  await expect(lost.next()).rejects.toThrow();
  vi.doUnmock('../../sdk/client/loop.js');
  const again = job[Symbol.asyncIterator]();
  const first = again.next();
  await w.say(update('a', 7, 6));
  expect((await first).value.seq).toBe(6);
  expect((await again.next()).value.seq).toBe(7);
  expect(job.cursor).toBe('7.e');
  expect(seqs).toEqual([5, 6, 7]);
  w.client.close();
});

test('G1 order: what comes while the loop loads is given by it, each once, and is not taken before', async () => {
  const w = await freshWorld();
  const loop = loopOf(w, { after: '3.e.s' });
  await settled();
  await w.hello();
  // All of it within the turn in which the loop begins to load.
  const job = w.client.job('a', { after: '4.e.s' });
  const late = job[Symbol.asyncIterator]();
  for (const seq of [4, 5, 6, 7]) w.wires[0]?.owner.frame(update('a', seq, seq - 1));
  w.wires[0]?.owner.frame({ type: 'following', processing_id: 'a', cursor: 9, scope: 's' });
  expect(job.cursor).toBe('4.e.s');
  w.wires[0]?.owner.frame({ type: 'end', processing_id: 'a' });
  await w.loaded();
  for (const seq of [5, 6, 7]) expect((await late.next()).value.seq).toBe(seq);
  expect(job.cursor).toBe('9.e.s');
  expect(await late.next()).toEqual({ done: true, value: undefined });
  expect((await loop.next()).value.seq).toBe(4);
  w.client.close();
});

test('a page that closes while a part loads leaves nothing behind', async () => {
  const storage = { getItem: () => null, setItem: () => {}, removeItem: () => {} };
  const w = await freshWorld({ storage });
  const job = w.client.job('a');
  const next = job[Symbol.asyncIterator]().next();
  const jobs = w.client.jobs();
  const all = jobs[Symbol.asyncIterator]().next();
  w.client.close();
  await w.loaded();
  expect(await next).toEqual({ done: true, value: undefined });
  expect(await all).toEqual({ done: true, value: undefined });
  await w.pass(0);
  expect([w.wires.length, w.clock.timers.size, w.listeners.size]).toEqual([0, 0, 0]);
});

test('a storage that cannot be loaded is as good as none; several jobs and a request that cannot be say so', async () => {
  const kept: string[] = [];
  const setItem = (key: string) => void kept.push(key);
  const w = await freshWorld({ storage: { getItem: () => null, setItem, removeItem: () => {} } });
  for (const part of ['saved', 'jobs', 'http'] as const) lose(part);
  const job = w.client.job('a');
  const jobs = w.client.jobs();
  const errors: Error[] = [];
  jobs.addEventListener('error', ({ detail }) => errors.push(detail));
  await expect(w.client.get('a')).rejects.toThrow();
  await w.loaded();
  expect(errors).toHaveLength(1);
  expect(jobs.getSnapshot().error).toBe(errors[0]);
  await w.hello();
  await w.say(update('a', 5));
  expect(job.getSnapshot().state?.seq).toBe(5);
  // It is tried again with the next job.
  vi.doUnmock('../../sdk/client/saved.js');
  w.client.job('b');
  await w.loaded();
  await w.say(update('a', 6, 5));
  await w.pass(2_000);
  expect(kept).toEqual(['headway:http://edge/:a']);
  w.client.close();
});

test('where the fallback cannot be loaded, WebSocket is tried again, and then the fallback', async () => {
  const w = await freshWorld({ transport: 'auto', WebSocket: class {} as unknown as WebSocketClass });
  lose('fallback');
  w.client.job('a');
  await settled();
  const fail = async (): Promise<void> => {
    w.wires.at(-1)?.owner.closed({ next: 'retry', code: 1006, message: '' });
    await w.pass(30_000);
    await w.loaded();
  };
  for (let i = 0; i < 3; i++) await fail();
  expect(w.wires.map(({ name }) => name)).toEqual(['websocket', 'websocket', 'websocket', 'websocket']);
  vi.doUnmock('../../sdk/client/fallback.js');
  await fail();
  await fail();
  expect(w.wires.at(-1)?.name).toBe('sse');
  w.client.close();
});

test('where newer tokens cannot be loaded, the connection goes on, and a job that the token does not open is asked for again later', async () => {
  let asked = 0;
  const w = await freshWorld({
    getToken: () => {
      asked += 1;
      return `token-${asked}`;
    },
  });
  lose('refusals');
  w.client.job('a');
  await settled();
  await w.hello();
  await w.pass(100);
  // The token in use is older than this job.
  const job = w.client.job('b');
  const errors: Error[] = [];
  job.addEventListener('error', ({ detail }) => errors.push(detail));
  await w.pass(100);
  await w.say({ type: 'token_expiring', expires_at: '2026-01-31T12:00:00Z' });
  await w.loaded();
  await w.say({ type: 'error', code: 'forbidden', message: 'not yet', processing_id: 'b' });
  await w.loaded();
  expect([w.client.connection, asked, errors]).toEqual(['open', 1, []]);
  vi.doUnmock('../../sdk/client/refusals.js');
  await w.pass(4_100);
  expect(w.wires[0]?.asked.flat()).toMatchObject([{ id: 'b' }, { id: 'b' }]);
  await w.say({ type: 'error', code: 'forbidden', message: 'not yet', processing_id: 'b' });
  await w.loaded();
  expect(w.wires[0]?.renewed).toEqual(['token-2']);
  await w.say({ type: 'auth_ok', expires_at: '2026-01-31T12:00:00Z', scope: 's' });
  await w.pass(100);
  expect(w.wires[0]?.asked.flat()).toMatchObject([{ id: 'b' }, { id: 'b' }, { id: 'b' }]);
  expect(errors).toEqual([]);
  w.client.close();
});
