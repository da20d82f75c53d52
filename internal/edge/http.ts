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
        problem(res, 500, 'internal', 'this request failed; it was logged');
      }
    };

  app.get(
    '/livez',
    guarded((res) => json(res, 200, { live: true })),
  );
  app.get(
    '/readyz',
    guarded((res) => {
      const readiness = parts.readiness();
      json(res, readiness.ready ? 200 : 503, readiness);
    }),
  );
  app.get(
    '/metrics',
    guarded((res) => void metrics(res, parts)),
  );
  const upgradeRequired = guarded((res) =>
    problem(res, 426, 'upgrade_required', 'this is a WebSocket endpoint; connect with ws:// or wss://'),
  );
  app.get(WS_PATH, upgradeRequired);
  app.get(`${WS_PATH}/*`, upgradeRequired);
  app.any(
    '/*',
    guarded((res, req) =>
      problem(res, 404, 'not_found', `nothing answers ${req.getCaseSensitiveMethod()} here`),
    ),
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
    res.cork(() => {
      res.writeStatus(STATUS[200]).writeHeader('content-type', contentType).end(body);
    });
  } catch (error) {
    parts.failed(error);
    if (!isAborted) res.cork(() => problem(res, 500, 'internal', 'the metrics could not be collected'));
  }
}

const STATUS = {
  200: '200 OK',
  404: '404 Not Found',
  426: '426 Upgrade Required',
  500: '500 Internal Server Error',
  503: '503 Service Unavailable',
} as const;
type Status = keyof typeof STATUS;

function json(res: HttpResponse, status: Status, body: unknown): void {
  res
    .writeStatus(STATUS[status])
    .writeHeader('content-type', 'application/json')
    .writeHeader('cache-control', 'no-store')
    .end(`${JSON.stringify(body)}\n`);
}

/** An error as RFC 9457 writes it. */
function problem(res: HttpResponse, status: Status, code: string, detail: string): void {
  res.writeStatus(STATUS[status]).writeHeader('content-type', 'application/problem+json');
  if (status === 426) res.writeHeader('upgrade', 'websocket');
  res.end(
    `${JSON.stringify({ type: 'about:blank', title: STATUS[status].slice(4), status, code, detail })}\n`,
  );
}
