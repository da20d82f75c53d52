import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';

/**
 * The way of the page to the edge: its WebSockets, as bytes over TCP, and its requests. With it the page needs one address
 * only, and keeps it while edges come and go; and there is something that can be cut.
 */
export class EdgeLink implements Disposable {
  readonly #sockets = new Set<Duplex>();

  /** @param port of the edge, which may be away */
  constructor(private readonly port: () => number) {}

  /** Passes on a handshake, and from then on whatever comes. */
  connect(request: IncomingMessage, client: Duplex, head: Buffer): void {
    const edge = connect({ host: '127.0.0.1', port: this.port(), noDelay: true });
    const end = (): void => {
      this.#sockets.delete(client);
      client.destroy();
      edge.destroy();
    };
    this.#sockets.add(client);
    for (const socket of [client, edge]) socket.on('error', end).on('close', end);
    edge.write(`${request.method} ${request.url} HTTP/1.1\r\n${headerLines(request)}\r\n`);
    edge.write(head);
    client.pipe(edge).pipe(client);
  }

  /** Passes on a request. */
  forward(request: IncomingMessage, response: ServerResponse, unreachable: () => void): void {
    const { method, url, headers } = request;
    const asked = httpRequest({ host: '127.0.0.1', port: this.port(), method, path: url, headers });
    asked.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      // What an edge that is killed does not finish is broken off here as well.
      pipeline(answer, response, () => {});
    });
    asked.on('error', () => {
      if (response.headersSent) response.destroy();
      else unreachable();
    });
    response.on('close', () => asked.destroy());
    asked.end();
  }

  /** Resets the connections that there are, with what is under way on them. @returns how many */
  cut(): number {
    const all = [...this.#sockets];
    for (const socket of all) (socket as Socket).resetAndDestroy();
    return all.length;
  }

  [Symbol.dispose](): void {
    this.cut();
  }
}

function headerLines({ rawHeaders }: IncomingMessage): string {
  let lines = '';
  for (let at = 0; at < rawHeaders.length; at += 2) lines += `${rawHeaders[at]}: ${rawHeaders[at + 1]}\r\n`;
  return lines;
}
