import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import { pause, untilAborted } from '../internal/async.js';
import { HeadwayError } from '../internal/errors.js';
import { connectNats } from '../internal/jetstream/connection.js';
import { redactUrl } from '../internal/jetstream/nats-url.js';
import { Child } from './child.js';
import { CannotStart, DemoError, said } from './errors.js';
import type { DemoOptions } from './options.js';

/** A NATS server with JetStream, and a connection to it. */
export interface Nats extends AsyncDisposable {
  readonly url: string;
  readonly credsFile: string | undefined;
  readonly connection: NatsConnection;
  /** For people: which server it is, and whose. */
  readonly description: string;
}

const START_WITHIN_MS = 15_000;
const LOOK_EVERY_MS = 15;

/**
 * The server at NATS_URL when that is set; otherwise a nats-server of the demo's own, on a free port of this machine
 * and with a folder of its own, that ends with the demo.
 * @param fail told when a server of our own ends by itself
 * @throws DemoError, HeadwayError, or the signal's reason; then nothing is left running
 */
export async function openNats(
  options: DemoOptions,
  signal: AbortSignal,
  fail: (error: Error) => void,
): Promise<Nats> {
  const { natsUrl, natsCreds } = options;
  if (natsUrl === undefined) return await startPrivate(options.natsServer, signal, fail);
  const connection = await untilAborted(connect(natsUrl, natsCreds), signal).catch((error: unknown) => {
    if (!(error instanceof HeadwayError)) throw error;
    throw new DemoError(`${error.message} Without NATS_URL the demo starts a server of its own.`);
  });
  return {
    url: natsUrl,
    credsFile: natsCreds,
    connection,
    description: `nats-server ${connection.info?.version} at ${redactUrl(natsUrl)} (from NATS_URL; the events stay there)`,
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

async function startPrivate(
  binary: string | undefined,
  signal: AbortSignal,
  fail: (error: Error) => void,
): Promise<Nats> {
  const child = await spawnServer(binary, signal);
  try {
    const { folder = '' } = child;
    const port = await portOf(child, folder, signal);
    const url = `nats://127.0.0.1:${port}`;
    const connection = await untilAborted(connect(url), signal);
    void child.exited.then((code) => {
      if (!child.isStopping) fail(ended(`ended with code ${code} while the demo was running`, child));
    });
    return {
      url,
      credsFile: undefined,
      connection,
      description: `nats-server ${connection.info?.version} on 127.0.0.1:${port}, private, storing in ${folder}`,
      [Symbol.asyncDispose]: async () => {
        await connection.close();
        await child.stop();
      },
    };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

async function spawnServer(binary: string | undefined, signal: AbortSignal): Promise<Child> {
  const options = {
    command: binary ?? 'nats-server',
    // -1: a free port, which the server writes into the ports file.
    args: ['-a', '127.0.0.1', '-p', '-1', '-js', '-sd', '{folder}', '--ports_file_dir', '{folder}'],
    env: process.env,
    folderPrefix: 'headway-demo-',
  };
  try {
    return await Child.start(options, signal);
  } catch (error) {
    if (!(error instanceof CannotStart)) throw error;
    throw new DemoError(
      binary === undefined
        ? 'There is no nats-server on the PATH. "make demo" finds or installs one; or set NATS_SERVER_BIN to the ' +
            'path of one (2.10 or newer), or NATS_URL to a NATS server with JetStream that runs already.'
        : `NATS_SERVER_BIN is "${binary}", which cannot be started (${error.reason}). Set it to the path of a ` +
            'nats-server (2.10 or newer) or unset it.',
    );
  }
}

async function portOf(child: Child, folder: string, signal: AbortSignal): Promise<number> {
  let end: number | undefined;
  void child.exited.then((code) => {
    end = code;
  });
  const deadline = performance.now() + START_WITHIN_MS;
  for (;;) {
    const port = await readPort(folder);
    if (port !== undefined) return port;
    if (end !== undefined) throw ended(`ended with code ${end} instead of starting`, child);
    if (performance.now() > deadline) throw ended(`did not start within ${START_WITHIN_MS / 1000} s`, child);
    await pause(LOOK_EVERY_MS, signal);
  }
}

/** The port in the file that the server writes when it is ready; undefined while there is none, or half of one. */
async function readPort(folder: string): Promise<number | undefined> {
  try {
    const name = (await readdir(folder)).find((entry) => entry.endsWith('.ports'));
    if (name === undefined) return undefined;
    const ports = JSON.parse(await readFile(join(folder, name), 'utf8')) as { nats?: string[] };
    const url = ports.nats?.[0];
    return url === undefined ? undefined : Number(new URL(url).port);
  } catch {
    return undefined;
  }
}

async function connect(url: string, credsFile?: string): Promise<NatsConnection> {
  return await connectNats({ url, credsFile, name: 'headway-demo' });
}

function ended(what: string, child: Child): DemoError {
  return new DemoError(`The nats-server ${what}.${said(child.lastLines().slice(-12))}`);
}
