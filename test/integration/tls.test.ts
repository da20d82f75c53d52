/** TLS that the edge speaks itself: who is served, what a new certificate does to whom, and files that are wrong. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type RunningEdge, startEdge } from '../../internal/app/edge.js';
import { createLogger } from '../../internal/telemetry/logger.js';
import { parseEdgeConfig } from '../../schemas/config.js';
import { Authority, type Certified, put } from '../harness/certificates.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { freePorts } from '../harness/free-ports.js';
import { jobId, uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, event, publish, publishAll, storedEvents } from '../harness/publish.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';
import { askTls, nameOf, Wss } from '../harness/tls-client.js';
import { waitFor, withTimeout } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';

const EDGE = fileURLToPath(new URL('../../dist/cmd/edge.js', import.meta.url));

let nats: NatsServer;
let folder: Awaited<ReturnType<typeof guardedFolder>>;
let authority: Authority;
let first: Certified;
let second: Certified;
let certFile: string;
let keyFile: string;
beforeAll(async () => {
  folder = await guardedFolder('headway-tls');
  authority = await Authority.create(folder.path);
  [first, second] = [await authority.issue('first'), await authority.issue('second')];
  nats = await startNats();
});
afterAll(async () => {
  await nats[Symbol.asyncDispose]();
  await folder.remove();
});
beforeEach(async () => {
  const name = uniqueId('tls');
  [certFile, keyFile] = [join(folder.path, `${name}.crt`), join(folder.path, `${name}.key`)];
  await install(first);
});

async function install({ cert, key }: Certified): Promise<void> {
  await put(certFile, cert);
  await put(keyFile, key);
}

const settings = () => ({ HEADWAY_TLS_CERT: certFile, HEADWAY_TLS_KEY: keyFile });

/** An edge in this process that looks at its files every few milliseconds. */
async function localEdge(): Promise<RunningEdge> {
  const env = {
    ...settings(),
    NATS_URL: nats.url,
    HEADWAY_AUTH: 'none',
    HEADWAY_HOST: '127.0.0.1',
    HEADWAY_PORT: '0',
    HEADWAY_DRAIN_MS: '0',
  };
  const parsed = parseEdgeConfig(env, uniqueId('edge'));
  if (!parsed.ok) throw new Error(parsed.problems.join('; '));
  const edge = await startEdge(parsed.config, createLogger('silent', {}), 5);
  let closing: Promise<void> | undefined;
  const close = edge.close.bind(edge);
  edge.close = () => (closing ??= close());
  onTestFinished(() => edge.close());
  await waitFor(() => edge.isReady(), { what: 'the edge to be ready' });
  return edge;
}

const ask = (port: number, path?: string) => askTls(port, authority.pem, path);
const follow = (port: number, job: string) => Wss.connect(port, authority.pem, job);

function measured(what: string): void {
  process.stdout.write(`    measured: ${what}\n`);
}

describe('clients that trust the certificate', () => {
  test('are served over https:// and wss://, and others refuse it', async () => {
    const { port } = await localEdge();
    expect(await ask(port)).toMatchObject({ status: 200, name: 'first' });
    expect((await ask(port, '/metrics')).body).toContain('headway_');
    await using nc = await connectNats(nats.url);
    const job = jobId();
    const seq = await publish(nc, job);
    const client = await follow(port, job);
    await waitFor(() => client.seqs.length > 0, { what: 'the state' });
    expect(client.seqs).toEqual([seq]);
    const stranger = await Authority.create((await guardedStranger()).path);
    await expect(askTls(port, stranger.pem)).rejects.toThrow(/certificate/);
  });

  test('go on undisturbed while others speak plain HTTP, or nonsense, to the port', async () => {
    const { port } = await localEdge();
    await using nc = await connectNats(nats.url);
    const job = jobId();
    const client = await follow(port, job);
    for (const bytes of [
      handshake(`/ws/upload-progress/${job}`),
      'GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n',
      Buffer.alloc(20_000, 0x16),
      Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]),
    ]) {
      await using plain = await RawSocket.connect(port, bytes);
      // A TLS alert at the most; never HTTP.
      expect(await plain.gone()).not.toMatch(/HTTP|progress/);
    }
    const seq = await publish(nc, job);
    await waitFor(() => client.seqs.length > 0, { what: 'the update' });
    expect(client.seqs).toEqual([seq]);
    expect((await ask(port)).status).toBe(200);
  });

  test('G8 bad input: are served while many connect and say nothing, who are cut after some seconds', async () => {
    const { port } = await localEdge();
    const started = performance.now();
    const silent = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const socket = await RawSocket.connect(port, i % 2 ? Buffer.from([0x16, 3, 1]) : undefined);
        onTestFinished(() => socket[Symbol.asyncDispose]());
        return socket;
      }),
    );
    for (let i = 0; i < 20; i++) expect((await ask(port)).status).toBe(200);
    expect(silent.filter((one) => one.isClosed)).toEqual([]);
    await Promise.all(silent.map((one) => one.gone(30_000)));
    measured(`silent TLS clients are cut after ${Math.round(performance.now() - started)} ms`);
  });
});

