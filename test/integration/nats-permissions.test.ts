/** docs/nats/permissions.conf, line by line: what each user needs works, and what he must not do is refused. */
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type JetStreamManager, type NatsConnection, type NatsError, StringCodec } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type PermissionViolation,
  watchPermissionErrors,
} from '../../internal/jetstream/connection-monitor.js';
import { timeoutEvent } from '../../internal/liveness/timeout-event.js';
import type { Event } from '../../schemas/event.js';
import { WsClient } from '../harness/client.js';
import { type DoctorReport, idsOf, unchecked } from '../harness/doctor.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { headway, natsEnv, startHeadway } from '../harness/headway-command.js';
import { uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, deleteStreams, event, publish } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const CONF = fileURLToPath(new URL('../../docs/nats/permissions.conf', import.meta.url));
/** Relative to the configuration file of a server, which is in a folder of its own. */
const include = (file: string): string => `include ${JSON.stringify(relative(join(tmpdir(), 'any'), file))}`;

const USERS = ['edge', 'admin', 'operator', 'worker', 'single', 'reader'] as const;
type User = (typeof USERS)[number];
for (const user of USERS) process.env[`HEADWAY_${user.toUpperCase()}_PASSWORD`] = `secret-of-${user}`;

const QUICK = { timeout: 2_000, checkAPI: false } as const;
const INBOX: Partial<Record<User, string>> = { single: '_INBOX_single' };
const urlOf = (server: NatsServer, user: User): string =>
  server.url.replace('//', `//${user}:secret-of-${user}@`);
const NEWEST = (id: string): string => `$JS.API.DIRECT.GET.PROGRESS.progress.${id}`;
const event1 = JSON.stringify(event('job-1'));

let nats: NatsServer;
/** A connection of each user, and what NATS refused it. */
let as: Record<User, NatsConnection>;
let api: Record<User, JetStreamManager>;
let refusals: Record<User, PermissionViolation[]>;

beforeAll(async () => {
  nats = await startNats({ config: include(CONF) });
});
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  as = {} as typeof as;
  api = {} as typeof api;
  refusals = { edge: [], admin: [], operator: [], worker: [], single: [], reader: [] };
  for (const user of USERS) {
    const options = { user, pass: `secret-of-${user}`, ...(INBOX[user] && { inboxPrefix: INBOX[user] }) };
    as[user] = await connectNats(nats.url, options);
    const prefix = user === 'reader' ? { apiPrefix: 'PROGRESS.API' } : {};
    api[user] = await as[user].jetstreamManager({ ...QUICK, ...prefix });
    watchPermissionErrors(as[user], (refusal) => refusals[user].push(refusal));
  }
  await createStream(as.admin);
  await api.admin.streams.add({ name: 'OTHER', subjects: ['other.*'] });
  await api.admin.consumers.add('OTHER', { durable_name: 'theirs' });
  await publish(as.admin, 'job-1');
});
afterEach(async () => {
  await deleteStreams(as.admin, nats);
  for (const user of USERS) await as[user]?.close();
});

/** The request fails because NATS does not permit this very subject. */
async function expectRefused(request: Promise<unknown>, subject: string): Promise<void> {
  const error = await request.then(
    () => new Error('it was permitted'),
    (reason: NatsError) => reason,
  );
  expect(error.message).toMatch(/Permissions Violation for (Publish|Subscription) to/);
  expect(error.message).toContain(`"${subject}"`);
}

/** Publishing without waiting is refused: NATS says so, and the stream is as it was. */
async function expectPublishRefused(user: User, subject: string, reply?: string): Promise<void> {
  const before = await state();
  as[user].publish(subject, event1, reply === undefined ? {} : { reply });
  await as[user].flush();
  await waitFor(() => refusals[user].some((one) => one.operation === 'publish' && one.subject === subject), {
    what: `${user} to be refused ${subject}`,
  });
  expect(await state()).toEqual(before);
}

async function expectSubscribeRefused(user: User, subject: string): Promise<void> {
  const subscription = as[user].subscribe(subject);
  const ended = (async () => {
    for await (const _ of subscription);
  })();
  await expectRefused(ended, subject);
}

