/** The look-up of known vulnerabilities, with stand-ins for the registry and for osv-scanner. npm is the real one. */

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const GHSA = 'GHSA-aaaa-bbbb-cccc';

// Node by itself, as in the file system that is made for Node 24, has no npm beside it.
const hasNpm = spawnSync('npm', ['--version']).status === 0;

let folder: string;
let registry: Server;
/** What the registry says of `jose`: the versions that are concerned; null: it has no advisories. */
let concerned: string | null = null;
let versions: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headway-audit-'));
  registry = createServer((request, response) => {
    request.resume();
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.method !== 'POST') {
      const all = versions.map((version) => [version, { name: 'jose', version }]);
      return answer(200, {
        name: 'jose',
        'dist-tags': { latest: versions.at(-1) },
        versions: Object.fromEntries(all),
      });
    }
    if (concerned === null) return answer(405, {});
    const url = `https://github.com/advisories/${GHSA}`;
    return answer(200, {
      jose: [
        { id: 1, url, title: 'Of npm', severity: 'high', vulnerable_versions: concerned, cwe: [], cvss: {} },
      ],
    });
  });
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  registry?.close();
  rmSync(folder, { recursive: true });
});

/** A stand-in for osv-scanner, which finds these of `ws`. What it prints has the form of version 2.2.2. */
function scanner(vulnerabilities: readonly object[]): string {
  const results = [{ packages: [{ package: { name: 'ws', version: '8.23.0' }, vulnerabilities }] }];
  writeFileSync(
    join(folder, 'found.json'),
    JSON.stringify({ results: vulnerabilities.length > 0 ? results : [] }),
  );
  const path = join(folder, 'osv-scanner');
  const status = vulnerabilities.length > 0 ? 1 : 0;
  writeFileSync(
    path,
    `#!/bin/sh\n[ "$1" = --version ] && exit 0\ncat ${folder}/found.json\nexit ${status}\n`,
  );
  chmodSync(path, 0o755);
  return path;
}

const ofWs = (id: string, ...events: object[]) => ({
  id,
  aliases: [],
  summary: 'Of OSV',
  affected: [
    { package: { name: 'ws' }, ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, ...events] }] },
  ],
});

async function audit(
  exceptions: readonly object[],
  environment: Record<string, string> = {},
): Promise<{ status: number | null; lines: string[] }> {
  const file = join(folder, 'exceptions.json');
  writeFileSync(file, JSON.stringify(exceptions));
  const child = spawn(process.execPath, ['scripts/audit.mjs'], {
    cwd: ROOT,
    env: {
      ...process.env,
      npm_config_registry: `http://127.0.0.1:${(registry.address() as AddressInfo).port}/`,
      npm_config_cache: join(folder, 'cache'),
      npm_config_fetch_retries: '0',
      HEADWAY_AUDIT_EXCEPTIONS: file,
      OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY: folder,
      ...environment,
    },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (said += text));
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { status, lines: said.trimEnd().split('\n') };
}

test.runIf(hasNpm)('what has a fix fails it; what has none yet is told', async () => {
  [concerned, versions] = ['<7.0.0', ['6.2.17', '7.0.0']];
  const OSV_SCANNER_BIN = scanner([ofWs('OSV-1', { fixed: '9.0.0' }), ofWs('OSV-2')]);
  const { status, lines } = await audit([], { OSV_SCANNER_BIN });
  expect(status).toBe(1);
  expect(lines).toContainEqual(
    `audit: jose: ${GHSA}: Of npm (there is a fix: upgrade it, or write an exception)`,
  );
  expect(lines).toContainEqual(
    'audit: ws: OSV-1: Of OSV (there is a fix: upgrade it, or write an exception)',
  );
  expect(lines).toContainEqual('audit: ws: OSV-2: Of OSV (no fix yet)');
  expect(lines.at(-1)).toBe('audit: 2 known vulnerabilities have a fix');
});

test.runIf(hasNpm)('an exception lets it pass until its date, and needs a reason', async () => {
  [concerned, versions] = ['<7.0.0', ['6.2.17', '7.0.0']];
  const OSV_SCANNER_BIN = scanner([]);
  const exception = { id: GHSA, package: 'jose', reason: 'not reached', until: '9999-12-31' };
  const good = await audit([exception], { OSV_SCANNER_BIN });
  expect(good).toMatchObject({
    status: 0,
    lines: expect.arrayContaining([expect.stringContaining('not reached')]),
  });
  const late = await audit([{ ...exception, until: '2026-01-31' }], { OSV_SCANNER_BIN });
  expect(late.status).toBe(1);
  const without = await audit([{ ...exception, reason: '' }], { OSV_SCANNER_BIN });
  expect(without.status).toBe(1);
  expect(without.lines.join('\n')).toContain('needs id, package, reason, and until');
});

test.runIf(hasNpm)('each thing that is missing is a line of its own, and nothing fails', async () => {
  concerned = null;
  const data = await audit([], { OSV_SCANNER_BIN: scanner([]) });
  expect(data.status).toBe(0);
  expect(data.lines[0]).toMatch(/^audit: skipped: the npm registry gives no advisories: 405/);
  // Only node and npm are on the PATH, and nothing was built before.
  const bin = mkdtempSync(join(folder, 'bin-'));
  const npm = join(fileURLToPath(new URL('.', `file://${process.execPath}`)), 'npm');
  for (const [name, target] of [
    ['node', process.execPath],
    ['npm', npm],
  ] as const) {
    writeFileSync(join(bin, name), `#!/bin/sh\nPATH=$OLD_PATH exec '${target}' "$@"\n`, { mode: 0o755 });
  }
  const only = { PATH: bin, OLD_PATH: process.env.PATH ?? '', HEADWAY_TOOLS: join(folder, 'tools') };
  const go = await audit([], only);
  expect(go).toMatchObject({ status: 0 });
  expect(go.lines).toContainEqual('audit: skipped: there is no osv-scanner, and no Go to build it with');
  writeFileSync(
    join(bin, 'go'),
    '#!/bin/sh\n[ "$1" = version ] && exit 0\necho "dial tcp: no such host" >&2; exit 1\n',
    {
      mode: 0o755,
    },
  );
  const network = await audit([], only);
  expect(network).toMatchObject({ status: 0 });
  expect(network.lines).toContainEqual(
    'audit: skipped: Go cannot download and build osv-scanner: dial tcp: no such host',
  );
});

test.skipIf(hasNpm)('without npm says so', async () => {
  const { status, lines } = await audit([], { OSV_SCANNER_BIN: scanner([]) });
  expect(status).toBe(0);
  expect(lines[0]).toBe('audit: skipped: npm cannot be run (ENOENT)');
});