async function guardedStranger(): Promise<{ path: string }> {
  const other = await guardedFolder('headway-stranger');
  onTestFinished(() => other.remove());
  return other;
}

describe('a new certificate', () => {
  test('G3 faults: over many reloads nobody who connects is refused, and who is connected misses nothing', async () => {
    const edge = await localEdge();
    const { port } = edge;
    await using nc = await connectNats(nats.url);
    const job = jobId();
    const standing = await Promise.all(Array.from({ length: 10 }, () => follow(port, job)));
    let isOver = false;
    const seen: string[] = [];
    const failures: string[] = [];
    const connecting = Array.from({ length: 6 }, async () => {
      while (!isOver) {
        await ask(port).then(
          ({ name }) => seen.push(name),
          (error: Error) => failures.push(error.message),
        );
      }
    });
    const RELOADS = 20;
    const EVENTS = 30;
    const followers: Wss[] = [];
    try {
      for (let i = 0; i < RELOADS; i++) {
        const next = i % 2 === 0 ? second : first;
        const name = i % 2 === 0 ? 'second' : 'first';
        const events = Array.from({ length: EVENTS }, (_, n) => event(job, { progress: n }));
        const publishing = publishAll(nc, events, 1);
        await install(next);
        await waitFor(async () => (await ask(port)).name === name, {
          what: `the ${name} certificate`,
          everyMs: 5,
        });
        await publishing;
        followers.push(await follow(port, job));
      }
    } finally {
      isOver = true;
      await Promise.all(connecting);
    }
    measured(`${seen.length} connections over ${RELOADS} reloads, ${failures.length} of them failed`);
    expect(failures).toEqual([]);
    expect(new Set(seen)).toEqual(new Set(['first', 'second']));
    const stored = (await storedEvents(nc, 'PROGRESS', job)).map(({ seq }) => seq);
    expect(stored).toHaveLength(RELOADS * EVENTS);
    for (const client of standing) {
      await waitFor(() => client.seqs.at(-1) === stored.at(-1), { what: 'the last update' });
      expect(client.seqs).toEqual(stored);
      expect(client).toMatchObject({ name: 'first', isOpen: true });
    }
    expect(followers.map(({ name }) => name)).toEqual(
      followers.map((_, i) => (i % 2 === 0 ? 'second' : 'first')),
    );
    // The end reaches everybody, whichever certificate they came under, also who only holds a connection.
    const idle = connect({ host: '127.0.0.1', port, ca: authority.pem });
    const idleEnds = once(idle, 'close');
    await withTimeout(once(idle, 'secureConnect'), 10_000, 'the handshake');
    const before = nameOf(idle);
    await install(before === 'first' ? second : first);
    await waitFor(async () => (await ask(port)).name !== before, { what: 'one more reload' });
    await edge.close();
    await withTimeout(idleEnds, 3_000, 'the end of an idle connection');
    const codes = await Promise.all(
      [...standing, ...followers].map((one) => withTimeout(one.closed, 5_000, 'the end')),
    );
    expect(new Set(codes)).toEqual(new Set([1012]));
    await expect(ask(port)).rejects.toThrow('ECONNREFUSED');
  });

  test('that cannot be used leaves the old one in place, is told, and is taken once it is mended', async () => {
    await using edge = await startTlsProcess();
    const client = await follow(edge.port, jobId());
    await put(certFile, second.cert);
    await waitFor(() => edge.logged('the certificate could not be reloaded').length > 0, {
      what: 'the trouble to be told',
      timeoutMs: 30_000,
    });
    const [told] = edge.logged('the certificate could not be reloaded');
    expect(told).toMatchObject({
      level: 50,
      reason: expect.stringContaining(`HEADWAY_TLS_KEY is "${keyFile}"`),
    });
    expect(await ask(edge.port)).toMatchObject({ status: 200, name: 'first' });
    await put(keyFile, second.key);
    await waitFor(() => edge.logged('the certificate was reloaded').length > 0, {
      what: 'the reload',
      timeoutMs: 30_000,
    });
    expect(edge.logged('the certificate was reloaded')).toMatchObject([
      { level: 30, until: expect.stringMatching(/^\d{4}-/) },
    ]);
    expect(await ask(edge.port)).toMatchObject({ status: 200, name: 'second' });
    expect(client.isOpen).toBe(true);
    expect(edge.output()).not.toMatch(/-----|PRIVATE/);
    expect(await edge.stop()).toBe(0);
  });
});

