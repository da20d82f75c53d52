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

const STATUS = {
  200: '200 OK',
  404: '404 Not Found',
  426: '426 Upgrade Required',
  500: '500 Internal Server Error',
  503: '503 Service Unavailable',
} as const;
type Status = keyof typeof STATUS;

interface Answer {
  readonly status: Status;
  readonly contentType: string;
  readonly body: string;
}

function json(status: Status, body: unknown): Answer {
  return { status, contentType: 'application/json', body: `${JSON.stringify(body)}\n` };
}

/** An error as RFC 9457 writes it. */
function problem(status: Status, code: string, detail: string): Answer {
  const body = { type: 'about:blank', title: STATUS[status].slice(4), status, code, detail };
  return { status, contentType: 'application/problem+json', body: `${JSON.stringify(body)}\n` };
}

function writeHead(res: HttpResponse, { status, contentType }: Answer): void {
  res
    .writeStatus(STATUS[status])
    .writeHeader('content-type', contentType)
    .writeHeader('cache-control', 'no-store');
  if (status === 426) res.writeHeader('upgrade', 'websocket');
}

// One answer for each connection: thousands of requests in one write would keep everybody else waiting.
function send(res: HttpResponse, answer: Answer): void {
  writeHead(res, answer);
  res.end(answer.body, true);
}

// A body behind the answer to HEAD would be taken for the next answer on the connection.
function sendHead(res: HttpResponse, answer: Answer): void {
  writeHead(res, answer);
  // Given a length, this version of the library takes the request for unanswered and ends the process.
  res.endWithoutBody();
}
