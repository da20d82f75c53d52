import { WebSocket } from 'ws';
import type { WebSocketClass } from '../sdk/client/types.js';

const HANDSHAKE_MS = 5_000;

/** The connections of a client, which can be cut. They are those of `ws`, as Node 20 has none. */
export class Link {
  /** For the client to connect with. */
  readonly WebSocket: WebSocketClass;
  #socket: WebSocket | undefined;
  #isCut = false;

  constructor() {
    const opened = (socket: WebSocket): void => {
      this.#socket = socket;
      this.#isCut = false;
    };
    const LinkedSocket = class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols, { handshakeTimeout: HANDSHAKE_MS });
        opened(this);
      }
    };
    this.WebSocket = LinkedSocket as unknown as WebSocketClass;
  }

  /** Whether the connection was cut, and there is no other one since. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Destroys the connection without a goodbye. */
  cut(): void {
    this.#isCut = true;
    // What the kernel had already delivered is lost with the connection, as in real life.
    this.#socket?.removeAllListeners('message');
    this.#socket?.terminate();
  }

  /** As `cut`, for good: nobody is told, and nobody waits for a goodbye. */
  close(): void {
    this.#socket?.terminate();
  }
}
