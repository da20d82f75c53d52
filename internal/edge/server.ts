import { PortInUseError, TlsFilesError } from '../errors.js';
import { type DashboardDeps, routeDashboard } from './dashboard.js';
import { type JobRoutesDeps, routeJobs } from './job-routes.js';
import { type OpsRoutesDeps, routeOperators, routeOps } from './ops-routes.js';
import { guardSockets } from './routing.js';
import { routeSse, type SseDeps } from './sse.js';
import { CertificateWatcher, readTlsFiles, type TlsFiles, type TlsReloadEvent } from './tls.js';
import type { App, ListenSocket, Uws } from './uws.js';
import { routeWebSockets, type WebSocketDeps } from './websocket.js';

export interface Address {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Lets several processes listen on the same port. */
  readonly reuse: boolean;
}

/** TLS that the edge speaks itself. */
export interface TlsSettings extends TlsFiles {
  readonly report: (news: TlsReloadEvent) => void;
  /** Milliseconds between two looks at the files. */
  readonly everyMs: number;
}

/** The listening side of an edge. */
export interface EdgeServer {
  readonly port: number;
  /** Takes no new connections; those that stand go on. */
  stopListening(): void;
  /** Cuts whatever is still connected. */
  close(): void;
}

/** The apps behind one port. */
interface Listener {
  /** The one that listens. */
  readonly app: App;
  /** The certificate stays as it is from now on. */
  stop(): void;
  close(): void;
}

/**
 * Starts to listen.
 * @param tls null: without TLS
 * @throws PortInUseError, TlsFilesError
 */
export async function startServer(
  uws: Uws,
  address: Address,
  deps: OpsRoutesDeps & WebSocketDeps & JobRoutesDeps & SseDeps & DashboardDeps,
  tls: TlsSettings | null,
): Promise<EdgeServer> {
  const route = (app: App): App => {
    guardSockets(app, {
      ...deps,
      isProxy: (address) => deps.guard.isProxy(address),
      unread: (address) => deps.guard.notice({ kind: 'unread_peer', address }),
      cutOff: (address, limit) => deps.refused({ code: 'overloaded', address, defect: null, limit }),
    });
    routeWebSockets(app, uws, deps);
    routeSse(app, deps);
    routeJobs(app, deps);
    routeDashboard(app, deps);
    routeOps(app, deps);
    return app;
  };
  const front = tls === null ? createListener(route(uws.App())) : await createTlsListener(uws, tls, route);
  const listening = await listen(uws, front.app, address).catch((error: unknown) => {
    front.stop();
    throw error;
  });
  const port = uws.localPort(listening);
  let isListening = true;
  const stopListening = (): void => {
    if (!isListening) return;
    isListening = false;
    front.stop();
    uws.closeListenSocket(listening);
  };
  return {
    port,
    stopListening,
    close: () => {
      stopListening();
      front.close();
    },
  };
}

/**
 * Listens for operators alone, without TLS, on an address that need not be public.
 * @throws PortInUseError
 */
export async function startOperatorsServer(
  uws: Uws,
  address: Omit<Address, 'reuse'>,
  deps: OpsRoutesDeps,
): Promise<Pick<EdgeServer, 'port' | 'close'>> {
  const app = uws.App();
  routeOperators(app, deps);
  const listening = await listen(uws, app, { ...address, reuse: false }, 'HEADWAY_METRICS_LISTEN');
  return { port: uws.localPort(listening), close: () => void app.close() };
}

async function listen(
  uws: Uws,
  app: App,
  { host, port, reuse }: Address,
  setting?: 'HEADWAY_METRICS_LISTEN',
): Promise<ListenSocket> {
  const listening = await new Promise<ListenSocket | false>((resolve) => {
    // Typed for (port, options) or (host, port) only, but the library takes all three.
    const call = app.listen as unknown as (
      host: string,
      port: number,
      options: number,
      done: (socket: ListenSocket | false) => void,
    ) => void;
    call.call(app, host, port, reuse ? 0 : uws.EXCLUSIVE_PORT, resolve);
  });
  if (listening === false) throw new PortInUseError(host, port, setting);
  return listening;
}

function createListener(app: App): Listener {
  return { app, stop: () => {}, close: () => void app.close() };
}

// The library reads the files when an app is made and never again. So one app listens, for good, and gives each
// connection to the newest app with a certificate; those that came before stay with the app that they were given to.
// A second app that listened beside the first would lose some: when the first stops, the connections that the kernel
// has queued for it are reset.
async function createTlsListener(uws: Uws, tls: TlsSettings, route: (app: App) => App): Promise<Listener> {
  const pair = await readTlsFiles(tls);
  const make = (): App => {
    let app: App;
    try {
      app = uws.TlsApp(tls);
    } catch {
      throw new TlsFilesError([
        `HEADWAY_TLS_CERT is ${JSON.stringify(tls.certFile)}, HEADWAY_TLS_KEY is ${JSON.stringify(tls.keyFile)}; ` +
          'the TLS library cannot use them, for a reason that it does not tell; a key of RSA or P-256 always does',
      ]);
    }
    return route(app);
  };
  const acceptor = uws.TlsApp(null);
  let newest = make();
  const all = [acceptor, newest];
  uws.addChildApp(acceptor, newest);
  const watch = new CertificateWatcher(pair, {
    files: tls,
    load: () => {
      const next = make();
      all.push(next);
      uws.addChildApp(acceptor, next);
      uws.removeReceiver(acceptor, newest);
      newest = next;
    },
    report: tls.report,
    everyMs: tls.everyMs,
    now: Date.now,
  });
  watch.start();
  return {
    app: acceptor,
    stop: () => watch.close(),
    close: () => {
      for (const app of all) app.close();
    },
  };
}
