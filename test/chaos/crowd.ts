import type { NatsConnection, StreamConfig } from 'nats';
import { edgeHasRead } from '../harness/edge-head.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { startTcpProxy, type TcpProxy } from '../harness/proxy.js';
import { connectNats, createStream, event, publish, publishAll, storedEvents } from '../harness/publish.js';
import type { Recorder } from './recorder.js';

export const STREAM = 'PROGRESS';
/** More connections than these nobody needs beyond those on each of which an update was taken. */
const SPARE_CONNECTIONS = 3;

/** One edge with a memory far smaller than its stream, behind a link that counts, and jobs that report. */
export class Crowd implements AsyncDisposable {
  private constructor(
    readonly nats: NatsServer,
    readonly nc: NatsConnection,
    readonly link: TcpProxy,
    readonly front: TcpProxy,
    readonly edge: EdgeProcess,
  ) {}

  /** @param before called with the stream as it was just made, before the edge starts */
  static async start(
    stream: Partial<StreamConfig>,
    env: Record<string, string>,
    before: (nc: NatsConnection) => Promise<unknown> = async () => undefined,
  ): Promise<Crowd> {
    const nats = await startNats();
    const nc = await connectNats(nats.url);
    await createStream(nc, STREAM, stream);
    await before(nc);
    const link = await startTcpProxy(nats.port);
    const edge = await startEdgeProcess({
      natsUrl: `nats://${link.host}`,
      env: { HEADWAY_TAIL_BYTES: '65536', HEADWAY_HEARTBEAT_MS: '200', ...env },
    });
    return new Crowd(nats, nc, link, await startTcpProxy(edge.port), edge);
  }

  /** Resolves when the edge has read what is stored now. */
  async read(): Promise<void> {
    await edgeHasRead(this.edge.http, this.nc, STREAM);
  }

  async stored() {
    return await storedEvents(this.nc, STREAM);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.edge.kill();
    await this.front[Symbol.asyncDispose]();
    await this.link[Symbol.asyncDispose]();
    await this.nc.close();
    await this.nats[Symbol.asyncDispose]();
  }
}

/** `count` jobs with one event each, of about so many bytes. */
export async function publishJobs(
  nc: NatsConnection,
  prefix: string,
  count: number,
  bytes: number,
  fields: Record<string, unknown> = {},
): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  const note = 'x'.repeat(Math.max(0, bytes - 150));
  await publishAll(
    nc,
    ids.map((id) => event(id, { note, ...fields })),
    250,
  );
  return ids;
}

/** A job that reports all the time, until it is told to stop. */
export function reportAllTheTime(nc: NatsConnection, id: string): AsyncDisposable {
  let isRunning = true;
  const running = (async () => {
    while (isRunning) await Promise.all(Array.from({ length: 20 }, () => publish(nc, id)));
  })();
  return {
    async [Symbol.asyncDispose]() {
      isRunning = false;
      await running;
    },
  };
}

/**
 * Connects again and again, cut after so many updates each time, until the client is caught up.
 * @param updates how many there are to take at most
 * @returns how many connections that took
 */
export async function arrive(
  client: Recorder,
  base: string,
  cutAfter: number,
  updates: number,
): Promise<number> {
  const most = Math.ceil(updates / cutAfter) + SPARE_CONNECTIONS;
  while (!client.isCaughtUp) {
    if (client.connections >= most)
      throw new Error(`not caught up after ${most} connections; ${client.describe()}`);
    if (!(await client.connect(base, base, cutAfter))) throw new Error(`not let in; ${client.describe()}`);
    while (client.isOpen && !client.isCaughtUp) await client.change(1_000);
  }
  return client.connections;
}

/** The frames of a type that a client got. */
export function framesOf(client: Recorder, type: string) {
  return client.record.flatMap((one) => (one.what === 'frame' && one.frame.type === type ? [one.frame] : []));
}
