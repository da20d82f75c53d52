import { type Answer, json, problem, send, sendWhenReady } from './answer.js';
import { guarded, type RoutingParts } from './routing.js';
import type { App, HttpRequest } from './uws.js';
import { WS_PATH } from './websocket.js';

export interface HttpParts extends RoutingParts {
  /** Whether this edge may be sent clients, and why not. */
  readonly readiness: () => { readonly ready: boolean; readonly detail: string };
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
  /** The metrics have an address of their own, and are not found at this one. */
  readonly hasMetricsElsewhere?: boolean;
}

/** Registers the operators' endpoints and the answers to everything that is no endpoint. */
export function routeHttp(app: App, parts: HttpParts): void {
  routeHealth(app, parts);
  if (!parts.hasMetricsElsewhere) routeMetrics(app, parts);
  answer(app, parts, WS_PATH, upgradeRequired);
  answer(app, parts, `${WS_PATH}/*`, upgradeRequired);
  routeNothing(app, parts);
}

/** Registers what is for operators alone, on an address of its own. */
export function routeOperators(app: App, parts: HttpParts): void {
  routeHealth(app, parts);
  routeMetrics(app, parts);
  routeNothing(app, parts);
}

function answer(app: App, parts: HttpParts, path: string, handler: (req: HttpRequest) => Answer): void {
  app.get(
    path,
    guarded(parts, (res, req) => send(res, handler(req))),
  );
  app.head(
    path,
    guarded(parts, (res, req) => send(res, handler(req), true)),
  );
}

function routeHealth(app: App, parts: HttpParts): void {
  answer(app, parts, '/livez', () => json(200, { live: true }));
  answer(app, parts, '/readyz', () => {
    const readiness = parts.readiness();
    return json(readiness.ready ? 200 : 503, readiness);
  });
}

function routeMetrics(app: App, parts: HttpParts): void {
  app.get(
    '/metrics',
    guarded(parts, (res) => sendWhenReady(res, () => metrics(parts))),
  );
  app.head(
    '/metrics',
    guarded(parts, (res) => send(res, { status: 200, contentType: 'text/plain', body: '' }, true)),
  );
}

function routeNothing(app: App, parts: HttpParts): void {
  app.head(
    '/*',
    guarded(parts, (res, req) => send(res, notFound(req), true)),
  );
  app.any(
    '/*',
    guarded(parts, (res, req) => send(res, notFound(req))),
  );
}

const upgradeRequired = (): Answer =>
  problem(
    426,
    'upgrade_required',
    'this is a WebSocket endpoint; connect with ws:// or wss://, and have a proxy in front pass the headers of the ' +
      'handshake on (Upgrade, Connection, Sec-WebSocket-*)',
  );
const notFound = (req: HttpRequest): Answer =>
  problem(404, 'not_found', `nothing answers ${req.getCaseSensitiveMethod()} here`);

async function metrics(parts: HttpParts): Promise<() => Answer> {
  try {
    const { contentType, body } = await parts.metrics();
    return () => ({ status: 200, contentType, body });
  } catch (error) {
    parts.failed(error);
    return () => problem(500, 'internal', 'the metrics could not be collected');
  }
}
