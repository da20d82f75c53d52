/** A proxy on loopback that knows HTTP: it lets WebSocket, server-sent events and requests through, or not, each by itself. */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * - `pass`: to the edge.
 * - `refuse`: an answer of the gate's own (403 to an upgrade, 502 to a request), as proxies give that do not know it.
 * - `silent`: no answer at all.
 * - `cut`: an upgrade is let through, and then cut before the first frame; a request is cut without an answer.
 */
export type GateRule = 'pass' | 'refuse' | 'silent' | 'cut';

export type GateKind = 'webSocket' | 'sse' | 'request';

export class HttpGate implements AsyncDisposable {
  readonly rules: Record<GateKind, GateRule> = { webSocket: 'pass', sse: 'pass', request: 'pass' };
  /** How many were asked for, whatever became of them. */
  readonly asked: Record<GateKind, number> = { webSocket: 0, sse: 0, request: 0 };
  readonly #open = new Set<Duplex>();

  private constructor(
    private readonly server: Server,
    /** The port of the edge behind it. Another one counts from the next connection on. */
    public target: number,
  ) {
    server.on('connection', (socket: Socket) => this.#keep(socket));
    server.on('upgrade', (message: IncomingMessage, client: Duplex) => this.#upgrade(message, client));
    server.on('request', (message: IncomingMessage, answer: ServerResponse) =>
      this.#request(message, answer),
    );
  }

  static async start(target: number): Promise<HttpGate> {
    const server = createServer({ keepAliveTimeout: 60_000 });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return new HttpGate(server, target);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** What is open now, and goes by another rule from now on, is cut. */
  set(rules: Partial<Record<GateKind, GateRule>>): void {
    Object.assign(this.rules, rules);
    this.cut();
  }

  cut(): void {
    for (const socket of this.#open) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.cut();
    await closed;
  }

  #keep(socket: Duplex): void {
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    socket.on('error', () => socket.destroy());
  }

  #upgrade(message: IncomingMessage, client: Duplex): void {
    this.asked.webSocket += 1;
    const rule = this.rules.webSocket;
    if (rule === 'silent') return;
    if (rule === 'refuse') {
      client.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    const edge = connect({ port: this.target, host: '127.0.0.1', noDelay: true });
    this.#keep(edge);
    edge.once('close', () => client.destroy());
    client.once('close', () => edge.destroy());
    edge.write(`${headOf(message)}\r\n\r\n`);
    if (rule === 'pass') {
      edge.pipe(client);
      client.pipe(edge);
      return;
    }
    edge.once('data', (bytes) => {
      const head = bytes.subarray(0, bytes.indexOf('\r\n\r\n') + 4);
      client.write(head, () => client.destroy());
    });
  }

  #request(message: IncomingMessage, answer: ServerResponse): void {
    const kind = message.url?.startsWith('/sse/') ? 'sse' : 'request';
    // A preflight is the browser's own.
    if (message.method !== 'OPTIONS') this.asked[kind] += 1;
    const rule = this.rules[kind];
    if (rule === 'silent') return;
    if (rule === 'cut') {
      message.socket.destroy();
      return;
    }
    if (rule === 'refuse') {
      answer.writeHead(502, { 'content-type': 'text/plain' }).end('not through here');
      return;
    }
    const { method, url: path, headers } = message;
    const passed = request({ host: '127.0.0.1', port: this.target, method, path, headers }, (said) => {
      answer.writeHead(said.statusCode ?? 502, said.headers);
      answer.flushHeaders();
      said.on('error', () => answer.destroy()).pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    answer.once('close', () => passed.destroy());
    message.pipe(passed);
  }
}

/** The head of a request, as it came. */
function headOf({ method, url, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
  return lines.join('\r\n');
}
