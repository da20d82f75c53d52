/** The way to NATS: TLS with and without certificates of clients, nkeys, and what is said when it fails. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Events, nkeys } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectNats, type NatsSettings } from '../../internal/jetstream/connection.js';
import { Child } from '../harness/child.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';

const EDGE = fileURLToPath(new URL('../../dist/cmd/edge.js', import.meta.url));
const TLS_CONF = fileURLToPath(new URL('../../docs/nats/tls.conf', import.meta.url));

let folder: Awaited<ReturnType<typeof guardedFolder>>;
const at = (name: string): string => join(folder.path, name);

function openssl(...args: string[]): void {
  try {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw isMissing ? new Error('these tests need the program openssl on the PATH; install it') : error;
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Makes `<name>.pem` and `<name>.key`, an authority that signs certificates. */
function authority(name: string): void {
  openssl(
    'req',
    '-x509',
    ...NEW_KEY,
    '-keyout',
    at(`${name}.key`),
    '-out',
    at(`${name}.pem`),
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
  );
}

/** Makes `<name>.pem` and `<name>.key`, signed by an authority. */
function certificate(name: string, by: string, names: string): void {
  const [request, extensions] = [at(`${name}.csr`), at(`${name}.ext`)];
  openssl('req', '-new', ...NEW_KEY, '-keyout', at(`${name}.key`), '-out', request, '-subj', `/CN=${name}`);
  writeFileSync(extensions, `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  const signer = ['-CA', at(`${by}.pem`), '-CAkey', at(`${by}.key`), '-CAcreateserial', '-days', '2'];
  openssl('x509', '-req', '-in', request, ...signer, '-extfile', extensions, '-out', at(`${name}.pem`));
}

const tlsBlock = (name: string): string =>
  `tls { cert_file: "${at(`${name}.pem`)}", key_file: "${at(`${name}.key`)}" }`;

/** A server that only has a certificate; one that asks for one, too; one whose certificate is for another name. */
let open: NatsServer;
let strict: NatsServer;
let misnamed: NatsServer;
let plain: NatsServer;

beforeAll(async () => {
  folder = await guardedFolder('headway-tls');
  authority('ca');
  authority('stranger-ca');
  // No localhost: Node checks for that name when it is not told which host it talks to.
  certificate('server', 'ca', 'IP:127.0.0.1');
  certificate('misnamed', 'ca', 'DNS:localhost,DNS:nats.example');
  certificate('edge', 'ca', 'DNS:edge');
  certificate('stranger', 'stranger-ca', 'DNS:edge');
  process.env.NATS_SERVER_CERT = at('server.pem');
  process.env.NATS_SERVER_KEY = at('server.key');
  process.env.NATS_SERVER_CA = at('ca.pem');
  [open, strict, misnamed, plain] = await Promise.all([
    startNats({ config: tlsBlock('server') }),
    // Relative to the configuration file, which is in a folder of its own.
    startNats({ config: `include ${JSON.stringify(relative(join(tmpdir(), 'any'), TLS_CONF))}` }),
    startNats({ config: tlsBlock('misnamed') }),
    startNats(),
  ]);
});

afterAll(async () => {
  for (const server of [open, strict, misnamed, plain]) await server?.[Symbol.asyncDispose]();
  await folder?.remove();
});

const overTls = (server: NatsServer): string => server.url.replace('nats://', 'tls://');

/** How the server sees the connection of this edge. */
async function seen(server: NatsServer, edge: EdgeProcess): Promise<{ tls_version?: string } | undefined> {
  const { connections } = (await server.monitor('/connz')) as {
    connections: { name: string; tls_version?: string }[];
  };
  expect(edge.output()).toContain('listening');
  return connections.find(({ name }) => name.startsWith('headway-edge'));
}

/** Runs an edge that cannot start; returns what it says on standard error. */
async function explanation(env: Record<string, string>): Promise<string> {
  const child = await Child.spawn('edge', process.execPath, [EDGE], {
    HEADWAY_AUTH: 'none',
    HEADWAY_HOST: '127.0.0.1',
    HEADWAY_PORT: '0',
    HEADWAY_EDGE_ID: uniqueId('tls'),
    ...env,
  });
  const { code } = await child.exited;
  const text = child
    .output()
    .split('\n')
    .filter((line) => !line.startsWith('{'))
    .join('\n');
  expect(code).toBeGreaterThan(0);
  expect(text).toMatch(/^headway edge: \S.*(?:\n {2}- .+)*$/);
  expect(text).not.toMatch(/^\s+at |node:internal|node_modules/m);
  return text;
}

describe('an edge', () => {
  test('finds TLS where the address says nats:// and the server requires it', async () => {
    await using edge = await startEdgeProcess({ natsUrl: open.url, env: { NATS_CA: at('ca.pem') } });
    expect((await seen(open, edge))?.tls_version).toMatch(/^1\.[23]$/);
  });

  test('shows its certificate to a server that asks for one, also after it comes back', async () => {
    const env = { NATS_CA: at('ca.pem'), NATS_CERT: at('edge.pem'), NATS_KEY: at('edge.key') };
    await using edge = await startEdgeProcess({ natsUrl: overTls(strict), env });
    expect((await seen(strict, edge))?.tls_version).toMatch(/^1\.[23]$/);
    await strict.restart('kill');
    await waitFor(() => seen(strict, edge), { what: 'the edge to be back' });
    await edge.ready();
  });

  test('signs in with an nkey', async () => {
    const user = nkeys.createUser();
    writeFileSync(at('edge.nk'), `${new TextDecoder().decode(user.getSeed())}\n`);
    await using server = await startNats({
      config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`,
    });
    await using edge = await startEdgeProcess({ natsUrl: server.url, env: { NATS_NKEY: at('edge.nk') } });
    expect(await seen(server, edge)).toBeDefined();

    const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
    writeFileSync(at('other.nk'), seed);
    const text = await explanation({ NATS_URL: server.url, NATS_NKEY: at('other.nk') });
    expect(text).toContain(`NATS at ${server.url} refused the credentials (authorization violation)`);
    expect(text).not.toContain(seed);
  });
});

