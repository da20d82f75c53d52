import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const IMPORTS = 'lint/style/noRestrictedImports';
const GLOBALS = 'lint/style/noRestrictedGlobals';

/** What the files of each folder may import of the others. What is not here is refused. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  schemas: [],
  internal: [],
  'internal/pem': [],
  'internal/eventlog': ['schemas'],
  'internal/session': ['schemas', 'internal/eventlog'],
  'internal/doctor': ['schemas', 'internal/eventlog'],
  'internal/auth': ['schemas', 'internal/eventlog'],
  'internal/jetstream': ['schemas', 'internal', 'internal/pem', 'internal/eventlog', 'internal/session'],
  'internal/edge': [
    'schemas',
    'internal',
    'internal/pem',
    'internal/eventlog',
    'internal/session',
    'internal/auth',
  ],
  'internal/liveness': ['schemas', 'internal/eventlog'],
  'internal/telemetry': ['schemas'],
  'internal/app': [
    'schemas',
    'internal',
    'internal/eventlog',
    'internal/session',
    'internal/auth',
    'internal/jetstream',
    'internal/edge',
    'internal/liveness',
    'internal/telemetry',
  ],
  'internal/cli/runtime': ['schemas', 'internal', 'internal/jetstream'],
  'internal/cli/reads': [
    'schemas',
    'internal',
    'internal/jetstream',
    'internal/eventlog',
    'internal/cli/runtime',
  ],
  'internal/cli/flags': [
    'schemas',
    'internal',
    'internal/jetstream',
    'internal/cli/runtime',
    'internal/cli/reads',
    'internal/cli/output',
  ],
  'internal/cli/output': ['schemas', 'internal/cli/runtime', 'internal/cli/reads', 'internal/cli/flags'],
  'internal/cli/commands/get': [
    'schemas',
    'internal',
    'internal/eventlog',
    'internal/session',
    'internal/auth',
    'internal/jetstream',
    'internal/edge',
    'internal/liveness',
    'internal/doctor',
    'internal/telemetry',
    'internal/app',
    'internal/cli/runtime',
    'internal/cli/reads',
    'internal/cli/flags',
    'internal/cli/output',
  ],
  cmd: ['schemas', 'internal', 'internal/app', 'internal/telemetry', 'internal/cli/runtime', 'demo'],
  demo: ['schemas', 'internal', 'internal/jetstream', 'sdk/client', 'sdk/worker'],
  'sdk/worker': ['schemas'],
};

/** What of the packages and of Node the files of each folder may import. */
const PACKAGES: Record<string, readonly string[]> = {
  schemas: ['@sinclair/typebox', '@sinclair/typebox/compiler', 'node:fs'],
  internal: [],
  'internal/pem': ['node:crypto'],
  'internal/eventlog': [],
  'internal/session': [],
  'internal/doctor': [],
  'internal/auth': ['jose'],
  'internal/jetstream': ['nats', 'node:fs/promises', 'node:tls', 'p-limit', 'p-retry'],
  'internal/edge': [
    'uWebSockets.js',
    'uWebSockets.js-node24',
    'ipaddr.js',
    'node:net',
    'node:crypto',
    'node:fs',
  ],
  'internal/liveness': ['nats', 'p-limit', 'p-retry'],
  'internal/telemetry': ['pino', 'prom-client'],
  'internal/app': ['nats', 'node:crypto', 'node:timers/promises'],
  'internal/cli/runtime': ['nats', 'commander', 'node:readline'],
  'internal/cli/reads': ['nats', 'node:timers/promises'],
  'internal/cli/flags': ['commander', 'node:util'],
  'internal/cli/output': ['commander', 'string-width', 'wrap-ansi', 'yaml', 'node:util'],
  'internal/cli/commands/get': ['nats', 'commander', 'node:fs'],
  cmd: ['node:os', 'node:crypto'],
  demo: ['nats', 'ws', 'p-limit', 'p-retry', 'pino-pretty', 'node:child_process'],
  'sdk/worker': ['nats', 'node:crypto'],
};
/** These do I/O, so all of Node is theirs. */
const NODE_USERS = [
  'internal/jetstream',
  'internal/edge',
  'internal/app',
  'internal/cli',
  'cmd',
  'demo',
  'sdk/worker',
];

function allowsNode(folder: string, name: string): boolean {
  return name.startsWith('node:') && NODE_USERS.some((user) => folder.startsWith(user));
}

const SOME_PACKAGES = [
  'nats',
  'uWebSockets.js',
  'uWebSockets.js-node24',
  'ipaddr.js',
  'pino',
  'ws',
  'node:fs',
  'node:timers/promises',
  'vitest',
];

