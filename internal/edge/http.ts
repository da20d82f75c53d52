import { type Answer, json, problem, send, sendHead } from './answer.js';
import type { App, HttpRequest, HttpResponse } from './uws.js';
import { WS_PATH } from './websocket.js';

export interface HttpParts {
  /** Whether this edge may be sent clients, and why not. */
  readonly readiness: () => { readonly ready: boolean; readonly detail: string };
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly failed: (error: unknown) => void;
}

type Handler = (res: HttpResponse, req: HttpRequest) => void;

/** Registers the operators' endpoints and the answers to everything that is no endpoint. */
export function routeHttp(app: App, parts: HttpParts): void {
  // A handler that throws, or returns without an answer or an abort handler, ends the whole process.
  const guarded =
    (handler: Handler): Handler =>
    (res, req) => {
      try {
        handler(res, req);
      } catch (error) {
        parts.failed(error);
        send(res, problem(500, 'internal', 'this request failed; it was logged'));
      }
    };

  const answer = (path: string, handler: (req: HttpRequest) => Answer): void => {
    app.get(
      path,
      guarded((res, req) => send(res, handler(req))),
    );
    app.head(
      path,
      guarded((res, req) => sendHead(res, handler(req))),
    );
  };
  const upgradeRequired = (): Answer =>
    problem(426, 'upgrade_required', 'this is a WebSocket endpoint; connect with ws:// or wss://');
  const notFound = (req: HttpRequest): Answer =>
    problem(404, 'not_found', `nothing answers ${req.getCaseSensitiveMethod()} here`);

  answer('/livez', () => json(200, { live: true }));
  answer('/readyz', () => {
    const readiness = parts.readiness();
    return json(readiness.ready ? 200 : 503, readiness);
  });
  app.get(
    '/metrics',
    guarded((res) => void metrics(res, parts)),
  );
  app.head(
    '/metrics',
    guarded((res) => sendHead(res, { status: 200, contentType: 'text/plain', body: '' })),
  );
  answer(WS_PATH, upgradeRequired);
  answer(`${WS_PATH}/*`, upgradeRequired);
  app.head(
    '/*',
    guarded((res, req) => sendHead(res, notFound(req))),
  );
  app.any(
    '/*',
    guarded((res, req) => send(res, notFound(req))),
  );
}

async function metrics(res: HttpResponse, parts: HttpParts): Promise<void> {
  let isAborted = false;
  res.onAborted(() => {
    isAborted = true;
  });
  try {
    const { contentType, body } = await parts.metrics();
    if (isAborted) return;
    res.cork(() => send(res, { status: 200, contentType, body }));
  } catch (error) {
    parts.failed(error);
    if (!isAborted) res.cork(() => send(res, problem(500, 'internal', 'the metrics could not be collected')));
  }
}
