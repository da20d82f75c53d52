/** Server-sent events in Chromium, with its own EventSource and nothing else. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium, PageServer } from '../harness/browser.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { freePorts } from '../harness/free-ports.js';
import { jobId } from '../harness/ids.js';
import { startTcpProxy } from '../harness/proxy.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
let browser: Browser;
let server: PageServer;
beforeAll(async () => {
  browser = await launchChromium();
  server = await PageServer.start();
});
afterAll(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
});

/** What a page writes that follows a job by server-sent events. */
const FOLLOW = `(url) => {
  window.types = []; window.seqs = []; window.states = [];
  window.source = new EventSource(url);
  source.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    types.push(frame.type);
    if (frame.type === 'progress_update') seqs.push(frame.seq);
  };
  source.onerror = () => states.push(source.readyState);
}`;
const seqs = async (page: Page): Promise<number[]> => await page.evaluate('seqs');

test('G1 order, G3 faults, G6 the end: EventSource from a page of a listed origin, over cuts and a new edge', async () => {
  const env = { HEADWAY_ALLOWED_ORIGINS: server.origin };
  // One that is named: a port that the system chose cannot be taken again at once.
  const [port = 0] = await freePorts(1);
  let edge = await startEdgeProcess({ natsUrl: shared.nats.url, env, port });
  await using link = await startTcpProxy(edge.port);
  const page = await browser.newPage();
  try {
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(server.origin);
    const id = jobId();
    const stored = [await publish(shared.nc, id, { progress: 1 })];
    await edgeHasRead(edge.http, shared.nc);
    await page.evaluate(`(${FOLLOW})('http://${link.host}/sse/upload-progress/${id}')`);
    await waitFor(async () => (await seqs(page)).length === 1, { what: 'the first state' });
    for (const how of ['cut', 'new edge', 'cut'] as const) {
      if (how === 'new edge') {
        await edge.kill();
        stored.push(await publish(shared.nc, id, { progress: 2 }));
        edge = await startEdgeProcess({ natsUrl: shared.nats.url, env, port });
      } else {
        link.cut();
        for (let i = 0; i < 3; i++) stored.push(await publish(shared.nc, id, { progress: 2 }));
      }
      await waitFor(async () => (await seqs(page)).length >= stored.length, {
        what: `everything after ${how}`,
        timeoutMs: 30_000,
      });
    }
    stored.push(await publish(shared.nc, id, { status: 'completed', progress: 100 }));
    // 2: it has stopped for good, and not come back again.
    await waitFor(async () => (await page.evaluate('source.readyState')) === 2, {
      what: 'the browser to stop',
      timeoutMs: 30_000,
    });
    expect(await seqs(page)).toEqual(stored);
    const types: string[] = await page.evaluate('types');
    expect(types).not.toContain('reset');
    expect(types.filter((type) => type === 'end')).toHaveLength(1);
    expect(errors).toEqual([]);
  } finally {
    await page.close();
    await edge.kill();
  }
}, 120_000);

test('G1 order, G3 faults, G6 the end: EventSource with three jobs on one stream, over cuts and a new edge', async () => {
  const env = { HEADWAY_ALLOWED_ORIGINS: server.origin };
  const [port = 0] = await freePorts(1);
  let edge = await startEdgeProcess({ natsUrl: shared.nats.url, env, port });
  await using link = await startTcpProxy(edge.port);
  const page = await browser.newPage();
  try {
    await page.goto(server.origin);
    const ids = [jobId(), jobId(), jobId()];
    const stored: number[] = [];
    const report = async (fields: Record<string, unknown>) => {
      for (const id of ids) stored.push(await publish(shared.nc, id, fields));
    };
    const shown = async (what: string) =>
      await waitFor(async () => (await seqs(page)).length >= stored.length, { what, timeoutMs: 30_000 });
    await report({ progress: 1 });
    await edgeHasRead(edge.http, shared.nc);
    const query = ids.map((id) => `processing_id=${id}`).join('&');
    await page.evaluate(`(${FOLLOW})('http://${link.host}/sse/upload-progress?${query}')`);
    await shown('the first states');
    for (const how of ['cut', 'new edge', 'cut'] as const) {
      if (how === 'new edge') {
        await edge.kill();
        await report({ progress: 2 });
        edge = await startEdgeProcess({ natsUrl: shared.nats.url, env, port });
      } else {
        link.cut();
        await report({ progress: 2 });
        await report({ progress: 3 });
      }
      await shown(`everything after ${how}`);
      await report({ progress: 4 });
      await shown(`what is new after ${how}`);
    }
    await report({ status: 'completed', progress: 100 });
    // 2: it has stopped for good, and not come back again.
    await waitFor(async () => (await page.evaluate('source.readyState')) === 2, {
      what: 'the browser to stop',
      timeoutMs: 30_000,
    });
    const all = await seqs(page);
    // None is lost and none is doubled; across jobs they come in whatever order a turn has them.
    expect(all.toSorted((a, b) => a - b)).toEqual(stored);
    const types: string[] = await page.evaluate('types');
    expect(types).not.toContain('reset');
    expect(types.filter((type) => type === 'end')).toHaveLength(ids.length);
  } finally {
    await page.close();
    await edge.kill();
  }
}, 120_000);
