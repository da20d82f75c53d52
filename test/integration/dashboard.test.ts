/** The page at `/`, as an edge serves it. What it shows is for the tests in Chromium. */
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { rawRequest } from '../harness/raw-request.js';

let nats: NatsServer;
let edge: EdgeProcess;

beforeAll(async () => {
  nats = await startNats();
  edge = await startEdgeProcess({ natsUrl: nats.url });
});
afterAll(async () => {
  await edge[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
});

const assetsOf = (page: string): string[] =>
  [...page.matchAll(/(?:src|href)="\.?(\/assets\/[^"]+)"/g)].map(([, path = '']) => path);

describe('an edge on loopback', () => {
  test('serves the page and its files, which run nothing else and ask no other host', async () => {
    const page = await fetch(`${edge.http}/`);
    expect(page.status).toBe(200);
    expect(Object.fromEntries(page.headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'x-frame-options': 'DENY',
      vary: 'Accept-Encoding',
    });
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy.split('; ')).toEqual(
      expect.arrayContaining([
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "require-trusted-types-for 'script'",
      ]),
    );
    expect(policy).not.toContain('unsafe');
    const html = await page.text();
    expect(html).not.toMatch(/<script(?![^>]* src=)|<style| style=| on\w+=|https?:/i);
    const paths = assetsOf(html);
    expect(paths.length).toBeGreaterThanOrEqual(3);
    for (const path of paths) {
      const file = await fetch(`${edge.http}${path}`);
      expect([path, file.status]).toEqual([path, 200]);
      expect(file.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
      expect(file.headers.get('content-security-policy')).toBe(policy);
      expect(file.headers.get('content-type')).toMatch(
        /^(text\/(javascript|css); charset=utf-8|image\/svg\+xml)$/,
      );
    }
  });

  test('is less than 150 kB in all, compressed', () => {
    const assets = new URL('../../dist/web/assets/', import.meta.url);
    const sizes = readdirSync(assets).map((name) => gzipSync(readFileSync(new URL(name, assets))).length);
    expect(sizes.length).toBeGreaterThan(3);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(150_000);
  });

  test('gives it compressed to whoever takes that, and 304 to whoever has it', async () => {
    const ask = (headers: Record<string, string>) => rawRequest(edge.port, '/', headers);
    const plain = await ask({ 'accept-encoding': 'identity' });
    expect(plain.headers['content-encoding']).toBeUndefined();
    expect(plain.body.toString()).toContain('<title>Headway</title>');
    const refused = await ask({ 'accept-encoding': 'gzip;q=0' });
    expect(refused.headers['content-encoding']).toBeUndefined();
    const gzipped = await ask({ 'accept-encoding': 'br, gzip;q=0.5' });
    expect(gzipped.headers['content-encoding']).toBe('gzip');
    expect(gzipped.body.length).toBeLessThan(plain.body.length);
    for (const { headers } of [plain, gzipped]) {
      const encoding = headers['content-encoding'] ?? 'identity';
      const again = await ask({ 'if-none-match': String(headers.etag), 'accept-encoding': String(encoding) });
      expect([again.status, again.body.length]).toEqual([304, 0]);
    }
    expect(plain.headers.etag).not.toBe(gzipped.headers.etag);
  });

  test('answers HEAD without a body, and a file that it does not have with 404', async () => {
    const head = await fetch(`${edge.http}/`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    for (const path of ['/assets/no.js', '/assets/../index.html', '/assets/%2e%2e/index.html', '/index.html'])
      expect([path, (await fetch(`${edge.http}${path}`)).status]).toEqual([path, 404]);
    expect((await fetch(`${edge.http}/`, { method: 'POST' })).status).toBe(404);
  });
});

describe('HEADWAY_DASHBOARD', () => {
  const answered = async (env: Record<string, string>) => {
    await using own = await startEdgeProcess({ natsUrl: nats.url, env });
    const answer = await fetch(`http://127.0.0.1:${own.port}/`);
    const type = answer.headers.get('content-type');
    return { status: answer.status, type, body: await answer.text() };
  };

  test('off: 404, and why', async () => {
    const { status, type, body } = await answered({ HEADWAY_DASHBOARD: 'off' });
    expect([status, type]).toEqual([404, 'application/problem+json']);
    expect(JSON.parse(body)).toMatchObject({
      code: 'not_found',
      detail: expect.stringContaining('HEADWAY_DASHBOARD'),
    });
  });

  test('auto: off where the edge listens beyond this machine without tokens, on with them', async () => {
    const open = await answered({ HEADWAY_HOST: '0.0.0.0' });
    expect(open.status).toBe(404);
    const locked = { HEADWAY_AUTH: 'jwt', HEADWAY_JWT_SECRET: 'A-secret-of-32-bytes-and-some-more-x4' };
    expect(await answered({ HEADWAY_HOST: '0.0.0.0', ...locked })).toMatchObject({
      status: 200,
      body: expect.stringContaining('<title>Headway</title>'),
    });
    expect((await answered({ HEADWAY_HOST: '0.0.0.0', HEADWAY_DASHBOARD: 'on' })).status).toBe(200);
  });
});
