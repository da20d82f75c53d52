import { expect, test } from 'vitest';
import { clientWorld, update } from './client-fixture.js';

test.each([
  '1',
  '"x"',
  '{',
  '[]',
  '{"cursor":"5.e.s"}',
  '{"cursor":"5.e.s","state":42}',
  '{"cursor":"5.e.s","state":{}}',
  '{"cursor":"5.e.s","state":{"processing_id":"b","seq":5}}',
  '{"cursor":"5.e.s","state":{"processing_id":"a","seq":6}}',
  '{"cursor":5,"state":null}',
])('a storage that holds %s holds nothing', async (rubbish) => {
  const w = clientWorld({ storage: { getItem: () => rubbish, setItem: () => {}, removeItem: () => {} } });
  const job = w.client.job('a');
  await w.loaded();
  await w.hello();
  expect(w.wires[0]?.owner.followed()).toEqual([{ id: 'a', position: null }]);
  await w.say(update('a', 7), { type: 'following', processing_id: 'a', cursor: 9, scope: 's' });
  expect(job.getSnapshot()).toMatchObject({ state: { seq: 7 }, isCurrent: true });
  w.client.close();
});

test('a storage that throws at everything is as good as none', async () => {
  const no = () => {
    throw new Error('full, or forbidden');
  };
  const w = clientWorld({ storage: { getItem: no, setItem: no, removeItem: no } });
  const job = w.client.job('a');
  await w.loaded();
  await w.hello();
  await w.say(update('a', 7));
  await w.pass(2_000);
  await w.say(update('a', 8, 7), { type: 'end', processing_id: 'a' });
  expect((await job.done).seq).toBe(8);
  w.client.close();
});
