/** Tests of the harness: the processes it starts, and what is left of them. */
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Child, isAlive } from '../child.js';
import { startEdgeProcess } from '../edge-process.js';
import { jobId, streamName } from '../ids.js';
import { findNatsBinary } from '../nats-binary.js';
import { startNatsCluster } from '../nats-cluster.js';
import { startNats } from '../nats-server.js';
import {
  connectNats,
  createStream,
  event,
  publish,
  publishAll,
  publishRaw,
  storedEvents,
} from '../publish.js';
import { waitFor, withTimeout } from '../wait.js';
import { guardedFolder } from '../watchdog.js';

const TEST_FILE = fileURLToPath(new URL('../../integration/harness.test.ts', import.meta.url));
const VITEST = fileURLToPath(new URL('../../../node_modules/vitest/vitest.mjs', import.meta.url));

/** Keeps to the contract of an edge as far as the harness relies on it. */
const FAKE_EDGE = `
import { createServer } from 'node:http';
const { NATS_URL, HEADWAY_HOST, HEADWAY_PORT, HEADWAY_AUTH, HEADWAY_STREAM } = process.env;
let asked = 0;
const server = createServer((request, response) => {
  asked += 1;
  response.statusCode = asked < 3 ? 503 : 200;
  response.end();
});
server.listen(Number(HEADWAY_PORT), HEADWAY_HOST, () => {
  console.log('not JSON');
  console.log(JSON.stringify({ msg: 'listening', port: server.address().port, NATS_URL, HEADWAY_AUTH, HEADWAY_STREAM }));
});
process.on('SIGTERM', () => process.exit(7));
`;

async function fakeEdge(source = FAKE_EDGE): Promise<string> {
  const folder = await guardedFolder('headway-fake-edge');
  onTestFinished(() => folder.remove());
  const program = join(folder.path, 'edge.mjs');
  await writeFile(program, source);
  return program;
}

describe('nats-server', () => {
  test.each(['stop', 'kill'] as const)(
    'keeps its port and what it stored over a restart by %s',
    async (how) => {
      await using server = await startNats();
      await using other = await startNats();
      await using nc = await connectNats(server.url);
      const { url, folder, port, pid } = server;
      const [stream, job] = [streamName(), jobId()];
      await createStream(nc, stream);
      const seqs = [await publish(nc, job), await publish(nc.jetstream(), job, { progress: 50 })];

      await server.restart(how);

      expect({ url, folder, port }).toEqual({ url: server.url, folder: server.folder, port: server.port });
      expect(server.pid).not.toBe(pid);
      expect(other.port).not.toBe(port);
      await using again = await connectNats(server.url);
      expect((await storedEvents(again, stream, job)).map(({ seq }) => seq)).toEqual(seqs);
      await waitFor(() => publish(nc, job, {}, { timeout: 250 }), {
        what: 'the connection from before to work again',
      });
      expect(server.log().match(/Server is ready/g)).toHaveLength(2);
    },
  );

  test('takes its name, its JetStream and more lines from the options, and leaves nothing behind', async () => {
    const config = 'authorization { user: "worker", password: "secret" }';
    const server = await startNats({ name: 'plain', jetstream: false, config });
    await expect(connectNats(server.url, { reconnect: false })).rejects.toThrow('Authorization');
    await using nc = await connectNats(server.url, { user: 'worker', pass: 'secret' });
    await expect(nc.jetstreamManager()).rejects.toThrow();
    expect(await server.monitor('/varz')).toMatchObject({ server_name: 'plain', version: server.version });
    const pid = server.pid ?? 0;
    await server[Symbol.asyncDispose]();
    expect([await isAlive(pid), existsSync(server.folder), server.running]).toEqual([false, false, false]);
  });

  test('answers nothing while frozen and everything after', async () => {
    await using server = await startNats();
    await using nc = await connectNats(server.url);
    await server.freeze();
    let answered = false;
    const flushed = nc.flush().then(() => {
      answered = true;
    });
    await expect(withTimeout(server.monitor('/varz'), 200, 'an answer')).rejects.toThrow('an answer');
    expect(answered).toBe(false);
    await server.thaw();
    await flushed;
    await server.freeze(); // and disposing of a frozen one works
  });

  test('ends by itself after lame-duck mode', async () => {
    await using server = await startNats();
    await using _nc = await connectNats(server.url);
    await server.lameDuck();
    await expect(connectNats(server.url, { reconnect: false })).rejects.toThrow();
    await server.exited;
    expect(server.running).toBe(false);
  });

  test('says why it did not start', async () => {
    await expect(startNats({ config: 'no_such_setting: 1' })).rejects.toThrow('no_such_setting');
  });

  test('is looked for where the user says, on PATH, then where `make setup` put it', async () => {
    const folder = await guardedFolder('headway-bin');
    onTestFinished(() => folder.remove());
    const fake = async (place: string, version: string) => {
      const path = join(folder.path, place);
      const made = await Child.spawn('mkdir', 'mkdir', ['-p', path]);
      await made.exited;
      await writeFile(join(path, 'nats-server'), `#!/bin/sh\necho nats-server: v${version}\n`, {
        mode: 0o755,
      });
      return join(path, 'nats-server');
    };
    const toolsFolder = join(folder.path, 'tools');
    await expect(findNatsBinary({ env: {}, toolsFolder })).rejects.toThrow('make setup');
    await fake('tools/2.9.25', '2.9.25');
    await expect(findNatsBinary({ env: {}, toolsFolder })).rejects.toThrow('version 2.9.25');
    await fake('tools/2.10.9', '2.10.9');
    const installed = await fake('tools/2.10.27', '2.10.27');
    expect(await findNatsBinary({ env: {}, toolsFolder })).toEqual({ path: installed, version: '2.10.27' });
    const old = await fake('old', '2.8.4');
    const env = { PATH: join(folder.path, 'old') };
    expect(await findNatsBinary({ env, toolsFolder })).toMatchObject({ path: installed });
    await expect(findNatsBinary({ env: { NATS_SERVER_BIN: old }, toolsFolder })).rejects.toThrow('2.8.4');
  });
});

