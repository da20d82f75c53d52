import { headerLines } from './client-address.js';
import { problem, REQUEST_FAILED, send } from './http-response.js';
import { addressText } from './ip-address.js';
import type { SocketGuard } from './socket-guard.js';
import type { App, HttpRequest, HttpResponse } from './uws.js';

export interface RoutingDeps {
  readonly sockets: SocketGuard;
  readonly failed: (error: unknown) => void;
}

/** What is read of every request, once. */
export interface RequestHead {
  /** The peer's address. */
  readonly peer: string;
  /** A header by its name in lower case, see `headerLines`. */
  readonly header: (name: string) => string;
}

/** `rest` is what else the library gives. */
export type Handler<R extends unknown[] = []> = (
  res: HttpResponse,
  req: HttpRequest,
  head: RequestHead,
  ...rest: R
) => void;

/**
 * A handler for the library, which ends the whole process when one throws.
 * @param failed is told what the handler threw, and what the handler was given
 */
export function withoutThrow<A extends unknown[]>(
  handler: (...given: A) => void,
  failed: (error: unknown, given: A) => void,
): (...given: A) => void {
  return (...given) => {
    try {
      handler(...given);
    } catch (error) {
      failed(error, given);
    }
  };
}

/**
 * What every route of HTTP goes through: the request is counted, one that can be read in two ways is refused, and
 * whatever fails is answered. A handler that returns without an answer or an abort handler would end the whole process,
 * too.
 */
export function guarded<R extends unknown[]>(
  deps: RoutingDeps,
  handler: Handler<R>,
): (res: HttpResponse, req: HttpRequest, ...rest: R) => void {
  return withoutThrow(
    (res, req, ...rest) => {
      const peer = addressText(res.getRemoteAddress());
      deps.sockets.asked(peer);
      const repeated = new RepeatedHeader();
      const header = headerLines(req, (name) => repeated.see(name));
      const { twice } = repeated;
      if (twice === null) handler(res, req, { peer, header }, ...rest);
      else send(res, problem(400, 'bad_request', `there is more than one header ${twice}; expected one`));
    },
    (error, [res]) => {
      deps.failed(error);
      send(res, REQUEST_FAILED);
    },
  );
}

/**
 * A header that a proxy in front may have read otherwise than this edge: which host is meant, and where the request
 * ends. null: there is none.
 */
class RepeatedHeader {
  #hosts = 0;
  #lengths = 0;

  see(name: string): void {
    if (name === 'host') this.#hosts++;
    else if (name === 'content-length') this.#lengths++;
  }

  get twice(): 'Host' | 'Content-Length' | null {
    if (this.#hosts > 1) return 'Host';
    return this.#lengths > 1 ? 'Content-Length' : null;
  }
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
  };
  app.filter(withoutThrow(count, deps.failed));
}
