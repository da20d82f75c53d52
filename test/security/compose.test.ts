/** docker-compose.yml, as far as it can be held without Docker: its NATS, with its users and their passwords. */
import { execFile } from 'node:child_process';
import { copyFile, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connect } from 'nats';
import { expect, test } from 'vitest';
import { Child } from '../harness/child.js';
import { WsClient } from '../harness/client.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { natsBinary } from '../harness/nats-binary.js';
import { startNats } from '../harness/nats-server.js';
import { guardedFolder } from '../harness/watchdog.js';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const compose = await readFile(at('docker-compose.yml'), 'utf8');
const service = (name: string): string =>
  new RegExp(`^  ${name}:\\n((?:    .*\\n|\\n)+)`, 'm').exec(compose)?.[1] ?? '';
/** The environment of the NATS server, where nothing is set from outside. */
const passwords = Object.fromEntries(
  [...service('nats').matchAll(/(HEADWAY_\w+_PASSWORD): \$\{\1:-([\w-]+)\}/g)].map(([, name, value]) => [
    name,
    value,
  ]),
);
const natsUrlOf = (text: string): string =>
  (/NATS_URL: (\S+)/.exec(text)?.[1] ?? '').replace(/\$\{\w+:-([\w-]+)\}/, '$1');

test('every image has a version, and every container limits', async () => {
  const images = [...compose.matchAll(/image: (\S+)/g)].map(([, image = '']) =>
    image.replace(/^\$\{\w+:-(.*)\}$/, '$1'),
  );
  const dockerfile = await readFile(at('Dockerfile'), 'utf8');
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image = '']) => image);
  for (const image of [...images.filter((one) => one !== 'headway'), ...bases]) {
    expect(image).toMatch(/:\d+\.\d+\.\d+/);
  }
  // All containers take these; some have more memory.
  expect(compose).toMatch(/^x-hardened: &hardened(?:\n {2}.*)*\n {2}mem_limit: \d+m\n {2}pids_limit: \d+$/m);
  for (const name of ['nats', 'proxy', 'worker']) expect(service(name)).toMatch(/<<: \*(hardened|headway)/);
});

test('the configuration of its NATS is one, with the documented permissions', async () => {
  const folder = await guardedFolder('headway-compose');
  try {
    await copyFile(at('docker/nats.conf'), join(folder.path, 'nats.conf'));
    await copyFile(at('docs/nats/permissions.conf'), join(folder.path, 'permissions.conf'));
    const args = ['-t', '-c', join(folder.path, 'nats.conf')];
    const { stderr } = await promisify(execFile)((await natsBinary()).path, args, { env: passwords });
    expect(stderr).toMatch(/configuration file .* is valid/);
  } finally {
    await folder.remove();
  }
});

test('its edges and its worker do with their users what they are for, and nobody comes without one', async () => {
  expect(Object.keys(passwords)).toHaveLength(6);
  Object.assign(process.env, passwords);
  const include = relative(join(tmpdir(), 'any'), at('docs/nats/permissions.conf'));
  await using nats = await startNats({ config: `include ${JSON.stringify(include)}` });
  const own = (url: string): string => url.replace('nats:4222', `127.0.0.1:${nats.port}`);
  const [edgeUrl, workerUrl] = [natsUrlOf(compose), natsUrlOf(service('worker'))].map(own);
  expect([edgeUrl, workerUrl]).toEqual([
    expect.stringContaining('//edge:'),
    expect.stringContaining('//worker:'),
  ]);
  await expect(connect({ servers: nats.url, reconnect: false })).rejects.toThrow(/authorization/i);

  await using edge = await startEdgeProcess({ natsUrl: edgeUrl ?? '' });
  const worker = await Child.spawn('worker', process.execPath, [at('dist/demo/compose-worker.js')], {
    ...process.env,
    NATS_URL: workerUrl,
    PAGE_MS: '20',
  });
  try {
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress`);
    await client.updates(30);
    expect(worker.output()).not.toMatch(/permission|refused/i);
  } finally {
    await worker.kill();
  }
});
