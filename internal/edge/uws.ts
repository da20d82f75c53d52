import type * as Library from 'uWebSockets.js';
import { RuntimeUnsupportedError } from '../errors.js';

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
  /**
   * An app that speaks TLS. It reads these PEM files now and never again, and throws when it cannot use them, without
   * saying why. null: one without a certificate, which can only give its connections away.
   */
  TlsApp(files: { readonly certFile: string; readonly keyFile: string } | null): App;
  /** From now on connections that come to `acceptor` are given to its receivers, in turn. TLS apps only. */
  addChildApp(acceptor: App, receiver: App): void;
  /** The connections that it was given stay with it. */
  removeReceiver(acceptor: App, receiver: App): void;
  /** The option of `listen` that refuses a port which another process listens on. */
  readonly EXCLUSIVE_PORT: number;
  localPort(socket: ListenSocket): number;
  closeListenSocket(socket: ListenSocket): void;
  readonly DISABLED: number;
}

/** What the typings of an app leave out. */
interface ChildAppHost {
  /** Where the app is in memory; only good for the two below. */
  getDescriptor(): unknown;
  addChildAppDescriptor(descriptor: unknown): void;
  removeChildAppDescriptor(descriptor: unknown): void;
}

const giving = (app: App): ChildAppHost => app as unknown as ChildAppHost;

/**
 * Loads uWebSockets.js.
 * @param maxHeaderBytes the headers of one request together; the first load in a process decides
 * @throws RuntimeUnsupportedError on a Node or a platform that it has no binary for
 */
export async function loadUws(maxHeaderBytes: number): Promise<Uws> {
  // The library reads it once, from the environment; its own default holds no token of the size that is allowed.
  process.env.UWS_HTTP_MAX_HEADERS_SIZE ??= String(maxHeaderBytes);
  try {
    const library = (await import('uWebSockets.js')) as unknown as {
      App(): App;
      SSLApp(options: { cert_file_name?: string; key_file_name?: string }): App;
      LIBUS_LISTEN_EXCLUSIVE_PORT: number;
      us_socket_local_port(socket: ListenSocket): number;
      us_listen_socket_close(socket: ListenSocket): void;
      DISABLED: number;
    };
    return {
      App: library.App,
      TlsApp: (files) =>
        library.SSLApp(
          files === null ? {} : { cert_file_name: files.certFile, key_file_name: files.keyFile },
        ),
      addChildApp: (acceptor, receiver) =>
        giving(acceptor).addChildAppDescriptor(giving(receiver).getDescriptor()),
      removeReceiver: (acceptor, receiver) =>
        giving(acceptor).removeChildAppDescriptor(giving(receiver).getDescriptor()),
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
