/** Somebody who makes the edge read much of the history does not keep others from theirs. */
import { expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { bearer, JWT_ENV, metric, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const JOBS = '/ws/upload-progress';
const OLD_CURSORS = 100;

test.each([
  ['of a job of its own', 'own'],
  ['of a job that the first one asks for as its last', 'shared'],
])(
  'herds: a hundred old cursors of one subject do not hold up the resume of another, %s',
  async (_, of) => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    const greedy = Array.from({ length: OLD_CURSORS }, () => jobId('greedy'));
    const modest = jobId('modest');
    await createStream(nc, 'PROGRESS');
    // Two events each, of which an edge that starts now has only the newest: a resume after the first needs a read.
    for (const id of [...greedy, modest, ...greedy, modest]) await publish(nc, id);
    await using link = await startTcpProxy(nats.port);
    await using edge = await startEdgeProcess({
      natsUrl: `nats://127.0.0.1:${link.port}`,
      env: { ...JWT_ENV, HEADWAY_HISTORY_READS: '2' },
    });
    const tokens = {
      greedy: await mint({ sub: 'greedy', jobs: ['*'] }),
      modest: await mint({ sub: 'modest', jobs: ['*'] }),
    };
    // What the edge asks of NATS, in the order in which NATS gets it.
    const asked: string[] = [];
    const listening = nc.subscribe('$JS.API.>', {
      callback: (_, message) => asked.push(message.string()),
    });
    await nc.flush();

    link.stall();
    const resume = (id: string, token: string) =>
      WsClient.connect(`${edge.ws}${JOBS}/${id}?last_seq=1`, bearer(token));
    const others = await Promise.all(greedy.map((id) => resume(id, tokens.greedy)));
    await waitFor(async () => (await metric(edge.http, 'headway_history_reads_pending')) >= OLD_CURSORS - 2, {
      what: 'reads that wait',
    });
    if (of === 'shared') others.push(await resume(modest, tokens.greedy));
    const known = others.length;
    await waitFor(async () => (await metric(edge.http, 'headway_sessions')) === known, {
      what: 'the first one',
    });
    const client = await resume(modest, tokens.modest);
    await waitFor(async () => (await metric(edge.http, 'headway_sessions')) > known, {
      what: 'the other one',
    });
    await waitFor(async () => (await metric(edge.http, 'headway_history_reads_waiting_requesters')) === 2, {
      what: 'reads of both that wait',
    });
    expect(await metric(edge.http, 'headway_history_reads_waiting_seconds')).toBeGreaterThan(0);
    link.flow();
    await client.until(({ type }) => type === 'caught_up', { timeoutMs: 60_000 });
    const first = asked.findIndex((text) => text.includes(modest));
    expect(first).toBeGreaterThan(0);
    const before = asked.slice(0, first);
    const readBefore = greedy.filter((id) => before.some((text) => text.includes(id)));
    expect(readBefore.length).toBeLessThan(OLD_CURSORS / 5);

    // And they get theirs.
    for (const other of others) await other.until(({ type }) => type === 'caught_up', { timeoutMs: 60_000 });
    listening.unsubscribe();
    for (const one of [...others, client]) one.drop();
  },
  180_000,
);
