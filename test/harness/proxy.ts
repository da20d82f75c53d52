/**
 * A TCP proxy on loopback that misbehaves on command: between an edge and NATS, or between a client and an edge.
 * Every fault applies to the connections that exist and to those that come later, until it is taken back.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type DirectionFaults, ProxyDirection } from './proxy-direction.js';

/** `up` is from the client to the target, `down` the way back. */
export type Direction = 'up' | 'down';

/** Listens on a free port and forwards each connection to the target. */
export async function startTcpProxy(targetPort: number, targetHost = '127.0.0.1'): Promise<TcpProxy> {
  const proxy = new TcpProxy(targetPort, targetHost);
  await proxy.accept();
  return proxy;
}

export class TcpProxy implements AsyncDisposable {
  readonly #target: { host: string; port: number };
  readonly #faults: Record<Direction, DirectionFaults> = {
    up: { stalled: false, delayMs: 0, chunkBytes: 0, bytesPerSecond: 0 },
    down: { stalled: false, delayMs: 0, chunkBytes: 0, bytesPerSecond: 0 },
  };
  readonly #links = new Set<{ client: Socket; target: Socket; lanes: Record<Direction, ProxyDirection> }>();
  #server: Server | undefined;
  #port = 0;
  #accepted = 0;
  readonly #passed: Record<Direction, number> = { up: 0, down: 0 };

  constructor(port: number, host: string) {
    this.#target = { host, port };
  }

  /** Where to connect; stays the same over `refuse()` and `accept()`. */
  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:<port>` */
  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** How many connections exist now, and how many were ever taken. */
  get connections(): number {
    return this.#links.size;
  }

  get accepted(): number {
    return this.#accepted;
  }

  /** Destroys all connections: by a reset, which also drops what is in flight, or after all that was forwarded. */
  cut(how: 'reset' | 'fin' = 'reset'): void {
    for (const { client, target } of this.#links) {
      for (const socket of [client, target]) {
        if (how === 'reset') socket.resetAndDestroy();
        else socket.destroy();
      }
    }
  }

  /** New connections are refused from here on; those that exist go on. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  /** Takes new connections again, on the same port. */
  async accept(): Promise<void> {
    if (this.#server) return;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#link(client));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Forwards nothing more, in one direction or both, and closes nothing: a link that went silent. */
  stall(...directions: Direction[]): void {
    this.#change(directions, { stalled: true });
  }

  /** Forwards again, first what was held back. */
  flow(...directions: Direction[]): void {
    this.#change(directions, { stalled: false });
  }

  /** Every byte arrives this much later; 0 ends it. */
  delay(ms: number, ...directions: Direction[]): void {
    this.#change(directions, { delayMs: ms });
  }

  /** Forwards in pieces of this many bytes, each written in an event-loop turn of its own; 0 ends it. */
  splitBytes(bytes: number, ...directions: Direction[]): void {
    this.#change(directions, { chunkBytes: bytes });
  }

  /** Passes at most so many bytes a second on each connection; 0 ends it. */
  slow(bytesPerSecond: number, ...directions: Direction[]): void {
    this.#change(directions, { bytesPerSecond });
  }

  /** How many bytes were passed on, over all connections. */
  passed(direction: Direction): number {
    return this.#passed[direction];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.refuse();
    this.cut();
  }

  #change(directions: Direction[], faults: Partial<DirectionFaults>): void {
    for (const direction of directions.length > 0 ? directions : (['up', 'down'] as const)) {
      Object.assign(this.#faults[direction], faults);
      for (const { lanes } of this.#links) lanes[direction].changed();
    }
  }

  #link(client: Socket): void {
    this.#accepted += 1;
    const target = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    const lanes = {
      up: new ProxyDirection(client, target, this.#faults.up, (bytes) => {
        this.#passed.up += bytes;
      }),
      down: new ProxyDirection(target, client, this.#faults.down, (bytes) => {
        this.#passed.down += bytes;
      }),
    };
    const link = { client, target, lanes };
    this.#links.add(link);
    for (const socket of [client, target]) {
      socket.once('close', () => {
        if (client.destroyed && target.destroyed) this.#links.delete(link);
      });
    }
  }
}