describe('nats-server cluster', () => {
  test('takes writes when it is ready, and again after its leaders were killed', async () => {
    await using cluster = await startNatsCluster(3);
    await using nc = await connectNats(cluster.urls);
    await createStream(nc, 'PROGRESS', { num_replicas: 3 });
    await publish(nc, 'a');
    const leader = await cluster.leaderOf('PROGRESS');
    await cluster.kill(leader);
    expect(cluster.running).toHaveLength(2);
    expect(await cluster.leaderOf('PROGRESS')).not.toBe(leader);
    await waitFor(() => publish(nc, 'a', {}, { timeout: 500 }), {
      what: 'a write after the election',
      timeoutMs: 20_000,
    });
    await leader.start();
    await cluster.ready();
    // Leadership may still move to and fro, and whoever has just come back answers from before.
    await waitFor(async () => (await storedEvents(nc, 'PROGRESS')).length >= 2, {
      what: 'what was written to be read back',
      timeoutMs: 30_000,
    });
  }, 120_000);
});

describe('when the test process is gone', () => {
  /** Runs only inside the runs that the tests below start and kill. */
  const report = process.env.HARNESS_VICTIM_REPORT;
  test.runIf(report)('victim', async () => {
    const nats = await startNats();
    const edge = await startEdgeProcess({ natsUrl: nats.url, program: await fakeEdge() });
    await writeFile(
      `${report}.part`,
      JSON.stringify({ worker: process.pid, children: [nats.pid, edge.pid], folder: nats.folder }),
    );
    await rename(`${report}.part`, String(report));
    await new Promise(() => {});
  });

  test.skipIf(report).each(['worker', 'runner'] as const)(
    'nothing survives a kill -9 of the %s',
    async (whom) => {
      const folder = await guardedFolder('headway-victim');
      onTestFinished(() => folder.remove());
      const path = join(folder.path, 'report.json');
      // A run that makes processes stand still and is killed meanwhile would leave one of them so for ever.
      const env = Object.fromEntries(
        Object.entries(process.env).filter(([name]) => !/^(VITEST|TEST$|HEADWAY_STALLS$)/.test(name)),
      );
      const runner = await Child.spawn(
        'a run of its own',
        process.execPath,
        [VITEST, 'run', '--project', 'integration', TEST_FILE, '-t', 'victim'],
        { ...env, HARNESS_VICTIM_REPORT: path },
      );
      onTestFinished(async () => void (await runner.kill()));
      const victim = await waitFor(async () => JSON.parse(await readFile(path, 'utf8')), {
        what: 'the victim to be up',
        timeoutMs: 30_000,
        giveUp: () => runner.giveUp(),
      });
      const all: number[] = [victim.worker, ...victim.children];
      expect(await Promise.all(all.map(isAlive))).toEqual([true, true, true]);

      process.kill(whom === 'worker' ? victim.worker : runner.pid, 'SIGKILL');

      const survivors = async () =>
        (await Promise.all(all.map(isAlive))).includes(true) || existsSync(victim.folder);
      await waitFor(async () => !(await survivors()), { what: 'all of them to be gone' });
    },
  );
});

