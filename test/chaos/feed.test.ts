import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { measured, notReady, recovery, Scene } from './workload.js';

const STREAM = 'PROGRESS';

test('G3 faults: nats-server killed with -9 and started again, in the middle of 20 jobs', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_HEARTBEAT_MS: '200' } });
  await using scene = await Scene.start(nats.url, () => edge.ws);
  await nats.kill();
  await notReady(edge);
  // Clients stay connected meanwhile, and are told.
  await scene.all.until(({ heartbeats }) => heartbeats.at(-1)?.feed === 'away', 'a heartbeat that says so');
  await nats.start();
  measured('nats-server killed and back, until the edge follows', await recovery(edge));
  await scene.flowing();
  const { events } = await scene.finish();
  expect(events).toBeGreaterThan(40);
  for (const follower of [...scene.followers, scene.all]) expect(follower.connects).toBe(1);
});

test('G3 faults: the edge’s consumer is deleted under it', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_EDGE_ID: 'victim' } });
  await using scene = await Scene.start(nats.url, () => edge.ws);
  const nc = await connectNats(nats.url);
  const jsm = await nc.jetstreamManager();
  const startedAt = performance.now();
  await jsm.consumers.delete(STREAM, 'edge-victim');
  await scene.flowing();
  measured('consumer deleted, until events flow again', Math.round(performance.now() - startedAt));
  await scene.finish();
  await nc.close();
});

test('G3 faults: the link between edge and NATS is cut, again and again', async () => {
  await using nats = await startNats();
  await using link = await startTcpProxy(nats.port);
  await using edge = await startEdgeProcess({ natsUrl: `nats://127.0.0.1:${link.port}` });
  await using scene = await Scene.start(nats.url, () => edge.ws);
  for (let i = 0; i < 5; i++) {
    link.cut(i % 2 === 0 ? 'reset' : 'fin');
    await scene.flowing();
  }
  await scene.finish();
});

test('G3 faults: the link between edge and NATS stalls without closing', async () => {
  await using nats = await startNats();
  await using link = await startTcpProxy(nats.port);
  await using edge = await startEdgeProcess({ natsUrl: `nats://127.0.0.1:${link.port}` });
  await using scene = await Scene.start(nats.url, () => edge.ws);
  link.stall();
  const startedAt = performance.now();
  await notReady(edge);
  measured('link stalled, until the edge notices', Math.round(performance.now() - startedAt));
  link.flow();
  measured('link flows again, until the edge follows', await recovery(edge));
  await scene.flowing();
  await scene.finish();
});

test('G3 faults: bytes arrive late and in pieces between edge and NATS, and between client and edge', async () => {
  await using nats = await startNats();
  await using link = await startTcpProxy(nats.port);
  await using edge = await startEdgeProcess({ natsUrl: `nats://127.0.0.1:${link.port}` });
  await using front = await startTcpProxy(edge.port);
  await using scene = await Scene.start(nats.url, () => `ws://127.0.0.1:${front.port}`, 5);
  link.splitBytes(7);
  front.splitBytes(3);
  front.delay(5);
  await scene.flowing();
  front.cut('reset');
  await scene.flowing();
  await scene.finish();
});

test('G3 faults: nats-server frozen and thawed', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  await using scene = await Scene.start(nats.url, () => edge.ws);
  await nats.freeze();
  const startedAt = performance.now();
  await notReady(edge);
  measured('nats-server frozen, until the edge notices', Math.round(performance.now() - startedAt));
  await nats.thaw();
  measured('nats-server thawed, until the edge follows', await recovery(edge));
  await scene.flowing();
  await scene.finish();
});

test('G3 faults: nats-server goes away in lame-duck mode and comes back', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  await using scene = await Scene.start(nats.url, () => edge.ws);
  await nats.lameDuck();
  await nats.exited;
  await nats.start();
  measured('lame-duck server back, until the edge follows', await recovery(edge));
  await scene.flowing();
  await scene.finish();
});

test('G5 stale cursors: the stream is deleted under edge and clients; a new epoch, a reset for everyone, and all go on', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  await using scene = await Scene.start(nats.url, () => edge.ws, 5);
  const before = scene.all.epoch;
  const nc = await connectNats(nats.url);
  const jsm = await nc.jetstreamManager();
  await jsm.streams.delete(STREAM);
  const everyone = [...scene.followers, scene.all];
  await Promise.all(everyone.map((one) => one.until(({ resets }) => resets.length > 0, 'a reset', 60_000)));
  for (const follower of everyone) {
    expect(follower.resets[0]?.reason).toBe('epoch');
    expect(follower.epoch).not.toBe(before);
    expect(follower.connects).toBe(1);
  }
  await scene.flowing();
  await scene.finish({ resetsAllowed: true });
  await nc.close();
});

test('G5 stale cursors: the stream is purged under edge and clients; whoever had everything goes on without a reset', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  await using scene = await Scene.start(nats.url, () => edge.ws, 5);
  const nc = await connectNats(nats.url);
  const jsm = await nc.jetstreamManager();
  await jsm.streams.purge(STREAM);
  await scene.flowing();
  await scene.finish({ resetsAllowed: true });
  await nc.close();
});

test('a nats-server that an edge needs may be down for longer than any timeout', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_HEARTBEAT_MS: '200' } });
  await using scene = await Scene.start(nats.url, () => edge.ws, 3);
  await nats.stop();
  await notReady(edge);
  const away = scene.all.heartbeats.length;
  await waitFor(() => scene.all.heartbeats.length > away + 40, {
    what: '40 heartbeats without NATS',
    timeoutMs: 30_000,
  });
  await nats.start();
  measured('nats-server back after 8 s, until the edge follows', await recovery(edge));
  await scene.flowing();
  await scene.finish();
});
