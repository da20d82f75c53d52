/** `headway fail`: a dead job ends once, with the next attempt, and a job that lives or has ended is left alone. */
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, test } from 'vitest';
import { append, attemptAfter } from '../../internal/cli/commands/fail/fail.js';
import { checkEvent, type Event } from '../../schemas/event.js';
import { aliveBody } from '../../schemas/ids.js';
import { createReporter, type SupersededError } from '../../sdk/worker/index.js';
import { WsClient } from '../harness/client.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import {
  type Ended,
  headway,
  natsEnv,
  noTerminal,
  startHeadway,
  startHeadwayAtTerminal,
} from '../harness/headway-command.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, createStream, event, publish, publishRaw, storedEvents } from '../harness/publish.js';
import { freshStream, sharedNats, streamAccess } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
beforeEach(() => freshStream(shared));

const SILENT = { stall_after_seconds: 0.001 };
const REASON = 'the machine burnt down';

const end = (id: string, ...args: string[]): Promise<Ended> =>
  headway(['fail', id, '--reason', REASON, '--yes', '--listen', '300ms', ...args], {
    env: natsEnv(shared.nats.url),
  });
const stored = async (id: string): Promise<Event[]> =>
  (await storedEvents(shared.nc, 'PROGRESS', id)).map(({ json }) => json as Event);
const last = async (id: string): Promise<Event | undefined> => (await stored(id)).at(-1);

