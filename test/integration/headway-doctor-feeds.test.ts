/** `headway doctor` on edges that live and get nothing: each cause is made on purpose, and told by its name. */
import { AckPolicy, DeliverPolicy, nanos } from 'nats';
import { beforeEach, describe, expect, test } from 'vitest';
import { isAtLeast } from '../../internal/server-version.js';

import { aboveNotes, type DoctorReport, detailsOf, examine, findingOf, idsOf } from '../harness/doctor.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { natsEnv } from '../harness/headway-command.js';
import { uniqueId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, createStream, deleteStreams, publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const ERRORS = 11;
const DONE = { status: 'completed', progress: 100 };

const shared = sharedNats();
beforeEach(() => deleteStreams(shared.nc, shared.nats));

const report = (): Promise<DoctorReport> => examine(natsEnv(shared.nats.url));

/** An edge that follows the stream of the contract, and the name of its consumer. */
async function following(): Promise<{ edge: EdgeProcess; consumer: string } & AsyncDisposable> {
  await createStream(shared.nc);
  const id = uniqueId('fed');
  const edge = await startEdgeProcess({ natsUrl: shared.nats.url, env: { HEADWAY_EDGE_ID: id } });
  return { edge, consumer: `edge-${id}`, [Symbol.asyncDispose]: () => edge[Symbol.asyncDispose]() };
}

/** Changes the consumer of an edge, as `nats consumer edit` does. */
async function edit(consumer: string, changes: Record<string, unknown>): Promise<void> {
  const { config } = await shared.jsm.consumers.info('PROGRESS', consumer);
  const changed = { ...config, ...changes };
  const filter = typeof changed.filter_subject === 'string' ? `.${changed.filter_subject}` : '';
  const subject = `$JS.API.CONSUMER.CREATE.PROGRESS.${consumer}${filter}`;
  const body = JSON.stringify({ stream_name: 'PROGRESS', config: changed });
  const answer = (await shared.nc.request(subject, body)).json<{ error?: { description: string } }>();
  expect(answer.error).toBeUndefined();
}

describe('an edge whose consumer answers and delivers nothing', () => {
  test('somebody paused it', async ({ skip }) => {
    // Servers before 2.11 cannot pause.
    if (!isAtLeast(shared.nats.version, '2.11.0')) skip();
    await using fed = await following();
    await shared.jsm.consumers.pause('PROGRESS', fed.consumer, new Date(Date.now() + 3_600_000));
    for (let i = 0; i < 3; i++) await publish(shared.nc, `job-${i}`, DONE);
    const paused = await report();
    expect([paused.code, aboveNotes(paused)]).toEqual([ERRORS, ['edge-consumer-paused']]);
    expect(detailsOf(paused, 'edge-consumer-paused')).toMatch(
      new RegExp(`^${fed.consumer}: paused for (59 min \\d+ s|1 h) more, 3 events behind$`),
    );
    expect(findingOf(paused, 'edge-consumer-paused')?.what_to_do).toContain(
      `\`nats consumer resume PROGRESS ${fed.consumer}\``,
    );
    await shared.jsm.consumers.resume('PROGRESS', fed.consumer);
    await waitFor(async () => aboveNotes(await report()).length === 0, { what: 'the edge to go on' });
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      'another filter',
      { filter_subject: 'progress.other' },
      /: filter_subject is "progress\.other"; an edge makes it "progress\.\*"$/,
    ],
    [
      'several filters',
      { filter_subject: undefined, filter_subjects: ['progress.other', 'progress.more'] },
      /: filter_subjects is \["progress\.other","progress\.more"\]; /,
    ],
    ['no bodies', { headers_only: true }, /: headers_only is true; an edge makes it false$/],
    ['pulls limited', { max_batch: 1 }, /: max_batch is 1; an edge makes it false$/],
  ])('somebody edited it: %s', async (_what, changes, told) => {
    await using fed = await following();
    // Of a consumer that begins with last states, nobody can take the filter away.
    await shared.jsm.consumers.delete('PROGRESS', fed.consumer);
    await waitFor(async () => (await shared.jsm.consumers.info('PROGRESS', fed.consumer)).num_waiting > 0, {
      what: 'the edge to make its consumer anew',
    });
    // An edge puts it right by itself within seconds, so this one sleeps while it is looked at.
    await fed.edge.freeze();
    await edit(fed.consumer, changes);
    const edited = await report();
    await fed.edge.thaw();
    expect([edited.code, aboveNotes(edited)]).toEqual([ERRORS, ['edge-consumer-edited']]);
    expect(detailsOf(edited, 'edge-consumer-edited')).toMatch(told);
    // What it advises helps.
    await shared.jsm.consumers.delete('PROGRESS', fed.consumer);
    await waitFor(async () => aboveNotes(await report()).length === 0, { what: 'the edge to be well again' });
  });

  test('it stands where the stream does not reach yet', async ({ skip }) => {
    // Older servers put such a start right by themselves.
    if (!isAtLeast(shared.nats.version, '2.11.0')) skip();
    await createStream(shared.nc);
    const durable_name = 'edge-beyond';
    await shared.jsm.consumers.add('PROGRESS', {
      durable_name,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: 1_000,
    });
    for (let i = 0; i < 3; i++) await publish(shared.nc, `job-${i}`, DONE);
    const consumer = await shared.nc.jetstream().consumers.get('PROGRESS', durable_name);
    const messages = await consumer.consume({ callback: () => undefined });
    const stalled = await report();
    await messages.close();
    expect([stalled.code, aboveNotes(stalled)]).toEqual([ERRORS, ['edge-stalled']]);
    expect(detailsOf(stalled, 'edge-stalled')).toBe(
      'edge-beyond: stands at seq 999, and the stream ends at 3',
    );
  });
});