/** What the stream holds: its last sequence and how many messages of each subject. */
async function state(): Promise<unknown> {
  const info = await api.admin.streams.info('PROGRESS', { subjects_filter: '>' });
  return { created: info.created, last: info.state.last_seq, subjects: info.state.subjects };
}

describe('an edge', () => {
  test('makes the stream, serves a client, reads history, and comes back when its consumer or the stream is gone', async () => {
    await api.admin.streams.delete('PROGRESS');
    const edgeId = uniqueId('permitted');
    await using edge = await startEdgeProcess({
      natsUrl: urlOf(nats, 'edge'),
      // So little memory that what is older is read from JetStream.
      env: { HEADWAY_EDGE_ID: edgeId, HEADWAY_TAIL_BYTES: '65536', HEADWAY_DRAIN_MS: '0' },
    });
    expect((await api.admin.streams.info('PROGRESS')).config.subjects).toEqual(['progress.*']);

    await using live = await WsClient.connect(`${edge.ws}/ws/upload-progress/job-2`);
    await live.next('hello');
    const first = await publish(as.worker, 'job-2', { progress: 1 });
    expect((await live.updates(1))[0]?.seq).toBe(first);

    for (let i = 0; i < 20; i++) await publish(as.worker, 'job-2', { message: 'x'.repeat(4_096) });
    await live.updates(20);
    await using late = await WsClient.connect(
      `${edge.ws}/ws/upload-progress/job-2?last_seq=${first}&epoch=${live.epoch}`,
    );
    expect(await late.updates(20)).toHaveLength(20);

    await api.admin.consumers.delete('PROGRESS', `edge-${edgeId}`);
    const next = await publish(as.worker, 'job-2', { progress: 50 });
    expect((await live.updates(1))[0]?.seq).toBe(next);

    await api.admin.streams.delete('PROGRESS');
    await waitFor(() => api.admin.streams.info('PROGRESS'), { what: 'the stream to be made again' });
    await edge.ready();
    await live.until(({ type }) => type === 'reset', { timeoutMs: 20_000 });
    await publish(as.worker, 'job-2', { status: 'completed', progress: 100 });
    expect((await live.updates(1))[0]?.status).toBe('completed');

    expect(await edge.stop()).toBe(0);
    expect(nats.log().match(/headway-edge .* Violation.*/g) ?? []).toEqual([]);
    expect(edge.output()).not.toContain('secret-of-edge');
  });

  test('hears the heartbeats of workers', async () => {
    const heard = as.edge.subscribe('alive.progress.*', { max: 2 });
    await as.edge.flush();
    as.worker.publish('alive.progress.job-7');
    as.single.publish('alive.progress.job-1');
    const subjects: string[] = [];
    for await (const { subject } of heard) subjects.push(subject);
    expect(new Set(subjects)).toEqual(new Set(['alive.progress.job-1', 'alive.progress.job-7']));
  });

  test.each<[string, string, (edge: JetStreamManager) => Promise<unknown>]>([
    ['delete the stream', '$JS.API.STREAM.DELETE.PROGRESS', ({ streams }) => streams.delete('PROGRESS')],
    ['purge it', '$JS.API.STREAM.PURGE.PROGRESS', ({ streams }) => streams.purge('PROGRESS')],
    [
      'change it',
      '$JS.API.STREAM.UPDATE.PROGRESS',
      ({ streams }) => streams.update('PROGRESS', { max_msgs: 1 }),
    ],
    [
      'delete an event',
      '$JS.API.STREAM.MSG.DELETE.PROGRESS',
      ({ streams }) => streams.deleteMessage('PROGRESS', 1),
    ],
    [
      'make another stream',
      '$JS.API.STREAM.CREATE.MINE',
      ({ streams }) => streams.add({ name: 'MINE', subjects: ['mine'] }),
    ],
    ['look at another stream', '$JS.API.STREAM.INFO.OTHER', ({ streams }) => streams.info('OTHER')],
    [
      'read another stream',
      '$JS.API.STREAM.MSG.GET.OTHER',
      ({ streams }) => streams.getMessage('OTHER', { seq: 1 }),
    ],
    [
      'delete a consumer of another stream',
      '$JS.API.CONSUMER.DELETE.OTHER.theirs',
      ({ consumers }) => consumers.delete('OTHER', 'theirs'),
    ],
    [
      'make a consumer of another stream',
      '$JS.API.CONSUMER.CREATE.OTHER.mine',
      ({ consumers }) => consumers.add('OTHER', { durable_name: 'mine' }),
    ],
  ])('may not %s', async (_what, subject, call) => {
    const before = await state();
    await expectRefused(call(api.edge), subject);
    expect(await state()).toEqual(before);
  });

  test('writes the timeout of a job that fell silent, and only behind the event that it was judged by', async () => {
    const js = as.edge.jetstream(QUICK);
    const text = timeoutEvent(
      event('job-1', { attempt: 1 }) as unknown as Event,
      60_000,
      event('job-1').timestamp,
    );
    const behind = (lastSubjectSequence: number): Promise<unknown> =>
      js.publish('progress.job-1', text, { expect: { streamName: 'PROGRESS', lastSubjectSequence } });
    await expect(behind(7)).rejects.toMatchObject({ api_error: { err_code: 10071 } });
    await behind(1);
    const stored = await api.edge.streams.getMessage('PROGRESS', { last_by_subj: 'progress.job-1' });
    expect(stored.json()).toMatchObject({ attempt: 1, error: { code: 'timeout', retryable: true } });
    expect(refusals.edge).toEqual([]);
  });

  test('may not send a heartbeat, nor publish elsewhere', async () => {
    for (const subject of ['alive.progress.job-1', 'progress', 'progress.job-1.more', 'other.job-1'])
      await expectPublishRefused('edge', subject);
  });

  test('may not change a stream by making it again', async () => {
    const { config } = await api.admin.streams.info('PROGRESS');
    await expect(api.edge.streams.add({ ...config, max_msgs: 1 })).rejects.toThrow(/already in use/);
    expect((await api.admin.streams.info('PROGRESS')).config).toEqual(config);
  });

  test.each(['>', 'progress.>', '$JS.API.>', '_INBOX_single.>'])(
    'may not subscribe to %s',
    async (subject) => {
      await expectSubscribeRefused('edge', subject);
    },
  );
});

