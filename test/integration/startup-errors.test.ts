/** Whatever keeps an edge from starting is told in one paragraph that says what to do, and an exit code. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { StreamConfig } from 'nats';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream } from '../harness/publish.js';
import { withTimeout } from '../harness/wait.js';
import { guard, guardedFolder } from '../harness/watchdog.js';

const EDGE = fileURLToPath(new URL('../../dist/cmd/edge.js', import.meta.url));

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs an edge with this environment and nothing else, until it ends by itself. */
async function run(env: Record<string, string>, options: string[] = []): Promise<Ended> {
  const id = uniqueId('startup');
  const child = spawn(process.execPath, [...options, EDGE], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { HEADWAY_AUTH: 'none', HEADWAY_HOST: '127.0.0.1', HEADWAY_PORT: '0', HEADWAY_EDGE_ID: id, ...env },
  });
  const release = guard(child.pid ?? 0);
  const ended: Ended = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    ended.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    ended.stderr += text;
  });
  try {
    [ended.code] = (await withTimeout(once(child, 'close'), 20_000, 'the edge to give up')) as [
      number | null,
    ];
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${ended.stdout}\n${ended.stderr}`, { cause: error });
  } finally {
    release();
  }
  return ended;
}

/** Runs an edge that cannot start; returns its explanation, on one line. */
async function explanation(env: Record<string, string>, exitCode = 1, options?: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(env, options);
  for (const line of stdout.split('\n').filter(Boolean)) {
    expect(JSON.parse(line)).toMatchObject({ level: expect.any(Number), msg: expect.any(String) });
  }
  expect(stderr).not.toMatch(/^\s+at |node:internal|node_modules|^Node\.js v\d/m);
  // One paragraph, with a list where there is more than one thing to say.
  expect(stderr).toMatch(/^headway edge: \S.*\n(?: {2}- .+\n)*$/);
  expect(code).toBe(exitCode);
  return stderr.trimEnd().replaceAll('\n', ' ');
}

async function listen(serve: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

let nats: NatsServer;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(async () => {
  await nats[Symbol.asyncDispose]();
});

describe('settings', () => {
  test('every mistake is told at once, with exit code 2 and no secret', async () => {
    const text = await explanation(
      {
        NATS_URL: 'nats://admin:hunter2@not an address',
        HEADWAY_AUTH: '',
        HEADWAY_PORT: 'tcp://10.0.0.7:8080',
        HEADWAY_LOG_LEVEL: 'loud',
        HEADWAY_JWT_SECRET: 'correct horse battery staple',
      },
      2,
    );
    expect(text).toContain('mend the environment and start again');
    expect(text).toMatch(
      / - NATS_URL is not valid; .* - HEADWAY_PORT is "tcp:.* - HEADWAY_AUTH is not set; .* - HEADWAY_LOG_LEVEL is "loud"; .* - HEADWAY_JWT_SECRET has 28 bytes; /,
    );
    expect(text).not.toMatch(/hunter2|admin|horse/);
  });
});

describe('NATS', () => {
  test('that is not there', async () => {
    const { server, port } = await listen(() => {});
    server.close();
    await once(server, 'close');
    const text = await explanation({ NATS_URL: `nats://admin:hunter2@127.0.0.1:${port}` });
    expect(text).toContain(`Cannot reach NATS at nats://127.0.0.1:${port} (connection refused)`);
    expect(text).toMatch(/Start a nats-server 2\.10 or newer with JetStream .* or set NATS_URL/);
  });

  test('that says nothing, because something else listens there', async () => {
    const { port } = await listen((socket) => socket.resume());
    const text = await explanation({ NATS_URL: `127.0.0.1:${port}` });
    expect(text).toContain(`Cannot reach NATS at 127.0.0.1:${port} (no answer within 5 s)`);
  });

  test('without JetStream', async () => {
    await using plain = await startNats({ jetstream: false });
    const text = await explanation({ NATS_URL: plain.url });
    expect(text).toContain(`The nats-server at ${plain.url} has no JetStream`);
    expect(text).toContain('Start it with JetStream (nats-server -js');
  });

  test('whose JetStream is not for this account', async () => {
    await using server = await startNats({
      config: 'accounts { A { users: [{ user: a, password: hunter2 }] } }',
    });
    const text = await explanation({ NATS_URL: `nats://a:hunter2@127.0.0.1:${server.port}` });
    expect(text).toContain(`The nats-server at ${server.url} has no JetStream for this account`);
    expect(text).toContain('enable it for the account');
  });

  test.each(['nats://worker:hunter2@', 'nats://hunter2@', 'nats://'])('that refuses %s…', async (prefix) => {
    await using server = await startNats({ config: 'authorization { user: worker, password: another }' });
    const text = await explanation({ NATS_URL: `${prefix}127.0.0.1:${server.port}` });
    expect(text).toContain(`NATS at ${server.url} refused the credentials (authorization violation)`);
    expect(text).toMatch(/Set NATS_CREDS to a credentials file .* or put user and password into NATS_URL/);
    expect(text).not.toMatch(/hunter2/);
  });

  test('with a user who may not use the JetStream API', async () => {
    const user = '{ user: a, password: hunter2, permissions: { publish: { deny: ["$JS.API.>"] } } }';
    await using server = await startNats({
      config: `accounts { A { jetstream: enabled, users: [${user}] } }`,
    });
    const text = await explanation({ NATS_URL: `nats://a:hunter2@127.0.0.1:${server.port}` });
    expect(text).toMatch(/permission/i);
    expect(text).toContain('$JS.API');
    expect(text).not.toContain('hunter2');
  });

  test('with a credentials file that is not there', async () => {
    const text = await explanation({ NATS_URL: nats.url, NATS_CREDS: '/nowhere/edge.creds' }, 2);
    expect(text).toContain('NATS_CREDS is "/nowhere/edge.creds"; there is no such file');
  });

  test('with a credentials file that is none', async () => {
    const folder = await guardedFolder('headway-creds');
    onTestFinished(() => folder.remove());
    const file = join(folder.path, 'edge.creds');
    await writeFile(file, 'hunter2');
    const text = await explanation({ NATS_URL: nats.url, NATS_CREDS: file }, 2);
    expect(text).not.toContain('hunter2');
    // NATS itself is well: what has to be mended is this file.
    expect(text).not.toContain('Cannot reach NATS');
    expect(text).toContain(`NATS_CREDS`);
    expect(text).toContain(file);
  });

  test('that is too old (said by a stand-in: such a server is not to be had)', async () => {
    const { port } = await listen((socket) => {
      const info = { server_id: 'OLD', version: '2.9.10', proto: 1, headers: true, max_payload: 1_048_576 };
      socket.write(`INFO ${JSON.stringify(info)}\r\n`);
      socket.on('data', (data) => {
        if (data.includes('PING')) socket.write('PONG\r\n');
      });
    });
    const text = await explanation({ NATS_URL: `nats://127.0.0.1:${port}` });
    expect(text).toContain(
      `The nats-server at nats://127.0.0.1:${port} is version 2.9.10; Headway needs 2.10 or newer`,
    );
    expect(text).toContain('install a newer one, or set NATS_URL to a newer server');
  });
});

