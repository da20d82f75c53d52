import { cp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { startTcpProxy, type TcpProxy } from '../harness/proxy.js';
import { connectNats, publish } from '../harness/publish.js';
import { waitFor, withTimeout } from '../harness/wait.js';
import { backUp, restore } from './backup.js';
import { Recorder, type Scope } from './recorder.js';
import { measured } from './workload.js';

const STREAM = 'PROGRESS';
const JOBS = ['job-0', 'job-1', 'job-2', 'job-3'] as const;
/** How much the copy holds, and how much more was there when it was put back. */
const IN_COPY = 40;
const AFTER_COPY = 40;

/** A server, two edges behind one link, a client of each kind on each edge, and clients that will be offline. */
class Site implements AsyncDisposable {
  readonly connected: Recorder[] = [];
  #isOver = false;
  #keeping: Promise<void>[] = [];

  private constructor(
    readonly nats: NatsServer,
    readonly nc: Awaited<ReturnType<typeof connectNats>>,
    readonly link: TcpProxy,
    readonly edges: EdgeProcess[],
  ) {}

  static async start(): Promise<Site> {
    const nats = await startNats();
    const link = await startTcpProxy(nats.port);
    const edges = await Promise.all(
      ['a', 'b'].map((id) =>
        startEdgeProcess({
          natsUrl: `nats://${link.host}`,
          env: { HEADWAY_EDGE_ID: id, HEADWAY_HEARTBEAT_MS: '100' },
        }),
      ),
    );
    const site = new Site(nats, await connectNats(nats.url), link, edges);
    const scopes: Scope[] = [
      ...JOBS.map((id): Scope => ({ kind: 'job', id })),
      { kind: 'job', id: 'job-without-events' },
      { kind: 'all', jobTypes: null },
      { kind: 'all', jobTypes: ['even'] },
    ];
    for (const [place, edge] of edges.entries()) {
      for (const scope of scopes) {
        const client = new Recorder(`${JSON.stringify(scope)} on edge ${place}`, scope);
        site.connected.push(client);
        site.#keeping.push(site.#keep(client, edge));
      }
    }
    return site;
  }

  /** A client that comes and goes by itself. */
  async visit(client: Recorder): Promise<void> {
    expect(await client.connect((this.edges[0] as EdgeProcess).ws)).toBe(true);
    await this.reach(client, ({ isCaughtUp }) => isCaughtUp, 'caught up');
  }

  /** Publishes so many events, in turn to each job; @returns the seq of the last. */
  async publish(count: number, fields: Record<string, unknown> = {}): Promise<number> {
    let seq = 0;
    for (let i = 0; i < count; i++) {
      const id = JOBS[i % JOBS.length] as string;
      seq = await publish(this.nc, id, { job_type: i % 2 === 0 ? 'even' : 'odd', ...fields });
    }
    return seq;
  }

  /** Everyone who is connected has everything up to `seq`. */
  async everyone(met: (client: Recorder) => boolean, what: string): Promise<void> {
    await Promise.all(this.connected.map((client) => this.reach(client, met, what)));
  }

  async reach(client: Recorder, met: (client: Recorder) => boolean, what: string): Promise<void> {
    const deadline = performance.now() + 20_000;
    while (!met(client)) {
      if (performance.now() > deadline) throw new Error(`not in time: ${what}\n${client.describe()}`);
      await client.change(1_000);
    }
  }

  /** Runs `change` while the server is down, and starts it again. */
  async whileDown(change: () => Promise<void>): Promise<void> {
    await this.nats.stop();
    await change();
    await this.nats.start();
    await this.publisherIsBack();
  }

  async publisherIsBack(): Promise<void> {
    const isBack = () => withTimeout(this.nc.flush(), 200, 'a flush').then(() => true);
    await waitFor(isBack, { what: 'the publisher to be back', everyMs: 5 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.connected.map((client) => client.drop()));
    await Promise.all(this.#keeping);
    await Promise.all(this.edges.map((edge) => edge.kill()));
    await this.nc.close();
    await this.link[Symbol.asyncDispose]();
    await this.nats[Symbol.asyncDispose]();
  }

  async #keep(client: Recorder, edge: EdgeProcess): Promise<void> {
    while (!this.#isOver && !client.hasEnded) {
      if (!client.isOpen) await client.connect(edge.ws);
      await client.change(100);
    }
  }
}

const resetsOf = (client: Recorder): unknown[] =>
  client.record.flatMap((one) =>
    one.what === 'frame' && one.frame.type === 'reset' ? [one.frame.reason] : [],
  );

/** The updates since the last reset, by seq. */
function updatesOf(client: Recorder): number[] {
  const last = client.record.findLastIndex((one) => one.what === 'frame' && one.frame.type === 'reset');
  return client.record
    .slice(last + 1)
    .flatMap((one) =>
      one.what === 'frame' && one.frame.type === 'progress_update' ? [one.frame.seq as number] : [],
    );
}

/** Ends every job; every client must see that, and everything else that came after its new beginning. */
async function goesOn(site: Site, firstNew: number): Promise<void> {
  const last = await site.publish(JOBS.length, { status: 'completed', progress: 100 });
  await site.everyone(({ hasEnded, cursor }) => hasEnded || (cursor ?? 0) >= last, 'the last event');
  for (const client of site.connected) {
    const { scope } = client;
    if (scope.kind === 'job')
      expect(client.hasEnded, client.describe()).toBe(scope.id.startsWith('job-w') === false);
    if (scope.kind === 'job' || scope.jobTypes !== null) continue;
    const seen = updatesOf(client).filter((seq) => seq >= firstNew);
    expect(seen).toEqual(Array.from({ length: last - firstNew + 1 }, (_, index) => firstNew + index));
  }
}

test('G5 stale cursors: an older copy of the store is put back under edges and clients: a reset for everyone who was ahead of it, and all go on', async () => {
  await using site = await Site.start();
  const store = join(site.nats.folder, 'jetstream');
  const copy = join(site.nats.folder, 'copy');
  const early = new Recorder('offline since before the copy', { kind: 'job', id: 'job-1' });
  const late = new Recorder('offline since after the copy', { kind: 'job', id: 'job-1' });
  const lateAll = new Recorder('all jobs, offline since after the copy', { kind: 'all', jobTypes: null });

  expect(await site.publish(IN_COPY)).toBe(IN_COPY);
  await site.visit(early);
  await early.drop();
  await site.whileDown(() => cp(store, copy, { recursive: true }));
  await site.publish(AFTER_COPY);
  await site.everyone(({ cursor }) => cursor === IN_COPY + AFTER_COPY, 'all before the copy is put back');
  for (const client of [late, lateAll]) await site.visit(client);
  for (const client of [late, lateAll]) await client.drop();
  expect(site.connected.flatMap(resetsOf)).toEqual([]);
  const { epoch } = late;

  await site.whileDown(async () => {
    await rm(store, { recursive: true });
    await rename(copy, store);
  });
  const startedAt = performance.now();
  await site.everyone((client) => resetsOf(client).length > 0 && client.isCaughtUp, 'a reset');
  measured(
    'an older copy is back, until every client is reset and caught up',
    Math.round(performance.now() - startedAt),
  );
  for (const client of site.connected) {
    expect(resetsOf(client), client.describe()).toEqual(['ahead']);
    // The stream was created when it was: only the sequences tell.
    expect(client.epoch).toBe(epoch);
    expect(client.cursor).toBe(IN_COPY);
  }

  const next = await site.publish(8);
  expect(next).toBe(IN_COPY + 8);
  // Whoever is offline comes back while the stream is still shorter than its cursor.
  for (const client of [late, lateAll]) {
    await site.visit(client);
    expect(resetsOf(client)).toEqual(['ahead']);
    expect(client.cursor).toBe(next);
  }
  // What this one has seen is in the copy: it is told nothing, and misses nothing.
  await site.visit(early);
  expect(resetsOf(early)).toEqual([]);
  expect(updatesOf(early).slice(-2)).toEqual([IN_COPY + 2, IN_COPY + 6]);
  await goesOn(site, IN_COPY + 1);
  for (const client of [early, late, lateAll]) await client.drop();
});

test('G5 stale cursors: the stream is deleted and restored from a backup while the edges are cut off: a reset for everyone, and all go on', async () => {
  await using site = await Site.start();
  await site.publish(IN_COPY);
  const backup = await backUp(site.nc, STREAM);
  await site.publish(AFTER_COPY);
  await site.everyone(({ cursor }) => cursor === IN_COPY + AFTER_COPY, 'all before the restore');

  // An edge that sees the stream gone makes it again, and then it cannot be restored.
  site.link.refuse();
  site.link.cut();
  const jsm = await site.nc.jetstreamManager();
  const { created } = await jsm.streams.info(STREAM);
  await jsm.streams.delete(STREAM);
  await restore(site.nc, STREAM, backup);
  const isSameEpoch = (await jsm.streams.info(STREAM)).created === created;
  await site.link.accept();
  const startedAt = performance.now();
  await site.everyone((client) => resetsOf(client).length > 0 && client.isCaughtUp, 'a reset');
  measured(
    'a backup is restored, until every client is reset and caught up',
    Math.round(performance.now() - startedAt),
  );
  process.stdout.write(
    `    nats-server ${site.nats.version}: the restored stream is of ${isSameEpoch ? 'the same' : 'another'} epoch\n`,
  );
  for (const client of site.connected) {
    expect(resetsOf(client), client.describe()).toEqual([isSameEpoch ? 'ahead' : 'epoch']);
    expect(client.cursor).toBe(IN_COPY);
  }
  await goesOn(site, IN_COPY + 1);
});

test('G5 stale cursors: an older copy is put back and has grown past everyone’s cursor before the edges see it: a reset for everyone', async () => {
  await using site = await Site.start();
  const store = join(site.nats.folder, 'jetstream');
  const copy = join(site.nats.folder, 'copy');
  await site.publish(IN_COPY);
  await site.whileDown(() => cp(store, copy, { recursive: true }));
  await site.publish(AFTER_COPY);
  await site.everyone(({ cursor }) => cursor === IN_COPY + AFTER_COPY, 'all before the copy is put back');
  site.link.refuse();
  site.link.cut();
  await site.whileDown(async () => {
    await rm(store, { recursive: true });
    await rename(copy, store);
  });
  // The numbers that the clients know are given out a second time.
  const last = await site.publish(AFTER_COPY + 20);
  expect(last).toBeGreaterThan(IN_COPY + AFTER_COPY);
  await site.link.accept();
  await site.everyone((client) => resetsOf(client).length > 0 && client.isCaughtUp, 'a reset');
  for (const client of site.connected) {
    expect(resetsOf(client)).toHaveLength(1);
    expect(client.cursor, client.describe()).toBe(last);
  }
  await goesOn(site, last + 1);
});
