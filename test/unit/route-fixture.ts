/** Routes without the library: no request from outside can make a handler fail in these moments. */
import type { App, HttpRequest, HttpResponse } from '../../internal/edge/uws.js';

type Handler = (res: HttpResponse, req: HttpRequest) => void;

export const ignore = (): undefined => undefined;

/** An app that only remembers its handlers of GET. */
export function fakeApp() {
  const handlers = new Map<string, Handler>();
  const app = {
    options: ignore,
    head: ignore,
    any: ignore,
    get: (path: string, handler: Handler) => handlers.set(path, handler),
  };
  return {
    app: app as unknown as App,
    /** A GET of this route, for a job where it has one; `res` is what the handler uses of an answer. */
    get(path: string, res: object, headers: Readonly<Record<string, string>> = {}): void {
      const req = {
        forEach: ignore,
        getHeader: (name: string) => headers[name] ?? '',
        getParameter: () => 'job',
        getQuery: () => '',
        getMethod: () => 'get',
        getUrl: () => path,
      };
      const handler = handlers.get(path);
      if (handler === undefined) throw new Error(`there is no route ${path}`);
      handler(res as HttpResponse, req as unknown as HttpRequest);
    },
  };
}

/** What every answer is asked for. */
export const ANSWER = {
  cork: (write: () => void) => write(),
  getRemoteAddress: () => new Uint8Array([127, 0, 0, 1]).buffer,
};
