/** The tarball of @headway/worker, installed into an empty project with npm. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, storedEvents } from '../harness/publish.js';
import { guardedFolder } from '../harness/watchdog.js';
import { at, blocksOf, ROOT, run, tarball } from './project.js';

const MAX_PACKED_BYTES = 150_000;
const TSC = join(ROOT, 'node_modules/typescript/lib/tsc.js');
const importsWorker = (code: string) => /from '@?headway\/worker'/.test(code);
const EXAMPLES = blocksOf('README.md', 'js').filter(importsWorker);
const EXAMPLE = (EXAMPLES[0] ?? '').replace("'headway/worker'", "'@headway/worker'");

let nats: NatsServer;
let nc: Awaited<ReturnType<typeof connectNats>>;
let folder: Awaited<ReturnType<typeof guardedFolder>>;
let packed: string;

const write = (name: string, text: string) => writeFileSync(join(folder.path, name), text);
const node = (...args: string[]) => run(process.execPath, args, { cwd: folder.path });

beforeAll(async () => {
  packed = tarball('headway-worker');
  folder = await guardedFolder('headway-packages');
  nats = await startNats();
  nc = await connectNats(nats.url);
  await createStream(nc);
  write('package.json', JSON.stringify({ private: true, type: 'module' }));
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', packed], { cwd: folder.path });
});
afterAll(async () => {
  await nc?.close();
  await nats?.[Symbol.asyncDispose]();
  await folder?.remove();
});

/** The names of the packages that are installed. */
function installed(): string[] {
  const modules = join(folder.path, 'node_modules');
  return readdirSync(modules)
    .filter((name) => !name.startsWith('.'))
    .flatMap((name) =>
      name.startsWith('@') ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
    );
}

interface Manifest {
  readonly version: string;
  readonly scripts?: unknown;
  readonly private?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}
const readManifest = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Manifest;
const inPackage = (file: string) => join(folder.path, 'node_modules/@headway/worker', file);

