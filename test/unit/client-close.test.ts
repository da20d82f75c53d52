import { expect, test } from 'vitest';
// Loaded here: where the machine is busy, a test would be over before it comes.
import '../../sdk/client/refusals.js';
import { settled } from '../model/page.js';
import { clientWorld, update } from './client-fixture.js';

const NOTHING = { getItem: () => null, setItem: () => {}, removeItem: () => {} };

test('behind close() there is no timer and no listener, whatever was under way', async () => {
  const w = clientWorld({ storage: NOTHING });
  w.client.job('a');
  await w.loaded();
  await w.hello();
  await w.say(update('a', 5), { type: 'following', processing_id: 'a', cursor: 9, scope: 's' });
  await w.say({ type: 'error', code: 'overloaded', message: 'not now', processing_id: 'a' });
  w.client.job('b').close();
  w.client.job('c');
  w.client.close();
  await w.pass(0);
  expect(w.clock.timers.size).toBe(0);
  expect(w.listeners.size).toBe(0);
});

test('one that is closed by a handler of the end stays closed, without a timer', async () => {
  const w = clientWorld();
  w.client.job('a').addEventListener('end', () => w.client.close());
  await settled();
  await w.hello();
  await w.say(update('a', 5), { type: 'end', processing_id: 'a' });
  await w.pass(0);
  expect(w.clock.timers.size).toBe(0);
  expect(w.client.connection).toBe('closed');
});

test('a loop that begins behind close() is over, and opens nothing', async () => {
  const w = clientWorld();
  const job = w.client.job('a', { after: '3.e.s' });
  await settled();
  await w.hello();
  await w.say(update('a', 5, 3));
  w.client.close();
  const first = job[Symbol.asyncIterator]().next();
  await w.pass(60_000);
  expect(w.wires).toHaveLength(1);
  expect(w.client.connection).toBe('closed');
  expect(await first).toEqual({ done: true, value: undefined });
});

test('a connection that is refused for good is not opened for who had come in the same turn', async () => {
  const w = clientWorld();
  w.client.job('a');
  await settled();
  await w.hello();
  const late = w.client.job('b');
  w.wires[0]?.owner.closed({ next: 'stop', code: 4403, message: 'no', retryAfterMs: 0 });
  await expect(late.done).rejects.toThrow('no');
  await w.pass(60_000);
  expect(w.wires).toHaveLength(1);
});

test('a loop that goes on behind the end of its job is over when the client is closed', async () => {
  const w = clientWorld();
  const job = w.client.job('a', { after: '3.e.s' });
  await w.pass(100);
  await w.hello();
  await w.say({ ...update('a', 4, 3), status: 'completed' }, { type: 'end', processing_id: 'a' });
  const first = job[Symbol.asyncIterator]().next();
  await w.loaded();
  await w.pass(100);
  w.client.close();
  expect(await first).toEqual({ done: true, value: undefined });
  expect(w.client.connection).toBe('closed');
});
