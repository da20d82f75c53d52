/** What a client gets through nginx, HAProxy and Caddy, set up as deploy/proxies/ says. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { edgeHasRead } from '../harness/edge-head.js';
import { jobId } from '../harness/ids.js';
import { makeSite, ProxiedEdges, type Site } from '../harness/proxied-edges.js';
import { publish } from '../harness/publish.js';
import { PROXIES } from '../harness/reverse-proxy.js';
import { sharedNats } from '../harness/shared-nats.js';
import { SseClient } from '../harness/sse-client.js';
import { bearer, bearerProtocol, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor, withTimeout } from '../harness/wait.js';

const WS = '/ws/upload-progress';
/** The longest token that an edge takes, in characters. */
const LONGEST_TOKEN = 8_192;

const shared = sharedNats();
let site: Site;
beforeAll(async () => {
  site = await makeSite();
});

describe.each(PROXIES)('%s', (proxy) => {
  let open: ProxiedEdges;
  beforeAll(async () => {
    open = await ProxiedEdges.start({ proxy, site, natsUrl: shared.nats.url });
  });
  afterAll(() => open?.[Symbol.asyncDispose]());

  test('G2 state first: an upgrade gets hello and the last state, under our subprotocol', async () => {
    const id = jobId();
    const seq = await publish(shared.nc, id, { progress: 10 });
    await using client = await open.connect(`${WS}/${id}`, { protocols: ['progress.v1'] });
    expect(client.protocol).toBe('progress.v1');
    await client.next('hello');
    expect(await client.next('progress_update')).toMatchObject({ seq, processing_id: id, progress: 10 });
    // Live, in both directions.
    await client.until(({ type }) => type === 'caught_up');
    client.send({ type: 'ping' });
    await client.until(({ type }) => type === 'pong');
    const next = await publish(shared.nc, id, { progress: 20 });
    expect(await client.updates(1)).toMatchObject([{ seq: next, progress: 20 }]);
  });

  test('G10 any edge: a client that comes back gets exactly what it missed', async () => {
    const id = jobId();
    const first = await publish(shared.nc, id, { progress: 1 });
    await using before = await open.connect(`${WS}/${id}`);
    await before.updates(1);
    before.drop();
    const missed = [
      await publish(shared.nc, id, { progress: 2 }),
      await publish(shared.nc, id, { progress: 3 }),
    ];
    await using after = await open.connect(`${WS}/${id}?last_seq=${first}&epoch=${before.epoch}`);
    await after.until(({ type }) => type === 'caught_up');
    expect(after.seen().map(({ seq }) => seq)).toEqual(missed);
  });

  test('server-sent events arrive one by one, and Last-Event-ID resumes', async () => {
    const id = jobId();
    const address = `${open.proxy.https}/sse/upload-progress/${id}`;
    const stored: number[] = [];
    {
      using client = new SseClient(address, {}, site.ca);
      await client.frame('caught_up');
      for (let i = 1; i <= 3; i++) {
        stored.push(await publish(shared.nc, id, { progress: i }));
        await waitFor(() => client.updates.length === i, { what: `event ${i} while the stream is open` });
      }
      stored.push(await publish(shared.nc, id, { progress: 4 }));
      for (const { http } of open.edges) await edgeHasRead(http, shared.nc);
      await waitFor(() => client.updates.length === 4, { what: 'the last one' });
      const { lastEventId } = client;
      const missed = await publish(shared.nc, id, { progress: 5 });
      for (const { http } of open.edges) await edgeHasRead(http, shared.nc);
      using back = new SseClient(address, { 'last-event-id': lastEventId }, site.ca);
      await back.frame('caught_up');
      expect([client.updates.slice(0, 4), back.updates]).toEqual([stored, [missed]]);
    }
  });

  test('close codes and the reasons before them pass through', async () => {
    await using bad = await open.connect(`${WS}/${jobId()}?last_seq=-1`);
    expect(await bad.next('error')).toMatchObject({ code: 'invalid_last_seq' });
    expect((await bad.ended()).code).toBe(4400);
    const id = jobId();
    await publish(shared.nc, id, { status: 'completed', progress: 100 });
    await using ended = await open.connect(`${WS}/${id}`);
    await ended.until(({ type }) => type === 'end');
    expect((await ended.ended()).code).toBe(1000);
  });

  test('a page of the edge’s own origin may connect, and no other', async () => {
    const own = open.proxy.https;
    await using page = await open.connect(`${WS}/${jobId()}`, { headers: { origin: own } });
    await page.next('hello');
    for (const origin of ['https://evil.example.com', own.replace('https', 'http')]) {
      await expect(open.connect(`${WS}/${jobId()}`, { headers: { origin } })).rejects.toMatchObject({
        status: 403,
        body: expect.stringContaining('HEADWAY_ALLOWED_ORIGINS'),
      });
    }
  });

  test('a job’s last state over HTTP, for GET and HEAD; what is for operators is not there', async () => {
    const id = jobId();
    const seq = await publish(shared.nc, id, { progress: 30 });
    for (const edge of open.edges) await edgeHasRead(edge.http, shared.nc);
    const get = await open.ask(`/v1/jobs/${id}`);
    expect([get.status, JSON.parse(get.body)]).toMatchObject([200, { seq, progress: 30 }]);
    const head = await open.ask(`/v1/jobs/${id}`, 'HEAD');
    expect([head.status, head.body]).toEqual([200, '']);
    expect(head.headers['content-type']).toBe('application/json');
    expect((await open.ask(`/v1/jobs/${jobId()}`)).status).toBe(404);
    expect(JSON.parse((await open.ask('/v1/jobs/a.b')).body)).toMatchObject({
      code: 'invalid_processing_id',
    });
    for (const path of ['/metrics', '/livez', '/readyz', '/assets', '/index.html']) {
      const { status, body } = await open.ask(path);
      expect([path, status]).toEqual([path, 404]);
      expect(body).not.toContain('headway_');
    }
  });

  test('the dashboard passes, each of its files, compressed where the browser takes that', async () => {
    const page = await open.ask('/');
    expect(page.status).toBe(200);
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    const files = [...page.body.matchAll(/"\.?\/?(assets\/[^"]+)"/g)].map(([, path]) => `/${path}`);
    expect(files.length).toBeGreaterThan(1);
    for (const path of files) {
      expect([path, (await open.ask(path)).status]).toEqual([path, 200]);
      const { headers } = await open.ask(path, 'HEAD', { 'accept-encoding': 'gzip' });
      expect([path, headers['content-encoding']]).toEqual([path, 'gzip']);
    }
    expect((await open.ask('/assets/none.js')).body).toContain('the dashboard has no such file');
  });

  test('tokens pass, by header and by subprotocol, also the longest', async () => {
    await using closed = await ProxiedEdges.start({
      proxy,
      site,
      natsUrl: shared.nats.url,
      edges: 1,
      env: JWT_ENV,
    });
    const id = jobId();
    await publish(shared.nc, id);
    const short = await mint({ jobs: [id] });
    const filled = async (length: number) => await mint({ jobs: [id], filler: 'x'.repeat(length) });
    // Three bytes are four characters.
    const room = Math.floor(((LONGEST_TOKEN - (await filled(0)).length) * 3) / 4) - 2;
    const longest = await filled(room);
    expect(longest.length).toBeGreaterThan(LONGEST_TOKEN - 8);
    for (const token of [short, longest]) {
      for (const how of [bearer(token), bearerProtocol(token)]) {
        await using client = await closed.connect(`${WS}/${id}`, how);
        await client.updates(1);
      }
    }
    expect((await closed.ask(`/v1/jobs/${id}`, 'GET', bearer(longest).headers)).status).toBe(200);
    expect((await closed.ask(`/v1/jobs/${id}`)).status).toBe(401);
    await using without = await closed.connect(`${WS}/${id}`);
    expect((await without.ended()).code).toBe(4401);
  });
});