describe('a worker', () => {
  test('publishes with acks, ids and expected sequences, without a setting of its own', async () => {
    const js = as.worker.jetstream(QUICK);
    const once = await js.publish('progress.job-3', JSON.stringify(event('job-3')), { msgID: 'job-3-1' });
    expect(once.duplicate).toBe(false);
    const twice = await js.publish('progress.job-3', JSON.stringify(event('job-3')), { msgID: 'job-3-1' });
    expect(twice).toMatchObject({ seq: once.seq, duplicate: true });
    const expected = { expect: { lastSubjectSequence: once.seq } };
    const next = await js.publish('progress.job-3', JSON.stringify(event('job-3')), expected);
    expect(next.seq).toBe(once.seq + 1);
    await expect(js.publish('progress.job-3', '{}', expected)).rejects.toMatchObject({
      api_error: { err_code: 10071 },
    });
  });

  test('that is trusted with one job publishes to that one', async () => {
    expect(await publish(as.single, 'job-1')).toBeGreaterThan(1);
    await expectPublishRefused('single', 'progress.job-2');
    await expectPublishRefused('single', 'alive.progress.job-2');
  });

  test.each<User>(['worker', 'single'])('(%s) reads the newest event of its job', async (user) => {
    const newest = await as[user].request(NEWEST('job-1'), '', { timeout: 2_000 });
    expect(newest.headers?.get('Nats-Sequence')).toBe('1');
    expect(newest.json()).toMatchObject({ processing_id: 'job-1' });
    // Nothing in the request makes it another one.
    await publish(as.admin, 'job-1', { progress: 2 });
    await publish(as.admin, 'job-9', { progress: 9 });
    for (const more of [
      { seq: 1 },
      { last_by_subj: 'progress.job-9' },
      { next_by_subj: '>' },
      { batch: 9 },
    ]) {
      const { headers, data } = await as[user].request(NEWEST('job-1'), JSON.stringify(more), {
        timeout: 2_000,
      });
      expect([headers?.code, data.length]).toEqual([408, 0]);
    }
    expect(refusals[user]).toEqual([]);
  });

  test('G7 nobody unauthorised: that is trusted with one job reads no other', async () => {
    await publish(as.admin, 'job-2');
    for (const subject of ['job-2', '*', '>', 'job-1.more'].map(NEWEST))
      await expectRefused(as.single.request(subject, '', { timeout: 2_000 }), subject);
  });

  test.each<User>(['worker', 'single'])('(%s) reads nothing of another stream', async (user) => {
    for (const call of ['OTHER', 'OTHER.other.job-1', 'OTHER.progress.job-1', 'PROGRESS.other.job-1']) {
      const subject = `$JS.API.DIRECT.GET.${call}`;
      await expectRefused(as[user].request(subject, '', { timeout: 2_000 }), subject);
    }
  });

  test.each<User>(['worker', 'single'])('(%s) publishes nothing but its own subjects', async (user) => {
    for (const subject of [
      'other.job-1',
      'progress',
      'progress.job-1.more',
      '$JS.ACK.PROGRESS.x',
      '_INBOX.x.y',
    ])
      await expectPublishRefused(user, subject);
  });

  test.each<User>(['worker', 'single'])('(%s) calls nothing of the JetStream API', async (user) => {
    const before = await state();
    for (const call of [
      'INFO',
      'STREAM.LIST',
      'STREAM.INFO.PROGRESS',
      'STREAM.CREATE.MINE',
      'STREAM.UPDATE.PROGRESS',
      'STREAM.PURGE.PROGRESS',
      'STREAM.DELETE.PROGRESS',
      'STREAM.MSG.GET.PROGRESS',
      'DIRECT.GET.PROGRESS',
      'CONSUMER.CREATE.PROGRESS',
      'CONSUMER.DELETE.OTHER.theirs',
    ]) {
      const subject = `$JS.API.${call}`;
      await expectRefused(as[user].request(subject, '', { timeout: 2_000 }), subject);
    }
    expect(await state()).toEqual(before);
  });

  test.each<User>(['worker', 'single'])('(%s) subscribes to nothing but its inbox', async (user) => {
    const others = user === 'worker' ? '_INBOX_single.>' : '_INBOX.>';
    for (const subject of ['>', 'progress.>', 'progress.job-1', 'alive.progress.*', '$JS.>', others])
      await expectSubscribeRefused(user, subject);
  });

  test('G7 nobody unauthorised: a worker that listens to all inboxes of its account reads nothing that an edge is sent', async () => {
    const heard: string[] = [];
    const codec = StringCodec();
    as.worker.subscribe('_INBOX.>', { callback: (_error, { data }) => void heard.push(codec.decode(data)) });
    await as.worker.flush();
    expect((await api.edge.streams.getMessage('PROGRESS', { seq: 1 })).subject).toBe('progress.job-1');
    // Its own acknowledgement is heard, so the subscription stood while the edge was answered.
    const seq = await publish(as.worker, 'job-4');
    await waitFor(() => heard.length > 0, { what: 'the worker to hear its acknowledgement' });
    expect(heard.map((text) => JSON.parse(text))).toEqual([expect.objectContaining({ seq })]);
  });

  // NATS does not look at the subject to which an answer is asked for. Within one account that opens every door: a
  // worker that wants its acknowledgement sent to the API purges the stream (seen on 2.10.27), and one that wants it
  // sent to another job's subject fills that job with acknowledgements (seen on 2.10.27 and 2.15.1).
  test.each(['progress.job-1', '$JS.API.STREAM.PURGE.PROGRESS', 'alive.progress.job-1'])(
    'G7 nobody unauthorised: has no acknowledgement sent to %s',
    async (reply) => {
      const lives: string[] = [];
      as.edge.subscribe('alive.progress.*', { callback: (_error, { subject }) => void lives.push(subject) });
      await as.edge.flush();
      as.worker.publish('progress.job-5', JSON.stringify(event('job-5')), { reply });
      // One connection's messages are handled in order, and so are the acknowledgements of a stream.
      const seq = await publish(as.worker, 'job-6');
      await as.edge.flush();
      const info = await api.admin.streams.info('PROGRESS', { subjects_filter: '>' });
      expect(info.state.subjects).toEqual({ 'progress.job-1': 1, 'progress.job-5': 1, 'progress.job-6': 1 });
      expect(info.state.last_seq).toBe(seq);
      expect(lives).toEqual([]);
    },
  );

  // An answer to a read is a job's event: sent to another job's subject it would be that one's state. One for an event
  // that is not there is empty, which the API takes for a request without options.
  test.each(['progress.job-8', 'alive.progress.job-1', '$JS.API.STREAM.PURGE.PROGRESS', NEWEST('job-1')])(
    'G7 nobody unauthorised: has no event that it reads sent to %s',
    async (reply) => {
      const lives: string[] = [];
      as.edge.subscribe('alive.progress.*', { callback: (_error, { subject }) => void lives.push(subject) });
      await as.edge.flush();
      const before = await state();
      for (const user of ['worker', 'single'] as const) as[user].publish(NEWEST('job-1'), '', { reply });
      as.worker.publish(NEWEST('not-there'), '', { reply });
      as.worker.publish(NEWEST('job-1'), '{"no_hdr":true}', { reply });
      // Answered behind the others, by one subscription of the stream.
      for (const user of ['worker', 'single'] as const)
        await as[user].request(NEWEST('job-1'), '', { timeout: 2_000 });
      await as.edge.flush();
      expect(await state()).toEqual(before);
      expect(lives).toEqual([]);
    },
  );

  test('G7 nobody unauthorised: a worker that listens to all inboxes of its account reads nothing of one that has its own', async () => {
    const heard: string[] = [];
    as.worker.subscribe('_INBOX.>', { callback: (_error, { subject }) => void heard.push(subject) });
    await as.worker.flush();
    await as.single.request(NEWEST('job-1'), '', { timeout: 2_000 });
    await as.worker.request(NEWEST('job-1'), '', { timeout: 2_000 });
    await waitFor(() => heard.length > 0, { what: 'the worker to hear its own answer' });
    expect(heard).toHaveLength(1);
  });
});

