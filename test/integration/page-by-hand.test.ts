/** The code of docs/guides/page-by-hand.md, as it stands there. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, publish } from '../harness/publish.js';
import { inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

interface Update {
  readonly processing_id: string;
  readonly seq: number;
  readonly progress: number;
}
interface Callbacks {
  readonly show: (update: Update) => void;
  readonly reset?: () => void;
  readonly gone?: (id: string) => void;
  readonly stalled?: (id: string, silentMs: number) => void;
  readonly ended?: (status: string | undefined) => void;
  readonly refused?: (code: number, reason: string) => void;
  readonly getToken?: () => Promise<string | null>;
}
type Follow = (url: string, callbacks: Callbacks) => () => void;

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const CODE = /^```js\n(function follow[\s\S]*?)^```$/m.exec(read('docs/guides/page-by-hand.md'))?.[1] ?? '';

// Chance decides how long it waits; here it decides for a moment.
const quick = { min: Math.min, random: () => 0.05 };
const follow = new Function('WebSocket', 'Math', `${CODE}; return follow;`)(WebSocket, quick) as Follow;

let nats: NatsServer;
let nc: Awaited<ReturnType<typeof connectNats>>;
let edge: EdgeProcess;

beforeAll(async () => {
  nats = await startNats();
  nc = await connectNats(nats.url);
  edge = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_HEARTBEAT_MS: '200' } });
});
afterAll(async () => {
  await edge?.[Symbol.asyncDispose]();
  await nc?.close();
  await nats?.[Symbol.asyncDispose]();
});

/** What a page shows: the updates of each job, in the order in which they came. */
function page() {
  const shown = new Map<string, number[]>();
  const counts = { resets: 0 };
  const callbacks: Callbacks = {
    show: ({ processing_id: id, seq }) => shown.set(id, [...(shown.get(id) ?? []), seq]),
    reset: () => {
      counts.resets++;
      shown.clear();
    },
    gone: (id) => shown.delete(id),
  };
  return { shown, counts, callbacks };
}

test('G1 order: two jobs on one page each keep their own cursor, over cuts and links that die without a word', async () => {
  await using monitor = await startTcpProxy(edge.port);
  const ids = [jobId(), jobId()];
  const { shown, callbacks } = page();
  const owed = new Map<string, number[]>();
  const report = async (id: string) => owed.set(id, [...(owed.get(id) ?? []), await publish(nc, id)]);
  for (const id of ids) await report(id);
  // Each follows from its first state on.
  const stops = ids.map((id) =>
    follow(`ws://${monitor.host}/ws/upload-progress/${id}`, { show: callbacks.show }),
  );
  const isComplete = () => ids.every((id) => shown.get(id)?.at(-1) === owed.get(id)?.at(-1));
  await waitFor(isComplete, { what: 'the first states' });
  for (const how of ['cut', 'stall', 'cut', 'stall'] as const) {
    const before = monitor.accepted;
    if (how === 'cut') monitor.cut();
    else monitor.stall('up', 'down');
    for (const id of ids) await report(id);
    if (how === 'stall') {
      // Nobody says that the link is dead: the page has to notice, and its next connection works.
      await waitFor(() => monitor.accepted > before, { what: 'another try' });
      monitor.flow('up', 'down');
    }
    for (const id of ids) await report(id);
    await waitFor(isComplete, { what: `everything after ${how}`, timeoutMs: 20_000 });
  }
  for (const id of ids) expect(shown.get(id)).toEqual(owed.get(id));
  for (const stop of stops) stop();
});

test('all jobs: what has gone is taken down, and a reset takes down the page', async () => {
  await using own = await startNats();
  const client = await connectNats(own.url);
  const jsm = await client.jetstreamManager();
  await using first = await startEdgeProcess({ natsUrl: own.url });
  const { shown, callbacks, counts } = page();
  const stop = follow(`${first.ws}/ws/upload-progress`, callbacks);
  for (const id of ['a', 'b']) await publish(client, id);
  await waitFor(() => shown.size === 2, { what: 'both jobs' });
  await jsm.streams.purge('PROGRESS', { filter: 'progress.a' });
  await waitFor(() => !shown.has('a'), { what: 'the purged job to be taken down', timeoutMs: 20_000 });
  const before = counts.resets;
  await jsm.streams.delete('PROGRESS');
  await waitFor(() => counts.resets > before, { what: 'a reset', timeoutMs: 20_000 });
  expect(shown.size).toBe(0);
  await waitFor(
    () =>
      publish(client, 'c').then(
        () => true,
        () => false,
      ),
    { what: 'the new stream' },
  );
  await waitFor(() => shown.has('c'), { what: 'a job of the new stream', timeoutMs: 20_000 });
  expect([...shown.keys()]).toEqual(['c']);
  stop();
  await client.close();
});

