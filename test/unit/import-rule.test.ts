import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const IMPORTS = 'lint/style/noRestrictedImports';
const GLOBALS = 'lint/style/noRestrictedGlobals';

/** A file of a room, and a statement in it that the house does not allow. */
const FORBIDDEN: [room: string, statement: string, rule?: string][] = [
  ['schemas', "import '../internal/eventlog/log.js';"],
  ['schemas', "import '../cmd/edge-app.js';"],
  ['schemas', "import 'nats';"],
  ['schemas', "import 'uWebSockets.js';"],
  ['internal/errors', "import '../eventlog/log.js';"],
  ['internal/errors', "import '../pem/pem.js';"],
  ['internal/pem', "import '../errors/catalogue.js';"],
  ['internal/pem', "import '../edge/tls.js';"],
  ['internal/pem', "import '../../schemas/config.js';"],
  ['internal/pem', "import 'nats';"],
  ['internal/eventlog', "import '../pem/pem.js';"],
  ['internal/session', "import '../pem/pem.js';"],
  ['internal/replay', "import '../pem/pem.js';"],
  ['internal/doctor', "import '../pem/pem.js';"],
  ['internal/eventlog', "import 'nats';"],
  ['internal/eventlog', "import type { JsMsg } from 'nats';"],
  ['internal/eventlog', "export { connect } from 'nats';"],
  ['internal/eventlog', "export * from '../session/hub.js';"],
  ['internal/eventlog', "export const library = await import('nats');"],
  ['internal/eventlog', "import 'uWebSockets.js';"],
  ['internal/eventlog', "import 'uWebSockets.js-node24';"],
  ['internal/eventlog', "import 'pino';"],
  ['internal/eventlog', "import 'p-retry';"],
  ['internal/eventlog', "import 'node:fs';"],
  ['internal/eventlog', "import 'node:timers/promises';"],
  ['internal/eventlog', "import 'node:crypto';"],
  ['internal/eventlog', "import '../session/hub.js';"],
  ['internal/eventlog', "import '../jetstream/feed.js';"],
  ['internal/eventlog', "import '../edge/server.js';"],
  ['internal/eventlog', "import '../auth/grants.js';"],
  ['internal/eventlog', "import '../../internal/session/hub.js';"],
  ['internal/eventlog', "import '../../cmd/edge-app.js';"],
  ['internal/eventlog', "import '../../test/harness/wait.js';"],
  ['internal/eventlog/deeper', "import '../../session/hub.js';"],
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
  ['internal/session', "import '../edge/websocket.js';"],
  ['internal/session', "import '../jetstream/feed.js';"],
  ['internal/session', "import '../telemetry/logger.js';"],
  ['internal/session', "import '../lifecycle/stalls.js';"],
  ['internal/session', "import 'nats';"],
  ['internal/session', "import 'uWebSockets.js';"],
  ['internal/session', "import 'node:events';"],
  ['internal/session', 'export const now = Date.now();', GLOBALS],
  ['internal/session', 'export const timer = setTimeout(() => {}, 1);', GLOBALS],
  ['internal/replay', "import '../jetstream/read-stored.js';"],
  ['internal/replay', "import '../session/hub.js';"],
  ['internal/replay', "import 'nats';"],
  ['internal/replay', 'export const now = Date.now();', GLOBALS],
  ['internal/replay', 'export const timer = setTimeout(() => {}, 1);', GLOBALS],
  ['internal/doctor', "import '../jetstream/stream.js';"],
  ['internal/doctor', "import 'nats';"],
  ['internal/doctor', 'export const now = Date.now();', GLOBALS],
  ['internal/auth', "import '../session/hub.js';"],
  ['internal/auth', "import '../edge/server.js';"],
  ['internal/auth', "import 'uWebSockets.js';"],
  ['internal/jetstream', "import '../edge/server.js';"],
  ['internal/jetstream', "import '../telemetry/logger.js';"],
  ['internal/jetstream', "import 'uWebSockets.js';"],
  ['internal/edge', "import '../jetstream/feed.js';"],
  ['internal/edge', "import '../telemetry/metrics.js';"],
  ['internal/edge', "import 'nats';"],
  ['internal/edge', "import '../../cmd/edge-app.js';"],
  ['internal/telemetry', "import '../session/hub.js';"],
  ['internal/telemetry', "import 'nats';"],
  ['internal/lifecycle', "import '../edge/server.js';"],
  ['internal/lifecycle', "import 'uWebSockets.js';"],
  ['cmd', "import 'uWebSockets.js';"],
  ['cmd', "export const library = await import('uWebSockets.js-node24');"],
  ['cmd', "export const library = await import('uWebSockets.js');"],
  ['cmd', "import '../test/harness/wait.js';"],
  ['demo', "import 'uWebSockets.js';"],
  ['sdk/client', "import '../../internal/session/hub.js';"],
  ['sdk/worker', "import type { Scope } from '../../internal/eventlog/scope.js';"],
  ['sdk/worker', "import '../../cmd/edge-app.js';"],
  ['sdk/react', "import 'uWebSockets.js';"],
  ['sdk/react', "import 'uWebSockets.js-node24';"],
  ['web', "import '../internal/eventlog/log.js';"],
  ['web/pages', "import '../../internal/eventlog/log.js';"],
];

