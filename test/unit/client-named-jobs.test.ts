import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
// Loaded here: where the machine is busy, a test would be over before it comes.
import '../../sdk/client/refusals.js';
import { clientWorld, update } from './client-fixture.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('a loop over jobs of which most are silent keeps nothing of the updates that it has given', async () => {
  const w = clientWorld();
  const ids = ['busy', ...Array.from({ length: 30 }, (_, i) => `silent-${i}`)];
  let given = 0;
  const loop = async () => {
    for await (const { seq } of w.client.jobs({ ids })) given = seq;
  };
  const over = loop();
  await w.loaded();
  await w.hello();
  const heapAfter = async (from: number, to: number) => {
    for (let seq = from; seq <= to; seq++) await w.say(update('busy', seq, seq - 1));
    expect(given).toBe(to);
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const before = await heapAfter(1, 500);
  const after = await heapAfter(501, 5_500);
  w.client.close();
  await over;
  // Of each update and silent job a hundred bytes were kept: 17 MB.
  expect(after - before).toBeLessThan(4_000_000);
});

test('a page hears of the connection of named jobs also when the first of them has ended', async () => {
  const w = clientWorld();
  const states: string[] = [];
  w.client.jobs({ ids: ['a', 'b'] }).addEventListener('connection', ({ detail }) => states.push(detail));
  await w.loaded();
  await w.hello();
  await w.say(update('a', 5), { type: 'end', processing_id: 'a' });
  w.wires[0]?.owner.closed({ next: 'retry', code: 1006, message: 'cut', retryAfterMs: 0 });
  expect(states).toEqual(['connecting', 'open', 'waiting']);
  w.client.close();
});

test('a name that no job can have is refused before any of the others is followed', async () => {
  const w = clientWorld();
  expect(() => w.client.jobs({ ids: ['good', 'not good'] })).toThrow(/the job is "not good"; expected/);
  await expect(w.client.get('../v1/jobs')).rejects.toThrow(TypeError);
  await expect(w.client.history('a?b')[Symbol.asyncIterator]().next()).rejects.toThrow(TypeError);
  await w.loaded();
  expect(w.client.connection).toBe('idle');
});

test('one that is refused says nothing of the others', async () => {
  const w = clientWorld();
  const jobs = w.client.jobs({ ids: ['refused', 'a'] });
  const errors: Error[] = [];
  jobs.addEventListener('error', ({ detail }) => errors.push(detail));
  await w.loaded();
  await w.hello();
  await w.say({ type: 'error', code: 'forbidden', message: 'not yours', processing_id: 'refused' });
  await w.say(update('a', 5), { type: 'following', processing_id: 'a', cursor: 5, scope: 's' });
  expect(errors).toMatchObject([{ name: 'ForbiddenError' }]);
  expect(jobs.getSnapshot()).toMatchObject({
    ...{ connection: 'open', isCurrent: true, continuity: { kind: 'proven' }, error: null },
  });
  w.client.close();
});

test('a loop over jobs gives nothing any more once they are closed', async () => {
  const w = clientWorld();
  const jobs = w.client.jobs({ ids: ['a', 'b'] });
  const loop = jobs[Symbol.asyncIterator]();
  const first = loop.next();
  await w.loaded();
  await w.hello();
  await w.say(update('a', 5), update('b', 6));
  expect((await first).value.seq).toBe(5);
  jobs.close();
  expect(await loop.next()).toEqual({ done: true, value: undefined });
  w.client.close();
});

test.each([
  ['https://news.example', 'https://news.example'],
  ['wss://news.example/ws/?a=1#b', 'https://news.example/ws'],
  ['ws://edge:8080/', 'http://edge:8080'],
])('the edge %s is asked under %s', async (url, base) => {
  const w = clientWorld({ url });
  w.client.job('a');
  await w.pass(1);
  expect(w.wires[0]?.options.base).toBe(base);
  w.client.close();
});
