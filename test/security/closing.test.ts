/** Every close frame is followed by the end of TCP at once, also when the client never answers: a stop must not look like a cut. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Authority, put } from '../harness/certificates.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { HalfOpenSocket } from '../harness/half-open.js';
import { jobId, uniqueId } from '../harness/ids.js';
import { event, publish, publishAll } from '../harness/publish.js';
import { handshake, OPCODE, rawFrame } from '../harness/raw-socket.js';
import { sharedNats } from '../harness/shared-nats.js';
import { askTls } from '../harness/tls-client.js';
import { inSeconds, JWT_ENV, KeyHost, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';

const WS = '/ws/upload-progress';
const shared = sharedNats();
let folder: Awaited<ReturnType<typeof guardedFolder>>;
let authority: Authority;
let tlsEnv: Record<string, string>;
let keys: KeyHost;
/** By whether they speak TLS. */
const edges = new Map<boolean, EdgeProcess>();

beforeAll(async () => {
  folder = await guardedFolder('headway-closing');
  authority = await Authority.create(folder.path);
  const pair = await authority.issue('closing');
  tlsEnv = { HEADWAY_TLS_CERT: join(folder.path, 'own.crt'), HEADWAY_TLS_KEY: join(folder.path, 'own.key') };
  await put(tlsEnv.HEADWAY_TLS_CERT ?? '', pair.cert);
  await put(tlsEnv.HEADWAY_TLS_KEY ?? '', pair.key);
  // What is signed with its key cannot be checked.
  keys = await KeyHost.start('hold');
  for (const isSecure of [false, true]) edges.set(isSecure, await start(isSecure));
});
afterAll(async () => {
  for (const edge of edges.values()) await edge[Symbol.asyncDispose]();
  await keys[Symbol.asyncDispose]();
  await folder.remove();
});

const start = (isSecure: boolean, env: Record<string, string> = {}): Promise<EdgeProcess> =>
  startEdgeProcess({
    natsUrl: shared.nats.url,
    untilReady: !isSecure,
    env: {
      ...keys.env,
      ...JWT_ENV,
      ...(isSecure && tlsEnv),
      HEADWAY_MAX_CONNECTIONS_PER_SUBJECT: '1',
      HEADWAY_IDLE_TIMEOUT_SECONDS: '120',
      HEADWAY_AUTH_TIMEOUT_MS: '2000',
      ...env,
    },
  });

const text = (frame: object): Buffer => rawFrame({ opcode: OPCODE.text, payload: JSON.stringify(frame) });
/** More than a client may send in any second, in one write. */
const FLOOD = (): Buffer => Buffer.concat(Array.from({ length: 500 }, () => text({ type: 'ping' })));
const authorization = (token: string): string => `Authorization: Bearer ${token}\r\n`;

/** A client on its way to be closed. */
interface Client {
  readonly socket: HalfOpenSocket;
  /** Its job. */
  readonly id: string;
}

type Kind = [name: string, code: number, reason: string, run: (connect: Connect) => Promise<Client>];
type Connect = (claims: Record<string, unknown> | string | null, path?: string) => Promise<Client>;

const caughtUp = async (client: Client): Promise<Client> => {
  await client.socket.until(/"caught_up"/);
  return client;
};

const kinds: Kind[] = [
  ['a path that is none', 4400, 'invalid_processing_id', (connect) => connect({}, `${WS}/a.b`)],
  [
    'a frame that is none',
    4400,
    'invalid_frame',
    async (connect) => {
      const client = await caughtUp(await connect({}));
      client.socket.send(rawFrame({ opcode: OPCODE.text, payload: '{' }));
      return client;
    },
  ],
  ['no token', 4401, 'unauthorized', (connect) => connect(null)],
  [
    'a token that is checked and refused',
    4401,
    'token_expired',
    (connect) => connect({ exp: inSeconds(-1) }),
  ],
  ['a token that opens other jobs', 4403, 'forbidden', (connect) => connect({ jobs: ['other'] })],
  ['a token that expires', 4401, 'token_expired', async (connect) => await connect({ exp: inSeconds(2) })],
  [
    'a renewal that is refused',
    4401,
    'unauthorized',
    async (connect) => {
      const client = await caughtUp(await connect({}));
      client.socket.send(text({ type: 'auth', token: 'none' }));
      return client;
    },
  ],
  [
    'a second connection of a subject',
    4429,
    'too_many_connections',
    async (connect) => {
      const sub = uniqueId('sub');
      await caughtUp(await connect({ sub }));
      return await connect({ sub });
    },
  ],
  [
    'too many frames',
    4429,
    'too_many_frames',
    async (connect) => {
      const client = await caughtUp(await connect({}));
      client.socket.send(FLOOD());
      return client;
    },
  ],
  [
    'a token that cannot be checked',
    1013,
    'internal',
    async (connect) => connect(await keys.mint({ jobs: ['*'] })),
  ],
  [
    'a job that ended before',
    1000,
    'end',
    async (connect) => {
      const id = jobId('ended');
      await publish(shared.nc, id, { status: 'completed', progress: 100 });
      return await connect({}, `${WS}/${id}`);
    },
  ],
  [
    'a job that ends',
    1000,
    'end',
    async (connect) => {
      const client = await caughtUp(await connect({}));
      await publish(shared.nc, client.id, { status: 'completed', progress: 100 });
      return client;
    },
  ],
];

