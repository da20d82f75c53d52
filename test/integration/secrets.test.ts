/** What only its owner may know appears nowhere but where its owner put it. */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HandshakeRefused, WsClient, type WsOptions } from '../harness/client.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metricsText } from '../harness/metrics.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, publish } from '../harness/publish.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';
import {
  bearer,
  bearerProtocol,
  everybodyIsGone,
  inSeconds,
  JWT_ENV,
  KeyHost,
  mint,
  TOKEN_SECRET,
} from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const WS = '/ws/upload-progress';
const ORIGIN = 'https://app.example.com';
const PASSWORD = 'pw-N8fKq2-Zw3';
const WRONG_PASSWORD = 'pw-Wr0ng-77aa';

let nats: NatsServer;

beforeAll(async () => {
  nats = await startNats({ config: `authorization { user: "edge", password: "${PASSWORD}" }` });
});

afterAll(() => nats[Symbol.asyncDispose]());

const natsUrl = (password: string) => `nats://edge:${password}@127.0.0.1:${nats.port}`;

/** The parts of a token that must not be seen: it as a whole, and its signature. */
const partsOf = (token: string): string[] =>
  [token, token.split('.')[2] ?? ''].filter((part) => part.length > 8);

function expectNone(where: string, text: string, secrets: readonly string[]): void {
  for (const secret of secrets) {
    const at = text.indexOf(secret);
    if (at >= 0) throw new Error(`a secret in ${where}: ${text.slice(Math.max(0, at - 200), at + 200)}`);
  }
}

describe('while it serves', () => {
  const used: string[] = [];
  const seen: { where: string; text: string }[] = [];
  /** Tokens that were typed into the wrong place come back to whoever did it, but to nobody else. */
  const misplaced: string[] = [];
  let keys: KeyHost;
  let edge: EdgeProcess;

  beforeAll(async () => {
    keys = await KeyHost.start();
    edge = await startEdgeProcess({
      natsUrl: natsUrl(PASSWORD),
      env: {
        ...keys.env,
        ...JWT_ENV,
        HEADWAY_LOG_LEVEL: 'trace',
        HEADWAY_TOKEN_IN_QUERY: 'true',
        HEADWAY_ALLOWED_ORIGINS: ORIGIN,
        HEADWAY_JWT_TOLERANCE_SECONDS: '0',
        HEADWAY_DRAIN_MS: '0',
      },
    });
  });
  afterAll(async () => {
    await edge.kill();
    await keys[Symbol.asyncDispose]();
  });

  const use = (token: string): string => {
    used.push(...partsOf(token));
    return token;
  };
  /** Connects, sends what is to be sent, and keeps what came back. */
  async function visit(path: string, options: WsOptions, ...sent: (object | string)[]): Promise<void> {
    try {
      await using client = await WsClient.connect(`${edge.ws}${path}`, options);
      await client.next();
      for (const frame of sent) client.send(frame);
      if (sent.length > 0) client.send({ type: 'bye' });
      await Promise.race([client.closed, client.until(({ type }) => type === 'caught_up').catch(() => {})]);
      if (sent.length > 0) await client.closed;
      seen.push({ where: 'a frame', text: JSON.stringify(client.frames) + JSON.stringify(client.protocol) });
    } catch (error) {
      if (!(error instanceof HandshakeRefused)) throw error;
      seen.push({ where: 'an answer', text: error.body + JSON.stringify(error.headers) });
    }
  }

  test('G7 nobody unauthorised: no secret and no token shows in the log, the metrics, an answer, a frame or the command line', async () => {
    const all = { sub: 'ada', jobs: ['*'] };
    const tokens: (() => Promise<string>)[] = [
      () => mint(all),
      () => keys.mint(all),
      () => mint({ jobs: ['else'] }),
      () => mint({ ...all, exp: inSeconds(-60) }),
      () => mint({ ...all, jobs: 'everything' }),
      () => mint(all, `${TOKEN_SECRET}-wrong`),
      async () => (await mint(all)).replace(/\.[^.]+\./, '.e30.'),
      async () => `not-a-token-${jobId()}`,
    ];
    const { nc, job } = await nats2();
    for (const make of tokens) {
      const token = async () => use(await make());
      const path = `${WS}/${job}`;
      await visit(path, bearer(await token()));
      await visit(path, bearerProtocol(await token()));
      await visit(path, { protocols: [`bearer.${await token()}`, 'progress.v1'] });
      await visit(`${path}?token=${await token()}`, { headers: { origin: ORIGIN } });
      await visit(`${path}?token=${await token()}`, {});
      await visit(`${path}?last_seq=x&token=${await token()}`, { headers: { origin: ORIGIN } });
      await visit(path, { ...bearer(await token()), ...bearerProtocol(await token()) });
      await visit(path, { headers: { authorization: `Basic ${await token()}` } });
      await visit(path, {
        headers: { ...bearer(await token()).headers, origin: 'https://evil.example.com' },
      });
      // In an auth frame: right, with another field, not JSON.
      const good = bearer(use(await mint(all)));
      await visit(path, good, { type: 'auth', token: await token() });
      await visit(path, good, { type: 'auth', token: [await token()] });
      await visit(path, good, `auth ${await token()}`);
      await visit(path, good, { type: 'auth', token: `${await token()}${'x'.repeat(9_000)}` });
    }
    for (const request of await malformed(job)) {
      await using raw = await RawSocket.connect(edge.port, request);
      await raw.until((text) => text.includes('\r\n\r\n'));
      raw.finish();
      seen.push({ where: 'an answer', text: raw.text });
    }
    for (const path of ['/', '/metrics', '/readyz', `${WS}/${job}`, `/nothing/${job}`]) {
      const headers = bearer(use(await mint(all))).headers;
      const response = await fetch(`${edge.http}${path}?token=${use(await mint(all))}`, { headers });
      const text = (await response.text()) + JSON.stringify([...response.headers]);
      seen.push({ where: `GET ${path}`, text });
    }
    // Where a token does not belong, it is shown to whoever put it there; it must not be kept.
    const stray = await mint(all);
    misplaced.push(...partsOf(stray));
    const good = bearer(use(await mint(all)));
    await visit(`${WS}/${stray}`, good);
    await visit(`${WS}?epoch=${stray}&last_seq=1`, good);
    await visit(`${WS}?job_type=${stray}`, good);
    await visit(WS, good, { type: stray });
    seen.length -= 4;
    // One that fails in NATS is told of as well.
    await nats.restart();
    await waitFor(() => edge.logged('the feed was lost, rebuilding it').length > 0, { what: 'the loss' });
    await edge.ready();
    await nc.close();
    await everybodyIsGone(edge.http);
    const metrics = await metricsText(edge.http);
    const command = await readFile(`/proc/${edge.pid}/cmdline`, 'latin1').catch(() => '');
    const title = await readFile(`/proc/${edge.pid}/comm`, 'latin1').catch(() => '');
    await edge.stop();

    expect(used.length).toBeGreaterThan(150);
    expect(seen.length).toBeGreaterThan(100);
    expect(edge.logged('a connection was refused').length).toBeGreaterThan(0);
    expect(edge.logged('a handler failed')).toEqual([]);
    const secrets = [PASSWORD, TOKEN_SECRET, ...used];
    for (const { where, text } of seen) expectNone(where, text, secrets);
    expectNone('the log', edge.output(), [...secrets, ...misplaced]);
    expectNone('the metrics', metrics, [...secrets, ...misplaced]);
    expectNone('the command line', command + title, secrets);
  });

  async function nats2() {
    const nc = await connectNats(nats.url, { user: 'edge', pass: PASSWORD });
    const job = jobId();
    await publish(nc, job);
    return { nc, job };
  }

  async function malformed(job: string): Promise<string[]> {
    const token = async () => use(await mint({ sub: 'ada', jobs: ['*'] }));
    const line = (await token()).slice(0, 2_000);
    return [
      `GET /${line} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      `GET ${WS}/${job} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${await token()}\r\n\r\n`,
      `POST ${WS}/${job} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${await token()}\r\nContent-Length: 0\r\n\r\n`,
      `NONSENSE ${await token()} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      handshake(
        `${WS}/${job}`,
        `Authorization: Bearer ${await token()}\r\nX-Long: ${'x'.repeat(17_000)}\r\n`,
      ),
      handshake(
        `${WS}/${job}`,
        `Authorization: Bearer ${await token()}\r\nAuthorization: Bearer ${await token()}\r\n`,
      ),
      handshake(
        `${WS}/${job}`,
        `Sec-WebSocket-Protocol: bearer.${await token()},bearer.${await token()}\r\n`,
      ),
    ];
  }
});

