import { asyncApi } from '../../schemas/asyncapi.js';
import { openApi } from '../../schemas/openapi.js';
import { type HttpResponseSpec, json, problem, send, sendWhenReady } from './http-response.js';
import { guarded, type RoutingDeps } from './routing.js';
import type { App, HttpRequest } from './uws.js';
import { WS_PATH } from './websocket.js';

export interface OpsRoutesDeps extends RoutingDeps {
  /** Whether this edge may be sent clients, and why not. */
  readonly readiness: () => { readonly ready: boolean; readonly detail: string };
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
  /** The metrics have an address of their own, and are not found at this one. */
  readonly hasMetricsElsewhere?: boolean;
}

/** Registers the operators' endpoints and the answers to everything that is no endpoint. */
export function routeOps(app: App, deps: OpsRoutesDeps): void {
  routeHealth(app, deps);
  if (!deps.hasMetricsElsewhere) routeMetrics(app, deps);
  answer(app, deps, '/openapi.json', () => description(openApi()));
  answer(app, deps, '/asyncapi.json', () => description(asyncApi()));
  answer(app, deps, WS_PATH, upgradeRequired);
  answer(app, deps, `${WS_PATH}/*`, upgradeRequired);
  routeNothing(app, deps);
}

/** Registers what is for operators alone, on an address of its own. */
export function routeOperators(app: App, deps: OpsRoutesDeps): void {
  routeHealth(app, deps);
  routeMetrics(app, deps);
  routeNothing(app, deps);
}

function answer(
  app: App,
  deps: OpsRoutesDeps,
  path: string,
  handler: (req: HttpRequest) => HttpResponseSpec,
): void {
  app.get(
    path,
    guarded(deps, (res, req) => send(res, handler(req))),
  );
  app.head(
    path,
    guarded(deps, (res, req) => send(res, handler(req), true)),
  );
}

function routeHealth(app: App, deps: OpsRoutesDeps): void {
  answer(app, deps, '/livez', () => json(200, { live: true }));
  answer(app, deps, '/readyz', () => {
    const readiness = deps.readiness();
    return json(readiness.ready ? 200 : 503, readiness);
  });
}

function routeMetrics(app: App, deps: OpsRoutesDeps): void {
  app.get(
    '/metrics',
    guarded(deps, (res) => sendWhenReady(res, () => metrics(deps))),
  );
  app.head(
    '/metrics',
    guarded(deps, (res) => send(res, { status: 200, contentType: 'text/plain', body: '' }, true)),
  );
}

function routeNothing(app: App, deps: OpsRoutesDeps): void {
  app.head(
    '/*',
    guarded(deps, (res, req) => send(res, notFound(req), true)),
  );
  app.any(
    '/*',
    guarded(deps, (res, req) => send(res, notFound(req))),
  );
}

// Tools in a browser read them from anywhere; they say nothing of any job.
const description = (document: unknown): HttpResponseSpec => ({
  ...json(200, document),
  headers: { 'access-control-allow-origin': '*' },
});

const upgradeRequired = (): HttpResponseSpec =>
  problem(
    426,
    'upgrade_required',
    'this is a WebSocket endpoint; connect with ws:// or wss://, and have a proxy in front pass the headers of the ' +
      'handshake on (Upgrade, Connection, Sec-WebSocket-*)',
  );
const notFound = (req: HttpRequest): HttpResponseSpec =>
  problem(404, 'not_found', `nothing answers ${req.getCaseSensitiveMethod()} here`);

async function metrics(deps: OpsRoutesDeps): Promise<() => HttpResponseSpec> {
  try {
    const { contentType, body } = await deps.metrics();
    return () => ({ status: 200, contentType, body });
  } catch (error) {
    deps.failed(error);
    return () => problem(500, 'internal', 'the metrics could not be collected');
  }
}
