/** The tarballs of @headway/client and @headway/react, installed into an empty project with npm. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { guardedFolder } from '../harness/watchdog.js';
import { blocksOf, packageFile, ROOT, run } from './project.js';

/** What a page loads that follows a job: minified and gzipped. */
const MAX_CORE_BYTES = 6_750;
const EXAMPLE = blocksOf('sdk/client/README.md', 'js')[0] ?? '';
const REACT_EXAMPLE = blocksOf('sdk/react/README.md', 'tsx')[0] ?? '';

let nats: NatsServer;
let nc: Awaited<ReturnType<typeof connectNats>>;
let edge: EdgeProcess;
let folder: Awaited<ReturnType<typeof guardedFolder>>;

const write = (name: string, text: string) => writeFileSync(join(folder.path, name), text);
const version = (name: string): string => {
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return `${name}@${devDependencies[name]}`;
};
const tarball = (name: string): string => {
  const found = packageFile(name, '.tgz');
  if (found === undefined) throw new Error(`there is no ${name} in dist/packages/: run \`make packages\``);
  return found;
};

beforeAll(async () => {
  folder = await guardedFolder('headway-packages');
  nats = await startNats();
  nc = await connectNats(nats.url);
  await createStream(nc);
  edge = await startEdgeProcess({ natsUrl: nats.url });
  write('package.json', JSON.stringify({ private: true, type: 'module' }));
  const packages = [tarball('headway-client'), tarball('headway-react')];
  const others = ['ws', '@types/ws', '@types/node', 'react', '@types/react'].map(version);
  const options = ['--no-audit', '--no-fund', '--prefer-offline'];
  await run('npm', ['install', ...options, ...packages, ...others], { cwd: folder.path });
});
afterAll(async () => {
  await edge?.[Symbol.asyncDispose]();
  await nc?.close();
  await nats?.[Symbol.asyncDispose]();
  await folder?.remove();
});

/** A finished job of three events, of which a client that comes now is shown the last. */
async function finishedJob(): Promise<string> {
  const id = uniqueId();
  await publish(nc, id, { progress: 10 });
  await publish(nc, id, { status: 'completed', progress: 100, message: 'done' });
  return id;
}

/** A page's program as a bundler makes it: the files by name. */
async function bundled(
  name: string,
  code: string,
): Promise<Map<string, { code: string; imports: string[] }>> {
  write(name, code);
  const build = await rolldown({
    input: { page: join(folder.path, name) },
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

describe('@headway/client', () => {
  test('needs no other package, and no module of Node', () => {
    const inPackage = join(folder.path, 'node_modules/@headway/client');
    const manifest = JSON.parse(readFileSync(join(inPackage, 'package.json'), 'utf8'));
    expect([manifest.dependencies, manifest.scripts, manifest.private]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    const files = readdirSync(join(inPackage, 'dist')).filter((name) => name.endsWith('.js'));
    expect(files).toContain('index.js');
    for (const file of files) {
      const code = readFileSync(join(inPackage, 'dist', file), 'utf8');
      const names = [...code.matchAll(/(?:\bfrom|\bimport\(|\bimport)\s*["'`]([^"'`]+)/g)].map(
        ([, name]) => name,
      );
      expect(
        names.filter((name) => !name?.startsWith('./')),
        file,
      ).toEqual([]);
    }
  });

  test('the example of its README runs in Node', async () => {
    const id = await finishedJob();
    expect(EXAMPLE).toContain("'http://localhost:8080'");
    const code = EXAMPLE.replace("url: 'http://localhost:8080'", `url: '${edge.http}', WebSocket`).replace(
      'job-1',
      id,
    );
    write('example.mjs', `import { WebSocket } from 'ws';\n${code}`);
    const shown = await run(process.execPath, ['example.mjs'], { cwd: folder.path });
    expect(shown.trim()).toBe('completed 100 done');
  });

  test('its types are strict, with nothing skipped', async () => {
    write(
      'strict.ts',
      `import { createProgressClient, UnauthorizedError, type JobSnapshot } from '@headway/client';
const client = createProgressClient({ url: 'https://edge.example.com', getToken: async () => 'token' });
const job = client.job('job-1');
job.addEventListener('update', ({ detail }) => console.log(detail.progress.toFixed(), detail.prev_seq));
job.addEventListener('error', ({ detail }) => console.log(detail instanceof UnauthorizedError));
const shown: JobSnapshot = job.getSnapshot();
for await (const { status } of client.jobs({ jobTypes: ['pdf'] })) console.log(status satisfies string, shown.state?.seq);
// @ts-expect-error: it is a string
client.job(1);
`,
    );
    write(
      'tsconfig.json',
      JSON.stringify({
        compilerOptions: {
          ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true, types: [] },
          ...{
            target: 'es2022',
            module: 'nodenext',
            lib: ['es2023', 'dom', 'dom.iterable'],
            jsx: 'react-jsx',
          },
        },
        files: ['strict.ts'],
      }),
    );
    await run(process.execPath, [join(ROOT, 'node_modules/typescript/lib/tsc.js')], { cwd: folder.path });
  });

  test(`is small: what a page loads at first has less than ${MAX_CORE_BYTES} bytes`, async () => {
    const files = await bundled(
      'core.mjs',
      `import { createProgressClient } from '@headway/client'; globalThis.create = createProgressClient;`,
    );
    const first = new Set<string>();
    const load = (name: string): void => {
      if (first.has(name)) return;
      first.add(name);
      for (const imported of files.get(name)?.imports ?? []) load(imported);
    };
    load('page.js');
    const sizeOf = (names: Iterable<string>) =>
      gzipSync([...names].map((name) => files.get(name)?.code ?? '').join(''), { level: 9 }).length;
    const later = [...files.keys()].filter((name) => !first.has(name));
    process.stdout.write(
      `@headway/client: ${sizeOf(first)} bytes at first; later ${later.map((name) => `${name} ${sizeOf([name])}`).join(', ')}\n`,
    );
    expect(later.length).toBeGreaterThan(0);
    expect(sizeOf(first)).toBeLessThan(MAX_CORE_BYTES);
  });
});

describe('@headway/react', () => {
  test('the example of its README is bundled with React left outside', async () => {
    const files = await bundled('page.tsx', REACT_EXAMPLE);
    const [page] = files.values();
    expect(page?.imports).toContain('react');
    const own = await bundled('react.mjs', `export * from '@headway/react';`);
    const bytes = gzipSync(own.get('page.js')?.code ?? '', { level: 9 }).length;
    process.stdout.write(`@headway/react: ${bytes} bytes\n`);
    expect(bytes).toBeLessThan(2_500);
  });
});
