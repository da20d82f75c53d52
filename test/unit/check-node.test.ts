/** What is said before anything is installed, on a Node or a system that Headway cannot run on. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PACKAGES, whyUnfit } from '../../internal/edge/uws-package.js';

const CHECK = fileURLToPath(new URL('../../scripts/check-node.sh', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headway-check-node-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs the check with a stand-in for Node that names these facts; null: one that does not start. */
function check(facts: string | null, hasNpm = true): { status: number | null; said: string } {
  const program = (name: string, text: string) =>
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  program('node', facts === null ? 'exit 127' : `echo ${facts}`);
  if (hasNpm) program('npm', 'exit 0');
  const { status, stdout, stderr } = spawnSync('/bin/sh', [CHECK], {
    env: { PATH: folder },
    encoding: 'utf8',
  });
  expect(stdout).toBe('');
  return { status, said: stderr };
}

test.each([
  '20 19 0 2.36 linux/x64',
  '22 12 0 2.28 linux/arm',
  '22 22 1 2.36 linux/arm64',
  '24 11 0 2.38 linux/x64',
  '24 20 1 2.100 linux/arm64',
  '24 11 0 none darwin/arm64',
  '24 11 0 none win32/x64',
  '20 19 0 none darwin/x64',
])('nothing is said of %s', (facts) => {
  expect(check(facts)).toEqual({ status: 0, said: '' });
});

test.each<[facts: string, said: string]>([
  ['20 18 3 2.36 linux/x64', 'this is 20.18.3.'],
  ['22 11 0 2.36 linux/x64', 'this is 22.11.0.'],
  ['24 10 9 2.41 linux/x64', 'this is 24.10.9.'],
  ['18 20 0 2.36 linux/x64', 'this is 18.20.0, and the native WebSocket library has no binary for it.'],
  ['25 1 0 2.41 linux/x64', 'this is 25.1.0, and the native WebSocket library has no binary for it.'],
  [
    '24 11 0 2.36 linux/x64',
    'needs glibc 2.38 (Debian 13, Ubuntu 24.04, RHEL 10, or newer), and this system has 2.36: take Node 22 here',
  ],
  [
    '24 11 0 2.4 linux/x64',
    'this system has glibc 2.4, and the native WebSocket library needs 2.27 or newer',
  ],
  ['24 11 0 2.41 linux/arm', 'has no binary of Node 24 for linux/arm'],
  ['22 12 0 2.41 linux/s390x', 'has no binary for linux/s390x'],
  ['22 12 0 other linux/x64', "a C library other than glibc (Alpine's musl, for example)"],
  ['24 11 0 other linux/x64', "a C library other than glibc (Alpine's musl, for example)"],
])('%s is refused in one paragraph', (facts, expected) => {
  const { status, said } = check(facts);
  expect(status).toBe(1);
  expect(said).toContain(expected);
  expect(said).toMatch(
    /^Headway needs Node\.js 24 \(from 24\.11, recommended\), 22 .* run the same command again\.\n$/,
  );
});

describe('without', () => {
  test('a Node that starts', () => {
    expect(check(null)).toMatchObject({ status: 1, said: expect.stringContaining('does not start') });
  });
  test('npm', () => {
    expect(check('22 12 0 2.36 linux/x64', false)).toMatchObject({
      status: 1,
      said: expect.stringContaining('there is no "npm" on the PATH'),
    });
  });
});

test('it asks for the same glibc as the edge', () => {
  for (const { nodes, platforms } of PACKAGES) {
    const needed = platforms['linux x64'] ?? '';
    const older = `2.${Number(needed.split('.')[1]) - 1}`;
    for (const [modules, major] of Object.entries(nodes)) {
      const { status } = check(`${major} 30 0 ${older} linux/x64`);
      expect(
        whyUnfit({ node: `${major}.30.0`, modules, platform: 'linux', arch: 'x64', glibc: older }),
      ).toContain(needed);
      expect(status).toBe(1);
      expect(check(`${major} 30 0 ${needed} linux/x64`).status).toBe(0);
    }
  }
});

test('it understands the Node that runs this test', () => {
  const { status, stderr } = spawnSync('/bin/sh', [CHECK], {
    env: { PATH: `${join(process.execPath, '..')}:${process.env.PATH}` },
    encoding: 'utf8',
  });
  // npm may be away where the tests run; the Node itself is one that is served.
  if (status !== 0) expect(stderr).toContain('is fine, but there is no "npm"');
});
