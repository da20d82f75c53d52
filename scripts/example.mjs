/**
 * Starts one of examples/: NATS, an edge, and the example's own server, until Ctrl-C or until one of them ends.
 *
 *   node scripts/example.mjs fastapi        what `make example-fastapi` calls
 *   PORT=8000 EDGE_PORT=8080                where the example and the edge listen; 0 takes a free port
 *   NATS_URL=nats://user:pass@host:4222     uses this server instead of one of its own
 *   NATS_CREDS=service.creds                the credentials file for that server, of the edge and of the example
 *
 * Needs a build in dist/, what `make packages` writes, and a nats-server unless NATS_URL is set. What the example needs
 * is installed into its own folder.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Child } from '../dist/demo/child.js';
import { DemoError } from '../dist/demo/errors.js';
import { openNats } from '../dist/demo/nats.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const EXAMPLES = join(ROOT, 'examples');
const PACKAGES = join(ROOT, 'dist/packages');
const START_WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 50;

/** What ends the script with one line instead of a stack. */
class CannotStartError extends Error {}

const say = (line) => process.stdout.write(`${line}\n`);

function run(program, options, cwd) {
  const { status, error } = spawnSync(program, options, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0)
    throw new CannotStartError(
      `${program} ${options[0]} failed: ${error?.message ?? `it ended with ${status}`}`,
    );
}

function packed(name, ending) {
  const file = existsSync(PACKAGES)
    ? readdirSync(PACKAGES).find((one) => one.startsWith(name) && one.endsWith(ending))
    : undefined;
  if (file === undefined) throw new CannotStartError(`dist/packages/ has no ${name}: run \`make packages\``);
  return join(PACKAGES, file);
}

/** Installs once, and again when one of these files is newer. */
function installOnce(folder, files, install) {
  const mark = join(folder, '.installed');
  if (existsSync(mark) && files.every((file) => statSync(file).mtimeMs <= statSync(mark).mtimeMs)) return;
  install();
  writeFileSync(mark, '');
}

function npmInstall(name) {
  const folder = join(EXAMPLES, name);
  const ours = ['headway-client', 'headway-react', 'headway-worker'].map((one) => packed(one, '.tgz'));
  const modules = join(folder, 'node_modules');
  mkdirSync(modules, { recursive: true });
  installOnce(modules, [join(folder, 'package.json'), ...ours], () => {
    say(`== npm install in examples/${name}`);
    // npm does not look again at a tarball whose version it has.
    rmSync(join(modules, '@headway'), { recursive: true, force: true });
    run(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'],
      folder,
    );
  });
  return folder;
}

function pipInstall() {
  const folder = join(EXAMPLES, 'fastapi');
  const venv = join(folder, '.venv');
  const wheel = packed('headway_worker', '.whl');
  const client = packed('headway-client', '.tgz');
  const requirements = join(folder, 'requirements.txt');
  mkdirSync(venv, { recursive: true });
  installOnce(venv, [requirements, wheel, client], () => {
    say('== pip install in examples/fastapi (about 15 MB to download)');
    run('python3', ['-m', 'venv', '--clear', venv], folder);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input'];
    run(join(venv, 'bin/python'), [...pip, '--requirement', requirements, wheel], folder);
    // A page without a bundler imports the files of the package as they are.
    const files = join(folder, 'page/headway');
    rmSync(files, { recursive: true, force: true });
    mkdirSync(files);
    run('tar', ['-xzf', client, '-C', files, '--strip-components=2', 'package/dist'], folder);
  });
  return { folder, python: join(venv, 'bin/python') };
}

/** Each installs what it needs, and says how to start it. People find it at the first port; the second is free. */
const KNOWN = {
  fastapi() {
    const { folder, python } = pipInstall();
    const options = ['-m', 'uvicorn', 'app:app', '--app-dir', folder, '--host', '127.0.0.1', '--port'];
    return {
      // The shortest way: open to whoever reaches the port of this machine.
      auth: 'none',
      commands: (port) => [{ name: 'fastapi', command: [python, ...options, String(port)] }],
    };
  },
  express() {
    const server = join(npmInstall('express'), 'server.js');
    return {
      auth: 'jwt',
      commands: (port) => [
        { name: 'express', command: [process.execPath, server], env: { PORT: String(port) } },
      ],
    };
  },
  react() {
    const server = join(npmInstall('express'), 'server.js');
    const folder = npmInstall('react');
    const vite = [join(folder, 'node_modules/.bin/vite'), folder, '--host', '127.0.0.1', '--strictPort'];
    return {
      auth: 'jwt',
      commands: (port, spare) => [
        { name: 'express', command: [process.execPath, server], env: { PORT: String(spare) } },
        {
          name: 'react',
          command: [...vite, '--port', String(port)],
          env: { API_URL: `http://127.0.0.1:${spare}` },
        },
      ],
    };
  },
};

