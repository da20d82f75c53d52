/** What a client goes through wherever it runs: in a page of Chromium, and in Node. */
import { expect } from 'vitest';
import { metric } from '../metrics.js';
import { inSeconds, JWT_ENV, mint } from '../tokens.js';
import { waitFor } from '../wait.js';
import { faultsOf, storedOf } from './account.js';
import type { Stage, StageOptions } from './stage.js';

export interface Scenario {
  readonly name: string;
  readonly options?: StageOptions;
  play(stage: Stage): Promise<void>;
}

const cuts: Scenario = {
  name: 'G1 order: connections cut, and links that die without a word: every handle is told everything once',
  async play(stage) {
    const { seat, link, url } = stage;
    const [a = '', b = ''] = await stage.jobs(2);
    await seat.call('client', 'c', { url });
    await seat.call('follow', 'a1', 'c', a);
    await seat.call('follow', 'a2', 'c', a);
    await seat.call('follow', 'b loop', 'c', b, { by: 'loop' });
    for (const handle of ['a1', 'a2', 'b loop'])
      await seat.untilTold(handle, ({ what }) => what === 'update', 'the first state');
    for (const how of ['cut', 'stall', 'half', 'cut', 'cut'] as const) {
      const before = link.accepted;
      if (how === 'cut') link.cut();
      else if (how === 'half') link.stall('down');
      else link.stall('up', 'down');
      await stage.report(a);
      for (let i = 0; i < 3; i++) await stage.report(b);
      if (how !== 'cut') {
        await waitFor(() => link.accepted > before, { what: `another try after ${how}`, timeoutMs: 30_000 });
        link.flow('up', 'down');
      }
      const [lastA, lastB] = [await stage.report(a), await stage.report(b)];
      await seat.untilShown('a1', lastA);
      await seat.untilShown('a2', lastA);
      await seat.untilShown('b loop', lastB);
    }
    await stage.expectComplete({ a1: a, a2: a, 'b loop': b });
    expect(await seat.call('snapshot', 'a1')).toMatchObject({ continuity: { kind: 'proven' }, error: null });
  },
};

const joined: Scenario = {
  name: 'G1 order: jobs that a page follows later, when it is connected, are told everything as well',
  async play(stage) {
    const { seat, link, url } = stage;
    const [a = '', b = ''] = await stage.jobs(2);
    await seat.call('client', 'c', { url });
    await seat.call('follow', 'a', 'c', a);
    await seat.untilTold('a', ({ what }) => what === 'update', 'the first state');
    await seat.call('follow', 'b', 'c', b);
    await seat.untilTold('b', ({ what }) => what === 'update', 'the first state');
    await seat.untilShown('a', await stage.report(a));
    // Another that comes late begins with what is shown, and with nothing from before.
    const late = await stage.report(a);
    await seat.untilShown('a', late);
    await seat.call('follow', 'late', 'c', a);
    await seat.untilTold('late', ({ what }) => what === 'update', 'the first state');
    for (let round = 0; round < 3; round++) {
      link.cut();
      for (let i = 0; i < 3; i++) await stage.report(b);
      const [lastA, lastB] = [await stage.report(a), await stage.report(b)];
      await seat.untilShown('a', lastA);
      await seat.untilShown('late', lastA);
      await seat.untilShown('b', lastB);
    }
    await stage.expectComplete({ a, b });
    const told = await seat.told('late');
    expect(told[0]).toMatchObject({ what: 'update', seq: late });
    expect(faultsOf(told, await storedOf(stage.nc, a), null)).toEqual([]);
    // Older than what is shown: the one who asks for it gets all of it, and the others nothing again.
    const { seq: first } = (await seat.told('a'))[0] as { seq: number };
    const cursor = String(await seat.call('cursor', 'a')).replace(/^\d+/, String(first));
    await seat.call('follow', 'from the first', 'c', a, { after: cursor });
    const last = await stage.report(a);
    for (const handle of ['a', 'late', 'from the first']) await seat.untilShown(handle, last);
    await stage.expectComplete({ a });
    const stored = await storedOf(stage.nc, a);
    expect(faultsOf(await seat.told('from the first'), stored, first)).toEqual([]);
    expect(faultsOf(await seat.told('late'), stored, null)).toEqual([]);
  },
};