describe('a dead job', () => {
  test('G6 the end: it holds the whole state, the next attempt and the reason, and reaches who waits', async () => {
    await publish(shared.nc, 'dead', {
      ...SILENT,
      attempt: 3,
      progress: 42,
      job_type: 'pdf.ocr',
      message: 'page 6',
      step: { name: 'read', index: 6, total: 14 },
      pages: 6,
    });
    // A late event of an older attempt does not take the attempt back.
    await publish(shared.nc, 'dead', { ...SILENT, attempt: 2, progress: 42, job_type: 'pdf.ocr', pages: 6 });
    await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress/dead`);
    await client.until(({ type }) => type === 'caught_up');
    const { code, stdout } = await end('dead');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: 'Ended dead as an error with attempt 4, seq 3.\n',
    });
    await client.until(({ type }) => type === 'end');
    expect((await client.closed).code).toBe(1000);
    const seen = await last('dead');
    expect(checkEvent(seen)).toBeNull();
    expect(seen).toMatchObject({
      processing_id: 'dead',
      status: 'error',
      progress: 42,
      attempt: 4,
      job_type: 'pdf.ocr',
      pages: 6,
      error: { code: 'failed_by_operator', message: REASON, retryable: false },
    });
    expect(seen?.message).toBeUndefined();
  });

  test('G6 the end: a worker that comes back finds that it has lost the job, and writes nothing behind the end', async () => {
    await using reporter = createReporter(shared.nc);
    const job = await reporter.start({ processingId: 'back', stallAfterSeconds: 0.001 });
    expect((await end('back', '--force')).code).toBe(0);
    job.report({ progress: 50 });
    const lost = await waitFor(() => job.signal.aborted && (job.signal.reason as SupersededError), {
      what: 'the worker to notice',
    });
    expect(lost).toMatchObject({ code: 'superseded' });
    const seen = await stored('back');
    expect(seen.map(({ status, attempt }) => `${attempt} ${status}`)).toEqual(['1 processing', '2 error']);
    // Who starts it again takes the attempt after that.
    const again = await reporter.start({ processingId: 'back' });
    expect(again.attempt).toBe(3);
    await again.complete('done');
  });

  test('one that failed and may be tried again, or that an edge timed out, can be ended too', async () => {
    const retryable = { code: 'timeout', retryable: true, details: { silent_ms: 3_600_000 } };
    await publish(shared.nc, 'retried', { status: 'error', error: retryable });
    const { code, stdout } = await end('retried', '-o', 'json');
    expect({ code, ...JSON.parse(stdout) }).toEqual({
      code: 0,
      processing_id: 'retried',
      seq: 2,
      attempt: 2,
    });
    expect((await last('retried'))?.error?.details).toMatchObject({ silent_ms: expect.any(Number) });
  });

  test('where the newest message is no event, it is written behind that', async () => {
    await publish(shared.nc, 'junk', { ...SILENT, progress: 7 });
    await publishRaw(shared.nc, 'progress.junk', '{');
    expect((await end('junk')).stdout).toBe('Ended junk as an error with attempt 1, seq 3.\n');
    expect((await last('junk'))?.progress).toBe(7);
  });

  test.each<[string, Partial<Event>[], number]>([
    ['named', [{ attempt: 2 }, { attempt: 1 }], 2],
    ['none named', [{}, {}], 0],
    ['an end without one is that of attempt 1', [{}, { status: 'completed' }], 1],
    ['what names none belongs to the highest', [{ attempt: 5 }, {}, { status: 'error' }], 5],
  ])('the highest attempt: %s', (_name, events, highest) => {
    const all = events.map((fields) => event('a', fields) as Event);
    expect(all.reduce(attemptAfter, 0)).toBe(highest);
  });
});

describe('nothing is written', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['completed', { status: 'completed', progress: 100 }, /has ended already \(completed, seq 1\)/],
    ['failed', { status: 'error', error: { code: 'E' } }, /has ended already \(error, seq 1\)/],
    ['fresh', {}, /reported \S+ ago, and may be silent for 5m00s.*--force/],
  ])('to a job that is %s', async (id, fields, told) => {
    await publish(shared.nc, id, fields);
    const { code, stdout, stderr } = await end(id);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(told);
    expect(stderr).toMatch(/^headway: .*\n$/);
    expect(await stored(id)).toHaveLength(1);
  });

  test('to an ended job, even with --force', async () => {
    await publish(shared.nc, 'done', { status: 'completed', progress: 100 });
    expect((await end('done', '--force')).code).toBe(1);
    expect(await stored('done')).toHaveLength(1);
  });

  test('to a job whose worker sends heartbeats, unless it is forced; that of an older attempt is none', async () => {
    await publish(shared.nc, 'busy', { ...SILENT, attempt: 2 });
    let attempt = 2;
    const beat = setInterval(() => shared.nc.publish('alive.progress.busy', aliveBody(attempt)), 20);
    try {
      const alive = await end('busy', '--listen', '20s');
      expect(alive.code).toBe(1);
      expect(alive.stderr).toMatch(/^headway: The worker of busy lives: it sent a heartbeat/);
      expect(await stored('busy')).toHaveLength(1);
      attempt = 1;
      expect((await end('busy')).code).toBe(0);
      await publish(shared.nc, 'busy', { ...SILENT, attempt: 4 });
      attempt = 4;
      expect((await end('busy', '--force')).stdout).toContain('attempt 5');
    } finally {
      clearInterval(beat);
    }
  });

  test('G6 the end: where anything was stored meanwhile; of two at once one is stored', async () => {
    const seq = await publish(shared.nc, 'raced', SILENT);
    await publish(shared.nc, 'raced', { progress: 5 });
    const text = JSON.stringify(event('raced', { status: 'error', error: { code: 'x' } }));
    await expect(append(streamAccess(shared), 'raced', seq, text)).rejects.toThrow(
      /got another event meanwhile/,
    );
    expect(await stored('raced')).toHaveLength(2);

    await publish(shared.nc, 'twice', SILENT);
    const both = await Promise.all([end('twice'), end('twice')]);
    expect(both.map(({ code }) => code).toSorted()).toEqual([0, 1]);
    expect(await stored('twice')).toHaveLength(2);
  });

  test('off a terminal without --yes, and for mistakes', async () => {
    await publish(shared.nc, 'dead', SILENT);
    const env = natsEnv(shared.nats.url);
    const none = await headway(['fail', 'dead', '--reason', 'x'], { env });
    expect([none.code, none.stderr]).toEqual([2, expect.stringMatching(/no terminal to ask at; give --yes/)]);
    expect((await headway(['fail', 'dead', '--yes'], { env })).stderr).toMatch(
      /--reason <text>' not specified/,
    );
    expect((await headway(['fail', 'dead', '--yes', '--reason', ' '], { env })).code).toBe(2);
    expect((await headway(['fail', 'a.b', '--yes', '--reason', 'x'], { env })).code).toBe(2);
    expect((await end('nobody')).code).toBe(3);
    await publishRaw(shared.nc, 'progress.junk', '{');
    expect(await end('junk')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('no event of the job'),
    });
    expect(await stored('dead')).toHaveLength(1);
  });

  test.skipIf(noTerminal).each([
    ['dead', 0],
    ['yes', 1],
  ])('at a terminal it is asked; "%s" is the answer', async (answer, expected) => {
    await publish(shared.nc, 'dead', { ...SILENT, job_type: 'pdf.ocr', progress: 40 });
    await using command = startHeadwayAtTerminal(['fail', 'dead', '--reason', REASON, '--listen', '100ms'], {
      env: natsEnv(shared.nats.url),
    });
    await command.shows(/This ends the job dead \(pdf\.ocr\) at 40% as an error for good\./);
    await command.shows('Type dead to go on: ');
    command.type(`${answer}\r`);
    expect((await command.ended()).code).toBe(expected);
    expect(await stored('dead')).toHaveLength(expected === 0 ? 2 : 1);
  });

  test('Ctrl-C while it listens writes nothing', async () => {
    await publish(shared.nc, 'dead', SILENT);
    await using command = startHeadway(['fail', 'dead', '--reason', REASON, '--yes', '--listen', '1h'], {
      env: natsEnv(shared.nats.url),
    });
    const isConnected = async (): Promise<boolean> =>
      JSON.stringify(await shared.nats.monitor('/connz')).includes('headway fail');
    await waitFor(isConnected, { what: 'it to be connected' });
    command.signal('SIGINT');
    expect((await command.ended()).code).toBe(130);
    expect(await stored('dead')).toHaveLength(1);
  });
});

test('with the users of docs/nats: the admin may, the operator is told what is missing, workers cannot', async () => {
  for (const user of ['edge', 'admin', 'operator', 'worker', 'single', 'reader']) {
    process.env[`HEADWAY_${user.toUpperCase()}_PASSWORD`] = `secret-of-${user}`;
  }
  const conf = fileURLToPath(new URL('../../docs/nats/permissions.conf', import.meta.url));
  await using nats = await startNats({
    config: `include ${JSON.stringify(relative(join(tmpdir(), 'any'), conf))}`,
  });
  await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
  await createStream(admin);
  await publish(admin, 'dead', SILENT);
  const as = (user: string): Promise<Ended> =>
    headway(['fail', 'dead', '--reason', REASON, '--yes', '--listen', '300ms'], {
      env: natsEnv(nats.url.replace('//', `//${user}:secret-of-${user}@`)),
    });
  const refused = await as('operator');
  expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 4, stdout: '' });
  expect(refused.stderr).toMatch(/Permissions Violation for Publish to "progress\.dead"/);
  expect((await as('worker')).code).toBe(4);
  expect(await storedEvents(admin, 'PROGRESS', 'dead')).toHaveLength(1);
  expect((await as('admin')).code).toBe(0);
  expect(await storedEvents(admin, 'PROGRESS', 'dead')).toHaveLength(2);
});
