import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { isDashboardOn, readDashboard, routeDashboard } from '../../internal/edge/dashboard.js';
import { ANSWER, fakeApp, ignore } from './route-fixture.js';

test.each([
  ['auto', '127.0.0.1', 'none', true],
  ['auto', '127.8.0.1', 'none', true],
  ['auto', '::1', 'none', true],
  ['auto', 'localhost', 'none', true],
  ['auto', '0.0.0.0', 'none', false],
  ['auto', '::', 'none', false],
  ['auto', '127.0.0.1.example.com', 'none', false],
  ['auto', '10.0.0.1', 'none', false],
  ['auto', '0.0.0.0', 'jwt', true],
  ['on', '0.0.0.0', 'none', true],
  ['off', '127.0.0.1', 'jwt', false],
] as const)('HEADWAY_DASHBOARD=%s on %s with HEADWAY_AUTH=%s', (dashboard, host, auth, expected) => {
  expect(isDashboardOn({ dashboard, host, auth })).toBe(expected);
});

test('a folder that is not the result of a build gives none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'headway-dashboard-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const url = pathToFileURL(`${folder}/`);
  expect(await readDashboard(new URL('none/', url))).toBe('not_built');
  writeFileSync(join(folder, 'index.html'), 'the source');
  expect(await readDashboard(url)).toBe('not_built');
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'assets', 'a.js'), '1');
  writeFileSync(join(folder, 'assets', 'notes.txt'), 'not for the page');
  const dashboard = await readDashboard(url);
  expect([...(dashboard as Map<string, unknown>).keys()]).toEqual(['/', '/assets/a.js']);
});

test.each([
  ['not_built', /dist\/web is missing; run `npm run build`/],
  ['off', /HEADWAY_DASHBOARD is "off", or it is "auto"/],
] as const)('an edge whose dashboard is %s answers, and says why', async (dashboard, expected) => {
  const { app, get } = fakeApp();
  routeDashboard(app, { dashboard, sockets: { asked: ignore }, failed: ignore } as never);
  const answer = await new Promise<{ status: string; body: string }>((resolve) => {
    let status = '';
    const res = {
      ...ANSWER,
      onAborted: ignore,
      writeStatus: (text: string) => {
        status = text;
        return res;
      },
      writeHeader: () => res,
      end: (body: string) => resolve({ status, body }),
    };
    get('/', res);
  });
  expect(answer.status).toBe('404 Not Found');
  expect(JSON.parse(answer.body).detail).toMatch(expected);
});
