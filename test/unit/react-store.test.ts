/** What @headway/react keeps of a page's jobs, without React. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createProgressClient } from '../../sdk/client/index.js';
import type { JobsSnapshot } from '../../sdk/client/types.js';
import { FollowedMap } from '../../sdk/react/store.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => {
  // Tests share the modules: what is due with the next frame would be due in another one.
  vi.runAllTimers();
  vi.useRealTimers();
});

test('what the client refuses at once is shown as an error, and asked anew by whoever comes next', async () => {
  const client = createProgressClient({ url: 'http://127.0.0.1:9' });
  let asked = 0;
  const lists = new FollowedMap<JobsSnapshot>(
    (_, key) => {
      asked += 1;
      return client.jobs({}, { maxRate: Number(key) });
    },
    (_, error) => ({
      jobs: new Map(),
      connection: 'closed',
      isCurrent: false,
      hasForgotten: false,
      continuity: { kind: 'unknown' },
      error,
    }),
  );
  const refused = lists.open(client, '99');
  let told = 0;
  const leave = refused.watch(() => {
    told += 1;
  });
  expect(refused.snapshot).toMatchObject({
    connection: 'closed',
    error: new TypeError('maxRate is 99; expected 0.1 to 50 updates a second'),
  });
  vi.runAllTimers();
  await refused.ready;
  expect([lists.get(client, '99'), asked, told]).toEqual([refused, 1, 1]);
  leave();
  expect(lists.get(client, '99')).toBeUndefined();
  lists.open(client, '99');
  expect(asked).toBe(2);
  client.close();
});
