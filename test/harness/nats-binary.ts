/** Which nats-server the tests run against. */
import { execFile } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface NatsBinary {
  path: string;
  version: string;
}

export interface BinarySearch {
  /** The environment: NATS_SERVER_BIN and PATH are read from it. */
  env: { NATS_SERVER_BIN?: string | undefined; PATH?: string | undefined };
  /** Where `make setup` installs: `<toolsFolder>/<version>/nats-server`. */
  toolsFolder: string;
}

const OLDEST = '2.10';
const run = promisify(execFile);
let found: Promise<NatsBinary> | undefined;

/** The binary of this run, looked up once. */
export function natsBinary(): Promise<NatsBinary> {
  found ??= findNatsBinary({
    env: process.env,
    toolsFolder: fileURLToPath(new URL('../../.tools/nats', import.meta.url)),
  });
  return found;
}

/**
 * NATS_SERVER_BIN if it is set (then nothing else), else the first `nats-server` on PATH, else the newest that
 * `make setup` installed. One on PATH that is too old is passed over.
 */
export async function findNatsBinary({ env, toolsFolder }: BinarySearch): Promise<NatsBinary> {
  if (env.NATS_SERVER_BIN) {
    const chosen = await inspect(env.NATS_SERVER_BIN);
    if (typeof chosen === 'string') throw new Error(`NATS_SERVER_BIN=${env.NATS_SERVER_BIN}: ${chosen}`);
    return chosen;
  }
  const onPath = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = [...onPath, ...installed(toolsFolder)].map((folder) => join(folder, 'nats-server'));
  const refused: string[] = [];
  for (const path of candidates.filter(isExecutable)) {
    const candidate = await inspect(path);
    if (typeof candidate !== 'string') return candidate;
    refused.push(`${path}: ${candidate}`);
  }
  const passedOver = refused.length > 0 ? ` Passed over: ${refused.join('; ')}.` : '';
  throw new Error(
    `The tests need nats-server ${OLDEST} or newer: run \`make setup\`, put it on PATH, or set NATS_SERVER_BIN.${passedOver}`,
  );
}

/** Negative, zero or positive, as for `sort`: 2.9.1 < 2.10.0 < 2.10.27. */
export function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** The binary with its version, or what is wrong with it. */
async function inspect(path: string): Promise<NatsBinary | string> {
  let answer: string;
  try {
    answer = (await run(path, ['--version'], { timeout: 10_000 })).stdout;
  } catch (error) {
    return `cannot be run (${error instanceof Error ? error.message.trim() : String(error)})`;
  }
  const version = /v?(\d+\.\d+\.\d+\S*)/.exec(answer)?.[1];
  if (version === undefined) return `does not say its version, but "${answer.trim()}"`;
  if (compareVersions(version, OLDEST) < 0)
    return `is version ${version}, and ${OLDEST} is the oldest that works`;
  return { path, version };
}

function installed(toolsFolder: string): string[] {
  try {
    const versions = readdirSync(toolsFolder).sort(compareVersions).reverse();
    return versions.map((version) => join(toolsFolder, version));
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
