import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { startNats } from '../harness/nats-server.js';
import { waitFor } from '../harness/wait.js';
import { measured, notReady, recovery, Scene } from './workload.js';

/** Workers need no credentials; the edge has some. */
const accounts = (password: string) => `
  authorization {
    users: [ { user: worker, password: w }, { user: edge, password: ${password} } ]
  }
  no_auth_user: worker`;

test('G3 faults: NATS refuses the edge’s credentials for a while and takes them again, in the middle of 20 jobs', async () => {
  const options = { config: accounts('right') };
  await using nats = await startNats(options);
  await using edge = await startEdgeProcess({
    natsUrl: nats.url.replace('nats://', 'nats://edge:right@'),
    env: { HEADWAY_HEARTBEAT_MS: '200' },
  });
  await using scene = await Scene.start(nats.url, () => edge.ws);
  const refusals = () => nats.log().match(/authentication error/gi)?.length ?? 0;
  expect(refusals()).toBe(0);

  options.config = accounts('wrong');
  await nats.restart();
  // The package `nats` gives up at the second refusal in a row unless it is told not to.
  await waitFor(() => refusals() >= 5, { what: 'the edge is refused again and again', timeoutMs: 30_000 });
  await notReady(edge);
  await scene.all.until(({ heartbeats }) => heartbeats.at(-1)?.feed === 'away', 'a heartbeat that says so');

  options.config = accounts('right');
  await nats.restart();
  measured('credentials taken again, until the edge follows', await recovery(edge));
  await scene.flowing();
  const { events } = await scene.finish();
  expect(events).toBeGreaterThan(40);
  for (const follower of [...scene.followers, scene.all]) expect(follower.connects).toBe(1);
});