const otherEdges: Scenario = {
  name: 'G10 any edge: an edge is killed, one drains, and others go on where they were',
  async play(stage) {
    const { seat, url } = stage;
    const [id = ''] = await stage.jobs(1);
    await seat.call('client', 'c', { url });
    await seat.call('follow', 'h', 'c', id);
    await seat.untilTold('h', ({ what }) => what === 'update', 'the first state');
    await stage.edge.kill();
    await stage.report(id);
    await stage.nextEdge();
    await seat.untilShown('h', await stage.report(id));
    const old = stage.edge;
    await stage.nextEdge();
    const isStopped = old.stop();
    await stage.report(id);
    await isStopped;
    await seat.untilShown('h', await stage.report(id));
    await stage.expectComplete({ h: id });
  },
};

const endWhileAway: Scenario = {
  name: 'G6 the end: a job ends while the client is away, and another ended before it came',
  async play(stage) {
    const { seat, link, url } = stage;
    const [away = '', before = ''] = await stage.jobs(2);
    const endBefore = await stage.report(before, { status: 'completed' });
    await seat.call('client', 'c', { url });
    await seat.call('follow', 'away', 'c', away);
    await seat.call('follow', 'before', 'c', before);
    await seat.untilTold('before', ({ what }) => what === 'done', 'the end');
    await seat.untilTold('away', ({ what }) => what === 'update', 'the first state');
    link.refuse();
    link.cut();
    await stage.report(away);
    const end = await stage.report(away, { status: 'error', error: { code: 'broken', message: 'It broke' } });
    await link.accept();
    await seat.untilTold('away', ({ what }) => what === 'done', 'the end', 40_000);
    const told = (await seat.told('away')).filter(({ what }) => what === 'end' || what === 'done');
    expect(told.map(({ what, seq, status }) => [what, seq, status])).toEqual(
      expect.arrayContaining([
        ['end', end, 'error'],
        ['done', end, 'error'],
      ]),
    );
    expect(told).toHaveLength(2);
    await stage.expectComplete({ away });
    expect(faultsOf(await seat.told('before'), await storedOf(stage.nc, before), null)).toEqual([]);
    for (const [handle, seq] of [['away', end] as const, ['before', endBefore] as const])
      expect(await seat.call('snapshot', handle)).toMatchObject({ seq, isEnded: true, error: null });
    // Nobody follows a job that goes on, so the connection goes as well.
    await waitFor(async () => (await seat.call('connection', 'c')).connection === 'idle', {
      what: 'the connection to be idle',
    });
  },
};

const THROWS = /this handler throws/;

const ownFaults: Scenario = {
  name: 'a handler that throws, and one that closes in the middle of a batch: nothing is lost, nothing comes twice',
  async play(stage) {
    const { seat, link, url } = stage;
    const [id = ''] = await stage.jobs(1);
    await seat.call('client', 'c', { url });
    await seat.call('follow', 'throws', 'c', id, { throwAt: 3 });
    await seat.call('follow', 'closes', 'c', id, { closeAt: 4 });
    await seat.call('follow', 'beside', 'c', id);
    for (const handle of ['throws', 'closes', 'beside'])
      await seat.untilTold(handle, ({ what }) => what === 'update', 'the first state');
    // What is missed comes as one batch.
    link.refuse();
    link.cut();
    for (let i = 0; i < 8; i++) await stage.report(id);
    await link.accept();
    const last = await stage.report(id);
    await seat.untilShown('throws', last);
    await seat.untilShown('beside', last);
    const closed = (await seat.told('closes')).filter(({ what }) => what === 'update');
    expect(closed).toHaveLength(4);
    const cursor = await seat.call('cursor', 'closes');
    expect(cursor).toMatch(new RegExp(`^${closed.at(-1)?.seq}\\.`));
    await seat.call('follow', 'closes', 'c', id, { after: String(cursor) });
    await seat.untilShown('closes', last);
    const end = await stage.report(id);
    for (const handle of ['throws', 'closes', 'beside']) await seat.untilShown(handle, end);
    const thrown = seat.errors.filter((error) => THROWS.test(error));
    expect(thrown).toHaveLength(1);
    expect(seat.errors).toEqual(thrown);
    const stored = await storedOf(stage.nc, id);
    for (const handle of ['throws', 'closes', 'beside'])
      expect([handle, ...faultsOf(await seat.told(handle), stored)]).toEqual([handle]);
  },
};

