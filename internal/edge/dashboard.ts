import { readdir, readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { EdgeConfig } from '../../schemas/config.js';
import { etagOf, type HttpResponseSpec, problem, send, withEtag } from './http-response.js';
import { guarded, type RoutingDeps } from './routing.js';
import type { App, HttpRequest } from './uws.js';

/** One file of the dashboard, as it is answered with. */
interface DashboardFile {
  readonly plain: HttpResponseSpec;
  readonly gzipped: HttpResponseSpec;
}

/** The files by their path; or why there are none. */
export type Dashboard = ReadonlyMap<string, DashboardFile> | 'off' | 'not_built';

export interface DashboardDeps extends RoutingDeps {
  readonly dashboard: Dashboard;
}

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Whatever a job's message says, the page runs nothing but its own files, and asks no other host. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const SAFETY = {
  'content-security-policy': POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  vary: 'Accept-Encoding',
} as const;

/** Whether an edge with these settings serves the dashboard. */
export function isDashboardOn({
  dashboard,
  host,
  auth,
}: Pick<EdgeConfig, 'dashboard' | 'host' | 'auth'>): boolean {
  switch (dashboard) {
    case 'on':
      return true;
    case 'off':
      return false;
    case 'auto':
      return auth === 'jwt' || /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
  }
}

/**
 * Reads what the build has written, once.
 * @param folder with a slash at its end
 */
export async function readDashboard(folder: URL): Promise<Dashboard> {
  const names = await readdir(new URL('assets/', folder)).catch(() => null);
  if (names === null) return 'not_built';
  const files = new Map<string, DashboardFile>();
  const add = async (path: string, name: string, caching: string): Promise<void> => {
    const contentType = TYPES[extname(name)];
    if (contentType !== undefined)
      files.set(path, fileOf(await readFile(new URL(name, folder)), contentType, caching));
  };
  try {
    await add('/', 'index.html', 'no-cache');
    // Their names change with what they hold.
    for (const name of names)
      await add(`/assets/${name}`, `assets/${name}`, 'public, max-age=31536000, immutable');
  } catch {
    return 'not_built';
  }
  return files;
}

function fileOf(body: Uint8Array, contentType: string, caching: string): DashboardFile {
  const answer = (bytes: Uint8Array, encoding: Record<string, string>): HttpResponseSpec => ({
    status: 200,
    contentType,
    body: bytes,
    headers: { ...SAFETY, ...encoding, 'cache-control': caching, etag: etagOf([bytes]) },
  });
  return {
    plain: answer(body, {}),
    gzipped: answer(gzipSync(body, { level: 9 }), { 'content-encoding': 'gzip' }),
  };
}

/** Registers the page for people, at `/`. It holds no data: what it shows it asks for as every other page does. */
export function routeDashboard(app: App, deps: DashboardDeps): void {
  for (const path of ['/', '/assets/:file']) {
    app.get(
      path,
      guarded(deps, (res, req) => send(res, answerOf(deps.dashboard, req))),
    );
    app.head(
      path,
      guarded(deps, (res, req) => send(res, answerOf(deps.dashboard, req), true)),
    );
  }
}

function answerOf(dashboard: Dashboard, req: HttpRequest): HttpResponseSpec {
  if (dashboard === 'off') return OFF;
  if (dashboard === 'not_built') return NOT_BUILT;
  const file = dashboard.get(req.getUrl());
  if (file === undefined)
    return problem(404, 'not_found', 'the dashboard has no such file; load the page again');
  const answer = takesGzip(req.getHeader('accept-encoding')) ? file.gzipped : file.plain;
  return withEtag(answer, req.getHeader('if-none-match'));
}

/** `gzip;q=0` means that it is not taken. */
const takesGzip = (accepted: string): boolean =>
  accepted.split(',').some((one) => /^\s*(gzip|\*)\s*(;\s*q\s*=\s*(1|0?\.\d*[1-9]).*)?$/i.test(one));

const OFF = problem(
  404,
  'not_found',
  'the dashboard is off here: HEADWAY_DASHBOARD is "off", or it is "auto" and the edge listens beyond this machine without ' +
    'tokens; `headway replay` never serves it',
);
const NOT_BUILT = problem(
  404,
  'not_found',
  'the dashboard was not built: dist/web is missing; run `npm run build`',
);
