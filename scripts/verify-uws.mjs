/**
 * Compares each file that is loaded of the package of uWebSockets.js with the SHA-256 that uws-binaries.json holds for it. A
 * native binary runs with all rights of the edge, so no byte of it may be another one, whoever changed it: the registry,
 * a mirror, a cache, or somebody on this machine. Why there is a table: docs/decisions/0023-digests-of-the-binaries.md
 *
 *   node scripts/verify-uws.mjs [folder that holds node_modules]    1 and one paragraph on standard error when it differs
 *   node scripts/verify-uws.mjs --print [folder]                    the entry of what is installed, for a new version
 *
 * Needs Node and nothing else: it runs before anything that was installed.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const TABLE = fileURLToPath(new URL('uws-binaries.json', import.meta.url));
/** What Node loads, or is told by what to load. */
const CODE = /\.(?:node|[cm]?js|json)$/;

class NotAsRecorded extends Error {}

const arguments_ = process.argv.slice(2);
const isPrint = arguments_[0] === '--print';
const root = resolve(arguments_[isPrint ? 1 : 0] ?? fileURLToPath(new URL('..', import.meta.url)));
const table = JSON.parse(readFileSync(TABLE, 'utf8'));

/** The SHA-256 of each file of code, by its path in the package. Links to folders are not followed: what is behind them is missing. */
function digestsOf(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => CODE.test(entry.name) && !entry.isDirectory())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    )
    .toSorted();
  return new Map(
    files.map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(join(folder, file)))
        .digest('hex'),
    ]),
  );
}

function installed(alias) {
  const folder = join(root, 'node_modules', alias);
  try {
    const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return { folder, id: `${name}@${version}` };
  } catch (error) {
    throw new NotAsRecorded(`${folder} cannot be read (${error.code ?? error.message}).`);
  }
}

/** @returns how many files are as the table says */
function verify(alias) {
  const { folder, id } = installed(alias);
  const entry = table.packages[id];
  if (entry === undefined) {
    const known = Object.keys(table.packages).join(', ');
    throw new NotAsRecorded(`${folder} is ${id}, and the table holds no digests for it (it has ${known}).`);
  }
  const wanted = new Map(Object.entries(entry.sha256));
  const found = digestsOf(folder);
  for (const [file, digest] of found) {
    if (!wanted.has(file)) throw new NotAsRecorded(`${join(folder, file)} is not a file of ${id}.`);
    if (wanted.get(file) !== digest) {
      throw new NotAsRecorded(
        `${join(folder, file)} is not the file of ${id}: its SHA-256 is ${digest}, not ${wanted.get(file)}.`,
      );
    }
  }
  for (const file of wanted.keys()) {
    if (!found.has(file)) throw new NotAsRecorded(`${join(folder, file)}, a file of ${id}, is missing.`);
  }
  return found.size;
}

function main() {
  // The aliases that package.json installs, so that a new one cannot be forgotten here.
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const all = { ...manifest.dependencies, ...manifest.optionalDependencies };
  const aliases = Object.keys(all).filter((name) => /uws|uwebsockets/i.test(`${name} ${all[name]}`));
  if (aliases.length === 0) throw new NotAsRecorded(`${join(root, 'package.json')} names no uWebSockets.js.`);
  if (isPrint) {
    for (const { folder, id } of aliases.map(installed)) {
      const sha256 = Object.fromEntries(digestsOf(folder));
      process.stdout.write(
        `${JSON.stringify({ [id]: { integrity: '', provenance: '', sha256 } }, null, 2)}\n`,
      );
    }
    return;
  }
  for (const alias of aliases) verify(alias);
}

try {
  main();
} catch (error) {
  if (!(error instanceof NotAsRecorded)) throw error;
  process.stderr.write(
    `The WebSocket library is not the one that was checked: ${error.message} Do not start an edge with it. Remove \
node_modules and npm's cache ("npm cache clean --force"), install again, and if it is the same then, tell the \
maintainers (SECURITY.md). After an upgrade of the package: docs/decisions/0023-digests-of-the-binaries.md\n`,
  );
  process.exitCode = 1;
}