const manyJobs: Scenario = {
  name: '200 jobs on one page have one socket, which goes some time after the last of them',
  async play(stage) {
    const { seat, gate, url } = stage;
    const ids = await stage.jobs(200);
    await seat.call('client', 'c', { url, lingerMs: 100 });
    for (const id of ids) await seat.call('follow', id, 'c', id);
    const isShown = async (count: number) =>
      await waitFor(
        async () => {
          const counts = await seat.call('counts');
          return ids.every((id) => (counts[id] ?? 0) >= count);
        },
        { what: `${count} updates of each`, timeoutMs: 30_000 },
      );
    await isShown(1);
    for (const id of ids) await stage.report(id);
    await isShown(2);
    expect(await metric(stage.edge.http, 'headway_connections')).toBe(1);
    expect(gate.asked.webSocket).toBe(1);
    const told = await seat.call('told');
    expect(told).toHaveLength(400);
    for (const id of ids) {
      const seqs = told.filter(({ handle }) => handle === id).map(({ seq }) => seq);
      expect(seqs).toEqual((await storedOf(stage.nc, id)).map(({ seq }) => seq));
    }
    for (const id of ids) await seat.call('close', id);
    await waitFor(async () => (await metric(stage.edge.http, 'headway_connections')) === 0, {
      what: 'the socket to be closed',
    });
    expect((await seat.call('connection', 'c')).connection).toBe('idle');
    // And it comes back for the next.
    await seat.call('follow', 'again', 'c', ids[0] as string);
    await seat.untilTold('again', ({ what }) => what === 'update', 'the state');
    expect(gate.asked.webSocket).toBe(2);
    expect(seat.errors).toEqual([]);
  },
};

const resets: Scenario = {
  name: 'G5 stale cursors: the stream is made anew: a reset with its reason, then what the new one holds',
  options: { ownNats: true },
  async play(stage) {
    const { seat, url, nats } = stage;
    const [id = ''] = await stage.jobs(1);
    await seat.call('client', 'c', { url });
    await seat.call('follow', 'h', 'c', id);
    await seat.untilShown('h', await stage.report(id));
    const before = (await seat.told('h')).length;
    await nats.jsm.streams.delete('PROGRESS');
    await seat.untilTold('h', ({ what }) => what === 'reset', 'a reset', 40_000);
    await waitFor(() => stage.report(id).catch(() => 0), { what: 'the new stream' });
    await stage.report(id);
    // The numbers of the new stream begin anew, so what was told before has the same ones.
    await waitFor(
      async () => (await seat.told('h')).slice(before).filter(({ what }) => what === 'update').length === 2,
      { what: 'what the new stream holds' },
    );
    const told = await seat.told('h');
    expect(faultsOf(told.slice(before), await storedOf(stage.nc, id))).toEqual([]);
    expect(told.filter(({ what }) => what === 'reset').map(({ why }) => why)).not.toContain(undefined);
    expect(await seat.call('snapshot', 'h')).toMatchObject({ continuity: { kind: 'reset' } });
    expect(seat.errors).toEqual([]);
  },
};

const allJobs: Scenario = {
  name: 'all jobs: one connection of their own, over cuts',
  options: { ownNats: true },
  async play(stage) {
    const { seat, link, url } = stage;
    const ids = await stage.jobs(3);
    await seat.call('client', 'c', { url });
    await seat.call('followMany', 'all', 'c', {});
    await seat.call('followMany', 'two', 'c', { ids: ids.slice(0, 2) });
    for (const handle of ['all', 'two'])
      await seat.untilTold(handle, ({ id }) => id === ids[1], 'the second job');
    await seat.untilTold('all', ({ id }) => id === ids[2], 'the third job');
    for (let round = 0; round < 4; round++) {
      link.cut();
      const seqs: number[] = [];
      for (const id of ids) seqs.push(await stage.report(id));
      for (const seq of seqs) await seat.untilShown('all', seq);
      for (const seq of seqs.slice(0, 2)) await seat.untilShown('two', seq);
    }
    for (const id of ids) await stage.expectComplete({ all: id });
    for (const id of ids.slice(0, 2)) await stage.expectComplete({ two: id });
    expect((await seat.told('two')).filter(({ id }) => id === ids[2])).toEqual([]);
  },
};

