import type * as Library from 'uWebSockets.js';
import { RuntimeUnsupportedError } from '../errors/catalogue.js';

// The one place that touches the library's module. It loads a native binary that fits only some versions of Node,
// and its typings leave out what is here filled in. docs/decisions/0001-uwebsockets-from-npm.md

export type App = Library.TemplatedApp;
export type HttpRequest = Library.HttpRequest;
export type HttpResponse = Library.HttpResponse;
export type WebSocket<T> = Library.WebSocket<T>;
export type UpgradeContext = Library.us_socket_context_t;
export type ListenSocket = Library.us_listen_socket;

export interface Uws {
  App(): App;
  /** The option of `listen` that refuses a port which another process listens on. */
  readonly EXCLUSIVE_PORT: number;
  localPort(socket: ListenSocket): number;
  closeListenSocket(socket: ListenSocket): void;
  readonly DISABLED: number;
}

/**
 * Loads uWebSockets.js.
 * @throws RuntimeUnsupportedError on a Node or a platform that it has no binary for
 */
export async function loadUws(): Promise<Uws> {
  try {
    const library = (await import('uWebSockets.js')) as unknown as {
      App(): App;
      LIBUS_LISTEN_EXCLUSIVE_PORT: number;
      us_socket_local_port(socket: ListenSocket): number;
      us_listen_socket_close(socket: ListenSocket): void;
      DISABLED: number;
    };
    return {
      App: library.App,
      EXCLUSIVE_PORT: library.LIBUS_LISTEN_EXCLUSIVE_PORT,
      localPort: library.us_socket_local_port,
      closeListenSocket: library.us_listen_socket_close,
      DISABLED: library.DISABLED,
    };
  } catch (error) {
    const detail = (error as Error).message.split('\n')[0] ?? '';
    throw new RuntimeUnsupportedError(process.version, `${process.platform} ${process.arch}`, detail);
  }
}
