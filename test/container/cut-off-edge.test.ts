import { expect, test } from 'vitest';
import { measured, Scene } from '../chaos/workload.js';
import { type Container, Network } from '../harness/container.js';
import { containers } from '../harness/nats-container.js';
import { startNats } from '../harness/nats-server.js';
import { waitFor } from '../harness/wait.js';
import { startEdgeContainer } from './edge-container.js';

/** The bound that an edge is held to for noticing silence; it takes about 3 s. */
const NOTICED_WITHIN_MS = 20_000;

test.each(['nats', 'edge'] as const)(
  'G3 faults: packets between an edge and NATS are dropped (%s loses its network): clients stay and are told, and get all of it afterwards',
  async (side) => {
    await using outside = await Network.create(false);
    await using inside = await Network.create(true);
    let server: Container | undefined;
    // Clients and workers come from outside; the edge reaches NATS by the network inside, and only there.
    const site = containers(
      [
        { network: outside, alias: 'outside-nats' },
        { network: inside, alias: 'nats' },
      ],
      (container) => {
        server = container;
      },
    );
    await using nats = await startNats({}, site);
    const places = [
      { network: outside, alias: 'outside-edge' },
      { network: inside, alias: 'edge' },
    ];
    await using edge = await startEdgeContainer(places, {
      NATS_URL: 'nats://nats:4222',
      HEADWAY_HEARTBEAT_MS: '200',
    });
    await using scene = await Scene.start(nats.url, () => edge.ws);
    const readiness = async () => (await fetch(`${edge.http}/readyz`)).status;
    const victim = side === 'edge' ? edge.container : (server as Container);

    await victim.cut(inside);
    const cutAt = performance.now();
    await waitFor(async () => (await readiness()) === 503, {
      what: 'the edge notices',
      timeoutMs: NOTICED_WITHIN_MS,
    });
    measured(
      `${side} cut off, until the edge says that it is not ready`,
      Math.round(performance.now() - cutAt),
    );
    await scene.all.until(({ heartbeats }) => heartbeats.at(-1)?.feed === 'away', 'a heartbeat that says so');
    // Workers go on meanwhile, and are acknowledged.
    const [acknowledged, seen] = [scene.acknowledged, scene.all.updates.length];
    await waitFor(() => scene.acknowledged > acknowledged + 200, {
      what: 'workers go on',
      timeoutMs: 30_000,
    });
    expect(scene.all.updates.length).toBe(seen);
    expect(await readiness()).toBe(503);
    expect((await fetch(`${edge.http}/livez`)).status).toBe(200);

    await victim.heal(inside);
    const healedAt = performance.now();
    await waitFor(async () => (await readiness()) === 200, { what: 'the edge is back', timeoutMs: 60_000 });
    measured('healed, until it follows the stream', Math.round(performance.now() - healedAt));
    await scene.flowing();
    const { events } = await scene.finish();
    expect(events).toBeGreaterThan(240);
    for (const follower of [...scene.followers, scene.all]) expect(follower.connects).toBe(1);
  },
  150_000,
);