const conflated = (transport: 'websocket' | 'sse'): Scenario => ({
  name: `G1 order: at most five updates a second by ${transport}, over cuts: each says for how many it stands, and none is missing`,
  options: { ownNats: true },
  async play(stage) {
    const { seat, link, url } = stage;
    const [a = '', b = ''] = await stage.jobs(2);
    await seat.call('client', 'c', { url, transport, maxRate: 5 });
    await seat.call('follow', 'a', 'c', a);
    await seat.call('follow', 'b loop', 'c', b, { by: 'loop' });
    await seat.call('followMany', 'all', 'c', {}, { maxRate: 5 });
    for (const handle of ['a', 'b loop', 'all'])
      await seat.untilTold(handle, ({ what }) => what === 'update', 'the first state');
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 60; i++) for (const id of [a, b]) await stage.report(id);
      link.cut();
      // A change is told by itself, whatever comes behind it.
      const change = await stage.report(a, { step: { name: `step ${round}` } });
      let [lastA, lastB] = [0, 0];
      for (let i = 0; i < 60; i++) {
        lastA = await stage.report(a, { step: { name: `step ${round}` } });
        lastB = await stage.report(b);
      }
      for (const handle of ['a', 'all'])
        for (const seq of [change, lastA]) await seat.untilShown(handle, seq);
      for (const handle of ['b loop', 'all']) await seat.untilShown(handle, lastB);
    }
    const last = await stage.report(a, { status: 'completed', progress: 100 });
    await seat.untilTold('a', ({ what }) => what === 'end', 'the end');
    await seat.untilShown('all', last);
    await stage.expectComplete({ a, 'b loop': b });
    for (const id of [a, b]) await stage.expectComplete({ all: id });
    const stored = (await storedOf(stage.nc, a)).length;
    for (const handle of ['a', 'b loop', 'all']) {
      expect(await seat.call('snapshot', handle)).toMatchObject({
        continuity: { kind: 'proven' },
        error: null,
      });
      const ofOne = (await seat.told(handle)).filter(({ id = a }) => handle !== 'all' || id === a);
      expect(ofOne.filter(({ what }) => what === 'update').length).toBeLessThan(stored / 3);
    }
  },
});

const askedOnce: Scenario = {
  name: 'get and history tell what is stored',
  async play(stage) {
    const { seat, url } = stage;
    const [id = ''] = await stage.jobs(1);
    for (let i = 0; i < 150; i++) await stage.report(id);
    const last = await stage.report(id);
    await seat.call('client', 'c', { url });
    await waitFor(async () => (await seat.call('get', 'c', id)) === last, { what: 'the last state' });
    expect(await seat.call('history', 'c', id)).toEqual((await storedOf(stage.nc, id)).map(({ seq }) => seq));
    expect(await seat.call('get', 'c', 'job-that-nobody-began')).toBe(null);
    expect(seat.errors).toEqual([]);
  },
};

const renewal: Scenario = {
  name: 'a token is renewed on the open connection, and a token server that fails only delays',
  options: { env: JWT_ENV },
  async play(stage) {
    const { seat, gate, url, theatre } = stage;
    const [id = ''] = await stage.jobs(1);
    let asked = 0;
    theatre.host.token = async () => {
      asked += 1;
      if (asked === 1) throw new Error('away');
      return await mint({ jobs: ['*'], sub: 'ada', exp: inSeconds(asked === 2 ? 4 : 3_600) });
    };
    await seat.call('client', 'c', { url, tokenUrl: `${theatre.host.origin}/token` });
    await seat.call('follow', 'h', 'c', id);
    await seat.untilTold('h', ({ what }) => what === 'update', 'the first state');
    const before = asked;
    expect(before).toBe(2);
    await waitFor(() => asked === 3, { what: 'the renewal' });
    await waitFor(async () => (await metric(stage.edge.http, 'headway_connections')) === 1, {
      what: 'one connection',
    });
    await seat.untilShown('h', await stage.report(id));
    expect([asked, gate.asked.webSocket]).toEqual([3, 1]);
    await stage.expectComplete({ h: id });
  },
};