test('a token server that fails now and then only delays, and stop stops', async () => {
  await using closed = await startEdgeProcess({ natsUrl: nats.url, env: { ...JWT_ENV } });
  const id = jobId();
  await publish(nc, id);
  const { shown, callbacks } = page();
  let asked = 0;
  const getToken = async () => {
    asked++;
    if (asked < 3) throw new Error('the token server is away');
    return mint({ jobs: [id], exp: inSeconds(60) });
  };
  const stop = follow(`${closed.ws}/ws/upload-progress/${id}`, { ...callbacks, getToken });
  await waitFor(() => shown.has(id), { what: 'the job' });
  expect(asked).toBe(3);
  stop();
  const seen = shown.get(id)?.length;
  await publish(nc, id);
  await waitFor(
    async () =>
      /headway_connections\{scope="job"\} 0/.test(await (await fetch(`${closed.http}/metrics`)).text()),
    { what: 'the connection to be gone' },
  );
  expect(shown.get(id)?.length).toBe(seen);
  expect(asked).toBe(3);
});

test('a new token that opens less takes down what it does not open', async () => {
  await using closed = await startEdgeProcess({ natsUrl: nats.url, env: { ...JWT_ENV } });
  const [kept, lost] = [jobId(), jobId()];
  await publish(nc, kept, { job_type: 'kept' });
  await publish(nc, lost, { job_type: 'lost' });
  const { shown, callbacks } = page();
  const types = [['kept', 'lost'], ['kept']];
  const getToken = () => mint({ job_types: types.shift() ?? ['kept'], exp: inSeconds(4) });
  const stop = follow(`${closed.ws}/ws/upload-progress`, { ...callbacks, getToken });
  await waitFor(() => shown.has(kept) && shown.has(lost), { what: 'both jobs' });
  // The edge warns at half the token's life, and the page answers with the next one.
  await waitFor(() => !shown.has(lost), { what: 'the job to be taken down' });
  await waitFor(() => shown.has(kept), { what: 'the other job to be shown again' });
  stop();
});

test('a close 1000 that something between sends is no end, and one behind `end` is', async () => {
  const server = new WebSocketServer({ port: 0 });
  const hello = { type: 'hello', epoch: 'e', scope: 's', heartbeat_ms: 15_000 };
  const opened: number[] = [];
  server.on('connection', (socket) => {
    opened.push(1);
    socket.send(JSON.stringify(hello));
    if (opened.length > 1) socket.send('{"type":"end"}');
    socket.close(1000);
  });
  let retries = 0;
  const math = { ...quick, random: () => ++retries * 0.001 };
  const once = new Function('WebSocket', 'Math', `${CODE}; return follow;`)(WebSocket, math) as Follow;
  const { port } = server.address() as { port: number };
  const stop = once(`ws://127.0.0.1:${port}/ws/upload-progress/a`, { show: () => {} });
  await waitFor(() => opened.length === 2, { what: 'it to come back' });
  await waitFor(() => server.clients.size === 0, { what: 'the end' });
  expect(retries).toBe(1);
  stop();
  await new Promise((done) => server.close(done));
});

test('the page is told how its job ended, once, also when it comes after the end', async () => {
  for (const [status, error] of [
    ['completed', undefined],
    ['error', { message: 'Page 7 is damaged' }],
  ] as const) {
    const id = jobId();
    const events: unknown[] = [];
    const watch = () =>
      follow(`${edge.ws}/ws/upload-progress/${id}`, {
        show: (update) => events.push(update.seq),
        ended: (how) => events.push(how),
        refused: (...why) => events.push(why),
      });
    await publish(nc, id);
    watch();
    await waitFor(() => events.length === 1, { what: 'the first state' });
    const last = await publish(nc, id, { status, ...(error === undefined ? { progress: 100 } : { error }) });
    await waitFor(() => events.includes(status), { what: 'the end' });
    expect(events.slice(1)).toEqual([last, status]);
    events.length = 0;
    watch();
    await waitFor(() => events.includes(status), { what: 'the end, afterwards' });
    expect(events).toEqual([last, status]);
  }
});

