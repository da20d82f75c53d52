/** The tarballs of @headway/client and @headway/react, installed into an empty project with npm. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';
import { blocksOf, packageFile, ROOT, run } from './project.js';

/** What a page loads that follows a job: minified and gzipped. */
const MAX_CORE_BYTES = 7_600;
/** What the element adds. */
const MAX_ELEMENT_BYTES = 2_000;
/** The README's sizes: the core, what the element adds, and the fallback transports. */
const SIZES = /loads (\d+\.\d) kB[\s\S]*? adds (\d+\.\d) kB[\s\S]*?, (\d+\.\d) kB, are loaded/;
const EXAMPLE = blocksOf('sdk/client/README.md', 'js')[0] ?? '';
const README = readFileSync(join(ROOT, 'sdk/client/README.md'), 'utf8');
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

/** What a page with this program loads at first, and later by `import()`: minified and gzipped, in bytes. */
async function loaded(code: string): Promise<{ first: number; later: Map<string, number> }> {
  const files = await bundled('core.mjs', code);
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
  return { first: sizeOf(first), later: new Map(later.map((name) => [name, sizeOf([name])])) };
}

/** Gives out files by their names, as any server of static files does. */
async function serve(
  fileOf: (name: string) => string,
): Promise<AsyncDisposable & { readonly origin: string }> {
  const server = createServer(({ url = '' }, response) => {
    const name = basename(url);
    try {
      const text = fileOf(name);
      const type = name.endsWith('.js') ? 'text/javascript' : 'text/html';
      response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(text);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
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

  test.skipIf(globalThis.WebSocket === undefined)(
    'the example of its README runs as it stands where Node has a WebSocket',
    async () => {
      const id = await finishedJob();
      write('platform.mjs', EXAMPLE.replace('http://localhost:8080', edge.http).replace('job-1', id));
      const shown = await run(process.execPath, ['platform.mjs'], { cwd: folder.path });
      expect(shown.trim()).toBe('completed 100 done');
    },
  );

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
      'element.ts',
      `import { HeadwayProgress } from '@headway/client/element';
const bar = document.createElement('headway-progress');
if (bar instanceof HeadwayProgress) document.body.append(bar);
// @ts-expect-error: it is a client
HeadwayProgress.client = 'http://localhost:8080';
`,
    );
    write('example.tsx', REACT_EXAMPLE);
    write(
      'hooks.tsx',
      `import { useJob } from '@headway/react';
export const Percent = ({ id }: { id: string }) => <b>{useJob(id).state?.progress.toFixed()}</b>;
// @ts-expect-error: it is a string, or null
export const Wrong = () => <b>{useJob(1).id}</b>;
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
        files: ['strict.ts', 'element.ts', 'example.tsx', 'hooks.tsx'],
      }),
    );
    await run(process.execPath, [join(ROOT, 'node_modules/typescript/lib/tsc.js')], { cwd: folder.path });
  });

  test(`is small: what a page loads at first has less than ${MAX_CORE_BYTES} bytes, and its README says how many`, async () => {
    const core = await loaded(
      `import { createProgressClient } from '@headway/client'; globalThis.create = createProgressClient;`,
    );
    const element = await loaded(`import '@headway/client/element';`);
    const fallback = [...core.later].find(([name]) => name.startsWith('fallback'))?.[1] ?? 0;
    process.stdout.write(
      `@headway/client: ${core.first} bytes at first, ${element.first} with the element; later ${[...core.later].join(' ')}\n`,
    );
    expect(core.first).toBeLessThan(MAX_CORE_BYTES);
    expect(element.first - core.first).toBeLessThan(MAX_ELEMENT_BYTES);
    const said = SIZES.exec(README)?.slice(1).map(Number) ?? [];
    const measured = [core.first, element.first - core.first, fallback].map((bytes) => bytes / 1_000);
    // Versions of Node compress a little differently, so the next digit is not said and not held.
    const isSaid = measured.map((size, index) => Math.abs(size - (said[index] ?? 0)) <= 0.1);
    expect(isSaid, `measured ${measured.join(', ')} kB; its README says ${said.join(', ')}`).toEqual([
      true,
      true,
      true,
    ]);
    const comparison = readFileSync(join(ROOT, 'docs/comparison.md'), 'utf8');
    expect(comparison).toContain(`| ${said[0]} kB, and ${said[2]} kB when WebSocket is blocked |`);
  });
});

describe.skipIf(!process.env.CHROMIUM_BIN)('a page without a bundler, in Chromium', () => {
  test('runs the example of the README and the element, from the files of the package', async () => {
    const id = await finishedJob();
    const dist = join(folder.path, 'node_modules/@headway/client/dist');
    const example = EXAMPLE.replace("'@headway/client'", "'/index.js'").replace('job-1', id);
    const scripts = new Map<string, string>();
    await using site = await serve((name) => scripts.get(name) ?? readFileSync(join(dist, name), 'utf8'));
    await using own = await startEdgeProcess({
      natsUrl: nats.url,
      env: { HEADWAY_ALLOWED_ORIGINS: site.origin },
    });
    scripts.set('page.js', example.replace('http://localhost:8080', own.http));
    scripts.set(
      'page.html',
      `<!doctype html><title>Jobs</title><headway-progress job="${id}" src="${own.http}" label="Report"></headway-progress>
       <script type="module" src="/element.js"></script><script type="module" src="/page.js"></script>`,
    );
    const browser = await launchChromium();
    try {
      const tab = await browser.newPage();
      const said: string[] = [];
      tab.on('console', (message) => said.push(message.text()));
      tab.on('pageerror', (error) => said.push(String(error)));
      await tab.goto(`${site.origin}/page.html`);
      await waitFor(() => said.includes('completed 100 done'), { what: 'the last state' });
      await tab.locator('headway-progress[status=completed]').waitFor();
    } finally {
      await browser.close();
    }
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
