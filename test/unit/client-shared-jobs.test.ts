import { expect, test } from 'vitest';
import { createProgressClient } from '../../sdk/client/client.js';
import type { FollowedJob, Platform, WireOwner } from '../../sdk/client/wire.js';
import { settled } from '../model/page.js';
import { TestClock } from './test-clock.js';

/** A client whose one wire says what it is told, and notes what it is asked for. */
async function world() {
  const clock = new TestClock();
  const asked: FollowedJob[][] = [];
  let owner: WireOwner | undefined;
  const platform = {
    ...{ now: clock.now, later: clock.later, random: () => 0.5, fetch, WebSocket: undefined },
    ...{ onWake: () => () => {}, isVisible: () => true },
  } satisfies Platform;
  const client = createProgressClient(
    { url: 'http://edge', transport: 'websocket', lingerMs: 1_000 },
    {
      platform,
      open: () => (_options, given) => {
        owner = given;
        const nothing = (): void => {};
        return {
          follow: (jobs) => void asked.push([...jobs]),
          ...{ unfollow: nothing, renew: () => true, ping: nothing, close: nothing },
        };
      },
    },
  );
  return {
    client,
    asked,
    say: (frame: Parameters<WireOwner['frame']>[0]) => owner?.frame(frame),
    async pass(ms: number) {
      clock.pass(ms);
      await settled();
    },
  };
}

test('G3 faults: a job that an edge has no room for now goes on where it was, after a wait; its page hears of no error', async () => {
  const { client, asked, say, pass } = await world();
  const job = client.job('job-1', { after: '7.e.s' });
  const errors: Error[] = [];
  job.addEventListener('error', ({ detail }) => errors.push(detail));
  await settled();
  await pass(100);
  say({
    ...{ type: 'hello', protocol: 'progress.v1', epoch: 'e', session: 's', scope: 'all' },
    heartbeat_ms: 60_000,
  });
  asked.length = 0;
  say({ type: 'error', code: 'overloaded', message: 'too many reads wait', processing_id: 'job-1' });
  await pass(1_900);
  expect(asked).toEqual([]);
  await pass(2_200);
  expect(asked).toEqual([[{ id: 'job-1', position: { seq: 7, epoch: 'e', scope: 's' } }]]);
  say({ type: 'following', processing_id: 'job-1', cursor: 9, scope: 's' });
  expect([errors, job.getSnapshot().error, job.getSnapshot().isCurrent]).toEqual([[], null, true]);
  client.close();
});

test('a job that nobody follows any more is not asked for again', async () => {
  const { client, asked, say, pass } = await world();
  const job = client.job('job-1');
  await settled();
  await pass(100);
  say({
    ...{ type: 'hello', protocol: 'progress.v1', epoch: 'e', session: 's', scope: 'all' },
    heartbeat_ms: 60_000,
  });
  asked.length = 0;
  say({ type: 'error', code: 'internal', message: 'not now', processing_id: 'job-1' });
  job.close();
  await pass(20_000);
  expect(asked).toEqual([]);
  client.close();
});
