import { PortInUseError } from '../errors/catalogue.js';
import { type HttpParts, routeHttp } from './http.js';
import type { ListenSocket, Uws } from './uws.js';
import { routeWebSockets, type WebSocketParts } from './websocket.js';

export interface Address {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Lets several processes listen on the same port. */
  readonly share: boolean;
}

/** The listening side of an edge. */
export interface EdgeServer {
  readonly port: number;
  /** Takes no new connections; those that stand go on. */
  stopListening(): void;
  /** Cuts whatever is still connected. */
  close(): void;
}

/**
 * Starts to listen.
 * @throws PortInUseError
 */
export async function startServer(
  uws: Uws,
  address: Address,
  parts: HttpParts & WebSocketParts,
): Promise<EdgeServer> {
  const app = uws.App();
  routeWebSockets(app, uws, parts);
  routeHttp(app, parts);
  const listening = await new Promise<ListenSocket | false>((resolve) => {
    // Typed for (port, options) or (host, port) only, but the library takes all three.
    const listen = app.listen as unknown as (
      host: string,
      port: number,
      options: number,
      done: (socket: ListenSocket | false) => void,
    ) => void;
    listen.call(app, address.host, address.port, address.share ? 0 : uws.EXCLUSIVE_PORT, resolve);
  });
  if (listening === false) throw new PortInUseError(address.host, address.port);
  const port = uws.localPort(listening);
  let isListening = true;
  const stopListening = (): void => {
    if (isListening) uws.closeListenSocket(listening);
    isListening = false;
  };
  return {
    port,
    stopListening,
    close: () => {
      stopListening();
      app.close();
    },
  };
}
