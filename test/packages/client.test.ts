/** The tarballs of @headway/client and @headway/react, installed into an empty project with npm. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';
import { bundled } from './bundle.js';
import { blocksOf, ROOT, run, tarball } from './project.js';

const EXAMPLE = blocksOf('sdk/client/README.md', 'js')[0] ?? '';
const REACT_EXAMPLE = blocksOf('sdk/react/README.md', 'tsx')[0] ?? '';
const GUIDE_REACT = blocksOf('docs/guides/page.md', 'tsx')[0] ?? '';

let nats: NatsServer;
let nc: Awaited<ReturnType<typeof connectNats>>;
let edge: EdgeProcess;
let folder: Awaited<ReturnType<typeof guardedFolder>>;

const write = (name: string, text: string) => writeFileSync(join(folder.path, name), text);
const ownVersion: string = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version;
const version = (name: string): string => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const found = { ...dependencies, ...devDependencies }[name];
  if (found === undefined) throw new Error(`package.json of the project has no ${name}`);
  return `${name}@${found}`;
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
    expect(GUIDE_REACT).toContain('useJob');
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
    write('guide.tsx', GUIDE_REACT);
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
        files: ['strict.ts', 'element.ts', 'example.tsx', 'guide.tsx', 'hooks.tsx'],
      }),
    );
    await run(process.execPath, [join(ROOT, 'node_modules/typescript/lib/tsc.js')], { cwd: folder.path });
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
  test('names the client as what it needs, and npm finds it and React in place', async () => {
    const manifest = JSON.parse(
      readFileSync(join(folder.path, 'node_modules/@headway/react/package.json'), 'utf8'),
    );
    expect(Object.keys(manifest.peerDependencies)).toEqual(['@headway/client', 'react']);
    const { dependencies } = JSON.parse(await run('npm', ['ls', '--all', '--json'], { cwd: folder.path }));
    expect(dependencies['@headway/react'].dependencies).toMatchObject({
      '@headway/client': { version: ownVersion },
      react: {},
    });
  });

  test('without the client beside it, npm does not install it', async () => {
    const alone = await guardedFolder('headway-packages');
    try {
      writeFileSync(join(alone.path, 'package.json'), JSON.stringify({ private: true }));
      // No registry: ours is in none.
      const install = ['install', '--offline', '--no-audit', '--no-fund', tarball('headway-react')];
      await expect(run('npm', install, { cwd: alone.path })).rejects.toThrow('@headway/client');
    } finally {
      await alone.remove();
    }
  });

  test('the example of its README is bundled with React left outside', async () => {
    const files = await bundled(folder.path, 'page.tsx', REACT_EXAMPLE);
    expect(files.get('page.js')?.imports).toContain('react');
  });
});