describe.each([
  ['without TLS', false],
  ['with TLS', true],
] as const)('%s, TCP ends behind the close frame of', (_how, isSecure) => {
  const connectTo =
    (port: () => number): Connect =>
    async (claims, path) => {
      const id = path?.slice(WS.length + 1) ?? jobId('closing');
      const token =
        typeof claims === 'object' && claims !== null ? await mint({ jobs: ['*'], ...claims }) : claims;
      const head = handshake(path ?? `${WS}/${id}`, token === null ? '' : authorization(token));
      const socket = await HalfOpenSocket.open(port(), head, isSecure ? authority.pem : undefined);
      onTestFinished(() => socket[Symbol.asyncDispose]());
      return { socket, id };
    };

  test.each(kinds)('%s', async (_name, code, reason, run) => {
    const client = await run(connectTo(() => edges.get(isSecure)?.port ?? 0));
    const ending = await client.socket.ending();
    process.stdout.write(`    ${code} ${reason}: FIN after ${ending.ms.toFixed(1)} ms\n`);
    expect(ending).toMatchObject({ code, reason });
  });

  test('an edge that drains', async () => {
    await using edge = await start(isSecure, { HEADWAY_DRAIN_MS: '20000' });
    const connect = connectTo(() => edge.port);
    const clients = await Promise.all(
      Array.from({ length: 8 }, async () => await caughtUp(await connect({}))),
    );
    void edge.stop();
    // The one that stands longest goes first, long before the edge is gone and takes all connections with it.
    const [ending] = await Promise.race(clients.map(async ({ socket }) => [await socket.ending()]));
    expect(ending).toMatchObject({ code: 1012, reason: 'draining' });
  });

  test('too many frames before hello', async () => {
    const connect = connectTo(() => edges.get(isSecure)?.port ?? 0);
    const token = await keys.mint({ jobs: ['*'] });
    // A token waits only while the edge asks for the keys, which it does every few seconds, and for some seconds.
    const ending = await waitFor(
      async () => {
        const { socket } = await connect(token);
        socket.send(FLOOD());
        const found = await socket.ending();
        return found.code === 1013 ? undefined : found;
      },
      { what: 'the frames to come before the result', timeoutMs: 30_000 },
    );
    expect(ending).toMatchObject({ code: 4429, reason: 'too_many_frames' });
  });

  // How many connections were closed because their token expired.
  const closed = async (): Promise<number> => {
    const port = edges.get(isSecure)?.port ?? 0;
    const metrics = isSecure
      ? (await askTls(port, authority.pem, '/metrics')).body
      : await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return Number(/^headway_connections_closed_total\{code="4401"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
  };

  test('a client that has not read what was sent: it gets all of it, then the close frame', async () => {
    const id = jobId('slow');
    const big = 'x'.repeat(4_000);
    await publishAll(
      shared.nc,
      Array.from({ length: 2_000 }, (_, i) => event(id, { message: big, step: { index: i } })),
    );
    const connect = connectTo(() => edges.get(isSecure)?.port ?? 0);
    const before = await closed();
    const { socket } = await connect({ exp: inSeconds(3) }, `${WS}/${id}?last_seq=0`);
    await socket.until(/"hello"/);
    socket.pause();
    await waitFor(async () => (await closed()) > before, { what: 'the token to expire' });
    socket.read();
    const { code } = await socket.ending();
    expect(code).toBe(4401);
  });
});
