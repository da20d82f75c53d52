/** Which package of uWebSockets.js is loaded where, held against the binaries that are in them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { PACKAGES, packageFor, type Runtime, whyUnfit } from '../../internal/edge/uws-package.js';

const MODULES = fileURLToPath(new URL('../../node_modules/', import.meta.url));
const NODE_24: Runtime = { node: '24.11.0', modules: '137', platform: 'linux', arch: 'x64', glibc: '2.41' };

/** The binaries of a package, by name. */
function binariesOf(name: string): Map<string, string> {
  const files = readdirSync(join(MODULES, name), { recursive: true, encoding: 'utf8' });
  return new Map(
    files
      .filter((file) => file.endsWith('.node'))
      .map((file) => [file.replace(/^.*[\\/]/, ''), join(MODULES, name, file)]),
  );
}

/** The newest glibc whose symbols a binary asks for: their versions stand in it as text. */
function newestGlibc(file: string): string {
  const text = readFileSync(file, 'latin1');
  const minors = [...text.matchAll(/\0GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  return `2.${Math.max(...minors)}`;
}

describe.each(PACKAGES)('the package $name', ({ name, nodes, platforms }) => {
  const binaries = binariesOf(name);
  const cases = Object.keys(nodes).flatMap((modules) =>
    Object.entries(platforms).map(([platform, glibc]) => ({ modules, platform, glibc })),
  );

  test.each(cases)(
    'has a binary for $platform, $modules, that asks for glibc $glibc',
    ({ modules, platform, glibc }) => {
      const file = binaries.get(`uws_${platform.replace(' ', '_')}_${modules}.node`);
      expect(file).toBeDefined();
      if (file !== undefined && glibc !== null) expect(newestGlibc(file)).toBe(glibc);
    },
  );

  test('is what its releases of Node load', () => {
    for (const modules of Object.keys(nodes)) expect(packageFor(modules)).toBe(name);
  });
});

test('the three releases of Node that package.json names are served, and no other', () => {
  const { engines } = JSON.parse(readFileSync(join(MODULES, '../package.json'), 'utf8')) as {
    engines: { node: string };
  };
  const majors = [...engines.node.matchAll(/\^(\d+)\./g)].map(([, major]) => Number(major));
  expect(majors).toEqual(PACKAGES.flatMap(({ nodes }) => Object.values(nodes)).sort((a, b) => a - b));
});

test('a Node that neither package knows loads the one over which another release is installed', () => {
  expect(packageFor('147')).toBe('uWebSockets.js');
});

describe('what does not fit is told with what to do', () => {
  test.each<[name: string, runtime: Partial<Runtime>, expected: RegExp]>([
    [
      'glibc too old for Node 24',
      { glibc: '2.36' },
      /has glibc 2\.36, and the binary for Node 24 asks for 2\.38: stay on this system with Node 22 or 20, or go to one with a newer glibc \(Debian 13, Ubuntu 24\.04 or RHEL 10\)/,
    ],
    [
      'glibc too old for all',
      { glibc: '2.17' },
      /has glibc 2\.17, .* asks for 2\.38: go to one with a newer glibc/,
    ],
    [
      'glibc too old for Node 22',
      { modules: '127', glibc: '2.17' },
      /binary for Node 22 asks for 2\.27: go to/,
    ],
    [
      'another C library',
      { glibc: null },
      /C library other than glibc .* image, such as node:24-trixie-slim/,
    ],
    [
      'an odd Node',
      { modules: '141' },
      /^Run it with Node 24 \(recommended\), 22 or 20\..*npm install uWebSockets\.js@github:/,
    ],
    [
      'a processor',
      { arch: 's390x' },
      /binaries for: linux x64, linux arm64, darwin x64, .*Run it on one of these/,
    ],
    [
      'Node 24 on a processor that only older ones have',
      { arch: 'arm' },
      /binaries for: linux x64, linux arm64, darwin/,
    ],
    ['a system', { platform: 'freebsd', glibc: undefined }, /Run it on one of these/],
    [
      'nothing: the file is away',
      {},
      /missing or damaged: install the packages again \(npm ci --ignore-scripts\)/,
    ],
    ['nothing on a Mac', { platform: 'darwin', arch: 'arm64', glibc: undefined }, /missing or damaged/],
  ])('%s', (_name, runtime, expected) => {
    expect(whyUnfit({ ...NODE_24, ...runtime })).toMatch(expected);
  });

  test('a glibc that is just new enough is not called too old', () => {
    for (const glibc of ['2.38', '2.100', '3.0'])
      expect(whyUnfit({ ...NODE_24, glibc })).toContain('damaged');
    expect(whyUnfit({ ...NODE_24, glibc: '2.4' })).toContain('has glibc 2.4,');
  });
});
