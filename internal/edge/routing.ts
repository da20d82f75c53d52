import { problem, send } from './http-response.js';
import { addressText } from './ip-address.js';
import type { SocketGuard } from './socket-guard.js';
import type { App, HttpRequest, HttpResponse } from './uws.js';

export interface RoutingDeps {
  readonly sockets: SocketGuard;
  readonly failed: (error: unknown) => void;
}

export type Handler = (res: HttpResponse, req: HttpRequest) => void;

/**
 * What every route of HTTP goes through: the request is counted, one that can be read in two ways is refused, and
 * whatever fails is answered. A handler that throws, or returns without an answer or an abort handler, would end the
 * whole process.
 */
export function guarded(deps: RoutingDeps, handler: Handler): Handler {
  return (res, req) => {
    try {
      deps.sockets.asked(addressText(res.getRemoteAddress()));
      const twice = givenTwice(req);
      if (twice === null) handler(res, req);
      else send(res, problem(400, 'bad_request', `there is more than one header ${twice}; expected one`));
    } catch (error) {
      deps.failed(error);
      send(res, problem(500, 'internal', 'this request failed; it was logged'));
    }
  };
}

/**
 * A header that a proxy in front may have read otherwise than this edge: which host is meant, and where the request
 * ends. null: there is none.
 */
export function givenTwice(req: Pick<HttpRequest, 'forEach'>): 'Host' | 'Content-Length' | null {
  let hosts = 0;
  let lengths = 0;
  req.forEach((name) => {
    if (name === 'host') hosts++;
    else if (name === 'content-length') lengths++;
  });
  if (hosts > 1) return 'Host';
  return lengths > 1 ? 'Content-Length' : null;
}

/** Has every socket of an app counted, and cut off when there are too many, before anything of it is read. */
export function guardSockets(
  app: App,
  deps: RoutingDeps & {
    readonly isProxy: (address: string) => boolean;
    /** No request of this address can be read. Called for each of its sockets. */
    readonly unread: (address: string) => void;
    /** A socket is over a limit and cut off. */
    readonly cutOff: (address: string, limit: NonNullable<ReturnType<SocketGuard['came']>>) => void;
  },
): void {
  const count = (res: HttpResponse, change: unknown): void => {
    try {
      if (Number(change) < 0) {
        deps.sockets.gone();
        return;
      }
      const address = addressText(res.getRemoteAddress());
      if (deps.sockets.isUnread(address)) deps.unread(address);
      const refusal = deps.sockets.came(address, deps.isProxy(address));
      if (refusal === null) return;
      deps.cutOff(address, refusal);
      res.close();
    } catch (error) {
      deps.failed(error);
    }
  };
  app.filter(count);
}