describe('edge process', () => {
  test('is configured by the contract, ready when it is returned, and stopped with its own exit code', async () => {
    process.env.HEADWAY_STREAM = 'FROM_THE_SHELL';
    onTestFinished(() => void delete process.env.HEADWAY_STREAM);
    await using edge = await startEdgeProcess({
      natsUrl: 'nats://127.0.0.1:1',
      program: await fakeEdge(),
      env: { HEADWAY_AUTH: 'jwt' },
    });
    expect(edge.logged('listening')).toEqual([
      { msg: 'listening', port: edge.port, NATS_URL: 'nats://127.0.0.1:1', HEADWAY_AUTH: 'jwt' },
    ]);
    expect((await fetch(edge.http)).status).toBe(200);
    expect(await edge.stop()).toBe(7);
    expect(await isAlive(edge.pid)).toBe(false);
  });

  test('that ends instead of listening fails at once, with what it said', async () => {
    const program = await fakeEdge("console.error('HEADWAY_AUTH: expected jwt or none'); process.exit(2);");
    await expect(startEdgeProcess({ natsUrl: 'nats://127.0.0.1:1', program })).rejects.toThrow(
      'expected jwt or none',
    );
  });
});

describe('publishing and reading back', () => {
  test('stores what was given, valid or not, and reads back exactly that', async () => {
    await using server = await startNats();
    await using nc = await connectNats(server.url);
    const stream = streamName();
    await createStream(nc, stream);
    expect(await storedEvents(nc, stream)).toEqual([]);
    const many = Array.from({ length: 2_500 }, (_, i) =>
      event(`job-${i % 10}`, { progress: i / 25, note: i }),
    );
    const seqs = await publishAll(nc, many);
    const bad = await publishRaw(nc, 'progress.bad', '{"no json');

    const stored = await storedEvents(nc, stream);
    expect(stored.slice(0, -1).map(({ seq, json }) => [seq, json])).toEqual(
      many.map((one, i) => [seqs[i], one]),
    );
    expect(stored.at(-1)).toMatchObject({ seq: bad, subject: 'progress.bad', json: undefined });
    expect(Buffer.from(stored.at(-1)?.raw ?? []).toString()).toBe('{"no json');
    expect(await storedEvents(nc, stream, 'job-3')).toHaveLength(250);
    expect(await storedEvents(nc, stream, 'nobody')).toEqual([]);
  });

  test('reads back what is left where the newest messages were deleted', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    const seqs = await publishAll(nc, [event('kept'), event('kept'), event('purged'), event('purged')]);
    const jsm = await nc.jetstreamManager();
    await jsm.streams.purge('PROGRESS', { filter: 'progress.purged' });
    expect((await storedEvents(nc, 'PROGRESS')).map(({ seq }) => seq)).toEqual(seqs.slice(0, 2));
    await jsm.streams.purge('PROGRESS');
    expect(await storedEvents(nc, 'PROGRESS')).toEqual([]);
  });

  test('reads back the whole though the server stands still meanwhile', async () => {
    await using server = await startNats();
    await using nc = await connectNats(server.url);
    const stream = streamName();
    await createStream(nc, stream);
    const seqs = await publishAll(
      nc,
      Array.from({ length: 20_000 }, (_, i) => event(`job-${i % 100}`)),
    );
    let isRead = false;
    const reading = storedEvents(nc, stream).finally(() => {
      isRead = true;
    });
    // For longer than a request of the reader lives. When it comes decides what it hits.
    for (let at = 0; at < 3 && !isRead; at++) {
      await delay(12 + 2 * at);
      await server.freeze();
      await delay(2_600);
      await server.thaw();
    }
    expect((await reading).map(({ seq }) => seq)).toEqual(seqs);
  });

  test('waits for a stream that nobody has heard of yet', async () => {
    await using server = await startNats();
    await using nc = await connectNats(server.url);
    const early = publish(nc, 'early');
    await nc.flush();
    await createStream(nc);
    expect(await early).toBe(1);
  });
});
