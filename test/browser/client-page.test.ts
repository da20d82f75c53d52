/** What only a browser does to a client: tabs that are hidden, frozen, reloaded, left and come back to, and a network that is off. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { DevTools } from '../harness/devtools.js';
import { freePorts } from '../harness/free-ports.js';
import { metric } from '../harness/metrics.js';
import { faultsOf, storedOf } from '../harness/progress-client/account.js';
import { ClientHost } from '../harness/progress-client/client-host.js';
import { Stage } from '../harness/progress-client/stage.js';
import { TabSeat } from '../harness/progress-client/tab-seat.js';
import { event, publishAll } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const nats = sharedNats({ stream: {} });
let browser: Browser;
let tools: DevTools;
let host: ClientHost;
beforeAll(async () => {
  const [port = 0] = await freePorts(1);
  browser = await launchChromium(port);
  tools = await DevTools.connect(port);
  host = await ClientHost.start();
});
afterAll(async () => {
  await tools?.[Symbol.asyncDispose]();
  await browser?.close();
  await host?.[Symbol.asyncDispose]();
});

/** A stage with a tab in a window of its own, which follows a job of one event as `h`. */
async function stageWithJob(client: { storage?: 'session' | 'local' } = {}) {
  const window = await tools.newWindow();
  onTestFinished(() => tools.closeWindow(window));
  const takeSeat = () => TabSeat.take(tools, window, host);
  const stage = await Stage.set({ nats, host, takeSeat });
  const [id = ''] = await stage.jobs(1);
  const { seat } = stage;
  const follow = async (on: TabSeat, handle: string): Promise<void> => {
    await on.call('client', 'c', { url: stage.url, ...client });
    await on.call('follow', handle, 'c', id);
  };
  await follow(seat, 'h');
  await seat.untilTold('h', ({ what }) => what === 'update', 'the first state');
  return {
    stage,
    seat,
    id,
    takeSeat,
    follow,
    [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
  };
}

/** The client waits for its next attempt, and no timer will end that. */
async function lose({ link, seat }: Stage<TabSeat>): Promise<void> {
  link.refuse();
  link.cut();
  await waitFor(async () => (await seat.call('connection', 'c')).connection === 'waiting', {
    what: 'the client to wait',
  });
  await seat.call('holdTimers', true);
  // An attempt that was under way ends in a wait.
  await waitFor(async () => (await seat.call('connection', 'c')).connection === 'waiting', {
    what: 'the client to wait',
  });
}

test('the device is offline and comes back: the client does not wait for its turn', async () => {
  await using set = await stageWithJob();
  const { stage, seat, id } = set;
  await seat.tab.setOffline(true);
  await lose(stage);
  await stage.link.accept();
  await stage.report(id);
  const last = await stage.report(id);
  await seat.tab.setOffline(false);
  await seat.untilShown('h', last);
  await seat.call('holdTimers', false);
  await seat.untilShown('h', await stage.report(id));
  await stage.expectComplete({ h: id });
});

test('a tab is hidden and shown again: the client does not wait for its turn', async () => {
  await using set = await stageWithJob();
  const { stage, seat, id, takeSeat } = set;
  await using other = await takeSeat();
  await seat.tab.until(`document.visibilityState === 'hidden'`);
  // Hidden it is told what comes, as ever.
  await seat.untilShown('h', await stage.report(id));
  await lose(stage);
  await stage.link.accept();
  await stage.report(id);
  const last = await stage.report(id);
  await seat.tab.toFront();
  await seat.tab.until(`document.visibilityState === 'visible'`);
  await seat.untilShown('h', last);
  await stage.expectComplete({ h: id });
  expect(other.errors).toEqual([]);
});

test('a tab is frozen for minutes and thawed: it is told everything that it missed', async () => {
  await using set = await stageWithJob();
  const { stage, seat, id } = set;
  for (let round = 0; round < 2; round++) {
    await seat.tab.setLifecycle('frozen');
    // Chromium may keep the socket or not; the network may not.
    if (round > 0) stage.link.cut();
    for (let i = 0; i < 5; i++) await stage.report(id);
    await seat.tab.setLifecycle('active');
    await seat.call('putForward', 180_000);
    await seat.untilShown('h', await stage.report(id));
    await seat.tab.toFront();
  }
  await stage.expectComplete({ h: id });
});

test('the user goes to another page and back: the page comes out of the back-forward cache and goes on', async () => {
  await using set = await stageWithJob();
  const { stage, seat, id } = set;
  await seat.untilShown('h', await stage.report(id));
  for (let round = 0; round < 2; round++) {
    await seat.leave();
    // Chromium alone would keep it open, and other browsers would not keep the page.
    await waitFor(async () => (await metric(stage.edge.http, 'headway_connections')) === 0, {
      what: 'the socket of a page that is left to be closed',
    });
    for (let i = 0; i < 5; i++) await stage.report(id);
    expect(await seat.comeBack()).toBe(true);
    await seat.untilShown('h', await stage.report(id));
  }
  await stage.expectComplete({ h: id });
  expect(await metric(stage.edge.http, 'headway_connections')).toBe(1);
});

test('a reload with sessionStorage: the last state is there before the network is, and what was missed follows', async () => {
  await using set = await stageWithJob({ storage: 'session' });
  const { stage, seat, id, follow } = set;
  const last = await stage.report(id);
  await seat.untilShown('h', last);
  stage.link.refuse();
  stage.link.cut();
  for (let i = 0; i < 5; i++) await stage.report(id);
  await seat.reload();
  await follow(seat, 'again');
  // Without the network.
  await waitFor(async () => (await seat.call('snapshot', 'again')).seq === last, { what: 'the last state' });
  expect(await seat.call('snapshot', 'again')).toMatchObject({ isCurrent: false });
  await stage.link.accept();
  await seat.untilShown('again', await stage.report(id));
  await seat.untilShown('again', await stage.report(id));
  const stored = await storedOf(stage.nc, id);
  const shown = (await seat.told('again')).filter(({ seq, what }) => what !== 'update' || seq !== last);
  expect(faultsOf(shown, stored, last)).toEqual([]);
  const before = await seat.told('h');
  expect(
    faultsOf(
      before,
      stored.filter(({ seq }) => seq <= last),
    ),
  ).toEqual([]);
  expect(shown.filter(({ what }) => what === 'reset')).toEqual([]);
  // Its end is not forgotten by a reload either.
  const end = await stage.report(id, { status: 'completed' });
  await seat.untilTold('again', ({ what }) => what === 'done', 'the end');
  await seat.reload();
  await follow(seat, 'after');
  await seat.untilTold('after', ({ what }) => what === 'done', 'the end');
  expect(await seat.call('snapshot', 'after')).toMatchObject({ seq: end, isEnded: true });
  expect(seat.errors).toEqual([]);
});

test('two tabs that share a storage are each told everything', async () => {
  await using set = await stageWithJob({ storage: 'local' });
  const { stage, seat, id, takeSeat, follow } = set;
  const { link } = stage;
  await using other = await takeSeat();
  await follow(other, 'other');
  await other.untilTold('other', ({ what }) => what === 'update', 'the first state').catch(() => undefined);
  for (let round = 0; round < 3; round++) {
    link.cut();
    await stage.report(id);
    const last = await stage.report(id);
    await seat.untilShown('h', last);
    await other.untilShown('other', last);
  }
  await stage.expectComplete({ h: id });
  expect(faultsOf(await other.told('other'), await storedOf(stage.nc, id), null)).toEqual([]);
  expect(await metric(stage.edge.http, 'headway_connections')).toBe(2);
  expect(other.errors).toEqual([]);
});

/** An hour of ten jobs that report each second, and of a network that breaks each minute. */
const HOUR = { jobs: 10, minutes: 60, warmUpMinutes: 12, perMinute: 60 };

test('memory: an hour of traffic, with a cut each minute and parts of the page that come and go, leaves the heap as it was', async () => {
  await using set = await stageWithJob();
  const { stage, seat } = set;
  const ids = await stage.jobs(HOUR.jobs);
  for (const id of ids) await seat.call('follow', id, 'c', id, { quiet: true });
  const isTold = async (each: number) =>
    await waitFor(
      async () => {
        const counts = await seat.call('counts');
        return ids.every((id) => (counts[id] ?? 0) >= each);
      },
      { what: `${each} updates of each job`, timeoutMs: 10_000 },
    );
  await isTold(1);
  let heap = 0;
  for (let minute = 1; minute <= HOUR.minutes; minute++) {
    const all = Array.from({ length: HOUR.perMinute }, (_, second) =>
      ids.map((id) => event(id, { progress: second, message: `second ${second}` })),
    );
    const half = all.length / 2;
    await seat.call('putForward', 60_000);
    await publishAll(stage.nc, all.slice(0, half).flat());
    stage.link.cut();
    await publishAll(stage.nc, all.slice(half).flat());
    await seat.call('follow', 'part', 'c', ids[0] as string, { quiet: true });
    await isTold(1 + minute * HOUR.perMinute);
    await seat.call('close', 'part');
    if (minute === HOUR.warmUpMinutes) heap = await seat.tab.heapBytes();
  }
  const counts = await seat.call('counts');
  const each = 1 + HOUR.minutes * HOUR.perMinute;
  expect(ids.map((id) => counts[id])).toEqual(ids.map(() => each));
  const faults = (await seat.call('told')).filter(({ what }) => what === 'fault' || what === 'reset');
  expect(faults).toEqual([]);
  expect(await seat.tab.heapBytes()).toBeLessThan(1.5 * heap);
  expect(seat.errors).toEqual([]);
}, 120_000);
