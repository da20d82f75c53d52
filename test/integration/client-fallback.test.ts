/** The wires that take over where WebSocket is blocked, over a real edge. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerFrame } from '../../schemas/frames.js';
import { openPolling, openSse } from '../../sdk/client/fallback.js';
import { createProgressClient } from '../../sdk/client/index.js';
import type { OpenWire, Platform, Position, Target, Wire, WireClose } from '../../sdk/client/wire.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { uniqueId } from '../harness/ids.js';
import { startTcpProxy } from '../harness/proxy.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
let edge: LocalEdge;
beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, { ...JWT_ENV, HEADWAY_HEARTBEAT_MS: '500' });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
});
afterAll(() => edge[Symbol.asyncDispose]());

const WIRES: readonly (readonly [string, OpenWire])[] = [
  ['server-sent events', openSse],
  ['polling', openPolling],
];

interface Options {
  readonly base?: string;
  readonly target?: Target;
  readonly token?: string | null;
}

/** Follows by the rules, and remembers where it is. Opens a wire when it is told to. */
class Follower implements Disposable {
  readonly frames: ServerFrame[] = [];
  readonly jobs = new Map<string, Position | null>();
  readonly statuses: number[] = [];
  close: WireClose | null = null;
  all: Position | null = null;
  wire: Wire | null = null;
  #epoch = '';
  #scope = '';
  readonly #wake = new Set<() => void>();

  constructor(
    readonly openWire: OpenWire,
    ids: readonly string[] = [],
  ) {
    for (const id of ids) this.jobs.set(id, null);
  }

  async open({
    base = edge.http,
    target = { kind: 'selected', query: () => 'select=' },
    token,
  }: Options = {}): Promise<this> {
    const given = token === undefined ? await mint({ jobs: ['*'] }) : token;
    this.wire?.close();
    this.close = null;
    this.wire = this.openWire(
      { base, target, token: given },
      {
        followed: () => [...this.jobs].map(([id, position]) => ({ id, position })),
        position: () => this.all,
        frame: (frame) => this.#take(frame),
        alive: () => undefined,
        closed: (close) => {
          this.close = close;
        },
      },
      this.#platform(),
    );
    return this;
  }

  async until(isSo: (frames: readonly ServerFrame[]) => boolean, what: string): Promise<void> {
    await waitFor(() => isSo(this.frames), { what });
  }

  async following(id: string): Promise<void> {
    await this.until((all) => all.some((one) => one.type === 'following' && one.processing_id === id), id);
  }

  types(id: string): string[] {
    return this.frames.flatMap((one) => ('processing_id' in one && one.processing_id === id ? one.type : []));
  }

  seqs(id: string): number[] {
    return this.frames.flatMap((one) =>
      one.type === 'progress_update' && one.processing_id === id ? one.seq : [],
    );
  }

