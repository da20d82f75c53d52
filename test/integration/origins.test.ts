/** Which pages may connect. What is no browser sends no Origin, and passes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HandshakeRefused, WsClient } from '../harness/client.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { metric } from '../harness/metrics.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';
import { bearer, JWT_ENV, mint } from '../harness/tokens.js';

const WS = '/ws/upload-progress';
const LISTED = 'https://app.example.com';

let nats: NatsServer;
let edge: LocalEdge;
/** An edge that takes this machine for its proxy. */
let behindProxy: LocalEdge;

beforeAll(async () => {
  nats = await startNats();
  const env = { HEADWAY_DRAIN_MS: '0', HEADWAY_ALLOWED_ORIGINS: `${LISTED}, http://localhost:5173` };
  edge = await startLocalEdge(nats.url, env);
  behindProxy = await startLocalEdge(nats.url, { ...env, HEADWAY_TRUSTED_PROXIES: '127.0.0.0/8' });
});

afterAll(async () => {
  await behindProxy[Symbol.asyncDispose]();
  await edge[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
});

/** 'hello', or the refusal. */
async function firstFrame(
  headers: Record<string, string>,
  at: LocalEdge = edge,
): Promise<HandshakeRefused | string> {
  try {
    await using client = await WsClient.connect(`${at.ws}${WS}`, { headers });
    return (await client.next()).type;
  } catch (error) {
    if (error instanceof HandshakeRefused) return error;
    throw error;
  }
}

async function expectRefused(headers: Record<string, string>, at: LocalEdge = edge): Promise<void> {
  const refusal = await firstFrame(headers, at);
  if (!(refusal instanceof HandshakeRefused)) throw new Error(`was let in: ${refusal}`);
  expect(refusal.status).toBe(403);
  expect(refusal.headers['content-type']).toBe('application/problem+json');
  expect(JSON.parse(refusal.body)).toEqual({
    type: 'about:blank',
    title: 'Forbidden',
    status: 403,
    code: 'forbidden_origin',
    detail: expect.stringContaining('HEADWAY_ALLOWED_ORIGINS'),
  });
}

test('a client without an origin is no browser and passes', async () => {
  expect(await firstFrame({})).toBe('hello');
});

test("pages of the edge's own origin and of the list pass", async () => {
  for (const origin of [edge.http, LISTED, 'http://localhost:5173']) {
    expect(await firstFrame({ origin })).toBe('hello');
  }
});

describe('G7 nobody unauthorised: other pages are refused before the upgrade', () => {
  test.each([
    ['a foreign one', 'https://evil.example.com'],
    ['null', 'null'],
    ['the list with more behind it', `${LISTED}.evil.com`],
    ['the list with a user name', `https://app.example.com@evil.com`],
    ['the list with a port', `${LISTED}:444`],
    ['the list with its default port', `${LISTED}:443`],
    ['the list with a path', `${LISTED}/`],
    ['the list without TLS', 'http://app.example.com'],
    ['the list in capitals', 'HTTPS://APP.EXAMPLE.COM'],
    ['a name under the list', 'https://x.app.example.com'],
    ['a piece of the list', 'https://app.example.co'],
    ['two at once', `${LISTED}, https://evil.example.com`],
    ['two at once, the listed one last', `https://evil.example.com ${LISTED}`],
    ['another port of this host', 'http://127.0.0.1:1'],
    ['this host by another name', 'http://localhost'],
  ])('%s', async (_, origin) => {
    await expectRefused({ origin });
  });

  test('two lines of the header, in either order', async () => {
    for (const lines of [
      ['https://evil.example.com', LISTED],
      [LISTED, 'https://evil.example.com'],
    ]) {
      const headers = lines.map((line) => `Origin: ${line}\r\n`).join('');
      await using raw = await RawSocket.connect(edge.edge.port, handshake(WS, headers));
      expect(await raw.until((text) => text.includes('\r\n\r\n'))).toMatch(/^HTTP\/1.1 403 /);
    }
  });

  test('also with a token that is good', async () => {
    await using locked = await startLocalEdge(nats.url, { ...JWT_ENV, HEADWAY_DRAIN_MS: '0' });
    const token = bearer(await mint({ jobs: ['*'] })).headers;
    expect(await firstFrame(token, locked)).toBe('hello');
    await expectRefused({ ...token, origin: 'https://evil.example.com' }, locked);
  });

  test('the refusals are counted', async () => {
    await expectRefused({ origin: 'https://evil.example.com' });
    expect(await metric(edge.http, 'headway_requests_refused_total')).toBeGreaterThan(0);
  });
});

describe('behind a proxy that speaks TLS', () => {
  const own = () => `https://127.0.0.1:${behindProxy.edge.port}`;

  test("a trusted one's word counts for the edge's own origin", async () => {
    const headers = { origin: own(), 'x-forwarded-proto': 'https' };
    expect(await firstFrame(headers, behindProxy)).toBe('hello');
    await expectRefused({ ...headers, 'x-forwarded-proto': 'http' }, behindProxy);
    await expectRefused({ origin: own() }, behindProxy);
    await expectRefused({ ...headers, origin: behindProxy.http }, behindProxy);
    // The last word is the proxy's own.
    expect(await firstFrame({ ...headers, 'x-forwarded-proto': 'http, https' }, behindProxy)).toBe('hello');
    await expectRefused({ ...headers, 'x-forwarded-proto': 'https, http' }, behindProxy);
  });

  test("G7 nobody unauthorised: nobody else's word counts", async () => {
    const origin = edge.http.replace('http:', 'https:');
    await expectRefused({ origin, 'x-forwarded-proto': 'https' });
    expect(await firstFrame({ origin: edge.http, 'x-forwarded-proto': 'https' })).toBe('hello');
    await expectRefused({ origin: 'https://evil.example.com', 'x-forwarded-host': 'evil.example.com' });
  });
});
