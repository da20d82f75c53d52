/** What a page loads of a package: bundled as authors of pages bundle it, minified and gzipped. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';

interface Chunk {
  readonly code: string;
  /** What it imports statically. */
  readonly imports: readonly string[];
}

/**
 * A page's program as a bundler makes it.
 * @param folder where the packages are installed
 * @returns the files by name; what is loaded first is `page.js`
 */
export async function bundled(
  folder: string,
  name: string,
  code: string,
): Promise<ReadonlyMap<string, Chunk>> {
  writeFileSync(join(folder, name), code);
  const build = await rolldown({
    input: { page: join(folder, name) },
    platform: 'browser',
    external: ['react', 'react/jsx-runtime'],
    logLevel: 'silent',
  });
  const { output } = await build.generate({ format: 'esm', minify: true });
  await build.close();
  return new Map(
    output.flatMap((one) =>
      one.type === 'chunk' ? [[one.fileName, { code: one.code, imports: one.imports }]] : [],
    ),
  );
}

interface Loaded {
  /** What the page loads before it runs, in bytes. */
  readonly first: number;
  /** What it loads by `import()`, by name: each with what it needs besides and the page has not, in bytes. */
  readonly later: ReadonlyMap<string, number>;
}

/** `fallback-Xn-EaNic.js` without what a bundler adds. */
const plainName = (file: string): string => file.replace(/-[\w-]{8}\.js$/, '');

/** What a page with this program loads, minified and gzipped. */
export async function loaded(folder: string, code: string): Promise<Loaded> {
  const files = await bundled(folder, 'sized.mjs', code);
  const withImports = (name: string, seen = new Set<string>()): Set<string> => {
    if (seen.has(name) || !files.has(name)) return seen;
    seen.add(name);
    for (const imported of files.get(name)?.imports ?? []) withImports(imported, seen);
    return seen;
  };
  const sizeOf = (names: Iterable<string>): number =>
    gzipSync([...names].map((name) => files.get(name)?.code ?? '').join(''), { level: 9 }).length;
  const first = withImports('page.js');
  const later = [...files.keys()].filter((name) => !first.has(name));
  const besides = (name: string): string[] => [...withImports(name)].filter((one) => !first.has(one));
  return {
    first: sizeOf(first),
    later: new Map(later.map((name) => [plainName(name), sizeOf(besides(name))])),
  };
}
