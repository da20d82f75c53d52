import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT, read, section, sections, table } from './documents.js';

const review = sections(read('docs/security-review.md'));
const held = ['What got through, and does not any more', 'What held'].flatMap((name) =>
  table(section(review, name), 'what was tried'),
);

test('each line of the security review names a test that is there', () => {
  expect(held.length).toBeGreaterThan(30);
  for (const row of held) {
    const [, file = '', name = ''] = /(?:^|, )`(test\/[\w/.-]+)`: (.+)$/.exec(row['held by'] ?? '') ?? [];
    expect(existsSync(join(ROOT, file)), `${file}, of "${row['what was tried']}"`).toBe(true);
    expect(read(file).includes(name), `"${name}" in ${file}`).toBe(true);
  }
});

test('every package that is installed is held by its digest, so that npm takes no other', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { integrity?: string; resolved?: string; link?: boolean }>;
  };
  // The folders of this repository that are packages themselves, and the links to them.
  const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] };
  const own = ['', ...workspaces];
  const without = Object.entries(packages).filter(
    ([path, { integrity, resolved = '', link }]) =>
      !own.includes(link === true ? resolved : path) && !/^sha512-/.test(integrity ?? ''),
  );
  expect(without.map(([path]) => path)).toEqual([]);
});