const ALLOWED: [room: string, statement: string][] = [
  ['schemas', "import './ids.js';"],
  ['schemas', "import '@sinclair/typebox';"],
  ['internal/eventlog', "import './queue.js';"],
  ['internal/eventlog', "import '../../schemas/event.js';"],
  ['internal/session', "import '../eventlog/log.js';"],
  ['internal/session', "import '../../schemas/frames.js';"],
  ['internal/replay', "import '../eventlog/record.js';"],
  ['internal/doctor', "import '../eventlog/decode.js';"],
  ['internal/auth', "import '../../schemas/ids.js';"],
  ['internal/jetstream', "import 'nats';"],
  ['internal/jetstream', "import '../session/ports.js';"],
  ['internal/jetstream', "import '../eventlog/log.js';"],
  ['internal/pem', "import 'node:crypto';"],
  ['internal/jetstream', "import '../pem/pem.js';"],
  ['internal/edge', "import '../pem/pem.js';"],
  ['internal/jetstream', "import '../errors/catalogue.js';"],
  ['internal/jetstream', 'export const now = Date.now();'],
  ['internal/edge', "import 'uWebSockets.js';"],
  ['internal/edge', "import 'uWebSockets.js-node24';"],
  ['internal/edge', "import '../session/session.js';"],
  ['internal/edge', "import '../auth/grants.js';"],
  ['internal/telemetry', "import 'pino';"],
  ['internal/telemetry', "import 'prom-client';"],
  ['cmd', "import '../internal/edge/server.js';"],
  ['cmd', "import '../internal/jetstream/feed.js';"],
  ['cmd', "import 'nats';"],
  ['cmd', "import 'node:os';"],
  ['sdk/client', "import '../../schemas/frames.js';"],
  ['sdk/worker', "import 'nats';"],
  ['web', "import '../sdk/client/index.js';"],
  ['web', "import '../schemas/frames.js';"],
  ['test/unit', "import '../../internal/eventlog/log.js';"],
  ['test/unit', "import '../../cmd/edge-app.js';"],
];

interface Report {
  diagnostics: { severity: string; category: string; location: { path: string } }[];
}

let folder: string;
/** What the linter says of each file, by its path. */
const verdicts = new Map<string, string[]>();

const place = (kind: string, room: string, index: number): string => `${room}/${kind}-${index}.ts`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headway-import-rule-'));
  const config = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8')) as Record<string, unknown>;
  delete config.$schema;
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  write('biome.json', JSON.stringify({ ...config, vcs: { enabled: false } }));
  for (const [index, [room, statement]] of FORBIDDEN.entries())
    write(place('forbidden', room, index), `${statement}\n`);
  for (const [index, [room, statement]] of ALLOWED.entries())
    write(place('allowed', room, index), `${statement}\n`);
  const rules = ['--only=style/noRestrictedImports', '--only=style/noRestrictedGlobals'];
  const { stdout, stderr } = spawnSync(
    join(ROOT, 'node_modules/.bin/biome'),
    ['lint', '--colors=off', '--reporter=json', '--max-diagnostics=none', ...rules, '.'],
    { cwd: folder, encoding: 'utf8' },
  );
  if (!stdout.startsWith('{')) throw new Error(`the linter did not answer: ${stdout}${stderr}`);
  const { diagnostics } = JSON.parse(stdout) as Report;
  for (const { severity, category, location } of diagnostics) {
    const found = verdicts.get(location.path) ?? [];
    verdicts.set(location.path, [...found, `${severity}: ${category}`]);
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the import rule refuses', () => {
  test.each(FORBIDDEN.map((entry, index) => [...entry.slice(0, 2), index] as [string, string, number]))(
    'in %s: %s',
    (room, _statement, index) => {
      const rule = FORBIDDEN[index]?.[2] ?? IMPORTS;
      expect(verdicts.get(place('forbidden', room, index))).toEqual([`error: ${rule}`]);
    },
  );
});

describe('the import rule allows', () => {
  test.each(ALLOWED.map((entry, index) => [...entry, index] as const))(
    'in %s: %s',
    (room, _statement, index) => {
      expect(verdicts.get(place('allowed', room, index))).toBeUndefined();
    },
  );
});

test('every room of internal/ has a rule of its own', () => {
  const { overrides } = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8')) as {
    overrides: { includes: string[] }[];
  };
  const ruled = overrides.flatMap(({ includes }) => includes);
  const rooms = readdirSync(join(ROOT, 'internal')).map((room) => `internal/${room}/**`);
  expect(ruled).toEqual(expect.arrayContaining(rooms));
});
