/** docker-compose.yml as a user starts it, under a project name, a port and a network of a test's own. */
import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePorts } from '../harness/free-ports.js';
import { uniqueId } from '../harness/ids.js';
import { waitFor } from '../harness/wait.js';

const FILE = fileURLToPath(new URL('../../docker-compose.yml', import.meta.url));
const run = promisify(execFile);
/** Run in an edge's container. */
const READY = "fetch('http://127.0.0.1:8080/readyz').then(({ ok }) => process.exit(ok ? 0 : 1))";

/** `docker compose`, else the older `docker-compose`; undefined where there is neither. */
export async function composeCommand(): Promise<readonly string[] | undefined> {
  for (const command of [['docker', 'compose'], ['docker-compose']]) {
    const [program = '', ...words] = command;
    const found = await run(program, [...words, 'version']).then(
      () => true,
      () => false,
    );
    if (found) return command;
  }
  return undefined;
}

export interface Composed extends AsyncDisposable {
  /** `127.0.0.1:<port>` of the proxy */
  readonly host: string;
  /** The proxy's address in the network of the edges. */
  readonly proxyAddress: string;
  /** Runs one of Compose's commands and gives what it wrote to stdout. */
  call(...words: string[]): Promise<string>;
}

/** Starts all of it, and returns when both edges are ready and the proxy knows; the images must be there. */
export async function composeUp(command: readonly string[], more: Record<string, string>): Promise<Composed> {
  const [program = '', ...words] = command;
  const [port = 0] = await freePorts(1);
  const range = `172.31.${randomInt(100, 230)}`;
  const proxyAddress = `${range}.10`;
  const env = {
    ...process.env,
    HEADWAY_PUBLISH: `127.0.0.1:${port}`,
    HEADWAY_SUBNET: `${range}.0/24`,
    HEADWAY_PROXY_ADDRESS: proxyAddress,
    ...more,
  };
  const project = uniqueId('headway-compose');
  const call = async (...args: string[]): Promise<string> => {
    const options = { env, maxBuffer: 64 * 1024 * 1024, timeout: 120_000 };
    return (await run(program, [...words, '-p', project, '-f', FILE, ...args], options)).stdout;
  };
  const down = async (): Promise<void> => void (await call('down', '--volumes', '--timeout', '5'));
  try {
    await call('up', '-d', '--no-build');
    for (const edge of ['edge-1', 'edge-2']) {
      await waitFor(() => call('exec', '-T', edge, 'node', '-e', READY).then(() => true), {
        what: `${edge} to be ready`,
        timeoutMs: 60_000,
      });
      // It begins by believing in an edge, so that saying nothing is as good as UP.
      const told = new RegExp(`Server edges/${edge} is (UP|DOWN)`, 'g');
      await waitFor(async () => [...(await call('logs', 'proxy')).matchAll(told)].at(-1)?.[1] !== 'DOWN', {
        what: `the proxy to find ${edge}`,
        timeoutMs: 20_000,
      });
    }
  } catch (error) {
    await down();
    throw error;
  }
  return { host: `127.0.0.1:${port}`, proxyAddress, call, [Symbol.asyncDispose]: down };
}