  wakeUp(): void {
    for (const wake of this.#wake) wake();
  }

  [Symbol.dispose](): void {
    this.wire?.close();
  }

  #platform(): Platform {
    return {
      WebSocket: undefined,
      fetch: async (...all) => {
        const answer = await fetch(...all);
        this.statuses.push(answer.status);
        return answer;
      },
      now: () => Date.now(),
      random: Math.random,
      later(ms, run) {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      onPage: (run) => {
        this.#wake.add(run);
        return () => this.#wake.delete(run);
      },
      isVisible: () => true,
    };
  }

  #take(frame: ServerFrame): void {
    this.frames.push(frame);
    switch (frame.type) {
      case 'hello':
        this.#epoch = frame.epoch;
        this.#scope = frame.scope;
        return;
      case 'progress_update':
        this.#at(frame.processing_id, frame.seq, this.#scope);
        return;
      case 'following':
        this.#at(frame.processing_id, frame.cursor, frame.scope);
        return;
      case 'caught_up':
        this.all = { seq: frame.cursor, epoch: this.#epoch, scope: this.#scope };
        return;
      case 'end':
      case 'error':
        if (frame.processing_id !== undefined) this.jobs.delete(frame.processing_id);
        return;
      case 'reset':
        if (frame.processing_id !== undefined) this.jobs.set(frame.processing_id, null);
        else this.all = null;
        return;
      default:
        return;
    }
  }

  #at(id: string, seq: number, scope: string): void {
    if (this.jobs.has(id)) this.jobs.set(id, { seq, epoch: this.#epoch, scope });
    else this.all = { seq, epoch: this.#epoch, scope: this.#scope };
  }
}

describe.each(WIRES)('%s', (name, openWire) => {
  test('G2 state first, G1 order, G6 the end: hello, the last state, everything new, and the end, of two jobs', async () => {
    const [a, b] = [uniqueId('a'), uniqueId('b')];
    await publish(shared.nc, a, { progress: 10 });
    const seqs = [await publish(shared.nc, a, { progress: 20 })];
    await edgeHasRead(edge.http, shared.nc);
    using client = await new Follower(openWire, [a, b]).open();
    await client.following(a);
    await client.following(b);
    expect(client.frames[0]?.type).toBe('hello');
    expect(client.types(a)).toEqual(['progress_update', 'following']);
    expect(client.types(b)).toEqual(['following']);
    for (let i = 3; i <= 5; i++) seqs.push(await publish(shared.nc, a, { progress: 10 * i }));
    const first = await publish(shared.nc, b, { progress: 1 });
    seqs.push(await publish(shared.nc, a, { status: 'completed', progress: 100 }));
    await client.until(() => client.types(a).includes('end') && client.seqs(b).length === 1, 'all of it');
    expect(client.seqs(a)).toEqual(seqs);
    expect(client.seqs(b)).toEqual([first]);
    expect(client.frames.filter(({ type }) => type === 'hello')).toHaveLength(1);
    expect(client.close).toBeNull();
  });

  test('G1 order, G3 faults: cut, it says so, and the next one goes on behind what was received', async () => {
    await using link = await startTcpProxy(Number(new URL(edge.http).port));
    const base = `http://${link.host}`;
    const [a, b] = [uniqueId('a'), uniqueId('b')];
    const seqs = [await publish(shared.nc, a, { progress: 1 })];
    await edgeHasRead(edge.http, shared.nc);
    using client = await new Follower(openWire, [a, b]).open({ base });
    await client.following(a);
    link.refuse();
    link.cut();
    client.wakeUp();
    await waitFor(() => client.close, { what: 'the close' });
    expect(client.close).toMatchObject({ next: 'retry', code: 0 });
    for (let i = 2; i <= 40; i++) seqs.push(await publish(shared.nc, a, { progress: i }));
    seqs.push(await publish(shared.nc, a, { status: 'completed', progress: 100 }));
    await edgeHasRead(edge.http, shared.nc);
    await link.accept();
    await client.open({ base });
    await client.until(() => client.types(a).includes('end'), 'the end');
    expect(client.seqs(a)).toEqual(seqs);
    expect(client.types(a)).not.toContain('reset');
  });

  test('G5 stale cursors: one of another stream is a reset, and the state follows', async () => {
    const id = uniqueId('stale');
    const seq = await publish(shared.nc, id, { progress: 1 });
    await edgeHasRead(edge.http, shared.nc);
    using client = new Follower(openWire, [id]);
    client.jobs.set(id, { seq: seq + 1_000, epoch: 'another', scope: '' });
    await client.open();
    await client.following(id);
    const [hello, reset] = client.frames;
    expect(hello).toMatchObject({ type: 'hello' });
    expect(reset).toMatchObject({ type: 'reset', reason: 'epoch', processing_id: id });
    expect(client.seqs(id)).toEqual([seq]);
  });

  test('G7 nobody unauthorised: one job of several is refused, and the others go on', async () => {
    const [open, shut] = [uniqueId('open'), uniqueId('shut')];
    const seq = await publish(shared.nc, open, { progress: 1 });
    await publish(shared.nc, shut, { progress: 1 });
    await edgeHasRead(edge.http, shared.nc);
    using client = new Follower(openWire, [open, shut]);
    await client.open({ token: await mint({ jobs: [open] }) });
    await client.following(open);
    await client.until(() => client.types(shut).length > 0, 'the refusal');
    expect(client.types(shut)).toEqual(['error']);
    expect(client.frames.find(({ type }) => type === 'error')).toMatchObject({ code: 'forbidden' });
    expect(client.seqs(open)).toEqual([seq]);
    expect(client.close).toBeNull();
  });

  test.each([
    ['no token', async () => null],
    ['one that has expired', () => mint({ jobs: ['*'], exp: inSeconds(-10) })],
  ])('with %s a new one is asked for', async (_what, token) => {
    using client = await new Follower(openWire, ['any']).open({ token: await token() });
    await waitFor(() => client.close, { what: 'the close' });
    expect(client.close).toMatchObject({ next: 'new_token', code: 401 });
    expect(client.frames).toEqual([]);
  });

  test('jobs come and go while it is open', async () => {
    const [a, b] = [uniqueId('a'), uniqueId('b')];
    const one = await publish(shared.nc, a, { progress: 1 });
    await publish(shared.nc, b, { progress: 1 });
    await edgeHasRead(edge.http, shared.nc);
    using client = await new Follower(openWire, [a]).open();
    await client.following(a);
    client.jobs.set(b, null);
    client.wire?.follow([{ id: b, position: null }]);
    await client.following(b);
    client.jobs.delete(b);
    client.wire?.unfollow([b]);
    const two = await publish(shared.nc, a, { progress: 2 });
    await client.until(() => client.seqs(a).length === 2, 'the update');
    expect(client.seqs(a)).toEqual([one, two]);
    expect(client.seqs(b)).toHaveLength(1);
  });

  test('all jobs of a type: the states, then what is new', async () => {
    const type = uniqueId('type');
    const id = uniqueId('typed');
    const seq = await publish(shared.nc, id, { job_type: type });
    await publish(shared.nc, uniqueId('other'), { job_type: 'other' });
    await edgeHasRead(edge.http, shared.nc);
    const target = { kind: 'all', jobTypes: [type], query: () => '' } as const;
    using client = await new Follower(openWire).open({ target });
    await client.until((all) => all.some((frame) => frame.type === 'caught_up'), 'caught_up');
    expect(client.frames.map((frame) => frame.type).slice(0, 3)).toEqual([
      'hello',
      'progress_update',
      'caught_up',
    ]);
    const next = await publish(shared.nc, id, { job_type: type, status: 'completed' });
    await client.until(() => client.seqs(id).length === 2, `${name} brings the update`);
    expect(client.seqs(id)).toEqual([seq, next]);
  });
});

test('polling asks with the tag of what it has, and a job that rests costs no body', async () => {
  const id = uniqueId('rests');
  await publish(shared.nc, id, { progress: 1 });
  await edgeHasRead(edge.http, shared.nc);
  using client = await new Follower(openPolling, [id]).open();
  await client.following(id);
  await waitFor(() => client.statuses.filter((status) => status === 304).length >= 2, { what: 'two 304' });
  expect(client.seqs(id)).toHaveLength(1);
  expect(client.statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(3);
});

test.each(['sse', 'polling'] as const)(
  'G1 order, G3 faults, G6 the end: the client over %s alone, with a cut between',
  async (transport) => {
    await using link = await startTcpProxy(Number(new URL(edge.http).port));
    const id = uniqueId('client');
    const seqs = [await publish(shared.nc, id, { progress: 1 })];
    await edgeHasRead(edge.http, shared.nc);
    const getToken = () => mint({ jobs: ['*'] });
    const client = createProgressClient({ url: `http://${link.host}`, transport, getToken });
    try {
      const job = client.job(id);
      const seen: number[] = [];
      job.addEventListener('update', ({ detail }) => seen.push(detail.seq));
      await waitFor(() => job.getSnapshot().isCurrent, { what: 'the state' });
      expect(client.transport).toBe(transport);
      link.cut();
      for (let i = 2; i <= 5; i++) seqs.push(await publish(shared.nc, id, { progress: i }));
      seqs.push(await publish(shared.nc, id, { status: 'completed', progress: 100 }));
      expect((await job.done).seq).toBe(seqs.at(-1));
      expect(seen).toEqual(seqs);
      expect(job.getSnapshot().continuity).toEqual({ kind: 'proven' });
    } finally {
      client.close();
    }
  },
);
