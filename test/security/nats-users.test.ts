/** What workers of one account learn of each other in NATS, and that tenants.conf keeps tenants apart. */
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { headers, type MsgHdrs, type NatsConnection, StringCodec } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, deleteStreams, event } from '../harness/publish.js';

const include = (name: string): string => {
  const path = fileURLToPath(new URL(`../../docs/nats/${name}`, import.meta.url));
  return `include ${JSON.stringify(relative(join(tmpdir(), 'any'), path))}`;
};
for (const name of ['EDGE', 'ADMIN', 'OPERATOR', 'WORKER', 'SINGLE', 'READER']) {
  process.env[`HEADWAY_${name}_PASSWORD`] = 'secret';
}
for (const name of ['ACME_EDGE', 'ACME_WORKER', 'GLOBEX_EDGE', 'GLOBEX_WORKER']) {
  process.env[`HEADWAY_${name}_PASSWORD`] = 'secret';
}

const text = StringCodec();
const STAR = '$JS.API.DIRECT.GET.PROGRESS.progress.*';
const named = (fields: Record<string, string>): MsgHdrs => {
  const made = headers();
  for (const [name, value] of Object.entries(fields)) made.set(name, value);
  return made;
};

/** Publishes an event as a worker does; what JetStream says to it. */
async function publish(nc: NatsConnection, id: string, fields: Record<string, string> = {}) {
  const body = JSON.stringify(event(id));
  const answer = await nc.request(`progress.${id}`, text.encode(body), {
    headers: named(fields),
    timeout: 5_000,
  });
  return answer.json<{
    seq?: number;
    duplicate?: boolean;
    error?: { err_code: number; description: string };
  }>();
}

/** The subject of the newest event that a direct get of the star finds; null: none is found, or nobody answers. */
async function byStar(nc: NatsConnection): Promise<string | null> {
  const answer = await nc.request(STAR, undefined, { timeout: 5_000 });
  return answer.headers?.get('Nats-Subject') || null;
}

const login = (user: string, inboxPrefix?: string) => ({
  user,
  pass: 'secret',
  ...(inboxPrefix && { inboxPrefix }),
});

describe('what docs/nats says of workers in one account', () => {
  let nats: NatsServer;
  let admin: Awaited<ReturnType<typeof connectNats>>;
  let worker: typeof admin;
  let single: typeof admin;
  beforeAll(async () => {
    nats = await startNats({ config: include('permissions.conf') });
  });
  afterAll(async () => await nats?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    admin = await connectNats(nats.url, login('admin'));
    await createStream(admin);
    worker = await connectNats(nats.url, login('worker'));
    single = await connectNats(nats.url, login('single', '_INBOX_single'));
  });
  afterEach(async () => {
    await deleteStreams(admin, nats);
    for (const nc of [admin, worker, single]) await nc[Symbol.asyncDispose]();
  });

  test('a star reads the newest event of all jobs', async () => {
    await publish(worker, 'of-somebody');
    expect(await byStar(worker)).toBe('progress.of-somebody');
    await expect(byStar(single)).rejects.toThrow(/permissions violation/i);
  });

  test('a message id that somebody else used first makes the next event a duplicate', async () => {
    await publish(single, 'job-1', { 'Nats-Msg-Id': 'guessed' });
    expect(await publish(worker, 'of-somebody', { 'Nats-Msg-Id': 'guessed' })).toMatchObject({
      duplicate: true,
    });
  });

  test('a refusal tells the last sequence of another job, where the server knows the header', async () => {
    await publish(worker, 'of-somebody');
    const { seq } = await publish(worker, 'of-somebody');
    const answer = await publish(single, 'job-1', {
      'Nats-Expected-Last-Subject-Sequence': '999',
      'Nats-Expected-Last-Subject-Sequence-Subject': 'progress.of-somebody',
    });
    // Servers that do not know the header answer of the own job.
    const isKnown = !(admin.info?.version ?? '').startsWith('2.10.');
    expect(answer.error?.description).toMatch(isKnown ? new RegExp(`: ${seq}$`) : /: 0$/);
  });
});

describe('G7 nobody unauthorised: tenants of tenants.conf', () => {
  let nats: NatsServer;
  const edges = new Map<string, EdgeProcess>();
  let acme: Awaited<ReturnType<typeof connectNats>>;
  let globex: typeof acme;
  beforeAll(async () => {
    nats = await startNats({ config: include('tenants.conf') });
    for (const tenant of ['acme', 'globex']) {
      const natsUrl = nats.url.replace('//', `//${tenant}-edge:secret@`);
      edges.set(tenant, await startEdgeProcess({ natsUrl }));
    }
    acme = await connectNats(nats.url, login('acme-worker'));
    globex = await connectNats(nats.url, login('globex-worker'));
  });
  afterAll(async () => {
    for (const nc of [acme, globex]) await nc?.[Symbol.asyncDispose]();
    for (const edge of edges.values()) await edge[Symbol.asyncDispose]();
    await nats?.[Symbol.asyncDispose]();
  });

  test('have streams of their own: the same job is two, and a star finds the own newest event', async () => {
    const watching = await Promise.all(
      ['acme', 'globex'].map((tenant) =>
        WsClient.connect(`${edges.get(tenant)?.ws}/ws/upload-progress/shared`),
      ),
    );
    const [ofAcme, ofGlobex] = watching;
    for (const client of watching) await client.until(({ type }) => type === 'caught_up');
    await publish(acme, 'shared');
    await publish(acme, 'shared');
    await ofAcme?.updates(2);
    expect(await byStar(globex)).toBeNull();
    const { seq } = await publish(globex, 'shared');
    expect(seq).toBe(1);
    expect((await ofGlobex?.updates(1))?.map((update) => update.seq)).toEqual([1]);
    expect(ofGlobex?.seen()).toHaveLength(1);
    expect(await byStar(globex)).toBe('progress.shared');
    for (const client of watching) client.drop();
  });

  test('neither ids of messages nor expected sequences of the other are seen', async () => {
    await publish(acme, 'job-a', { 'Nats-Msg-Id': 'guessed' });
    expect((await publish(globex, 'job-g', { 'Nats-Msg-Id': 'guessed' })).duplicate).toBeUndefined();
    const answer = await publish(globex, 'job-g', {
      'Nats-Expected-Last-Subject-Sequence': '999',
      'Nats-Expected-Last-Subject-Sequence-Subject': 'progress.job-a',
    });
    expect(answer.error?.description).toMatch(/wrong last sequence: \d+$/);
    expect(answer.error?.description).not.toMatch(/: [3-9]$/);
  });

  test('a worker of one is nobody in the account of the other', async () => {
    const other = connectNats(nats.url, { user: 'acme-worker', pass: 'wrong' });
    await expect(other).rejects.toThrow(/authorization/i);
    await expect(acme.request('$JS.API.STREAM.INFO.PROGRESS', undefined, { timeout: 2_000 })).rejects.toThrow(
      /permissions violation/i,
    );
  });
});
