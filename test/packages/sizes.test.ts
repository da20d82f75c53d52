/**
 * How much a page loads of the packages for browsers, and that the documents say so. `npm run sizes` makes the packages and
 * writes into the documents what differs.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { guardedFolder } from '../harness/watchdog.js';
import { loaded } from './bundle.js';
import { ROOT, run, tarball } from './project.js';

/** What a page loads that follows a job: minified and gzipped. */
const MAX_CORE_BYTES = 6_050;
/** What the element adds. */
const MAX_ELEMENT_BYTES = 2_000;
/** What React's hooks and bar have, without the client. */
const MAX_REACT_BYTES = 2_500;

const CORE = `import { createProgressClient } from '@headway/client'; globalThis.create = createProgressClient;`;

interface Sizes {
  readonly core: number;
  /** What the element adds to the core. */
  readonly element: number;
  /** What is loaded when WebSocket is blocked. */
  readonly fallback: number;
  /** What an edge's refusal of a job, or its warning, loads. */
  readonly refusals: number;
  /** What a loop over a job loads. */
  readonly loop: number;
  /** What several jobs at once load. */
  readonly jobs: number;
  /** What a storage, and what a request loads: the larger one. */
  readonly each: number;
}

/** Where the documents say how much it is, in kB. */
const SAID: readonly (readonly [document: string, where: RegExp, size: keyof Sizes])[] = [
  ['sdk/client/README.md', /(?<=A page that follows jobs loads )\d+\.\d(?= kB)/g, 'core'],
  ['sdk/client/README.md', /(?<=`@headway\/client\/element` adds )\d+\.\d(?= kB)/g, 'element'],
  ['sdk/client/README.md', /(?<=WebSocket\s+where\s+that\s+is\s+blocked\s+\()\d+\.\d(?= kB)/g, 'fallback'],
  ['sdk/client/README.md', /(?<=about\s+to\s+expire\s+\()\d+\.\d(?= kB)/g, 'refusals'],
  ['sdk/client/README.md', /(?<=the\s+loop\s+\()\d+\.\d(?= kB)/g, 'loop'],
  ['sdk/client/README.md', /(?<=several\s+jobs\s+at\s+once\s+\()\d+\.\d(?= kB)/g, 'jobs'],
  ['sdk/client/README.md', /(?<=storage\s+and\s+requests\s+\()\d+\.\d(?= kB each)/g, 'each'],
  ['docs/comparison.md', /(?<=\| `@headway\/client` 0\.1\.0 \| )\d+\.\d(?= kB, and )/g, 'core'],
  ['docs/comparison.md', /(?<= kB, and )\d+\.\d(?= kB when WebSocket is blocked \|)/g, 'fallback'],
];

let folder: Awaited<ReturnType<typeof guardedFolder>>;
let sizes: Sizes;

beforeAll(async () => {
  folder = await guardedFolder('headway-sizes');
  // As npm installs them. Nothing else is needed, so no registry is asked.
  for (const name of ['client', 'react']) {
    const to = join(folder.path, 'node_modules/@headway', name);
    mkdirSync(to, { recursive: true });
    await run('tar', ['-xzf', tarball(`headway-${name}`), '-C', to, '--strip-components=1'], {
      cwd: folder.path,
    });
  }
  const core = await loaded(folder.path, CORE);
  const element = await loaded(folder.path, `import '@headway/client/element';`);
  const part = (name: string): number => {
    const bytes = core.later.get(name);
    if (bytes === undefined) throw new Error(`there is no ${name} in ${[...core.later.keys()]}`);
    return bytes;
  };
  sizes = {
    core: core.first,
    element: element.first - core.first,
    fallback: part('fallback'),
    refusals: part('refusals'),
    loop: part('loop'),
    jobs: part('jobs'),
    each: Math.max(part('saved'), part('http')),
  };
  process.stdout.write(
    `@headway/client: ${core.first} bytes at first, ${element.first} with the element; later ${[...core.later].join(' ')}\n`,
  );
});
afterAll(async () => {
  await folder?.remove();
});

test(`a page that follows a job loads less than ${MAX_CORE_BYTES} bytes at first, and the element adds less than ${MAX_ELEMENT_BYTES}`, () => {
  expect(sizes.core).toBeLessThan(MAX_CORE_BYTES);
  expect(sizes.element).toBeLessThan(MAX_ELEMENT_BYTES);
});

test(`React's part has less than ${MAX_REACT_BYTES} bytes without the client`, async () => {
  const { first } = await loaded(folder.path, `export * from '@headway/react';`);
  process.stdout.write(`@headway/react: ${first} bytes\n`);
  expect(first).toBeLessThan(MAX_REACT_BYTES);
});

/** The one figure that a document says there. */
function said(document: string, where: RegExp): string {
  const found = readFileSync(join(ROOT, document), 'utf8').match(where);
  if (found?.length !== 1) throw new Error(`${document} does not say once what ${where} looks for`);
  return found[0];
}

/** What all documents are to say: what the first of them says, if that is within 0.1 kB. Versions of Node compress differently. */
function toSay(size: keyof Sizes): string {
  const [document, where] = SAID.find(([, , name]) => name === size) ?? ['', /$/];
  const old = said(document, where);
  const measured = sizes[size] / 1_000;
  return Math.abs(measured - Number(old)) <= 0.1 ? old : measured.toFixed(1);
}

test.each([...new Set(SAID.map(([document]) => document))])(
  '%s says what is measured (`npm run sizes` writes it)',
  async (document) => {
    let text = readFileSync(join(ROOT, document), 'utf8');
    for (const [, where, size] of SAID.filter(([name]) => name === document)) {
      said(document, where);
      text = text.replace(where, toSay(size));
    }
    await expect(text).toMatchFileSnapshot(join(ROOT, document));
  },
);
