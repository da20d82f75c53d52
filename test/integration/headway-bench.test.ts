/** `headway bench`: it measures, it checks, it says no in time, and it leaves nothing behind. */
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type EdgeOptions, type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import {
  type Ended,
  headway,
  natsEnv,
  noTerminal,
  startHeadway,
  startHeadwayAtTerminal,
} from '../harness/headway-command.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { freshStream, natsWithStream, sharedNats } from '../harness/shared-nats.js';
import { JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';
import { startWsServer, type TinyServer } from '../harness/ws-server.js';

const HEADWAY = fileURLToPath(new URL('../../dist/cmd/headway.js', import.meta.url));
const SMALL = ['--clients', '12', '--jobs', '4', '--behind', '9'];
const EACH = 3 + 9;

const shared = sharedNats();
let edge: EdgeProcess;
beforeAll(async () => {
  await freshStream(shared);
  await publish(shared.nc, 'theirs', { progress: 1 });
  edge = await startEdgeProcess({ natsUrl: shared.nats.url });
});
afterAll(() => edge?.[Symbol.asyncDispose]());

/** How many events each job has. */
async function stored(nc: NatsConnection = shared.nc): Promise<Record<string, number>> {
  const info = await (await nc.jetstreamManager()).streams.info('PROGRESS', { subjects_filter: '>' });
  return info.state.subjects ?? {};
}

const bench = (
  url: string,
  args: readonly string[] = SMALL,
  more: Record<string, string> = {},
): Promise<Ended> => headway(['bench', '--edge', url, ...args], { env: natsEnv(shared.nats.url, more) });

/** Connects through to the edge; `told` gets every update, and says how often it goes on. */
function liar(told: (frame: { seq: number }, path: string) => number): Promise<TinyServer> {
  return startWsServer((socket, { url = '' }) => {
    const up = new WebSocket(edge.ws + url, 'progress.v1');
    up.on('message', (data) => {
      const frame = JSON.parse(String(data)) as { type: string; seq: number };
      const times = frame.type === 'progress_update' ? told(frame, url) : 1;
      for (let n = 0; n < times; n++) socket.send(String(data));
    });
    up.on('error', () => undefined);
    socket.on('close', () => up.terminate());
  });
}

describe('against an edge', () => {
  test('every client has what it missed, and no job is left but those of others', async () => {
    const { code, stdout, stderr } = await bench(edge.http, [...SMALL, '-o', 'json']);
    expect({ code, stdout }).toMatchObject({ code: 0 });
    const figures = JSON.parse(stdout) as { run: string; caught_up_ms: Record<string, number> };
    expect(figures).toMatchObject({
      edge: edge.ws,
      stream: 'PROGRESS',
      clients: 12,
      jobs: 4,
      behind: 9,
      caught_up: 12,
      updates: 12 * 9,
      missed: 0,
      repeated: 0,
      wrong: 0,
      resets: 0,
      jobs_left: 0,
    });
    expect(figures.run).toMatch(/^bench-[0-9a-f]{12}$/);
    const { p50 = 0, p99 = 0, last = 0 } = figures.caught_up_ms;
    expect([p50 > 0, p50 <= p99, p99 <= last]).toEqual([true, true, true]);
    expect(stderr).toContain(`this publishes ${4 * EACH} events (`);
    expect(stderr).toContain(`of 4 jobs ${figures.run}-0 to ${figures.run}-3 to the stream PROGRESS`);
    expect(await stored()).toEqual({ 'progress.theirs': 1 });
  });

  test('a table, also of more clients than an edge lets in at once', async () => {
    const limits = { HEADWAY_MAX_UPGRADES_PER_ADDRESS: '10' };
    await using slow = await startEdgeProcess({ natsUrl: shared.nats.url, env: limits });
    const { code, stdout } = await bench(slow.http);
    expect(stdout).toMatch(/^12 clients of 4 jobs came back, 9 events behind\n {2}Caught up {2}all 12: p50 /);
    expect(stdout).toContain('none missed, none twice, by seq and prev_seq');
    expect(stdout).toMatch(/turned away or cut off, and came again: 503 overloaded: /);
    expect(code).toBe(0);
  });

  test('what it would do is said, and not done', async () => {
    const before = (await shared.jsm.streams.info('PROGRESS')).state.last_seq;
    const { code, stdout, stderr } = await bench(edge.http, [...SMALL, '--dry-run']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/^headway: this would publish 48 events \(.*\) of 4 jobs bench-.*\n$/);
    expect((await shared.jsm.streams.info('PROGRESS')).state.last_seq).toBe(before);
  });

  test('G1 nothing lost: an update that one client does not get is told', async () => {
    let dropped = 0;
    await using server = await liar((_, path) => (path.includes('last_seq') && dropped++ === 5 ? 0 : 1));
    const { code, stdout } = await bench(server.url);
    expect(stdout).toContain('1 MISSED');
    expect(code).toBe(1);
    expect(await stored()).toEqual({ 'progress.theirs': 1 });
  });

  test('G1 nothing lost: an update that comes twice is told, also when it is the last', async () => {
    const last = new Map<string, number>();
    await using server = await liar((_, path) => {
      if (!path.includes('last_seq')) return 1;
      const nth = (last.get(path) ?? 0) + 1;
      last.set(path, nth);
      return nth === 9 * 3 ? 2 : 1;
    });
    const { code, stdout } = await bench(server.url, [...SMALL, '-o', 'json']);
    // The three clients of a job stand at the same cursor, so they have the same path.
    expect(JSON.parse(stdout)).toMatchObject({ missed: 0, repeated: 4 });
    expect(code).toBe(1);
  });

  test('G5 stale cursors: a reset is told as one', async () => {
    const env = { HEADWAY_MAX_REPLAY_JOB: '5' };
    await using strict = await startEdgeProcess({ natsUrl: shared.nats.url, env });
    const { code, stdout } = await bench(strict.http, [...SMALL, '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({ caught_up: 12, missed: 0, resets: 12, reset_reason: 'limit' });
    expect(code).toBe(1);
  });
});

describe('refused before anything is published', () => {
  let lastSeq = 0;
  beforeEach(async () => {
    lastSeq = (await shared.jsm.streams.info('PROGRESS')).state.last_seq;
  });
  const expectNothing = async (): Promise<void> =>
    expect((await shared.jsm.streams.info('PROGRESS')).state.last_seq).toBe(lastSeq);
  const on = (env: EdgeOptions['env']): Promise<EdgeProcess> =>
    startEdgeProcess({ natsUrl: shared.nats.url, ...(env && { env }) });

  test('nobody listens, and what listens is no edge', async () => {
    const nobody = await bench('http://127.0.0.1:1');
    expect(nobody.stderr).toMatch(
      /Cannot connect to the edge at ws:\/\/127\.0\.0\.1:1: nobody listens there/,
    );
    expect(nobody.stderr).toContain('HEADWAY_EDGE_URL');
    const path = await bench(`${edge.http}/elsewhere`);
    expect(path.stderr).toMatch(/does not let a client in \(404 .*--edge must be the address of an edge/);
    expect([nobody.code, path.code]).toEqual([1, 1]);
    await expectNothing();
  });

  test('an edge with tokens, and none or the wrong one given', async () => {
    await using strict = await on(JWT_ENV);
    const none = await bench(strict.http);
    expect(none.stderr).toMatch(
      /\(unauthorized: .*HEADWAY_TOKEN=\$\(headway token --job-type headway\.bench\)/,
    );
    const other = await bench(strict.http, SMALL, { HEADWAY_TOKEN: await mint({ jobs: ['theirs'] }) });
    expect(other.stderr).toMatch(/\(forbidden: .*The token must open jobs of the type headway\.bench/);
    expect([none.code, other.code]).toEqual([1, 1]);
    await expectNothing();
    const made = await headway(['token', '--job-type', 'headway.bench'], { env: { ...JWT_ENV } });
    const good = await bench(strict.http, SMALL, { HEADWAY_TOKEN: made.stdout.trim() });
    expect(good.stdout).toContain('none missed');
    expect(good.code).toBe(0);
    // What it opens is only seen when there is an event.
    const type = await bench(strict.http, SMALL, { HEADWAY_TOKEN: await mint({ job_types: ['other'] }) });
    expect([type.code, type.stderr.includes('(forbidden: ')]).toEqual([1, true]);
    expect(await stored()).toEqual({ 'progress.theirs': 1 });
  });

  test('the edge follows another stream', async () => {
    await using other = await natsWithStream();
    const { code, stderr } = await headway(['bench', '--edge', edge.http, ...SMALL], {
      env: natsEnv(other.nats.url),
    });
    expect(stderr).toMatch(/follows another stream than PROGRESS in this NATS/);
    expect(code).toBe(1);
    expect(await stored(other.nc)).toEqual({});
  });

  test('a stream that keeps less, and one that would let go events of others', async () => {
    const few = await bench(edge.http, ['--clients', '4', '--behind', '999']);
    expect(few.stderr).toMatch(/keeps 1,000 events of each job, and this needs 1,002/);
    await using full = await natsWithStream({ max_msgs: 50 });
    for (let n = 0; n < 5; n++) await publish(full.nc, 'theirs', { progress: n });
    const pushed = await headway(['bench', '--edge', edge.http, ...SMALL], { env: natsEnv(full.nats.url) });
    expect(pushed.stderr).toMatch(/nearly full .* it would let go older events of other jobs/);
    expect([few.code, pushed.code]).toEqual([2, 2]);
    expect(await stored(full.nc)).toEqual({ 'progress.theirs': 5 });
    await expectNothing();
  });

  test('a stream that cannot be purged', async () => {
    await using kept = await natsWithStream({ deny_purge: true });
    const { code, stderr } = await headway(['bench', '--edge', edge.http, ...SMALL], {
      env: natsEnv(kept.nats.url),
    });
    expect(stderr).toContain('NATS does not purge the stream PROGRESS');
    expect([code, await stored(kept.nc)]).toEqual([1, {}]);
  });

  test('credentials of an operator, who may not, and of an admin, who may', async () => {
    for (const user of ['edge', 'admin', 'operator', 'worker', 'single', 'reader'])
      process.env[`HEADWAY_${user.toUpperCase()}_PASSWORD`] = 'secret';
    const conf = fileURLToPath(new URL('../../docs/nats/permissions.conf', import.meta.url));
    await using nats = await startNats({
      config: `include ${JSON.stringify(relative(join(tmpdir(), 'any'), conf))}`,
    });
    await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret' });
    await createStream(admin);
    const urlOf = (user: string): string => nats.url.replace('//', `//${user}:secret@`);
    await using permitted = await startEdgeProcess({ natsUrl: urlOf('edge') });
    const as = (user: string): Promise<Ended> =>
      headway(['bench', '--edge', permitted.http, ...SMALL], { env: natsEnv(urlOf(user)) });
    const operator = await as('operator');
    expect(operator.stderr).toMatch(/does not permit this with them .*\$JS\.API\.STREAM\.PURGE\.PROGRESS/);
    expect([operator.code, await stored(admin)]).toEqual([4, {}]);
    const may = await as('admin');
    expect([may.code, await stored(admin)]).toEqual([0, {}]);
    expect(may.stdout).toContain('none missed');
  });
});

test('the limit of the edge for one address is told by its name', async () => {
  const env = { HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '5' };
  await using narrow = await startEdgeProcess({ natsUrl: shared.nats.url, env });
  const { code, stderr } = await bench(narrow.http);
  expect(stderr).toMatch(
    /\(too_many_connections: .*Give fewer --clients, or raise HEADWAY_MAX_CONNECTIONS_PER_ADDRESS/,
  );
  expect(code).toBe(1);
  expect(await stored()).toEqual({ 'progress.theirs': 1 });
});

test('the limit of open files is told', async () => {
  const args = ['bench', '--edge', edge.http, '--clients', '200', '--jobs', '2', '--behind', '2'];
  const { status, stderr } = spawnSync(
    'bash',
    ['-c', 'ulimit -n 150 && exec "$0" "$@"', process.execPath, HEADWAY, ...args],
    { env: { PATH: process.env.PATH ?? '', NATS_URL: shared.nats.url }, encoding: 'utf8', timeout: 30_000 },
  );
  expect(stderr).toMatch(/may open no more files \(EMFILE\)\. Raise ulimit -n, or give fewer --clients/);
  expect(status).toBe(1);
  expect(await stored()).toEqual({ 'progress.theirs': 1 });
});

describe('when it is stopped', () => {
  /** Says nothing behind `hello`, so that the clients wait. */
  const silent = (): Promise<TinyServer> =>
    startWsServer((socket, { url = '' }) => {
      const up = new WebSocket(edge.ws + url, 'progress.v1');
      up.once('message', (data) => socket.send(String(data)));
      up.on('error', () => undefined);
      socket.on('close', () => up.terminate());
    });

  test.each(['SIGINT', 'SIGTERM'] as const)('by %s, nothing is left', async (signal) => {
    await using server = await silent();
    await using command = startHeadway(['bench', '--edge', server.url, ...SMALL], {
      env: natsEnv(shared.nats.url),
    });
    await waitFor(async () => Object.keys(await stored()).length === 5, { what: 'its jobs' });
    command.signal(signal);
    const { code, stderr } = await command.ended();
    expect(code).toBe(signal === 'SIGINT' ? 130 : 143);
    expect(stderr).toMatch(/removing the jobs of bench-\w+; a second SIG/);
    expect(await stored()).toEqual({ 'progress.theirs': 1 });
  });

  test.skipIf(noTerminal !== null)('by Ctrl-C at a terminal, which shows how far it is', async () => {
    await using server = await silent();
    await using command = startHeadwayAtTerminal(['bench', '--edge', server.url, ...SMALL], {
      env: natsEnv(shared.nats.url),
    });
    await command.shows('connecting: 0 of 12 clients');
    command.type('\u0003');
    expect((await command.ended()).code).toBe(130);
    expect(await stored()).toEqual({ 'progress.theirs': 1 });
  });

  test('what takes too long is told, and nothing is left', async () => {
    await using server = await silent();
    const { code, stderr } = await bench(server.url, [...SMALL, '--timeout', '300ms']);
    expect(stderr).toMatch(/only 0 of 12 were in in time/);
    expect([code, await stored()]).toEqual([1, { 'progress.theirs': 1 }]);
  });

  test('while NATS is away: what is left is told, with the command that removes it', async () => {
    await using own = await natsWithStream();
    await publish(own.nc, 'theirs', { progress: 1 });
    await using follower = await startEdgeProcess({ natsUrl: own.nats.url });
    await using server = await startWsServer((socket, { url = '' }) => {
      const up = new WebSocket(follower.ws + url, 'progress.v1');
      up.once('message', (data) => socket.send(String(data)));
      up.on('error', () => undefined);
      socket.on('close', () => up.terminate());
    });
    await using command = startHeadway(['bench', '--edge', server.url, ...SMALL], {
      env: natsEnv(own.nats.url),
    });
    await waitFor(async () => Object.keys(await stored(own.nc)).length === 5, { what: 'its jobs' });
    await own.nats.kill();
    command.signal('SIGINT');
    const { code, stderr } = await command.ended();
    await own.nats.start();
    await waitFor(() => stored(own.nc), { what: 'NATS to answer again' });
    expect(code).toBe(130);
    const [, run, line = ''] =
      /4 jobs of (bench-\w+) may be left in the stream PROGRESS \(.*\)\. This removes them:\n {2}(.*)\n/.exec(
        stderr,
      ) ?? [];
    expect(line).toContain(`'${run}-*'`);
    expect(Object.keys(await stored(own.nc)).length).toBe(5);
    // As an operator would, with `headway` on the PATH.
    const script = `headway() { '${process.execPath}' '${HEADWAY}' "$@"; }\n${line.replace('xargs -I{} headway', `xargs -I{} '${process.execPath}' '${HEADWAY}'`)}`;
    const { status } = spawnSync('bash', ['-c', script], {
      env: { PATH: process.env.PATH ?? '', NATS_URL: own.nats.url },
      timeout: 30_000,
    });
    expect([status, await stored(own.nc)]).toEqual([0, { 'progress.theirs': 1 }]);
  });
});