describe.each(['nginx', 'haproxy'] as const)('%s, an idle timeout of 2 s', (proxy) => {
  const start = (heartbeatMs: string) =>
    ProxiedEdges.start({
      proxy,
      site,
      natsUrl: shared.nats.url,
      edges: 1,
      idleSeconds: 2,
      env: { HEADWAY_HEARTBEAT_MS: heartbeatMs },
    });

  test('cuts a connection whose heartbeats are further apart, and none whose are nearer', async () => {
    await using rare = await start('300000');
    await using often = await start('500');
    await using cut = await rare.connect(`${WS}/${jobId()}`);
    await using kept = await often.connect(`${WS}/${jobId()}`);
    expect((await withTimeout(cut.closed, 20_000, 'the timeout')).code).toBe(1006);
    // As long again: what had to happen within 2 s has happened.
    let beats = 0;
    await kept.until(({ type }) => type === 'heartbeat' && ++beats === 10, { timeoutMs: 20_000 });
  });
});

test('caddy: an idle connection stands', async () => {
  await using edges = await ProxiedEdges.start({
    proxy: 'caddy',
    site,
    natsUrl: shared.nats.url,
    edges: 1,
  });
  await using client = await edges.connect(`${WS}/${jobId()}`);
  let beats = 0;
  await client.until(({ type }) => type === 'heartbeat' && ++beats === 10, { timeoutMs: 20_000 });
});