describe('the port', () => {
  test('of another edge, which goes on undisturbed', async () => {
    await using edge = await startEdgeProcess({ natsUrl: nats.url });
    const id = uniqueId('second');
    const text = await explanation({
      NATS_URL: nats.url,
      HEADWAY_PORT: String(edge.port),
      HEADWAY_EDGE_ID: id,
    });
    expect(text).toContain(`Cannot listen on 127.0.0.1:${edge.port}: the port is taken by another program`);
    expect(text).toContain('set HEADWAY_PORT (0 takes a free port)');
    for (let i = 0; i < 20; i++) expect((await fetch(`${edge.http}/readyz`)).status).toBe(200);
    await using nc = await connectNats(nats.url);
    const consumers = await (await nc.jetstreamManager()).consumers.list('PROGRESS').next();
    expect(consumers.map(({ name }) => name)).not.toContain(`edge-${id}`);
  });

  test('of an edge that shares it, for one that does not', async () => {
    await using edge = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_REUSE_PORT: 'true' } });
    const text = await explanation({ NATS_URL: nats.url, HEADWAY_PORT: String(edge.port) });
    expect(text).toContain(`Cannot listen on 127.0.0.1:${edge.port}`);
  });

  test('of any other program', async () => {
    const { port } = await listen((socket) => socket.end());
    const text = await explanation({ NATS_URL: nats.url, HEADWAY_PORT: String(port) });
    expect(text).toContain(`Cannot listen on 127.0.0.1:${port}`);
  });

  test('on an address that is not of this machine', async () => {
    const text = await explanation({ NATS_URL: nats.url, HEADWAY_HOST: '203.0.113.1' });
    expect(text).toMatch(
      /Cannot listen on 203\.0\.113\.1:0: .*the host is no address or name of this machine.* HEADWAY_HOST/,
    );
  });
});

