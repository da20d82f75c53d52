import { expect, test } from 'vitest';
import { Container, Network } from '../harness/container.js';
import { containers } from '../harness/nats-container.js';
import { startNats } from '../harness/nats-server.js';
import { waitFor } from '../harness/wait.js';
import { HEADWAY_IMAGE, startEdgeContainer } from './edge-container.js';

const NODE = ['node', '--input-type=module', '-e'];

test('the image runs an edge that is not root, on a read-only file system, is found healthy, and stops when asked', async () => {
  await using network = await Network.create(false);
  await using _nats = await startNats({}, containers([{ network, alias: 'nats' }]));
  await using edge = await startEdgeContainer([{ network, alias: 'edge' }], { NATS_URL: 'nats://nats:4222' });
  const inspect = async () => await edge.container.inspect();
  expect((await inspect()).Config.User).toBe('1000:1000');
  await waitFor(async () => (await inspect()).State.Health?.Status === 'healthy', {
    what: 'the health check to pass',
    timeoutMs: 40_000,
  });
  expect(await edge.container.stop()).toEqual({ code: 0, signal: null });
}, 90_000);

test('the health check fails where no edge answers', async () => {
  await using alone = await run(['node', '/app/docker/health.mjs'], { HEADWAY_PORT: '1' });
  expect((await alone.exited).code).toBe(1);
});

test('the image has the headway command, and an edge without HEADWAY_AUTH does not start', async () => {
  await using help = await run(['headway', '--help']);
  expect((await help.exited).code).toBe(0);
  expect(help.output()).toContain('Usage: headway');
  await using edge = await run(undefined, { NATS_URL: 'nats://127.0.0.1:1' });
  expect((await edge.exited).code).toBe(2);
  expect(edge.output()).toContain('HEADWAY_AUTH');
});

test('nothing in the image can be changed by what runs in it, and no development package is there', async () => {
  const program = `
    import { accessSync, constants, existsSync } from 'node:fs';
    const writable = ['/app', '/app/dist', '/app/node_modules', '/usr/local/bin'].filter((path) => {
      try { accessSync(path, constants.W_OK); return true; } catch { return false; }
    });
    const installed = ['typescript', 'vitest', 'testcontainers'].filter((name) => existsSync('/app/node_modules/' + name));
    console.log(JSON.stringify({ user: process.getuid(), major: process.versions.node.split('.')[0], writable, installed }));`;
  await using look = await run([...NODE, program], {}, false);
  await look.exited;
  expect(JSON.parse(look.output())).toEqual({ user: 1000, major: '24', writable: [], installed: [] });
});

async function run(
  command?: readonly string[],
  env: Readonly<Record<string, string>> = {},
  readOnly = true,
): Promise<Container> {
  return await Container.start('headway', {
    image: HEADWAY_IMAGE,
    env,
    readOnly,
    ...(command && { command }),
  });
}