describe('what is installed', () => {
  test('is the package, nats, and what nats needs', () => {
    expect(new Set(installed())).toEqual(new Set(['@headway/worker', 'nats', 'nkeys.js', 'tweetnacl']));
    const { dependencies, scripts, private: isPrivate } = readManifest(inPackage('package.json'));
    expect(Object.keys(dependencies ?? {})).toEqual(['nats']);
    expect([scripts, isPrivate]).toEqual([undefined, undefined]);
  });

  test(`is small: packed, it has less than ${MAX_PACKED_BYTES} bytes`, () => {
    expect(statSync(packed).size).toBeLessThan(MAX_PACKED_BYTES);
  });

  test('has the version of Headway, a README with the same example, and the licence', () => {
    expect(readManifest(inPackage('package.json')).version).toBe(
      readManifest(join(ROOT, 'package.json')).version,
    );
    expect(readFileSync(inPackage('README.md'), 'utf8')).toContain(EXAMPLE);
    expect(readFileSync(inPackage('LICENSE'), 'utf8')).toBe(readFileSync(join(ROOT, 'LICENSE'), 'utf8'));
  });

  test('names nothing of this machine', () => {
    for (const file of readdirSync(inPackage('dist'), { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue;
      const text = readFileSync(join(file.parentPath, file.name), 'utf8');
      expect(text.includes(ROOT), file.name).toBe(false);
    }
  });
});

describe('the example of the README', () => {
  test('is there once', () => {
    expect(EXAMPLES).toHaveLength(1);
  });

  test('reports its job to the end, and lets the process end', async () => {
    write('example.mjs', at(nats.url, EXAMPLE));
    await node('example.mjs');
    const id = /processingId: '([^']+)'/.exec(EXAMPLE)?.[1] ?? '';
    const events = await storedEvents(nc, 'PROGRESS', id);
    expect(events.length).toBeGreaterThan(1);
    expect(events.at(-1)?.json).toMatchObject({
      status: 'completed',
      progress: 100,
      result: { words: 3120 },
    });
  });

  test('has types that a strict compiler takes, however it resolves packages', async () => {
    write('example.mts', at(nats.url, EXAMPLE));
    // That the types say no as well: an expected error that does not come is an error.
    write(
      'wrong.mts',
      [
        "import { connectReporter, createReporter, SupersededError, type ReporterWarning } from '@headway/worker';",
        "import { connect } from 'nats';",
        'const onWarning = ({ kind, message }: ReporterWarning) => console.warn(kind, message);',
        'await using reporter = createReporter(await connect(), { onWarning });',
        '// @ts-expect-error a job has an id that is text',
        'const job = await reporter.start({ processingId: 1 });',
        "job.report({ current: 1, step: { name: 'read' }, fields: { page: 1 } });",
        '// @ts-expect-error there is no such option',
        'await connectReporter({ server: 1 });',
        '// @ts-expect-error an amount is a number',
        "job.report({ current: '1' });",
        'export const why = (error: unknown) => (error instanceof SupersededError ? error.reason : null);',
        '// @ts-expect-error it is one of four texts',
        "const reason: number = new SupersededError('a', 1, 'finished', null).reason;",
        'export { reason };',
      ].join('\n'),
    );
    write(
      'common.cts',
      "import worker = require('@headway/worker');\nexport const { connectReporter } = worker;\n",
    );
    // The types of nats themselves need those of a browser, and do not pass exactOptionalPropertyTypes.
    const whole = { skipLibCheck: false, lib: ['esnext', 'dom'] };
    const exact = { skipLibCheck: true, lib: ['esnext'], exactOptionalPropertyTypes: true };
    const files = ['example.mts', 'wrong.mts'];
    for (const options of [
      { module: 'node16', ...whole, files },
      { module: 'nodenext', ...whole, files: [...files, 'common.cts'] },
      { module: 'nodenext', ...exact, files: [...files, 'common.cts'] },
      { module: 'esnext', moduleResolution: 'bundler', ...whole, files },
    ]) {
      const { files: included, ...rest } = options;
      // A project of its own would install @types/node.
      const nodeTypes = { typeRoots: [join(ROOT, 'node_modules/@types')], types: ['node'] };
      const compilerOptions = { ...rest, ...nodeTypes, strict: true, target: 'es2022', noEmit: true };
      write('tsconfig.json', JSON.stringify({ compilerOptions, files: included }));
      await node(TSC, '-p', 'tsconfig.json');
    }
  });
});

test('require() loads it', async () => {
  const id = uniqueId('required');
  write(
    'required.cjs',
    `const { connectReporter } = require('@headway/worker');
     connectReporter({ servers: '${nats.url}' }).then(async (reporter) => {
       await reporter.run({ processingId: '${id}' }, async () => 7);
       await reporter.close();
     });`,
  );
  await node('required.cjs');
  const events = await storedEvents(nc, 'PROGRESS', id);
  expect(events.at(-1)?.json).toMatchObject({ status: 'completed', result: 7 });
});

test('a stack leads to the lines of the sources, which its source map holds', async () => {
  write(
    'wrong.mjs',
    `import { connectReporter } from '@headway/worker';
     await connectReporter({ maxInFlight: 0 }).catch((error) => console.log(error.stack));`,
  );
  const stack = await node('--enable-source-maps', 'wrong.mjs');
  const [, file = '', line = ''] = /(sdk\/worker\/[\w-]+\.ts):(\d+)/.exec(stack) ?? [];
  const { sources, sourcesContent } = JSON.parse(readFileSync(inPackage('dist/index.js.map'), 'utf8')) as {
    sources: string[];
    sourcesContent: string[];
  };
  const held = sourcesContent[sources.indexOf(`../${file}`)] ?? '';
  expect(held).toBe(readFileSync(join(ROOT, file), 'utf8'));
  expect(held.split('\n')[Number(line) - 1]).toContain('throw new InvalidOptionError');
});