describe('an operator who only looks', () => {
  test('sees the streams, their consumers, and every stored event', async () => {
    await api.admin.consumers.add('PROGRESS', { durable_name: 'edge-1' });
    const { streams, consumers } = api.reader;
    expect((await streams.list().next()).map(({ config }) => config.name).sort()).toEqual([
      'OTHER',
      'PROGRESS',
    ]);
    expect((await streams.names().next()).sort()).toEqual(['OTHER', 'PROGRESS']);
    expect((await streams.info('PROGRESS')).state.messages).toBe(1);
    expect((await consumers.list('PROGRESS').next()).map(({ name }) => name)).toEqual(['edge-1']);
    expect((await consumers.info('PROGRESS', 'edge-1')).name).toBe('edge-1');
    expect((await streams.getMessage('PROGRESS', { last_by_subj: 'progress.job-1' })).seq).toBe(1);
    const next = { seq: 1, next_by_subj: 'progress.job-1' } as never;
    expect((await streams.getMessage('PROGRESS', next)).json()).toMatchObject({ processing_id: 'job-1' });
    expect(refusals.reader).toEqual([]);
  });

  test('may not publish, purge, delete or make anything, under either prefix of the API', async () => {
    await expectPublishRefused('reader', 'progress.job-1');
    const before = await state();
    for (const call of [
      'STREAM.PURGE.PROGRESS',
      'STREAM.DELETE.PROGRESS',
      'STREAM.UPDATE.PROGRESS',
      'STREAM.CREATE.MINE',
      'STREAM.MSG.DELETE.PROGRESS',
      'CONSUMER.CREATE.PROGRESS',
      'CONSUMER.DELETE.OTHER.theirs',
      'CONSUMER.MSG.NEXT.PROGRESS.edge-1',
      'STREAM.INFO.OTHER',
    ])
      for (const prefix of ['PROGRESS.API', '$JS.API'])
        await expectRefused(
          as.reader.request(`${prefix}.${call}`, '', { timeout: 2_000 }),
          `${prefix}.${call}`,
        );
    for (const subject of ['>', 'progress.>', '$JS.>']) await expectSubscribeRefused('reader', subject);
    expect(await state()).toEqual(before);
  });

  test('has no answer sent to the subject of a job', async () => {
    const before = await state();
    const to = { reply: 'progress.job-1' };
    as.reader.publish('PROGRESS.API.STREAM.INFO.PROGRESS', '', to);
    as.reader.publish('PROGRESS.API.STREAM.MSG.GET.PROGRESS', '{"seq":1}', to);
    // The API answers one connection in order.
    await api.reader.streams.info('PROGRESS');
    expect(await state()).toEqual(before);
  });
});

