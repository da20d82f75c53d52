/** Every document: its links lead somewhere, and the files that it names are there. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NODE_FLAGS } from '../../bench/harness/subject.js';
import { CODE, filesIn, quoted, ROOT, read, section, sections, table } from './documents.js';

/** What is made or installed here, and no part of the project. */
const NOT_OURS = new Set(['.git', '.tools', '.venv', 'coverage', 'dist', 'node_modules']);

/** Every Markdown file of the project, as paths from the top. */
function markdownIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return markdownIn(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

const documents = markdownIn('.');

/** The anchors of a document's headings, as GitHub makes them: a second one of the same name ends with -1. */
function anchors(path: string): string[] {
  const seen = new Map<string, number>();
  return sections(read(path)).map(({ title }) => {
    const slug = title
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    return times === 0 ? slug : `${slug}-${times}`;
  });
}

/** Why a link of a document leads nowhere; null: it leads somewhere. */
function problemOf(path: string, link: string): string | null {
  const [file = '', fragment] = link.split('#');
  const target = file === '' ? path : join(dirname(path), decodeURIComponent(file));
  if (target.startsWith('..')) return 'it leads out of the project';
  if (!existsSync(join(ROOT, target))) return `there is no ${target}`;
  if (fragment === undefined) return null;
  if (!target.endsWith('.md')) return `${target} has no headings`;
  return anchors(target).includes(fragment) ? null : `${target} has no heading #${fragment}`;
}

/** Where the links of a text lead, those to other hosts left out. */
function linksIn(markdown: string): string[] {
  const prose = markdown.replace(CODE, '').replace(/`[^`\n]*`/g, '');
  const inline = [...prose.matchAll(/\]\(([^)\s]+)(?: "[^"]*")?\)/g)];
  const references = [...prose.matchAll(/^\[[^\]]+\]: (\S+)$/gm)];
  return [...inline, ...references]
    .map(([, link = '']) => link)
    .filter((link) => !/^[a-z][a-z0-9+.-]*:/i.test(link));
}

describe('links', () => {
  test('every document is looked at', () => {
    expect(documents).toEqual(
      expect.arrayContaining([
        'README.md',
        'docs/PROTOCOL.md',
        'docs/guides/page.md',
        'sdk/python/README.md',
      ]),
    );
    expect(documents.length).toBeGreaterThan(30);
  });

  test.each(documents)('%s: each link leads to a file, and each anchor to a heading', (path) => {
    const broken = linksIn(read(path)).flatMap((link) => {
      const problem = problemOf(path, link);
      return problem === null ? [] : [`(${link}): ${problem}`];
    });
    expect(broken).toEqual([]);
  });

  test('what leads nowhere is found', () => {
    const text = [
      '[there](README.md), [a heading](CONTRIBUTING.md#the-code-base), [elsewhere](https://example.com/no.md)',
      '[gone](docs/NO.md) and [no heading](README.md#no-such-heading) and `[code](no.md)`',
      '[out](../secret.md)',
      '',
      '[named]: docs/NONE.md',
    ].join('\n');
    expect(linksIn(text).map((link) => problemOf('README.md', link))).toEqual([
      null,
      null,
      'there is no docs/NO.md',
      'README.md has no heading #no-such-heading',
      'it leads out of the project',
      'there is no docs/NONE.md',
    ]);
  });
});

describe('files that are named', () => {
  /** Where the paths of a document begin: at the top, or in the folder that its table is about. */
  const FROM = ['', 'internal', 'internal/cli', 'internal/jetstream', 'test', 'test/harness'];
  /** What looks like a path, and is the name of a package from before. */
  const NO_PATHS = ['headway/worker'];
  const isPath = (text: string) =>
    /^(?:[\w.-]+\/)+[\w.-]*$/.test(text) &&
    !NOT_OURS.has(text.split('/')[0] ?? '') &&
    !NO_PATHS.includes(text);
  const isThere = (path: string) => FROM.some((folder) => existsSync(join(ROOT, folder, path)));
  const named = (path: string) =>
    [
      ...read(path)
        .replace(CODE, '')
        .matchAll(/`([^`\n]+)`/g),
    ]
      .map(([, text = '']) => text)
      .filter(isPath);

  test.each([
    ['README.md', 0],
    ['CONTRIBUTING.md', 30],
    ['docs/architecture.md', 20],
    ['docs/guides/page.md', 0],
    ['docs/guides/page-by-hand.md', 0],
    ['docs/guides/worker.md', 1],
  ])('%s: what stands in backquotes as a path is there', (path, least) => {
    const paths = named(path);
    expect(paths.length).toBeGreaterThanOrEqual(least);
    expect(paths.filter((one) => !isThere(one))).toEqual([]);
  });

  test('the diagrams of architecture.md name files that are there', () => {
    const diagrams = [...read('docs/architecture.md').matchAll(/^```mermaid\n([\s\S]*?)^```$/gm)];
    const names = diagrams.flatMap(([, code = '']) => code.match(/[a-z][a-z-]*\.ts\b/g) ?? []);
    const there = new Set(filesIn(['internal'], '.ts').map((path) => path.slice(path.lastIndexOf('/') + 1)));
    expect(names.length).toBeGreaterThan(15);
    expect(names.filter((name) => !there.has(name))).toEqual([]);
  });
});