describe('G8 bad input: when it does not start', () => {
  /** Starts the edge with what it cannot run with; all that it said. */
  async function said(env: Record<string, string>): Promise<string> {
    const program = fileURLToPath(new URL('../../dist/cmd/edge.js', import.meta.url));
    const child = spawn(process.execPath, [program], {
      env: { PATH: process.env.PATH ?? '', HEADWAY_AUTH: 'jwt', HEADWAY_PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
    }
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).not.toBe(0);
    expect(text).toMatch(/^headway edge: /m);
    // A mistake of the operator is explained, not thrown at him.
    expect(text).not.toMatch(/^\s+at /m);
    return text;
  }

  test.each<[string, () => Record<string, string>, RegExp]>([
    [
      'a wrong password of NATS',
      () => ({ NATS_URL: natsUrl(WRONG_PASSWORD), HEADWAY_JWT_SECRET: TOKEN_SECRET }),
      /127\.0\.0\.1/,
    ],
    [
      'an address of NATS that is none',
      () => ({ NATS_URL: `nats://edge:${WRONG_PASSWORD}@host:port:1`, HEADWAY_JWT_SECRET: TOKEN_SECRET }),
      /NATS_URL is not valid/,
    ],
    ['a secret that is too short', () => ({ HEADWAY_JWT_SECRET: WRONG_PASSWORD }), /HEADWAY_JWT_SECRET/],
    [
      'a secret that is a key',
      () => ({ HEADWAY_JWT_SECRET: `-----BEGIN PUBLIC KEY-----${WRONG_PASSWORD}-----END PUBLIC KEY-----` }),
      /HEADWAY_JWT_SECRET/,
    ],
    [
      'a password in the address of the keys',
      () => ({ HEADWAY_JWKS_URL: `https://edge:${WRONG_PASSWORD}@keys.example.com/` }),
      /HEADWAY_JWKS_URL/,
    ],
    [
      'a password in an address of the keys that is none',
      () => ({ HEADWAY_JWKS_URL: `htps://edge:${WRONG_PASSWORD}@keys.example.com/` }),
      /HEADWAY_JWKS_URL/,
    ],
    [
      'a password in an origin',
      () => ({
        HEADWAY_JWT_SECRET: TOKEN_SECRET,
        HEADWAY_ALLOWED_ORIGINS: `https://edge:${WRONG_PASSWORD}@app.example.com`,
      }),
      /HEADWAY_ALLOWED_ORIGINS/,
    ],
  ])('%s is explained and not shown', async (_, env, expected) => {
    const text = await said(env());
    expect(text).toMatch(expected);
    expectNone('what it said', text, [PASSWORD, WRONG_PASSWORD, TOKEN_SECRET]);
  });
});
