/** Tokens that take long to check, or cannot be checked, cost those who come with good ones nothing. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { WsClient } from '../harness/client.js';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { jobId } from '../harness/ids.js';
import { keyPair, signedBy } from '../harness/jwt.js';
import { metric } from '../harness/metrics.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';
import { sharedNats } from '../harness/shared-nats.js';
import { bearer, inSeconds, KeyHost, refusal } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const WS = '/ws/upload-progress';
const shared = sharedNats();
let keys: KeyHost;
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
  keys = await KeyHost.start();
});
afterEach(async () => {
  vi.useRealTimers();
  await keys[Symbol.asyncDispose]();
});

const start = (env: Record<string, string>) =>
  startLocalEdge(shared.nats.url, {
    ...keys.env,
    HEADWAY_DRAIN_MS: '0',
    HEADWAY_AUTH_TIMEOUT_MS: '30000',
    ...env,
  });

/** Handshakes from one address, with tokens of a key that nobody knows. */
async function attack(port: number, count: number, from: string): Promise<RawSocket[]> {
  const claims = { exp: Math.floor(inSeconds(600)), jobs: ['*'] };
  const forged = signedBy(keyPair('ES256', 'stranger'), claims);
  const head = handshake(`${WS}/job-1`, `Authorization: Bearer ${forged}\r\n`);
  return await Promise.all(Array.from({ length: count }, () => RawSocket.connect(port, head, from)));
}

test('G8 bad input: while the JWKS host hangs, tokens of unknown keys do not hold the places of good ones', async () => {
  await using edge = await start({ HEADWAY_MAX_UNAUTHENTICATED: '150' });
  const good = bearer(await keys.mint({ jobs: ['*'] }));
  await using early = await WsClient.connect(`${edge.ws}${WS}/${jobId()}`, good);
  await early.next('hello');
  keys.mode = 'hold';
  // Keys are asked for again half a minute after the last time.
  vi.setSystemTime(Date.now() + 31_000);
  const all = await attack(edge.edge.port, 200, '127.0.0.2');
  await waitFor(() => all.filter(({ isClosed }) => isClosed).length === 100, { what: 'half to be told' });
  expect(all.filter(({ text }) => text.includes('"code":"internal"')).length).toBeGreaterThan(0);
  await using late = await WsClient.connect(`${edge.ws}${WS}/${jobId()}`, good);
  await late.next('hello');
  for (const raw of all) await raw[Symbol.asyncDispose]();
});

test('G8 bad input: while there are no keys at all, one address does not hold all the places', async () => {
  keys.mode = 'hold';
  await using edge = await start({
    HEADWAY_MAX_UNAUTHENTICATED: '100',
    HEADWAY_MAX_UNAUTHENTICATED_PER_ADDRESS: '50',
  });
  const all = await attack(edge.edge.port, 120, '127.0.0.2');
  await waitFor(() => all.filter(({ isClosed }) => isClosed).length >= 70, {
    what: 'the rest to be refused',
  });
  expect(all.find(({ isClosed }) => isClosed)?.text).toMatch(/^HTTP\/1\.1 503 .*retry-after: \d/is);
  expect(await metric(edge.http, 'headway_connections_unauthenticated')).toBe(50);
  const good = bearer(await keys.mint({ jobs: ['*'] }));
  await using waiting = await WsClient.connect(`${edge.ws}${WS}/${jobId()}`, good);
  keys.release();
  await waiting.next('hello');
  await waitFor(() => all.every(({ isClosed }) => isClosed), { what: 'all of them to be told' });
});

test('a token of a new key is taken as soon as the host has it', async () => {
  await using edge = await start({});
  const stranger = keyPair('ES256', 'stranger');
  const token = signedBy(stranger, { exp: Math.floor(inSeconds(600)), jobs: ['*'] });
  expect((await refusal(`${edge.ws}${WS}/${jobId()}`, bearer(token))).code).toBe(4401);
  const asked = keys.requests;
  vi.setSystemTime(Date.now() + 31_000);
  expect((await refusal(`${edge.ws}${WS}/${jobId()}`, bearer(token))).code).toBe(4401);
  expect(keys.requests).toBe(asked + 1);
});
