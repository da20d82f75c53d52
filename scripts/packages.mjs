/**
 * Writes what authors of workers install to dist/packages/: a tarball of each npm workspace, and a wheel of sdk/python.
 * Each has its README and the licence in it. The same sources make the same bytes. `make packages`
 *
 * Needs the npm packages in node_modules/. The wheel needs Python 3.10 or newer with its venv module, and once a registry
 * that pip can reach (setuptools, about 1.2 MB, into .tools/python-build); without them it is left out, and a line says why.
 *
 * How the tarballs are made: docs/decisions/0025-packages.md
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OUT = join(ROOT, 'dist/packages');
const VENV = join(ROOT, '.tools/python-build');
const SETUPTOOLS = 'setuptools>=77,<81';
/** 1985-10-26T08:15:00Z, the time of all files in npm's tarballs as well. */
const SOURCE_DATE_EPOCH = '499162500';

const say = (line) => process.stdout.write(`${line}\n`);
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** What ends the script with one line instead of a stack. */
class CannotPackError extends Error {}

function run(program, options, { cwd = ROOT, env = {} } = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, options, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  if (status === 0) return stdout;
  throw new CannotPackError(
    `${program} ${options[0]} fails: ${error?.message ?? (stderr.trim() || stdout.trim())}`,
  );
}

/**
 * JavaScript with all that a package needs but its dependencies, and source maps that hold the sources: a file for each
 * entry, and one for each part that is loaded when it is needed.
 */
async function bundle(entries, dependencies, folder) {
  const isDependency = (name) =>
    name.startsWith('node:') || dependencies.some((known) => name === known || name.startsWith(`${known}/`));
  const build = await rolldown({
    input: entries,
    platform: 'neutral',
    external: (name) => !name.startsWith('.') && !name.startsWith('/'),
  });
  const { output } = await build.write({
    dir: folder,
    format: 'esm',
    // Comments are in the sources, which the map holds.
    comments: false,
    sourcemap: true,
    sourcemapPathTransform: (source, map) => `../${relative(ROOT, join(dirname(map), source))}`,
    chunkFileNames: '[name].js',
  });
  await build.close();
  const written = new Set(output.map(({ fileName }) => fileName));
  for (const { fileName, imports = [], dynamicImports = [] } of output) {
    for (const name of [...imports, ...dynamicImports]) {
      if (isDependency(name) || written.has(name)) continue;
      throw new CannotPackError(
        `${fileName} of ${folder} needs ${name}, which its package.json does not name`,
      );
    }
  }
}

/** The sources of what a package exports, by the names of their files in dist/. */
function entriesOf(source, { exports }) {
  const files = Object.values(exports).flatMap((one) => (one.default === undefined ? [] : [one.default]));
  return Object.fromEntries(
    files.map((file) => {
      const name = basename(file, '.js');
      return [name, join(source, `${name}.ts`)];
    }),
  );
}

/** The declarations that an entry leads to. The others are of no use to anybody outside. */
function copyDeclarations(from, to, file, seen = new Set()) {
  if (seen.has(file)) return;
  seen.add(file);
  mkdirSync(dirname(join(to, file)), { recursive: true });
  cpSync(join(from, file), join(to, file));
  for (const [, imported] of readFileSync(join(from, file), 'utf8').matchAll(
    /(?:\bfrom |\bimport\(|\bimport )['"](\.[^'"]+)\.js['"]/g,
  )) {
    copyDeclarations(from, to, join(dirname(file), `${imported}.d.ts`), seen);
  }
}

async function packWorkspace(workspace, version, scratch) {
  const source = join(ROOT, workspace);
  const manifest = readJson(join(source, 'package.json'));
  checkVersion(`${workspace}/package.json`, manifest.version, version);
  const stage = join(scratch, workspace);
  mkdirSync(stage, { recursive: true });
  // `private`: what is beside the sources has no dist/, and must not be published by mistake.
  const { private: _private, ...published } = manifest;
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  cpSync(join(source, 'README.md'), join(stage, 'README.md'));
  cpSync(join(ROOT, 'LICENSE'), join(stage, 'LICENSE'));
  const entries = entriesOf(source, manifest);
  const known = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  await bundle(entries, known, join(stage, 'dist'));
  const declared = join(scratch, 'types', workspace);
  run(process.execPath, [
    join(ROOT, 'node_modules/typescript/lib/tsc.js'),
    ...['-p', join(source, 'tsconfig.package.json'), '--outDir', declared],
  ]);
  for (const name of Object.keys(entries))
    copyDeclarations(declared, join(stage, 'dist/types'), join(workspace, `${name}.d.ts`));
  const packed = run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', OUT], {
    cwd: stage,
  });
  const [{ filename }] = Object.values(JSON.parse(packed));
  return filename;
}