const refusal: Scenario = {
  name: 'G7 nobody unauthorised: a wrong token ends in UnauthorizedError, without hammering; no access in ForbiddenError',
  options: { env: JWT_ENV },
  async play(stage) {
    const { seat, gate, url, theatre } = stage;
    const [id = '', other = ''] = await stage.jobs(2);
    theatre.host.token = () =>
      mint({ jobs: ['*'] }, 'a secret that is not the one of the edge, and as long as it must be');
    const tokenUrl = `${theatre.host.origin}/token`;
    await seat.call('client', 'c', { url, tokenUrl });
    await seat.call('follow', 'h', 'c', id);
    // An hour goes by. Each step is longer than the longest wait.
    for (let minutes = 0; minutes < 60 && !(await hasError()); minutes++) {
      const before = gate.asked.webSocket;
      await seat.call('putForward', 60_000);
      await waitFor(async () => gate.asked.webSocket > before || (await hasError()), {
        what: 'another try, or the end',
      });
    }
    expect(await seat.call('snapshot', 'h')).toMatchObject({
      error: 'UnauthorizedError',
      connection: 'closed',
    });
    expect((await seat.told('h')).map(({ what, why }) => [what, why])).toEqual(
      expect.arrayContaining([
        ['error', 'UnauthorizedError'],
        ['rejected', 'UnauthorizedError'],
      ]),
    );
    const tries = gate.asked.webSocket;
    expect(tries).toBeLessThanOrEqual(10);
    await seat.call('putForward', 3_600_000);
    // One job that the token opens, and one that it does not.
    theatre.host.token = () => mint({ jobs: [id] });
    await seat.call('client', 'd', { url, tokenUrl });
    await seat.call('follow', 'open', 'd', id);
    await seat.call('follow', 'not open', 'd', other);
    await seat.untilTold('not open', ({ what }) => what === 'error', 'an error');
    await seat.untilShown('open', await stage.report(id));
    expect(await seat.call('snapshot', 'not open')).toMatchObject({ error: 'ForbiddenError' });
    expect((await seat.told('not open')).filter(({ what }) => what === 'update')).toEqual([]);
    expect(await seat.call('snapshot', 'open')).toMatchObject({ error: null });
    expect(gate.asked.webSocket).toBe(tries + 1);
    expect(seat.errors).toEqual([]);

    async function hasError(): Promise<boolean> {
      return (await seat.call('snapshot', 'h')).error !== null;
    }
  },
};

/** WebSocket is blocked in this way, and then no more. */
const blocked = (rule: 'refuse' | 'cut' | 'silent'): Scenario => ({
  name: `WebSocket is blocked (${rule}): server-sent events take its place, polling theirs, and it is taken back`,
  // The real interval, so that minutes may pass without a silence.
  options: { env: { HEADWAY_HEARTBEAT_MS: '15000' } },
  async play(stage) {
    const { seat, gate, url } = stage;
    const [id = '', other = ''] = await stage.jobs(2);
    gate.set({ webSocket: rule });
    await seat.call('client', 'c', { url });
    await seat.call('follow', 'h', 'c', id);
    await seat.call('follow', 'other', 'c', other);
    if (rule === 'silent') {
      // Half a minute is waited for a `hello`, twice.
      for (const tries of [1, 2]) {
        await waitFor(() => gate.asked.webSocket === tries, { what: `try ${tries}` });
        await seat.call('putForward', 31_000);
        await waitFor(async () => gate.asked.webSocket > tries || gate.asked.sse > 0, {
          what: 'the next try',
        });
      }
    }
    await seat.untilTransport('c', 'sse');
    const shown = async () => {
      const seqs = [await stage.report(id), await stage.report(other)] as const;
      await seat.untilShown('h', seqs[0]);
      await seat.untilShown('other', seqs[1]);
    };
    await seat.untilTold('h', ({ what }) => what === 'update', 'the first state');
    await seat.untilTold('other', ({ what }) => what === 'update', 'the first state');
    await shown();
    expect(gate.asked.webSocket).toBe(2);
    gate.set({ sse: rule === 'silent' ? 'cut' : rule });
    await seat.untilTransport('c', 'polling');
    await shown();
    await shown();
    gate.rules.webSocket = 'pass';
    // A minute, in steps that are no silence.
    for (let i = 0; i < 4; i++) {
      await seat.call('putForward', 20_000);
      await shown();
    }
    await seat.untilTransport('c', 'websocket');
    await shown();
    expect(await metric(stage.edge.http, 'headway_connections')).toBe(1);
    await stage.expectComplete({ h: id, other });
  },
});

export const SCENARIOS: readonly Scenario[] = [
  cuts,
  joined,
  otherEdges,
  endWhileAway,
  ownFaults,
  manyJobs,
  resets,
  allJobs,
  conflated('websocket'),
  conflated('sse'),
  askedOnce,
  renewal,
  refusal,
  blocked('refuse'),
  blocked('cut'),
  blocked('silent'),
];