/** Opened one after the other, closed in the opposite order. */
const resources = [];
const ending = new AbortController();
let closing = null;

function end(code) {
  ending.abort(new CannotStartError('stopped'));
  closing ??= (async () => {
    for (const one of resources.reverse()) await one[Symbol.asyncDispose]();
    process.exitCode = code;
  })();
  return closing;
}

function fail(message) {
  if (closing === null) process.stderr.write(`example: ${message}\n`);
  return end(1);
}

async function start(name, [command, ...args], env) {
  const onLine = process.env.VERBOSE ? (line) => say(`${name}: ${line}`) : undefined;
  const child = await Child.start({ command, args, env: { ...process.env, ...env }, onLine }, ending.signal);
  resources.push(child);
  void child.exited.then((code) => {
    if (!child.isStopping)
      void fail(`${name} ended with code ${code}\n${child.lastLines().slice(-10).join('\n')}`);
  });
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function portOf(name, standard) {
  const text = process.env[name] || String(standard);
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new CannotStartError(`${name} is "${text}"; expected a port from 0 to 65535`);
  return Number(text) || (await freePort());
}

async function untilAnswers(url) {
  const deadline = performance.now() + START_WITHIN_MS;
  while (performance.now() < deadline) {
    const answer = await fetch(url, { signal: ending.signal }).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.ok) return;
    await sleep(LOOK_EVERY_MS, undefined, { signal: ending.signal });
  }
  throw new CannotStartError(`${url} did not answer within ${START_WITHIN_MS / 1000} s`);
}

async function main() {
  const [name, ...others] = process.argv.slice(2);
  if (name === undefined || !Object.hasOwn(KNOWN, name) || others.length > 0)
    throw new CannotStartError(`expected the name of an example: ${Object.keys(KNOWN).join(', ')}`);
  const { auth, commands } = KNOWN[name]();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void end(0));

  const port = await portOf('PORT', 8000);
  const edgePort = await portOf('EDGE_PORT', 8080);
  const { NATS_URL, NATS_CREDS, NATS_SERVER_BIN } = process.env;
  const wanted = { natsUrl: NATS_URL || undefined, natsCreds: NATS_CREDS || undefined };
  const nats = await openNats(
    { ...wanted, natsServer: NATS_SERVER_BIN || undefined },
    ending.signal,
    ({ message }) => void fail(message),
  );
  resources.push(nats);
  const shared = {
    NATS_URL: nats.url,
    // What is set for another server is not meant for one of our own.
    NATS_CREDS: nats.credsFile,
    ...(!NATS_URL && { NATS_NKEY: undefined, NATS_CA: undefined, NATS_CERT: undefined, NATS_KEY: undefined }),
    EDGE_URL: `http://127.0.0.1:${edgePort}`,
    ...(auth === 'jwt' && { HEADWAY_JWT_SECRET: randomBytes(32).toString('base64url') }),
  };
  await start('edge', [process.execPath, join(ROOT, 'dist/cmd/edge.js')], {
    ...shared,
    HEADWAY_HOST: '127.0.0.1',
    HEADWAY_PORT: String(edgePort),
    HEADWAY_AUTH: auth,
    // Page and edge are two origins, so the edge has to know the page's.
    HEADWAY_ALLOWED_ORIGINS: `http://127.0.0.1:${port},http://localhost:${port}`,
  });
  await untilAnswers(`${shared.EDGE_URL}/readyz`);
  for (const { name: of, command, env } of commands(port, await freePort()))
    await start(of, command, { ...shared, ...env });
  await untilAnswers(`http://127.0.0.1:${port}/`);
  say(`Open http://127.0.0.1:${port}/ (the edge is at ${shared.EDGE_URL}; Ctrl-C ends all of it)`);
}

try {
  await main();
} catch (error) {
  if (error instanceof CannotStartError || error instanceof DemoError) await fail(error.message);
  else {
    await end(1);
    throw error;
  }
}
