/** What a proxy that is set up wrongly looks like, to a client and in the log: docs/guides/proxies.md has the same table. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { publish } from '../harness/publish.js';
import { nginxVersion, startPlainNginx } from '../harness/reverse-proxy.js';
import { sharedNats } from '../harness/shared-nats.js';
import { SseClient } from '../harness/sse-client.js';
import { waitFor, withTimeout } from '../harness/wait.js';

const shared = sharedNats();
const path = `/ws/upload-progress/${jobId()}`;
let edge: EdgeProcess;
beforeAll(async () => {
  edge = await startEdgeProcess({ natsUrl: shared.nats.url });
});
afterAll(() => edge?.[Symbol.asyncDispose]());

const pass = (lines = '') => `location / { proxy_pass http://127.0.0.1:${edge.port}; ${lines} }`;

/** From 1.29.7 on nginx speaks HTTP/1.1 to an edge by itself. */
const speaksNew = ([major = 0, minor = 0, patch = 0]: number[]): boolean =>
  major * 1e6 + minor * 1e3 + patch >= 1_029_007;

test('nothing but proxy_pass: 505 for everything, and the edge tells of it in its log', async () => {
  const old = speaksNew(await nginxVersion()) ? 'proxy_http_version 1.0;' : '';
  await using plain = await startPlainNginx(pass(old));
  const health = await fetch(`http://127.0.0.1:${plain.port}/livez`);
  expect([health.status, await health.text()]).toEqual([505, expect.stringContaining('HTTP/1.0')]);
  const socket = WsClient.connect(`ws://127.0.0.1:${plain.port}${path}`);
  await expect(socket).rejects.toMatchObject({ status: 505 });
  const lines = () => edge.logged('nothing that comes from one address can be read');
  const asksAgain = async (): Promise<boolean> => {
    await fetch(`http://127.0.0.1:${plain.port}/livez`);
    return lines().length > 0;
  };
  await waitFor(asksAgain, { what: 'the log line', timeoutMs: 20_000 });
  expect(lines()).toEqual([
    expect.objectContaining({
      address: '127.0.0.1',
      hint: expect.stringContaining('proxy_http_version 1.1'),
    }),
  ]);
});

test('HTTP/1.1, and a handshake that does not get through whole: 426, which says so', async () => {
  await using half = await startPlainNginx(
    pass('proxy_http_version 1.1; proxy_set_header Sec-WebSocket-Key "";'),
  );
  await expect(WsClient.connect(`ws://127.0.0.1:${half.port}${path}`)).rejects.toMatchObject({
    status: 426,
    body: expect.stringContaining('have a proxy in front pass the headers of the handshake on'),
  });
});

test.each([
  ['as it is by itself', ''],
  ['with gzip for everything', 'gzip on; gzip_types *; gzip_proxied any; gzip_min_length 0;'],
])('nginx that buffers holds no server-sent event back: %s', async (_what, lines) => {
  await using plain = await startPlainNginx(
    pass(`proxy_http_version 1.1; proxy_set_header Connection ""; ${lines}`),
  );
  const id = jobId();
  using client = new SseClient(`http://127.0.0.1:${plain.port}/sse/upload-progress/${id}`, {
    'accept-encoding': 'gzip',
  });
  await client.frame('caught_up');
  for (let i = 1; i <= 3; i++) {
    await publish(shared.nc, id, { progress: i });
    await waitFor(() => client.updates.length === i, { what: `event ${i} while the stream is open` });
  }
});

test('HTTP/1.1 and TLS are mistaken for each other: nothing comes of it, and the edge goes on', async () => {
  const pass = `location / { proxy_pass https://127.0.0.1:${edge.port}; proxy_http_version 1.1; }`;
  await using secure = await startPlainNginx(pass);
  await expect(WsClient.connect(`ws://127.0.0.1:${secure.port}${path}`)).rejects.toMatchObject({
    status: 502,
  });
  expect((await fetch(`${edge.http}/readyz`)).status).toBe(200);
});

test('Host without the port that the page was called by: 403 for pages of the edge’s own origin', async () => {
  const headers = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;';
  for (const [host, isOwn] of [
    ['$host', false],
    ['$http_host', true],
  ] as const) {
    const lines = `proxy_http_version 1.1; ${headers} proxy_set_header Host ${host};`;
    await using proxy = await startPlainNginx(pass(lines));
    const origin = `http://127.0.0.1:${proxy.port}`;
    const socket = WsClient.connect(`ws://127.0.0.1:${proxy.port}${path}`, { headers: { origin } });
    if (isOwn) await (await socket).close();
    else await expect(socket).rejects.toMatchObject({ status: 403 });
  }
});

test('an idle timeout below the heartbeats: 1006 again and again', async () => {
  const headers = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;';
  await using hasty = await startPlainNginx(
    pass(`proxy_http_version 1.1; ${headers} proxy_read_timeout 1s;`),
  );
  await using client = await WsClient.connect(`ws://127.0.0.1:${hasty.port}${path}`);
  expect((await withTimeout(client.closed, 10_000, 'the timeout')).code).toBe(1006);
});

test('with these lines it works', async () => {
  const headers = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;';
  await using whole = await startPlainNginx(pass(`proxy_http_version 1.1; ${headers}`));
  await using client = await WsClient.connect(`ws://127.0.0.1:${whole.port}${path}`);
  await client.next('hello');
});