/** Lines that stand right under a table: a reader of Markdown makes one more row of each. */
function swallowed(markdown: string): string[] {
  const lines = markdown.replace(CODE, '').split('\n');
  return lines.filter((line, at) => line !== '' && !line.startsWith('|') && lines[at - 1]?.startsWith('|'));
}

test.each(documents)('%s: no line is taken for a row of the table above it', (path) => {
  expect(swallowed(read(path))).toEqual([]);
});

test('a line that is taken for a row is found', () => {
  expect(swallowed('| a |\n| --- |\n| 1 |\nA sentence.\n')).toEqual(['A sentence.']);
});

test('the README is shorter than 150 lines', () => {
  expect(read('README.md').trimEnd().split('\n').length).toBeLessThan(150);
});

test('no document holds both sides of a merge', () => {
  expect(documents.filter((path) => /^(?:<{7} |={7}$|>{7} )/m.test(read(path)))).toEqual([]);
});

test('the guide and the FAQ say how long the code for a page is', () => {
  const code = /^```js\n(function follow[\s\S]*?)^```$/m.exec(read('docs/guides/page-by-hand.md'))?.[1] ?? '';
  const lines = code.trimEnd().split('\n').length;
  for (const path of ['docs/guides/page-by-hand.md', 'docs/faq.md'])
    expect(/(\d+) lines/.exec(read(path))?.[1]).toBe(`${lines}`);
});

test('the guide for pages says of every error of the client what to do', () => {
  const classes = [...read('sdk/client/errors.ts').matchAll(/^export class (\w+)/gm)].map(([, name]) => name);
  expect(classes.length).toBeGreaterThan(3);
  const rows = table(section(sections(read('docs/guides/page.md')), 'Errors'), 'what you see');
  expect(rows.flatMap((row) => quoted(row['what you see']))).toEqual(expect.arrayContaining(classes));
});

test('the guide for tokens explains every reason for which one is refused', () => {
  const union = /^export type TokenErrorReason =\n([\s\S]*?);$/m.exec(
    read('internal/auth/token-error.ts'),
  )?.[1];
  const reasons = [...(union ?? '').matchAll(/'(\w+)'/g)].map(([, name]) => name);
  expect(reasons.length).toBeGreaterThan(5);
  const rows = table(
    section(sections(read('docs/guides/tokens.md')), 'When a token is refused'),
    'what you see',
  );
  const explained = new Set(
    rows.flatMap((row) => [...(row['`defect`'] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name)),
  );
  expect(explained).toEqual(new Set(reasons));
});

describe('CONTRIBUTING.md, "How the guarantees are tested"', () => {
  const rows = table(section(sections(read('CONTRIBUTING.md')), 'How the guarantees are tested'), '');
  const promises = table(section(sections(read('docs/PROTOCOL.md')), 'Guarantees'), '');

  test('it has every guarantee of the protocol', () => {
    expect(promises.length).toBe(10);
    expect(rows.map((row) => row[''])).toEqual(promises.map((row) => row['']));
  });

  test.each(rows.map((row) => [row[''], row] as const))(
    'guarantee %s: its tests bear its number',
    (number, row) => {
      expect(quoted(row['begins with'])[0]).toMatch(new RegExp(`^G${number} \\w`));
      const files = quoted(row['held by, of `test/`']);
      expect(files.length).toBeGreaterThan(1);
      const numbered = new RegExp(`\\bG${number} \\w`);
      expect(files.filter((file) => !numbered.test(read(join('test', file))))).toEqual([]);
    },
  );
});

test('an edge is started with the same options of Node by the image, by its document and by the benchmark', () => {
  const starts = [
    ...read('docs/guides/production.md').matchAll(/node((?: --[a-z0-9-]+=\d+)+) dist\/cmd\/edge\.js/g),
  ];
  const options = starts.map(([, flags = '']) => flags.trim().split(' '));
  expect(options).toEqual([NODE_FLAGS, NODE_FLAGS]);
  expect(read('Dockerfile')).toContain(
    `CMD ${JSON.stringify(['node', ...NODE_FLAGS, '/app/dist/cmd/edge.js']).replaceAll(',', ', ')}\n`,
  );
});