/** An edge in a process of its own; the harness asks over http:// whether one is ready. */
async function startTlsProcess(port = 0, env: Record<string, string> = {}): Promise<EdgeProcess> {
  const all = { ...settings(), HEADWAY_DRAIN_MS: '0', ...env };
  const edge = await startEdgeProcess({ natsUrl: nats.url, port, env: all, untilReady: false });
  onTestFinished(() => edge.kill());
  // On a port that two share, either may answer: only its own log says that this one follows.
  await waitFor(() => edge.logged('following the stream').length > 0, { what: 'the edge to follow' });
  await waitFor(async () => (await ask(edge.port)).status === 200, { what: 'the edge to be ready' });
  return edge;
}

describe('the port', () => {
  test('of an edge with TLS is refused to a second, with and without TLS', async () => {
    const edge = await startTlsProcess();
    for (const tls of [settings(), {}]) {
      const text = await explanation({ ...tls, HEADWAY_PORT: String(edge.port) }, 1);
      expect(text).toContain(`Cannot listen on 127.0.0.1:${edge.port}: the port is taken`);
    }
    await install(second);
    await waitFor(async () => (await ask(edge.port)).name === 'second', {
      what: 'a reload',
      timeoutMs: 30_000,
    });
    // Also after a reload.
    const text = await explanation({ ...settings(), HEADWAY_PORT: String(edge.port) }, 1);
    expect(text).toContain(`Cannot listen on 127.0.0.1:${edge.port}`);
  });

  test('is shared by two edges with TLS when they are told so', async () => {
    const share = { HEADWAY_REUSE_PORT: 'true' };
    const [port] = await freePorts(1);
    const one = await startTlsProcess(port, share);
    const two = await startTlsProcess(one.port, share);
    expect(two.port).toBe(one.port);
    expect(await one.stop()).toBe(0);
    for (let i = 0; i < 10; i++) expect((await ask(two.port)).status).toBe(200);
  });
});

/** Runs an edge that cannot start; returns its explanation. */
async function explanation(env: Record<string, string>, exitCode: number): Promise<string> {
  const own = { NATS_URL: nats.url, HEADWAY_AUTH: 'none', HEADWAY_HOST: '127.0.0.1', HEADWAY_PORT: '0' };
  const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
    execFile(process.execPath, [EDGE], { env: { ...own, ...env }, timeout: 20_000 }, (error, _out, err) =>
      resolve({ code: error === null ? 0 : error.code, stderr: err }),
    );
  });
  expect(stderr).toMatch(/^headway edge: \S.*\n$/);
  expect(stderr).not.toMatch(/-----|PRIVATE|node:internal/);
  expect(code).toBe(exitCode);
  return stderr;
}

describe('an edge does not start', () => {
  test('with files that are not there, and says so before it needs NATS', async () => {
    const env = { HEADWAY_TLS_CERT: '/nowhere/a.crt', HEADWAY_TLS_KEY: keyFile, NATS_URL: '127.0.0.1:1' };
    expect(await explanation(env, 2)).toContain(
      'Cannot serve TLS: HEADWAY_TLS_CERT is "/nowhere/a.crt"; there is no such file. Set HEADWAY_TLS_CERT and',
    );
  });

  test('with the key of another certificate', async () => {
    await put(keyFile, second.key);
    expect(await explanation(settings(), 2)).toContain(
      `HEADWAY_TLS_KEY is "${keyFile}"; expected the key of the certificate in HEADWAY_TLS_CERT, "${certFile}", but`,
    );
  });

  test('with a key of a form that the library does not know', async () => {
    const spelledOut = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-pkeyopt',
      'ec_param_enc:explicit',
    ];
    await install(await authority.issue('spelled out', { newKey: spelledOut }));
    expect(await explanation(settings(), 2)).toContain('the TLS library cannot use them');
  });
});

test('an edge starts with a certificate that has expired, and warns', async () => {
  await install(await authority.issue('expired', { days: -1 }));
  await using edge = await startEdgeProcess({ natsUrl: nats.url, env: settings(), untilReady: false });
  expect(edge.logged('the certificate has expired')).toMatchObject([
    { level: 40, until: expect.any(String) },
  ]);
  await expect(ask(edge.port)).rejects.toThrow('certificate has expired');
});