const FOLDERS = Object.keys(MAY_IMPORT);
/** Folders that no file of these may import, unless it is said above. */
const ABOVE = ['sdk/client', 'web', 'test/harness', 'bench'];

const fileOf = (folder: string) => (folder === 'internal' ? 'internal/errors.js' : `${folder}/some-file.js`);
const statement = (from: string, to: string) => {
  const path = relative(from, fileOf(to));
  return `import '${path.startsWith('.') ? path : `./${path}`}';`;
};

const isAllowed = (from: string, to: string) => MAY_IMPORT[from]?.includes(to) ?? false;
const others = (folder: string) => FOLDERS.filter((other) => other !== folder);

/** A file of a folder, and a statement in it that is refused. */
const FORBIDDEN: [folder: string, statement: string, rule?: string][] = [
  ...FOLDERS.flatMap((from) =>
    [...others(from), ...ABOVE]
      .filter((to) => !isAllowed(from, to))
      .map((to): [string, string] => [from, statement(from, to)]),
  ),
  ...FOLDERS.flatMap((from) =>
    SOME_PACKAGES.filter((name) => !PACKAGES[from]?.includes(name) && !allowsNode(from, name)).map(
      (name): [string, string] => [from, `import '${name}';`],
    ),
  ),
  // However it is written, and however deep the file lies.
  ['internal/eventlog', "import type { JsMsg } from 'nats';"],
  ['internal/eventlog', "export { connect } from 'nats';"],
  ['internal/eventlog', "export * from '../session/hub.js';"],
  ['internal/eventlog', "export const library = await import('nats');"],
  ['internal/eventlog', "import '../../internal/session/hub.js';"],
  ['internal/eventlog/deeper', "import '../../session/hub.js';"],
  // The pure folders are given time, chance and sockets.
  ['internal/eventlog', "import '../async.js';"],
  ['internal/session', "import '../async.js';"],
  ['internal/doctor', "import '../async.js';"],
  ['internal/eventlog', 'export const now = Date.now();', GLOBALS],
  ['internal/eventlog', 'export const now = new Date();', GLOBALS],
  ['internal/eventlog', 'export const now = performance.now();', GLOBALS],
  ['internal/eventlog', 'export const timer = setTimeout(() => {}, 1);', GLOBALS],
  ['internal/eventlog', 'export const timer = setInterval(() => {}, 1);', GLOBALS],
  ['internal/eventlog', 'export const turn = setImmediate(() => {});', GLOBALS],
  ['internal/eventlog', 'export const environment = process.env;', GLOBALS],
  ['internal/eventlog', "export const bytes = Buffer.from('');", GLOBALS],
  ['internal/eventlog', 'export const id = crypto.randomUUID();', GLOBALS],
  ['internal/eventlog', "export const answer = fetch('http://a');", GLOBALS],
  ['internal/session', 'export const now = Date.now();', GLOBALS],
  ['internal/session', 'export const timer = setTimeout(() => {}, 1);', GLOBALS],
  ['internal/doctor', 'export const now = Date.now();', GLOBALS],
  ['cmd', "export const library = await import('uWebSockets.js');"],
  ['sdk/client', "import '../../internal/session/hub.js';"],
  ['sdk/worker', "import type { Scope } from '../../internal/eventlog/record.js';"],
  ['sdk/worker', "import '../../internal/app/edge.js';"],
  // TypeBox is not in the worker's package.
  ['sdk/worker', "import { Type } from '@sinclair/typebox';"],
  ['sdk/worker', "import { Event } from '../../schemas/event.js';"],
  ['sdk/worker', "import type { ServerFrame } from '../../schemas/frames.js';"],
  // Nor in that of a page, which has no packages at all.
  ['sdk/client', "import type { ServerFrame } from '../../schemas/frames.js';"],
  ['sdk/client', "import { Type } from '@sinclair/typebox';"],
  ['sdk/client', "import 'nats';"],
  ['sdk/client', "import 'node:events';"],
  ['sdk/client', "import '../react/index.js';"],
  ['sdk/react', "import '../client/connection.js';"],
  ['sdk/react', "import '../../schemas/frames.generated.js';"],
  ['sdk/react', "import 'react-dom';"],
  ['sdk/react', "import 'uWebSockets.js';"],
  ['sdk/react', "import 'uWebSockets.js-node24';"],
  ['web', "import '../internal/eventlog/log.js';"],
  ['web/ui', "import '../../internal/eventlog/log.js';"],
  ['web/ui', "import '../../sdk/client/connection.js';"],
  ['web/ui', "import '../../schemas/frames.js';"],
  ['web/ui', "import 'react';"],
  ['web/store', "import 'nats';"],
  // What is pure draws nothing, and has no clock.
  ['web/model', "import 'preact';"],
  ['web/model', "import '../store/store.js';"],
  ['web/model', 'export const title = document.title;', GLOBALS],
  ['web/model', 'export const timer = setTimeout(() => {}, 1);', GLOBALS],
];