describe('the stream', () => {
  const cases: [name: string, changes: Partial<StreamConfig>, difference: string][] = [
    ['storage', { storage: 'memory' as never }, 'storage is "memory"; it should be "file"'],
    ['subjects', { subjects: ['progress.>'] }, 'subjects is ["progress.>"]; it should be ["progress.*"]'],
    ['allow_direct', { allow_direct: false }, 'allow_direct is false; it should be true'],
    ['discard', { discard: 'new' as never }, 'discard is "new"; it should be "old"'],
    ['retention', { retention: 'interest' as never }, 'retention is "interest"; it should be "limits"'],
  ];
  test.each(cases)(
    'that exists and differs in %s is named and not changed',
    async (_field, changes, difference) => {
      await using server = await startNats();
      await using nc = await connectNats(server.url);
      await createStream(nc, 'PROGRESS', changes);
      const { streams } = await nc.jetstreamManager();
      const before = (await streams.info('PROGRESS')).config;
      const text = await explanation({ NATS_URL: server.url });
      expect(text).toMatch(
        /The stream PROGRESS exists, but not as Headway needs it\..*\(nats stream edit PROGRESS; headway doctor names the flags\)/,
      );
      expect(text.split('  - ').slice(1)).toEqual([difference]);
      expect((await streams.info('PROGRESS')).config).toEqual(before);
    },
  );

  test('that differs in several ways is told all of them', async () => {
    await using server = await startNats();
    await using nc = await connectNats(server.url);
    await createStream(nc, 'OURS', { storage: 'memory' as never, subjects: ['jobs.*'], allow_direct: false });
    const text = await explanation({ NATS_URL: server.url, HEADWAY_STREAM: 'OURS' });
    expect(
      text
        .split('  - ')
        .slice(1)
        .map((line) => line.trim()),
    ).toEqual([
      'subjects is ["jobs.*"]; it should be ["progress.*"]',
      'storage is "memory"; it should be "file"',
      'allow_direct is false; it should be true',
    ]);
  });

  test('whose subjects another stream has taken', async () => {
    await using server = await startNats();
    await using nc = await connectNats(server.url);
    await createStream(nc, 'TAKEN');
    const text = await explanation({ NATS_URL: server.url, HEADWAY_STREAM: 'OURS' });
    expect(text).toContain('Cannot make the stream OURS: subjects overlap with an existing stream');
    expect(text).toContain('set HEADWAY_STREAM to its name, or delete it');
    const { streams } = await nc.jetstreamManager();
    expect((await streams.list().next()).map(({ config }) => config.name)).toEqual(['TAKEN']);
  });
});

describe('Node', () => {
  /** What an edge says that is told by `program`, run first, that it is on another system. */
  async function elsewhere(program: string): Promise<string> {
    const folder = await guardedFolder('headway-node');
    onTestFinished(() => folder.remove());
    const hook = join(folder.path, 'another-node.mjs');
    await writeFile(hook, program);
    return await explanation({ NATS_URL: nats.url }, 1, ['--import', pathToFileURL(hook).href]);
  }

  test('that uWebSockets.js has no binary for', async () => {
    // The loader of the library looks for its binary by the module version that Node names.
    const text = await elsewhere(
      `const versions = Object.freeze({ ...process.versions, modules: '999' });
       Object.defineProperty(process, 'versions', { value: versions, enumerable: true, configurable: true });`,
    );
    expect(text).toContain(
      `uWebSockets.js has no binary for Node ${process.version} on ${process.platform} `,
    );
    expect(text).toContain('Run it with Node 24 (recommended), 22 or 20.');
    expect(text).toMatch(/npm install \S+uNetworking\/uWebSockets\.js#v\d+/);
    expect(text).toMatch(/The loader said: .*Cannot find module .*999\.node/);
  });

  // On other systems there is no C library to tell apart.
  test.runIf(process.platform === 'linux')('on a Linux without glibc: nothing is loaded', async () => {
    const text = await elsewhere(
      `const { getReport } = process.report;
       process.report.getReport = () => {
         const { glibcVersionRuntime, ...header } = getReport.call(process.report).header;
         return { header };
       };`,
    );
    expect(text).toContain("a C library other than glibc (Alpine's musl, for example)");
    expect(text).toContain('node:24-trixie-slim');
    expect(text).not.toContain('The loader said');
  });
});