describe('G8 bad input: what is wrong with TLS is said, in one paragraph and without a stack trace:', () => {
  type Env = () => Record<string, string>;
  test.each<[string, Env, RegExp]>([
    [
      'no authority',
      () => ({ NATS_URL: overTls(open) }),
      /not from an authority that is trusted here: \w+\)\. Set NATS_CA to a PEM file/,
    ],
    ['no authority, found by itself', () => ({ NATS_URL: open.url }), /Set NATS_CA to a PEM file/],
    [
      'another authority',
      () => ({ NATS_URL: overTls(open), NATS_CA: at('stranger-ca.pem') }),
      /Set NATS_CA to a PEM file/,
    ],
    [
      'the certificate of another host',
      () => ({ NATS_URL: overTls(misnamed), NATS_CA: at('ca.pem') }),
      /certificate is for another host than the one in NATS_URL/,
    ],
    [
      'no certificate where one is wanted',
      () => ({ NATS_URL: strict.url, NATS_CA: at('ca.pem') }),
      /it may want a certificate, which NATS_CERT and NATS_KEY would name/,
    ],
    [
      'a certificate that the server does not trust',
      () => ({
        NATS_URL: strict.url,
        NATS_CA: at('ca.pem'),
        NATS_CERT: at('stranger.pem'),
        NATS_KEY: at('stranger.key'),
      }),
      /or refuse the one they name/,
    ],
    [
      'no TLS where tls:// asks for it',
      () => ({ NATS_URL: overTls(plain) }),
      /ask for TLS, but it offers none/,
    ],
    [
      'no TLS where NATS_CA asks for it',
      () => ({ NATS_URL: plain.url, NATS_CA: at('ca.pem') }),
      /ask for TLS, but it offers none/,
    ],
    [
      'the key of another certificate',
      () => ({ NATS_URL: strict.url, NATS_CERT: at('edge.pem'), NATS_KEY: at('server.key') }),
      /NATS_KEY is ".*server\.key"; expected the key of the certificate in NATS_CERT, ".*edge\.pem"/,
    ],
    [
      'a file that is not there',
      () => ({ NATS_URL: open.url, NATS_CA: '/nowhere/ca.pem' }),
      /NATS_CA is "\/nowhere\/ca\.pem"; there is no such file/,
    ],
  ])('%s', async (_name, env, expected) => {
    const given = env();
    // What the address holds beside the host must not come back, whatever fails.
    const text = await explanation({
      ...given,
      NATS_URL: String(given.NATS_URL).replace('//', '//user:hunter2@'),
    });
    expect(text).toMatch(expected);
    expect(text).not.toMatch(/hunter2|BEGIN/);
  });
});

describe('the connection', () => {
  test('is checked by the name in the address, and by the address where it is one', async () => {
    const url = overTls(misnamed).replace('127.0.0.1', 'localhost');
    const connection = await connectNats({ url, caFile: at('ca.pem'), name: 'named' });
    await connection.close();
    await expect(connectNats({ url: overTls(misnamed), caFile: at('ca.pem'), name: 'x' })).rejects.toThrow(
      'another host',
    );
  });

  test('takes certificates that were replaced while it was away', async () => {
    for (const file of ['server.pem', 'server.key']) copyFileSync(at(file), at(`own-${file}`));
    copyFileSync(at('ca.pem'), at('own-ca.pem'));
    await using server = await startNats({ config: tlsBlock('own-server') });
    const connection = await connectNats({ url: server.url, caFile: at('own-ca.pem'), name: 'replaced' });
    try {
      await server.stop();
      certificate('own-server', 'stranger-ca', 'IP:127.0.0.1');
      copyFileSync(at('stranger-ca.pem'), at('own-ca.pem'));
      const back = (async () => {
        for await (const { type } of connection.status()) if (type === Events.Reconnect) return true;
        return false;
      })();
      await server.start();
      expect(await back).toBe(true);
    } finally {
      await connection.close();
    }
  });

  test('G7 nobody unauthorised: a server that repeats what it was told does not bring a password into an error', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(
        `INFO {"server_id":"ECHO","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576}\r\n`,
      );
      socket.once('data', (data) =>
        socket.end(`-ERR 'Authorization Violation of ${/CONNECT (.*)\r\n/.exec(String(data))?.[1]}'\r\n`),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as { port: number };
      for (const credentials of ['edge:hunter2', 'hunter2', 'edge:hun%2Fter2%40']) {
        const settings: NatsSettings = { url: `nats://${credentials}@127.0.0.1:${port}`, name: 'echo' };
        const error = (await connectNats(settings).catch((reason: unknown) => reason)) as Error;
        expect(error.message).toContain(`NATS at nats://127.0.0.1:${port} refused the credentials`);
        expect(JSON.stringify([error.message, error.stack, error.cause])).not.toMatch(
          /hunter2|hun.{1,3}ter2/,
        );
      }
    } finally {
      server.close();
    }
  });
});