function checkVersion(file, version, wanted) {
  if (version !== wanted)
    throw new CannotPackError(`${file} has version ${version}; package.json has ${wanted}`);
}

/** Sees to it that a wheel can be built. @returns why there can be none on this machine; null: there can */
function preparePython() {
  const isNew = [
    '-c',
    'import sys; print(sys.version, sys.executable); sys.exit(sys.version_info < (3, 10))',
  ];
  const python = spawnSync('python3', isNew, { encoding: 'utf8' });
  if (python.error !== undefined) return 'there is no python3 on this machine';
  if (python.status !== 0) return 'python3 is older than 3.10';
  const mark = join(VENV, '.installed');
  const wanted = `${python.stdout}${SETUPTOOLS}\n`;
  if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return null;
  rmSync(VENV, { recursive: true, force: true });
  say('== downloading setuptools (about 1.2 MB) into .tools/python-build');
  try {
    run('python3', ['-m', 'venv', VENV]);
    run(join(VENV, 'bin/python'), [
      ...['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input'],
      ...['--retries', '1', '--timeout', '15', SETUPTOOLS],
    ]);
  } catch (error) {
    if (!(error instanceof CannotPackError)) throw error;
    return error.message.split('\n').findLast((line) => line.trim() !== '');
  }
  writeFileSync(mark, wanted);
  return null;
}

// Nobody can follow a link to a file of the repository from a package.
const withoutRelativeLinks = (markdown) =>
  markdown.replace(/\[([^\]]+)\]\(((?:\.\.\/)+)([^)#]+)(#[^)]*)?\)/g, (_link, text, _up, file) =>
    file === 'README.md' || file.includes(text) ? text : `${text} (\`${file}\` in Headway's repository)`,
  );

function buildWheel(version, scratch) {
  const source = join(ROOT, 'sdk/python');
  const project = readFileSync(join(source, 'pyproject.toml'), 'utf8');
  checkVersion('sdk/python/pyproject.toml', /^version = "(.+)"$/m.exec(project)?.[1], version);
  // In a copy: setuptools leaves files beside the sources.
  const stage = join(scratch, 'sdk/python');
  cpSync(join(source, 'headway_worker'), join(stage, 'headway_worker'), {
    recursive: true,
    filter: (file) => !file.includes('__pycache__'),
  });
  writeFileSync(join(stage, 'pyproject.toml'), project);
  writeFileSync(
    join(stage, 'README.md'),
    withoutRelativeLinks(readFileSync(join(source, 'README.md'), 'utf8')),
  );
  cpSync(join(ROOT, 'LICENSE'), join(stage, 'LICENSE'));
  run(
    join(VENV, 'bin/python'),
    [
      ...['-m', 'pip', 'wheel', '--quiet', '--disable-pip-version-check', '--no-input'],
      ...['--no-index', '--no-deps', '--no-build-isolation', '--wheel-dir', OUT, stage],
    ],
    { env: { SOURCE_DATE_EPOCH } },
  );
  return `headway_worker-${version}-py3-none-any.whl`;
}

const { version, workspaces } = readJson(join(ROOT, 'package.json'));
const scratch = mkdtempSync(join(tmpdir(), 'headway-packages-'));
try {
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  const files = [];
  for (const workspace of workspaces) files.push(await packWorkspace(workspace, version, scratch));
  const obstacle = preparePython();
  if (obstacle === null) files.push(buildWheel(version, scratch));
  else say(`packages: the wheel is left out: ${obstacle}`);
  for (const file of files)
    say(`dist/packages/${file}  ${(statSync(join(OUT, file)).size / 1_000).toFixed(1)} kB`);
} catch (error) {
  if (!(error instanceof CannotPackError)) throw error;
  process.stderr.write(`packages: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
