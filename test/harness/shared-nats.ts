/** A nats-server with a connection to it: for one test, or for all tests of a file. */
import type { ConnectionOptions, JetStreamManager, StreamConfig } from 'nats';
import { afterAll, beforeAll } from 'vitest';
import type { StreamAccess } from '../../internal/cli/runtime/nats.js';
import { type NatsOptions, type NatsServer, startNats } from './nats-server.js';
import { connectNats, createStream, deleteStreams } from './publish.js';

export interface ConnectedNats {
  readonly nats: NatsServer;
  readonly nc: Awaited<ReturnType<typeof connectNats>>;
  readonly jsm: JetStreamManager;
}

export interface ConnectedNatsOptions {
  server?: NatsOptions;
  connection?: ConnectionOptions;
  /** Makes the stream of the contract, with these changes. Left out: there is none. */
  stream?: Partial<StreamConfig>;
}

/** For one test. */
export async function connectedNats(
  options: ConnectedNatsOptions = {},
): Promise<ConnectedNats & AsyncDisposable> {
  const nats = await startNats(options.server);
  const opened: AsyncDisposable[] = [nats];
  const close = async (): Promise<void> => {
    for (const one of opened.toReversed()) await one[Symbol.asyncDispose]();
  };
  try {
    const nc = await connectNats(nats.url, options.connection);
    opened.push(nc);
    if (options.stream !== undefined) await createStream(nc, 'PROGRESS', options.stream);
    return { nats, nc, jsm: await nc.jetstreamManager(), [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** For one test, with the stream of the contract and what is changed in it. */
export const natsWithStream = (
  changes: Partial<StreamConfig> = {},
): Promise<ConnectedNats & AsyncDisposable> => connectedNats({ stream: changes });

/** For all tests of a file, or of a `describe`: called at its top, before other hooks are. */
export function sharedNats(options: ConnectedNatsOptions = {}): ConnectedNats {
  let given: Awaited<ReturnType<typeof connectedNats>> | undefined;
  beforeAll(async () => {
    given = await connectedNats(options);
  });
  afterAll(() => given?.[Symbol.asyncDispose]());
  const started = (): ConnectedNats => {
    if (given === undefined) throw new Error('the server is there in hooks and tests only');
    return given;
  };
  return {
    get nats() {
      return started().nats;
    },
    get nc() {
      return started().nc;
    },
    get jsm() {
      return started().jsm;
    },
  };
}

/** Nothing that an earlier test stored is left, and the stream of the contract is there. */
export async function freshStream({ nats, nc }: ConnectedNats): Promise<void> {
  await deleteStreams(nc, nats);
  await createStream(nc);
}

/** What the parts of `headway` reach the stream by. */
export function streamAccess({ nats, nc, jsm }: ConnectedNats): StreamAccess {
  return { connection: nc, jsm, js: nc.jetstream(), stream: 'PROGRESS', shownUrl: nats.url };
}