const ALLOWED: [folder: string, statement: string][] = [
  ...FOLDERS.flatMap((from) =>
    (MAY_IMPORT[from] ?? []).map((to): [string, string] => [from, statement(from, to)]),
  ),
  ...FOLDERS.flatMap((from) =>
    (PACKAGES[from] ?? []).map((name): [string, string] => [from, `import '${name}';`]),
  ),
  ...FOLDERS.map((from): [string, string] => [from, "import './beside-it.js';"]),
  ['internal/jetstream', 'export const now = Date.now();'],
  ...['internal/jetstream', 'internal/edge', 'internal/app', 'internal/cli/commands/get', 'demo'].map(
    (from): [string, string] => [from, `import '${relative(from, 'internal/async.js')}';`],
  ),
  // What an error means is named once; that is all that it knows of JetStream.
  ['internal/liveness', "import '../jetstream/nats-errors.js';"],
  ['sdk/client', "import '../../schemas/frames.generated.js';"],
  ['sdk/client', "export const later = import('./beside-it.js');"],
  ['sdk/react', "import 'react';"],
  ['sdk/react', "import type { Job } from '../client/types.js';"],
  ['sdk/worker', "import '../../schemas/event-check.js';"],
  ['sdk/worker', "import '../../schemas/event.generated.js';"],
  ['web', "import '../sdk/client/index.js';"],
  ['web/ui', "import '../../sdk/client/index.js';"],
  ['web/ui', "import '../model/format.js';"],
  ['web/ui', "import { render } from 'preact';"],
  ['web/ui', "import 'uplot';"],
  ['web/model', "import type { Job } from '../../sdk/client/index.js';"],
  ['test/unit', "import '../../internal/eventlog/log.js';"],
  ['test/unit', "import '../../internal/app/edge.js';"],
];

interface Report {
  diagnostics: { severity: string; category: string; location: { path: string } }[];
}

let folder: string;
/** What the linter says of each file, by its path. */
const results = new Map<string, string[]>();

const pathOf = (kind: string, folder: string, index: number): string => `${folder}/${kind}-${index}.ts`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headway-import-rule-'));
  const config = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8')) as Record<string, unknown>;
  delete config.$schema;
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  write('biome.json', JSON.stringify({ ...config, vcs: { enabled: false } }));
  for (const [index, [folder, statement]] of FORBIDDEN.entries())
    write(pathOf('forbidden', folder, index), `${statement}\n`);
  for (const [index, [folder, statement]] of ALLOWED.entries())
    write(pathOf('allowed', folder, index), `${statement}\n`);
  const rules = ['--only=style/noRestrictedImports', '--only=style/noRestrictedGlobals'];
  const { stdout, stderr } = spawnSync(
    join(ROOT, 'node_modules/.bin/biome'),
    ['lint', '--colors=off', '--reporter=json', '--max-diagnostics=none', ...rules, '.'],
    { cwd: folder, encoding: 'utf8' },
  );
  if (!stdout.startsWith('{')) throw new Error(`the linter did not answer: ${stdout}${stderr}`);
  const { diagnostics } = JSON.parse(stdout) as Report;
  for (const { severity, category, location } of diagnostics) {
    const found = results.get(location.path) ?? [];
    results.set(location.path, [...found, `${severity}: ${category}`]);
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the import rule refuses', () => {
  test.each(FORBIDDEN.map((entry, index) => [...entry.slice(0, 2), index] as [string, string, number]))(
    'in %s: %s',
    (folder, _statement, index) => {
      const rule = FORBIDDEN[index]?.[2] ?? IMPORTS;
      expect(results.get(pathOf('forbidden', folder, index))).toEqual([`error: ${rule}`]);
    },
  );
});

describe('the import rule allows', () => {
  test.each(ALLOWED.map((entry, index) => [...entry, index] as const))(
    'in %s: %s',
    (folder, _statement, index) => {
      expect(results.get(pathOf('allowed', folder, index))).toBeUndefined();
    },
  );
});

test('every folder of internal/ and internal/cli/ has a rule of its own', () => {
  const { overrides } = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8')) as {
    overrides: { includes: string[] }[];
  };
  const ruled = overrides.flatMap(({ includes }) => includes);
  const rulesIn = (path: string) =>
    readdirSync(join(ROOT, path)).map((name) => `${path}/${name.endsWith('.ts') ? '*.ts' : `${name}/**`}`);
  const expected = [
    ...rulesIn('internal').filter((name) => name !== 'internal/cli/**'),
    ...rulesIn('internal/cli'),
  ];
  expect(ruled).toEqual(expect.arrayContaining(expected));
});
