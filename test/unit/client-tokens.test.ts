import { expect, test } from 'vitest';
import { HELLO_MS } from '../../sdk/client/connection.js';
// Loaded here: where the machine is busy, `get` would come to ask when the answer has been given already.
import '../../sdk/client/http.js';
import { settled } from '../model/page.js';
import { clientWorld } from './client-fixture.js';

test('a token that never comes does not block the page: the next attempt asks anew', async () => {
  let asked = 0;
  const w = clientWorld({
    getToken: async () => {
      asked += 1;
      if (asked === 1) await new Promise(() => {});
      return `token-${asked}`;
    },
  });
  w.client.job('a');
  await settled();
  // One call at a time, as long as an attempt may take.
  await w.pass(HELLO_MS - 1);
  void w.client.get('a').catch(() => {});
  await settled();
  expect([asked, w.wires.length]).toEqual([1, 0]);
  await w.pass(1);
  expect(w.client.connection).toBe('waiting');
  await w.pass(30_000);
  expect(asked).toBe(2);
  expect(w.wires[0]?.options.token).toBe('token-2');
  w.client.close();
});

test('whoever asks for a token while one is awaited gets the same one', async () => {
  let asked = 0;
  let answer = (_token: string): void => {};
  const w = clientWorld({
    getToken: () => {
      asked += 1;
      return new Promise<string>((resolve) => {
        answer = resolve;
      });
    },
  });
  w.client.job('a');
  const got = w.client.get('a');
  await w.loaded();
  answer('token-1');
  expect(await got).toBe(null);
  await settled();
  expect([asked, w.wires[0]?.options.token]).toEqual([1, 'token-1']);
  w.client.close();
});
