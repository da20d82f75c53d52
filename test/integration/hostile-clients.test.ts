import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, publish } from '../harness/publish.js';
import { ReconnectingClient } from '../harness/reconnecting-client.js';
import { waitFor, withTimeout } from '../harness/wait.js';

const PATH = '/ws/upload-progress';
const MiB = 1024 * 1024;
const PING = 0x9;
const TEXT = 0x1;

const memory = (edge: EdgeProcess) => metric(edge.http, 'process_resident_memory_bytes');

/** A whole masked frame (the mask is 0) of at most 125 bytes. */
function frame(opcode: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

/** A WebSocket by hand, since what it does no library would; it never reads what comes after the upgrade. */
class Flooder implements AsyncDisposable {
  isCut = false;
  sentBytes = 0;

  private constructor(private readonly socket: Socket) {
    socket.once('close', () => {
      this.isCut = true;
    });
  }

  static async connect(port: number, path: string): Promise<Flooder> {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {}); // 'close' follows
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const [head] = (await withTimeout(once(socket, 'data'), 10_000, 'the upgrade')) as [Buffer];
    socket.pause();
    if (!head.toString('latin1').startsWith('HTTP/1.1 101')) throw new Error(head.toString('latin1'));
    return new Flooder(socket);
  }

  /** Sends `one` over and over, up to so many bytes, as fast as the edge takes it, or until it is cut. */
  async flood(one: Buffer, bytes: number): Promise<void> {
    const chunk = Buffer.concat(Array.from({ length: Math.ceil(MiB / one.length) }, () => one));
    while (!this.isCut && this.sentBytes < bytes) {
      this.sentBytes += chunk.length;
      if (this.socket.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        const done = () => {
          this.socket.off('drain', done).off('close', done);
          resolve();
        };
        this.socket.once('drain', done).once('close', done);
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    if (!this.isCut) await once(this.socket, 'close');
  }
}

/** Publishes while `flood` lasts; each event has to reach its client. Returns how much memory it took at most. */
async function whileFlooding(
  edge: EdgeProcess,
  natsUrl: string,
  flood: () => Promise<void>,
): Promise<number> {
  await using nc = await connectNats(natsUrl);
  const id = jobId();
  await using client = ReconnectingClient.start(edge.ws, `${PATH}/${id}`);
  await client.until(({ caughtUp }) => caughtUp > 0, 'caught up');
  const before = await memory(edge);
  let isOver = false;
  const flooding = flood().finally(() => {
    isOver = true;
  });
  let peak = 0;
  let served = 0;
  do {
    const seq = await publish(nc, id);
    await client.until(({ cursor }) => (cursor ?? 0) >= seq, 'the event');
    served++;
    peak = Math.max(peak, await memory(edge));
  } while (!isOver);
  await flooding;
  const grown = peak - before;
  process.stdout.write(
    `    memory grew by at most ${Math.round(grown / MiB)} MiB; ${served} events served\n`,
  );
  expect(client.connects).toBe(1);
  expect(client.resets).toEqual([]);
  return grown;
}

test('G4 slow readers, G9 memory: who sends protocol pings and reads nothing is cut, costs little, and others are served', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  await using flooder = await Flooder.connect(edge.port, PATH);
  const ping = frame(PING, Buffer.alloc(125, 'x'));
  // Every ping is answered with as much.
  expect(await whileFlooding(edge, nats.url, () => flooder.flood(ping, 300 * MiB))).toBeLessThan(60 * MiB);
  await waitFor(async () => (await metric(edge.http, 'headway_connections{scope="all"}')) === 0, {
    what: 'the connection is counted out',
  });
});

test('G4 slow readers, G9 memory: who sends JSON pings and reads nothing gets no more pongs than fit, and others get every event', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  await using flooder = await Flooder.connect(edge.port, PATH);
  const ping = frame(TEXT, Buffer.from('{"type":"ping"}'));
  // Answered without a limit it would be more than 60 MB.
  expect(await whileFlooding(edge, nats.url, () => flooder.flood(ping, 80 * MiB))).toBeLessThan(40 * MiB);
});
