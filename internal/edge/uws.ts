import type * as Library from 'uWebSockets.js';
import { RuntimeUnsupportedError } from '../errors.js';
import { packageFor, type Runtime, whyUnfit } from './uws-package.js';

// The one place that touches the library's modules. Each loads a native binary that fits only some versions of Node and
// of the C library, and the typings leave out what is here filled in. docs/decisions/0024-two-packages-of-uwebsockets.md

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

/** What is used of a package. The typings of both leave out some of it, or have it as a type only. */
interface Loaded {
  App(): App;
  SSLApp(options: { cert_file_name?: string; key_file_name?: string }): App;
  LIBUS_LISTEN_EXCLUSIVE_PORT: number;
  us_socket_local_port(socket: ListenSocket): number;
  us_listen_socket_close(socket: ListenSocket): void;
  DISABLED: number;
}

const giving = (app: App): ChildAppHost => app as unknown as ChildAppHost;

/**
 * For how long a socket may send nothing before its request is whole, and after its answer. The package for Node 20 and
 * 22 has this built in; the other cuts after 30 s unless it is told. The limits on sockets count on it (SocketGuard).
 */
const HTTP_IDLE_SECONDS = 10;

/** What only an app of the package for Node 24 has. */
interface TimedApp {
  setIdleTimeout?(seconds: number): unknown;
  setResponseTimeout?(seconds: number): unknown;
}

function timed(app: App): App {
  const { setIdleTimeout, setResponseTimeout } = app as unknown as TimedApp;
  setIdleTimeout?.call(app, HTTP_IDLE_SECONDS);
  setResponseTimeout?.call(app, HTTP_IDLE_SECONDS);
  return app;
}

/**
 * Loads uWebSockets.js: of its two packages the one with a binary for this Node.
 * @param maxHeaderBytes the headers of one request together; the first load in a process decides
 * @throws RuntimeUnsupportedError on a Node, a platform or a C library that there is no binary for
 */
export async function loadUws(maxHeaderBytes: number): Promise<Uws> {
  // The library reads it once, from the environment; its own default holds no token of the size that is allowed.
  process.env.UWS_HTTP_MAX_HEADERS_SIZE ??= String(maxHeaderBytes);
  const runtime = thisRuntime();
  // A binary for glibc may be loaded on musl by what imitates glibc there, and then ends the process later.
  if (runtime.glibc === null) throw unsupported(runtime);
  const library = await importPackage(runtime.modules).catch((error: unknown) => {
    throw unsupported(runtime, error);
  });
  return {
    App: () => timed(library.App()),
    TlsApp: (files) =>
      timed(
        library.SSLApp(
          files === null ? {} : { cert_file_name: files.certFile, key_file_name: files.keyFile },
        ),
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
}

async function importPackage(modules: string): Promise<Loaded> {
  const name = packageFor(modules);
  switch (name) {
    case 'uWebSockets.js':
      return (await import('uWebSockets.js')) as unknown as Loaded;
    case 'uWebSockets.js-node24':
      return (await import('uWebSockets.js-node24')) as unknown as Loaded;
    default:
      return name satisfies never;
  }
}

function thisRuntime(): Runtime {
  const { node, modules } = process.versions;
  return { node, modules, platform: process.platform, arch: process.arch, glibc: thisGlibc() };
}

function thisGlibc(): string | null | undefined {
  if (process.platform !== 'linux') return undefined;
  const report: { excludeNetwork?: boolean; getReport(): object } = process.report;
  const before = report.excludeNetwork ?? false;
  // Otherwise it looks up the names of this machine's addresses, which may take seconds.
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = before;
  return header.glibcVersionRuntime ?? null;
}

function unsupported(runtime: Runtime, error?: unknown): RuntimeUnsupportedError {
  const { node, platform, arch, glibc } = runtime;
  const system = `${platform} ${arch}${typeof glibc === 'string' ? ` with glibc ${glibc}` : ''}`;
  return new RuntimeUnsupportedError(node, system, whyUnfit(runtime), lastReason(error));
}

/** What the system said of the binary: the loaders of both packages put a sentence and an empty line before it. */
function lastReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return error.message.split('\n\n').at(-1)?.split('\n')[0];
}
