/** The check of uWebSockets.js, over the installed package, of which one file at a time is made another one. */
import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ROOT, read } from './documents.js';

interface Table {
  readonly packages: Readonly<
    Record<string, { readonly integrity: string; readonly sha256: Readonly<Record<string, string>> }>
  >;
}

const ALIAS = 'uWebSockets.js';
const PACKAGE = join(ROOT, 'node_modules', ALIAS);
const { packages } = JSON.parse(read('scripts/uws-binaries.json')) as Table;
const { name, version } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as {
  name: string;
  version: string;
};
const FILES = Object.keys(packages[`${name}@${version}`]?.sha256 ?? {});
const BINARY = FILES.find((file) => file.includes(`linux_x64_115`)) ?? '';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** What npm would have installed; the files are links to the real ones until a test writes another. */
function installation(): { readonly root: string; readonly path: (file: string) => string } {
  const root = mkdtempSync(join(tmpdir(), 'headway-uws-'));
  folders.push(root);
  writeFileSync(
    join(root, 'package.json'),
    JSON.stringify({ dependencies: { [ALIAS]: `npm:${name}@${version}` } }),
  );
  const path = (file: string) => join(root, 'node_modules', ALIAS, file);
  for (const file of FILES) {
    mkdirSync(dirname(path(file)), { recursive: true });
    symlinkSync(join(PACKAGE, file), path(file));
  }
  return { root, path };
}

function verify(root: string): { readonly status: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync('node', ['scripts/verify-uws.mjs', root], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return { status, said: stdout + stderr };
}

function replace(path: string, bytes: Uint8Array | string): void {
  unlinkSync(path);
  writeFileSync(path, bytes);
}

describe('the WebSocket library', () => {
  test('is taken, and nothing is said, when it is the one that was checked', () => {
    expect(verify(installation().root)).toEqual({ status: 0, said: '' });
  });

  test('is refused with one paragraph when one bit of a binary is another', () => {
    const { root, path } = installation();
    const bytes = readFileSync(path(BINARY));
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    replace(path(BINARY), bytes);
    const { status, said } = verify(root);
    expect(status).toBe(1);
    expect(said).toContain(path(BINARY));
    expect(said).toContain('SHA-256');
    expect(said.trimEnd().split('\n')).toHaveLength(1);
  });

  test.each(['dist/uws.mjs', 'package.json'])('is refused when %s says something more', (file) => {
    const { root, path } = installation();
    replace(path(file), `${readFileSync(path(file), 'utf8')} `);
    expect(verify(root)).toMatchObject({ status: 1, said: expect.stringContaining(path(file)) });
  });

  test('is refused with a file more, and with one less', () => {
    const more = installation();
    writeFileSync(more.path('dist/bin/uws_linux_x64_999.node'), '');
    expect(verify(more.root).said).toContain(`is not a file of ${name}@${version}`);
    const less = installation();
    unlinkSync(less.path(BINARY));
    expect(verify(less.root)).toMatchObject({ status: 1, said: expect.stringContaining('is missing') });
  });

  test('is refused in a version without digests, and when it is not there', () => {
    const other = installation();
    replace(other.path('package.json'), JSON.stringify({ name, version: '99.0.0' }));
    expect(verify(other.root).said).toContain(`is ${name}@99.0.0, and the table holds no digests for it`);
    const none = installation();
    rmSync(join(none.root, 'node_modules'), { recursive: true });
    expect(verify(none.root)).toMatchObject({ status: 1, said: expect.stringContaining('cannot be read') });
  });
});

test('the table is of what the lockfile names, by its SHA-512', () => {
  const lock = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { name?: string; version?: string; integrity?: string }>;
  };
  const locked = Object.entries(lock.packages).filter(([path]) => /^node_modules\/uWebSockets/.test(path));
  expect(locked).not.toEqual([]);
  for (const [, { name: of, version: at, integrity }] of locked) {
    expect(packages[`${of}@${at}`]?.integrity).toBe(integrity);
  }
});

test('installing and the image ask for the check', () => {
  expect(read('Makefile')).toMatch(/npm ci [^\n]*\n\t@node scripts\/verify-uws\.mjs\n\t@touch/);
  expect(read('Dockerfile')).toMatch(/npm ci --omit=dev [^&]*&& node scripts\/verify-uws\.mjs/);
});