test('G7 nobody unauthorised: the page is told that it was refused for good, and does not try again', async () => {
  await using closed = await startEdgeProcess({ natsUrl: nats.url, env: { ...JWT_ENV } });
  const id = jobId();
  await publish(nc, id);
  const other = () => mint({ jobs: [jobId()], exp: inSeconds(60) });
  for (const [path, getToken, expected] of [
    [id, other, [4403, 'forbidden']],
    [`${id}?last_seq=-1`, other, [4400, 'invalid_last_seq']],
    [id, undefined, [4401, 'unauthorized']],
    [id, async () => null, [4401, 'unauthorized']],
  ] as const) {
    const told: unknown[] = [];
    let asked = 0;
    const counted = async () => {
      asked++;
      return (await getToken?.()) ?? null;
    };
    follow(`${closed.ws}/ws/upload-progress/${path}`, {
      show: (update) => told.push(update),
      ended: (how) => told.push(how),
      refused: (...why) => told.push(why),
      ...(getToken ? { getToken: counted } : {}),
    });
    await waitFor(() => told.length > 0, { what: `to be told of ${expected[0]}` });
    expect(told).toEqual([expected]);
    expect(asked).toBe(getToken ? 1 : 0);
  }
});

test('a token that is refused is asked for anew, and the page comes back', async () => {
  await using closed = await startEdgeProcess({ natsUrl: nats.url, env: { ...JWT_ENV } });
  const id = jobId();
  await publish(nc, id);
  const { shown, callbacks } = page();
  const tokens = ['not-a-token', await mint({ jobs: [id], exp: inSeconds(60) })];
  const refused: number[] = [];
  const stop = follow(`${closed.ws}/ws/upload-progress/${id}`, {
    ...callbacks,
    refused: (code) => refused.push(code),
    getToken: async () => tokens.shift() ?? '',
  });
  await waitFor(() => shown.has(id), { what: 'the job' });
  expect(refused).toEqual([]);
  stop();
});

test("the guide's getToken takes a token with a line break behind it, as files and shells give it", async () => {
  await using closed = await startEdgeProcess({ natsUrl: nats.url, env: { ...JWT_ENV } });
  const id = jobId();
  await publish(nc, id);
  const code =
    /^```js\n(const getToken = [\s\S]*?)^```$/m.exec(read('docs/guides/page-by-hand.md'))?.[1] ?? '';
  const token = await mint({ jobs: [id], exp: inSeconds(60) });
  const answer = async () => new Response(`${token}\n`);
  const getToken = new Function('fetch', `${code}; return getToken;`)(answer) as () => Promise<string | null>;
  expect(await getToken()).toBe(token);
  const { shown, callbacks } = page();
  const stop = follow(`${closed.ws}/ws/upload-progress/${id}`, { ...callbacks, getToken });
  await waitFor(() => shown.has(id), { what: 'the job' });
  stop();
});

test('the page is told of a job that gives no sign of life', async () => {
  const id = jobId();
  await publish(nc, id, { stall_after_seconds: 0.2 });
  const stalls: unknown[] = [];
  const stop = follow(`${edge.ws}/ws/upload-progress/${id}`, {
    show: () => {},
    stalled: (job, silentMs) => stalls.push([job, silentMs >= 200]),
  });
  await waitFor(() => stalls.length > 0, { what: 'the stall' });
  expect(stalls).toEqual([[id, true]]);
  stop();
});

test('the first lines show the last state and what is new', async () => {
  const guide = read('docs/guides/page-by-hand.md');
  const example = /^```js\n(const socket = new WebSocket\([\s\S]*?)^```$/m.exec(guide)?.[1] ?? '';
  const address = 'ws://localhost:8080/ws/upload-progress/job-1';
  expect(example).toContain(address);
  const id = jobId();
  await publish(nc, id, { progress: 40, message: 'Page 6' });
  const lines: string[] = [];
  const console = { log: (...words: unknown[]) => lines.push(words.join(' ')) };
  const code = example.replace(address, `${edge.ws}/ws/upload-progress/${id}`);
  new Function('WebSocket', 'console', code)(WebSocket, console);
  await waitFor(() => lines.length === 1, { what: 'the last state' });
  await publish(nc, id, { status: 'completed', progress: 100 });
  await waitFor(() => lines.length === 2, { what: 'the end' });
  expect(lines).toEqual(['processing 40 Page 6', 'completed 100 ']);
});
