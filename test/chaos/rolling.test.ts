import { expect, test } from 'vitest';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, storedEvents } from '../harness/publish.js';
import { Recorder } from './recorder.js';
import { measured, Scene } from './workload.js';

const STREAM = 'PROGRESS';
const CLIENTS = 200;
const DRAIN_MS = 1_000;
const SLOT_MS = 100;

test('G3 faults, G10 any edge: two edges restarted one after the other under load; clients leave spread over the window and miss nothing', async () => {
  await using nats = await startNats();
  const start = (id: string): Promise<EdgeProcess> =>
    startEdgeProcess({
      natsUrl: nats.url,
      env: { HEADWAY_EDGE_ID: id, HEADWAY_DRAIN_MS: String(DRAIN_MS), HEADWAY_HEARTBEAT_MS: '500' },
    });
  const edges: EdgeProcess[] = [];
  await using _all = {
    [Symbol.asyncDispose]: () => Promise.all(edges.map((edge) => edge.kill())).then(() => {}),
  };
  const started = async (id: string): Promise<EdgeProcess> => {
    const edge = await start(id);
    edges.push(edge);
    return edge;
  };
  /** What a balancer would send clients to. */
  let serving: EdgeProcess[] = await Promise.all([started('a'), started('b')]);
  let turn = 0;
  const base = (): string => (serving[turn++ % serving.length] as EdgeProcess).ws;

  await using scene = await Scene.start(nats.url, base);
  const riders = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, index) => {
      const id = scene.ids[index % scene.ids.length] as string;
      const rider = new Recorder(`rider ${index} (${id})`, { kind: 'job', id });
      await rider.connect(base());
      return rider;
    }),
  );
  let isOver = false;
  const riding = riders.map(async (rider) => {
    while (!isOver && !rider.hasEnded) {
      if (!rider.isOpen) await rider.connect(base());
      await rider.change(100);
    }
  });

  for (const id of ['a', 'b']) {
    const [leaving, staying] = serving as [EdgeProcess, EdgeProcess];
    const before = riders.map(({ record }) => record.length);
    serving = [staying];
    const startedAt = performance.now();
    expect(await leaving.stop()).toBe(0);
    measured(`SIGTERM to edge ${id}, until it is gone`, Math.round(performance.now() - startedAt));
    // All that is left is on the edge that stays.
    await scene.flowing();
    const closes = riders.flatMap((rider, index) => departure(rider, before[index] ?? 0, startedAt));
    expect(closes.length).toBeGreaterThanOrEqual(CLIENTS / 2 - 10);
    expectSpread(closes);
    serving = [staying, await started(`${id}-again`)];
    await scene.flowing();
  }

  const { events } = await scene.finish();
  for (const rider of riders) {
    for (let waited = 0; !rider.hasEnded && waited < 100; waited++) await rider.change(100);
    expect(rider.hasEnded, rider.describe()).toBe(true);
  }
  isOver = true;
  await Promise.all(riding);

  const nc = await connectNats(nats.url);
  const stored = await storedEvents(nc, STREAM);
  await nc.close();
  let checked = 0;
  for (const rider of riders) checked += expectWhole(rider, stored);
  process.stdout.write(`    ${events} events stored, ${checked} updates of ${CLIENTS} clients checked\n`);
}, 180_000);

/** When a client was told to go, and how: nothing for one that stayed. */
function departure(rider: Recorder, from: number, startedAt: number): { ms: number; code: number }[] {
  const since = rider.record.slice(from);
  const closed = since.findIndex((one) => one.what === 'closed');
  if (closed < 0) return [];
  const told = since.findIndex((one) => one.what === 'frame' && one.frame.type === 'draining');
  expect(told, `${rider.name} was told before it was closed`).toBeGreaterThanOrEqual(0);
  expect(told).toBeLessThan(closed);
  const frame = since[told];
  if (frame?.what === 'frame') expect(frame.frame.reconnect_within_ms).toBe(DRAIN_MS);
  const end = since[closed];
  return end?.what === 'closed' ? [{ ms: end.at - startedAt, code: end.code }] : [];
}

function expectSpread(closes: { ms: number; code: number }[]): void {
  const slots = new Map<number, number>();
  for (const { ms, code } of closes) {
    expect(code).toBe(1012);
    const slot = Math.floor(ms / SLOT_MS);
    slots.set(slot, (slots.get(slot) ?? 0) + 1);
  }
  const counts = [...slots].sort(([a], [b]) => a - b);
  const shown = counts.map(([slot, count]) => `${slot * SLOT_MS}: ${count}`).join(', ');
  process.stdout.write(`    ${closes.length} clients left, by ms after SIGTERM: ${shown}\n`);
  // Even would be a tenth in each. This process may itself be late to see them, but never for all of the window.
  expect(Math.max(...slots.values())).toBeLessThan((closes.length * 3) / 4);
  expect(slots.size).toBeGreaterThanOrEqual(4);
}

/** Every event of the job from the client's first one on, once each, in order, prev_seq right, and no reset. */
function expectWhole(rider: Recorder, stored: { seq: number; subject: string }[]): number {
  const frames = rider.record.flatMap((one) => (one.what === 'frame' ? [one.frame] : []));
  expect(frames.filter(({ type }) => type === 'reset' || type === 'error')).toEqual([]);
  const seen = frames.filter(({ type }) => type === 'progress_update');
  const { scope } = rider;
  const own = stored.filter(({ subject }) => scope.kind === 'job' && subject === `progress.${scope.id}`);
  const first = own.findIndex(({ seq }) => seq === seen[0]?.seq);
  expect(first).toBeGreaterThanOrEqual(0);
  expect(seen.map(({ seq }) => seq)).toEqual(own.slice(first).map(({ seq }) => seq));
  for (const [index, { prev_seq }] of seen.entries()) {
    if (prev_seq !== null) expect(prev_seq).toBe(own[first + index - 1]?.seq ?? 0);
  }
  return seen.length;
}
