/**
 * nginx, HAProxy and Caddy as their users run them: with the files of deploy/proxies/, in which only texts of a short list
 * are replaced (ports, addresses, files, and what needs root). A text that a file does not hold is an error, so that
 * the list and the files stay together. docs/guides/proxies.md names the list.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectTls } from './certificates.js';
import { Child } from './child.js';
import { freePorts } from './free-ports.js';
import { waitFor } from './wait.js';
import { guardedFolder } from './watchdog.js';

export const PROXIES = ['nginx', 'haproxy', 'caddy'] as const;
export type ProxyName = (typeof PROXIES)[number];

export interface ReverseProxyOptions {
  /** The ports of two edges on this machine. */
  edges: readonly [number, number];
  /** A certificate for 127.0.0.1, and its key, as PEM. */
  cert: string;
  key: string;
  /** The authority that signed it. */
  ca: string;
  /** The idle timeout instead of the file's own, in seconds. */
  idleSeconds?: number;
}

/** Where `scripts/proxies.sh` has put the binaries. */
const BIN = process.env.HEADWAY_PROXIES ?? '';
const FILES: Readonly<Record<ProxyName, string>> = {
  nginx: 'nginx.conf',
  haproxy: 'haproxy.cfg',
  caddy: 'Caddyfile',
};

/** A file of deploy/proxies/ as it stands there. */
export async function proxyFile(name: ProxyName): Promise<string> {
  const url = new URL(`../../deploy/proxies/${FILES[name]}`, import.meta.url);
  return await readFile(fileURLToPath(url), 'utf8');
}

export interface ReverseProxy extends AsyncDisposable {
  readonly port: number;
  /** `https://127.0.0.1:<port>` */
  readonly https: string;
  /** `wss://127.0.0.1:<port>` */
  readonly wss: string;
  output(): string;
}

/** Starts one with its file of deploy/proxies/, and waits until it takes connections. */
export async function startReverseProxy(
  name: ProxyName,
  options: ReverseProxyOptions,
): Promise<ReverseProxy> {
  const [port = 0] = await freePorts(1);
  const folder = await guardedFolder(`headway-${name}`);
  const certFile = join(folder.path, 'fullchain.pem');
  const keyFile = join(folder.path, 'privkey.pem');
  const bothFile = join(folder.path, 'both.pem');
  await writeFile(certFile, options.cert);
  await writeFile(keyFile, options.key);
  await writeFile(bothFile, `${options.cert}\n${options.key}`);
  const place = { port, folder: folder.path, certFile, keyFile, bothFile };
  const text = replaced(name, await proxyFile(name), [
    ...replacements(name, place),
    ['10.0.0.11:8080', `127.0.0.1:${options.edges[0]}`],
    ['10.0.0.12:8080', `127.0.0.1:${options.edges[1]}`],
    ['headway.example.com', '127.0.0.1'],
    ...(options.idleSeconds === undefined || name === 'caddy'
      ? []
      : ([['75s', `${options.idleSeconds}s`]] as const)),
  ]);
  const child = await spawnProxy(name, folder.path, text);
  const close = async (): Promise<void> => {
    await child.kill();
    await folder.remove();
  };
  try {
    await waitFor(() => connectTls(port, options.ca), {
      what: `${name} to take connections`,
      giveUp: () => child.giveUp(),
    });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    port,
    https: `https://127.0.0.1:${port}`,
    wss: `wss://127.0.0.1:${port}`,
    output: () => child.output(),
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Starts nginx with a server of these lines and nothing else, without TLS; returns its port.
 * @param lines what is in its `server` block beside `listen`
 */
export async function startPlainNginx(lines: string): Promise<{ port: number } & AsyncDisposable> {
  const [port = 0] = await freePorts(1);
  const folder = await guardedFolder('headway-nginx');
  const server = `server { listen 127.0.0.1:${port}; ${lines} }`;
  const text = `events {} http { access_log off; ${nginxFolders(folder.path)} ${server} }`;
  const child = await spawnProxy('nginx', folder.path, text);
  await waitFor(() => fetch(`http://127.0.0.1:${port}/`), {
    what: 'nginx',
    giveUp: () => child.giveUp(),
  });
  const close = async (): Promise<void> => {
    await child.kill();
    await folder.remove();
  };
  return { port, [Symbol.asyncDispose]: close };
}

/** Which nginx it is, such as [1, 22, 1]. */
export async function nginxVersion(): Promise<number[]> {
  const child = await Child.spawn('nginx', binary('nginx'), ['-v']);
  await child.exited;
  return (/nginx\/([\d.]+)/.exec(child.output())?.[1] ?? '').split('.').map(Number);
}

type Replacement = readonly [text: string, by: string];

function replaced(name: string, text: string, list: readonly Replacement[]): string {
  return list.reduce((made, [old, by]) => {
    if (!made.includes(old)) throw new Error(`the file of ${name} does not hold ${JSON.stringify(old)}`);
    return made.replaceAll(old, by);
  }, text);
}

interface Place {
  port: number;
  folder: string;
  certFile: string;
  keyFile: string;
  bothFile: string;
}

function replacements(name: ProxyName, { port, folder, certFile, keyFile, bothFile }: Place): Replacement[] {
  const files: Replacement[] = [
    ['/etc/headway/tls/fullchain.pem', certFile],
    ['/etc/headway/tls/privkey.pem', keyFile],
  ];
  switch (name) {
    case 'nginx':
      return [
        ...files,
        ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
        ['/var/log/nginx/headway.log', join(folder, 'access.log')],
        ['http {', `http { ${nginxFolders(folder)}`],
      ];
    case 'haproxy':
      return [
        ['bind :443 ssl', `bind 127.0.0.1:${port} ssl`],
        ['/etc/headway/tls/headway.pem', bothFile],
        ['  user haproxy\n  group haproxy\n', ''],
      ];
    case 'caddy':
      return [
        ...files,
        ['https://headway.example.com {', `https://headway.example.com:${port} {\n\tbind 127.0.0.1`],
        // The port of plain HTTP is not ours.
        ['admin off', 'admin off\n\tauto_https disable_redirects'],
      ];
  }
}

const nginxFolders = (folder: string): string =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((what) => `${what}_temp_path ${join(folder, what)};`)
    .join(' ');

function binary(name: ProxyName): string {
  if (BIN === '') throw new Error('HEADWAY_PROXIES is not set: run `make test-proxies`');
  return join(BIN, name);
}

async function spawnProxy(name: ProxyName, folder: string, text: string): Promise<Child> {
  const file = join(folder, FILES[name]);
  await writeFile(file, text);
  const env = { PATH: process.env.PATH, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  switch (name) {
    case 'nginx': {
      // One process, so that nothing of it outlives the one that we know.
      const global = `daemon off; master_process off; pid ${join(folder, 'pid')}; error_log stderr warn;`;
      return await Child.spawn(name, binary(name), ['-p', folder, '-c', file, '-g', global], env);
    }
    case 'haproxy':
      return await Child.spawn(name, binary(name), ['-db', '-f', file], env);
    case 'caddy':
      return await Child.spawn(name, binary(name), ['run', '--adapter', 'caddyfile', '--config', file], env);
  }
}
