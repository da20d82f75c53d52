/** The wheel of headway-worker, installed into an empty virtual environment with pip. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, storedEvents } from '../harness/publish.js';
import { guardedFolder } from '../harness/watchdog.js';
import { at, blocksOf, packageFile, ROOT, run } from './project.js';

// Those that run as they stand, and not in a program of somebody.
const EXAMPLES = ['README.md', 'sdk/python/README.md']
  .flatMap((document) => blocksOf(document, 'python').map((code) => ({ document, code })))
  .filter(
    ({ code }) => /^from headway_worker/m.test(code) && /\("?(servers=)?"nats:|asyncio\.run\(/.test(code),
  )
  .filter(({ code }) => !/document_id|^async with/m.test(code));

const wheel = packageFile('headway_worker', '.whl');
if (wheel === undefined)
  process.stderr.write('There is no wheel in dist/packages/: `make packages` says why.\n');

let nats: NatsServer;
let nc: Awaited<ReturnType<typeof connectNats>>;
let folder: Awaited<ReturnType<typeof guardedFolder>>;

const python = (...args: string[]) => run(join(folder.path, 'venv/bin/python'), args, { cwd: folder.path });
const pip = (...args: string[]) => python('-m', 'pip', '--disable-pip-version-check', '--no-input', ...args);

describe.skipIf(wheel === undefined)('headway-worker from its wheel', () => {
  beforeAll(async () => {
    folder = await guardedFolder('headway-packages');
    nats = await startNats();
    nc = await connectNats(nats.url);
    await createStream(nc);
    await run('python3', ['-m', 'venv', 'venv'], { cwd: folder.path });
    await pip('install', '--quiet', wheel ?? '');
  });
  afterAll(async () => {
    await nc?.close();
    await nats?.[Symbol.asyncDispose]();
    await folder?.remove();
  });

  test('brings nats-py and what that needs for credentials, and nothing else', async () => {
    const names = (JSON.parse(await pip('list', '--format=json')) as { name: string }[]).map(({ name }) =>
      name.toLowerCase(),
    );
    const own = names.filter((name) => !['pip', 'setuptools', 'wheel'].includes(name));
    expect(new Set(own)).toEqual(
      new Set(['cffi', 'headway-worker', 'nats-py', 'nkeys', 'pycparser', 'pynacl']),
    );
  });

  test('has the version of Headway, a README that leads nowhere else, and the licence', async () => {
    const [site = ''] = JSON.parse(
      await python('-c', 'import json, site; print(json.dumps(site.getsitepackages()))'),
    ) as string[];
    const info = readdirSync(site).find((name) => /^headway_worker-.*\.dist-info$/.test(name)) ?? '';
    const metadata = readFileSync(join(site, info, 'METADATA'), 'utf8');
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(metadata).toContain(`\nVersion: ${version}\n`);
    expect(metadata).toContain('\nLicense-Expression: Apache-2.0\n');
    expect(metadata).toContain('\n# headway-worker\n');
    expect(metadata).not.toContain('](../');
    const licence = readFileSync(join(site, info, 'licenses/LICENSE'), 'utf8');
    expect(licence).toBe(readFileSync(join(ROOT, 'LICENSE'), 'utf8'));
  });

  test('there are examples', () => {
    expect(EXAMPLES.length).toBeGreaterThan(0);
  });

  test.each(EXAMPLES)('the example of $document reports its job to the end', async ({ code }) => {
    writeFileSync(join(folder.path, 'example.py'), at(nats.url, code));
    await python('example.py');
    const id = /\.job\(\s*"([^"]+)"/.exec(code)?.[1] ?? '';
    const events = await storedEvents(nc, 'PROGRESS', id);
    expect(events.at(-1)?.json).toMatchObject({
      status: 'completed',
      progress: 100,
      result: { words: 3120 },
    });
  });

  test('has types that mypy takes strictly', async () => {
    await pip('install', '--quiet', 'mypy>=1.11,<3');
    const files = EXAMPLES.map(({ code }, index) => {
      writeFileSync(join(folder.path, `example${index}.py`), code);
      return `example${index}.py`;
    });
    // That the types say no as well: where mypy finds no fault, the comment is one.
    writeFileSync(
      join(folder.path, 'wrong.py'),
      [
        'from headway_worker.sync import connect_reporter',
        '',
        'reporter = connect_reporter("nats://127.0.0.1:4222")',
        'with reporter.job(1) as job:  # type: ignore[arg-type]',
        '    job.report(current=1, message=2)  # type: ignore[arg-type]',
        '    job.no_such_call()  # type: ignore[attr-defined]',
        '',
      ].join('\n'),
    );
    await python('-m', 'mypy', '--strict', '--no-incremental', ...files, 'wrong.py');
  });
});
