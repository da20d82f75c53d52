/** Somebody who makes the edge read much of the history does not keep others from theirs. */
import { expect, test } from 'vitest';
import { jobId } from '../harness/ids.js';
import { LinkedEdge } from '../harness/linked-edge.js';
import { metric } from '../harness/metrics.js';
import { bearer, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const OLD_CURSORS = 100;

test.each([
  ['of a job of its own', 'own'],
  ['of a job that the first one asks for as its last', 'shared'],
])(
  'herds: a hundred old cursors of one subject do not hold up the resume of another, %s',
  async (_, of) => {
    const greedy = Array.from({ length: OLD_CURSORS }, () => jobId('greedy'));
    const modest = jobId('modest');
    const env = { ...JWT_ENV, HEADWAY_HISTORY_READS: '2' };
    await using linked = await LinkedEdge.start([...greedy, modest], env);
    const { edge, link } = linked;
    const { nc } = linked.world;
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
    const resume = (id: string, token: string) => linked.resume(id, bearer(token));
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
