/** A tiny WebSocket server, for tests of clients that need no edge. */
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

export interface TinyServer extends AsyncDisposable {
  port: number;
  url: string;
}

/** Calls `serve` with each connection, in the very turn in which it opens. */
export async function startWsServer(
  serve: (socket: WebSocket, request: IncomingMessage) => void,
): Promise<TinyServer> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  server.on('connection', serve);
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `ws://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of server.clients) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
