/** docs/guides/proxies.md says what the files of deploy/proxies/ hold. */
import { expect, test } from 'vitest';
import { quoted, read, section, sections, table } from './documents.js';

const FILES = {
  nginx: read('deploy/proxies/nginx.conf'),
  HAProxy: read('deploy/proxies/haproxy.cfg'),
  Caddy: read('deploy/proxies/Caddyfile'),
} as const;
const NAMES = Object.keys(FILES) as (keyof typeof FILES)[];
const guide = read('docs/guides/proxies.md');

test.each(NAMES)('%s: what the table names is in the file, and what it warns of is not', (name) => {
  const lines = FILES[name].replace(/^\s*#.*$/gm, '');
  const cells = table(section(sections(guide), 'What a proxy must do, and why'), 'it must').map(
    (row) => row[name] ?? '',
  );
  const [wanted, warned] = [cells.map((cell) => cell.replace(/(?:not|no) `[^`]*`/g, '')), cells].map((list) =>
    list.flatMap(quoted),
  ) as [string[], string[]];
  const unwanted = warned.filter((text) => !wanted.includes(text));
  // What stands outside of the file, in the system's.
  const inFile = wanted.filter((text) => text !== 'LimitNOFILE');
  expect(inFile.length).toBeGreaterThan(3);
  // `...` stands for what is between.
  const isThere = (text: string) => text.split(' ... ').every((part) => lines.includes(part));
  expect(inFile.filter((text) => !isThere(text))).toEqual([]);
  for (const text of unwanted) {
    expect(lines).not.toMatch(new RegExp(`${text.replace(/\W/g, '\\$&')}(?![\\w])`));
  }
});

test('what is the reader’s own is named, and is in each file', () => {
  for (const text of ['headway.example.com', '/etc/headway/tls/', '10.0.0.11:8080', '10.0.0.12:8080']) {
    expect(guide).toContain(text);
    for (const name of NAMES) expect(FILES[name]).toContain(text);
  }
});