test('an edge whose pulls NATS forbids', async () => {
  const rules = 'publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.>"] }';
  const users = `{user: a, password: a}, {user: e, password: e, permissions: { ${rules} }}`;
  await using nats = await startNats({ config: `accounts { A { jetstream: enabled, users: [${users}] } }` });
  await using nc = await connectNats(nats.url, { user: 'a', pass: 'a' });
  await createStream(nc);
  await publish(nc, 'job-1', DONE);
  const id = uniqueId('forbidden');
  await using edge = await startEdgeProcess({
    natsUrl: nats.url.replace('//', '//e:e@'),
    env: { HEADWAY_EDGE_ID: id },
    untilReady: false,
  });
  await waitFor(() => edge.logged('the feed was lost, rebuilding it').length > 0, {
    what: 'the edge to try again',
  });
  const forbidden = await examine(natsEnv(nats.url.replace('//', '//a:a@')));
  expect([forbidden.code, aboveNotes(forbidden)]).toEqual([ERRORS, ['edge-pulls-refused']]);
  expect(detailsOf(forbidden, 'edge-pulls-refused')).toMatch(new RegExp(`^edge-${id}: \\d events? behind$`));
  expect(idsOf(forbidden)).toContain('no-edge');
});

test('edges that are right: without a filter, and with one that lets everything through', async () => {
  await createStream(shared.nc);
  await publish(shared.nc, 'job-1', DONE);
  const filters = { none: undefined, all: '>', jobs: 'progress.*', below: 'progress.>' };
  const pulls: { close(): Promise<unknown> }[] = [];
  for (const [name, filter_subject] of Object.entries(filters)) {
    await shared.jsm.consumers.add('PROGRESS', {
      durable_name: `edge-${name}`,
      ...(filter_subject !== undefined && { filter_subject }),
      ack_policy: AckPolicy.None,
      inactive_threshold: nanos(300_000),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: 1,
    });
    const consumer = await shared.nc.jetstream().consumers.get('PROGRESS', `edge-${name}`);
    pulls.push(await consumer.consume({ callback: () => undefined }));
  }
  const healthy = await report();
  for (const pull of pulls) await pull.close();
  expect([healthy.code, aboveNotes(healthy)]).toEqual([0, []]);
  expect(healthy.checked).toContainEqual({
    check: 'consumers',
    note: '4 edges at the head of the stream',
  });
});
