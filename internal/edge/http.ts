import { type Answer, json, problem, send, sendWhenReady } from './answer.js';
import { guarded, type RoutingParts } from './routing.js';
import type { App, HttpRequest } from './uws.js';
import { WS_PATH } from './websocket.js';

export interface HttpParts extends RoutingParts {
  /** Whether this edge may be sent clients, and why not. */
  readonly readiness: () => { readonly ready: boolean; readonly detail: string };
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
}

/** Registers the operators' endpoints and the answers to everything that is no endpoint. */
export function routeHttp(app: App, parts: HttpParts): void {
  const answer = (path: string, handler: (req: HttpRequest) => Answer): void => {
    app.get(
      path,
      guarded(parts, (res, req) => send(res, handler(req))),
    );
    app.head(
      path,
      guarded(parts, (res, req) => send(res, handler(req), true)),
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
    guarded(parts, (res) => sendWhenReady(res, () => metrics(parts))),
  );
  app.head(
    '/metrics',
    guarded(parts, (res) => send(res, { status: 200, contentType: 'text/plain', body: '' }, true)),
  );
  answer(WS_PATH, upgradeRequired);
  answer(`${WS_PATH}/*`, upgradeRequired);
  app.head(
    '/*',
    guarded(parts, (res, req) => send(res, notFound(req), true)),
  );
  app.any(
    '/*',
    guarded(parts, (res, req) => send(res, notFound(req))),
  );
}

async function metrics(parts: HttpParts): Promise<() => Answer> {
  try {
    const { contentType, body } = await parts.metrics();
    return () => ({ status: 200, contentType, body });
  } catch (error) {
    parts.failed(error);
    return () => problem(500, 'internal', 'the metrics could not be collected');
  }
}