describe('an operator with the headway command', () => {
  const run = (...args: string[]) => headway(args, { env: natsEnv(urlOf(nats, 'operator')) });

  test.each([
    ['list', '-o', 'ndjson'],
    ['get', 'job-1', '-o', 'json'],
    ['tail', '-o', 'ndjson'],
    ['history', 'job-1', '-o', 'ndjson'],
    ['export'],
    ['stats', '--scan', '-o', 'json'],
    ['stalled', '--after', '1ms', '--listen', '1ms', '-o', 'ndjson'],
    ['replay', '--speed', 'max', '-o', 'ndjson'],
  ])('reads: %s %s %s', async (...args) => {
    const { code, stdout, stderr } = await run(...args);
    expect(stderr).not.toMatch(/cannot|permit/);
    expect({ code, isEmpty: stdout === '' }).toEqual({ code: 0, isEmpty: false });
  });

  test('sees all that doctor looks at', async () => {
    const { code, stdout } = await run('doctor', '--for', 'operator', '-o', 'json');
    const report = { ...(JSON.parse(stdout) as DoctorReport), code };
    expect([code, unchecked(report)]).toEqual([0, []]);
    expect(idsOf(report)).not.toContain('permission-missing');
  });

  test('keeps the place of a replay, and goes on there', async () => {
    // The silence that a replay at this speed makes 20 s of.
    await delay(20);
    await publish(as.worker, 'job-1', { progress: 2 });
    const args = ['replay', 'job-1', '--durable', 'night', '--speed', '0.001x', '-o', 'ndjson'];
    await using first = startHeadway(args, { env: natsEnv(urlOf(nats, 'operator')) });
    await first.shows('"progress":0');
    first.signal('SIGINT');
    expect(await first.ended()).toMatchObject({ code: 130 });
    const { code, stdout } = await run(...args, '--max-gap', '1ms');
    expect(code).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).progress),
    ).toEqual([2]);
    expect((await api.admin.streams.info('PROGRESS')).state.consumer_count).toBe(0);
  });

  test('changes no event and no stream', async () => {
    const before = await state();
    const { code, stderr } = await run('purge', '--all', '--yes');
    expect(stderr).toContain('$JS.API.STREAM.PURGE.PROGRESS');
    expect(code).toBe(4);
    await expectPublishRefused('operator', 'progress.job-1');
    for (const call of [
      'STREAM.PURGE.PROGRESS',
      'STREAM.DELETE.PROGRESS',
      'STREAM.UPDATE.PROGRESS',
      'STREAM.CREATE.PROGRESS',
      'STREAM.MSG.DELETE.PROGRESS',
      'STREAM.INFO.OTHER',
      'CONSUMER.DELETE.OTHER.theirs',
    ])
      await expectRefused(as.operator.request(`$JS.API.${call}`, '', { timeout: 2_000 }), `$JS.API.${call}`);
    for (const subject of ['>', 'progress.>', '$JS.>']) await expectSubscribeRefused('operator', subject);
    expect(await state()).toEqual(before);
  });
});

test('an operator who manages edits, purges, reads and deletes', async () => {
  const { streams, consumers } = api.admin;
  await streams.update('PROGRESS', { max_msgs_per_subject: 500 });
  expect((await streams.purge('PROGRESS')).purged).toBe(1);
  await publish(as.admin, 'job-1');
  await consumers.add('PROGRESS', { durable_name: 'mine' });
  expect(await consumers.delete('PROGRESS', 'mine')).toBe(true);
  expect(await streams.delete('PROGRESS')).toBe(true);
  expect(refusals.admin).toEqual([]);
});
