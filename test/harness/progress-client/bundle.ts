/** The client and what writes down what it is told, as one set of modules: for a page, or for a worker of Node. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const FOR = {
  page: { entry: 'page-entry.ts', platform: 'browser', ending: 'js' },
  node: { entry: 'node-entry.ts', platform: 'node', ending: 'mjs' },
} as const;

/** @returns the text of each module by its name; `main` is the one to begin with */
export async function bundleClient(target: keyof typeof FOR): Promise<ReadonlyMap<string, string>> {
  const { entry, platform, ending } = FOR[target];
  const build = await rolldown({
    input: { main: fileURLToPath(new URL(entry, import.meta.url)) },
    platform,
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
    logLevel: 'warn',
  });
  const { output } = await build.generate({
    format: 'esm',
    sourcemap: 'inline',
    entryFileNames: `[name].${ending}`,
    chunkFileNames: `[name]-[hash].${ending}`,
  });
  await build.close();
  return new Map(output.map((part) => [part.fileName, part.type === 'chunk' ? part.code : '']));
}

/** The modules as files in a folder of their own, which goes with it. */
export async function bundledFiles(): Promise<{ main: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'headway-client-'));
  for (const [name, text] of await bundleClient('node')) await writeFile(join(folder, name), text);
  return {
    main: join(folder, 'main.mjs'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
