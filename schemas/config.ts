import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { ACCESS_SETTINGS, accessProblems } from './config-access.js';
import { expectation, show } from './explain.js';

const MiB = 1024 * 1024;

const PORT = '([0-5]?\\d{1,4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-5])';
// [scheme://][user[:password]@]host[:port][/]
const NATS_ADDRESS =
  "((nats|tls)://)?(([\\w.~!$&'()*+;=:-]|%[0-9A-Fa-f]{2})+@)?(\\[[0-9A-Fa-f:.]+\\]|[^\\s,/@:%\\[\\]]+)" +
  `(:${PORT})?/?`;

/**
 * Every setting of an edge, each with the environment variable that holds it. `docs/reference/settings.md` lists them;
 * the loader below, the documentation's table and the error messages all come from here.
 */
export const EdgeConfig = Type.Object({
  natsUrl: Type.String({
    env: 'NATS_URL',
    default: 'nats://127.0.0.1:4222',
    pattern: `^${NATS_ADDRESS}(,${NATS_ADDRESS})*$`,
    expected: 'one or more addresses such as nats://127.0.0.1:4222, with commas between them',
    secret: true,
    description:
      'Where NATS is. `tls://` for TLS. User and password, or a token, may stand before an `@`; in them write `, / : @ %` as `%2C %2F %3A %40 %25`, or the address is refused. They are never logged.',
  }),
  natsCreds: Type.Optional(
    Type.String({ env: 'NATS_CREDS', minLength: 1, description: 'Path of a NATS credentials file.' }),
  ),
  natsNkey: Type.Optional(
    Type.String({
      env: 'NATS_NKEY',
      minLength: 1,
      description: 'Path of a file with the nkey seed of a user, and nothing else. Not beside `NATS_CREDS`.',
    }),
  ),
  natsCa: Type.Optional(
    Type.String({
      env: 'NATS_CA',
      minLength: 1,
      description:
        'Path of a PEM file with the authorities that sign the certificates of NATS. With it the edge talks to nothing but TLS.',
      see: '[docs/nats](nats/README.md#tls)',
    }),
  ),
  natsCert: Type.Optional(
    Type.String({
      env: 'NATS_CERT',
      minLength: 1,
      description:
        "Path of a PEM file with the edge's own certificate, where NATS asks for one. Goes with `NATS_KEY`.",
    }),
  ),
  natsKey: Type.Optional(
    Type.String({
      env: 'NATS_KEY',
      minLength: 1,
      description: 'Path of a PEM file with its key, without a passphrase.',
    }),
  ),
  host: Type.String({
    env: 'HEADWAY_HOST',
    default: '0.0.0.0',
    minLength: 1,
    description: 'The address to listen on.',
  }),
  port: Type.Integer({
    env: 'HEADWAY_PORT',
    default: 8080,
    minimum: 0,
    maximum: 65535,
    description: 'The port to listen on. 0 takes a free one and logs it.',
  }),
  reusePort: Type.Boolean({
    env: 'HEADWAY_REUSE_PORT',
    default: false,
    description: '`true`: several edges on this machine may share the port.',
    see: '[Several edges](#several-edges)',
  }),
  auth: Type.Union([Type.Literal('jwt'), Type.Literal('none')], {
    env: 'HEADWAY_AUTH',
    expected: '"jwt" (tokens say who sees which job) or "none" (whoever reaches the port sees every job)',
    description:
      'Who may watch. There is no default, so that nobody runs open by accident. `jwt`: [tokens](#tokens) say who sees which job. `none`: whoever reaches the port sees every job.',
  }),
  ...ACCESS_SETTINGS,
  dashboard: Type.Union([Type.Literal('auto'), Type.Literal('on'), Type.Literal('off')], {
    env: 'HEADWAY_DASHBOARD',
    default: 'auto',
    expected: '"auto", "on" or "off"',
    description:
      'The page at `/` that shows all jobs. `auto`: only where `HEADWAY_HOST` is loopback, or `HEADWAY_AUTH` is `jwt`. The page itself needs no token and holds no data; what it shows needs one.',
    see: '[The dashboard](guides/dashboard.md)',
  }),
  stream: Type.String({
    env: 'HEADWAY_STREAM',
    default: 'PROGRESS',
    pattern: '^[A-Za-z0-9_-]{1,64}$',
    description: 'The name of the JetStream stream.',
  }),
  streamReplicas: Type.Integer({
    env: 'HEADWAY_STREAM_REPLICAS',
    default: 1,
    minimum: 1,
    maximum: 5,
    description: 'Copies of the stream when the edge has to make it. A stream that exists keeps its own.',
  }),
  edgeId: Type.String({
    env: 'HEADWAY_EDGE_ID',
    unset: 'host name and 8 random characters',
    pattern: '^[A-Za-z0-9_-]{1,64}$',
    description:
      'Names this edge and its consumer `edge-<id>`. Two edges must not share it; the second one does not start.',
  }),
  logLevel: Type.Union(
    (['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const).map((level) =>
      Type.Literal(level),
    ),
    { env: 'HEADWAY_LOG_LEVEL', default: 'info', description: 'The least severe level that is logged.' },
  ),
  heartbeatMs: Type.Integer({
    env: 'HEADWAY_HEARTBEAT_MS',
    default: 15_000,
    minimum: 100,
    maximum: 300_000,
    description: 'The longest silence, in milliseconds, that a client which reads is promised.',
  }),
  idleTimeoutSeconds: Type.Integer({
    env: 'HEADWAY_IDLE_TIMEOUT_SECONDS',
    default: 120,
    minimum: 8,
    maximum: 960,
    description:
      'A peer whose connection shows no life for so long, answers to pings included, is taken for dead and cut. So is one that stops reading.',
  }),
  tailBytes: Type.Integer({
    env: 'HEADWAY_TAIL_BYTES',
    default: 64 * MiB,
    minimum: 64 * 1024,
    maximum: 4096 * MiB,
    description: 'Memory for the newest events (64 MiB). A cursor behind them is served from JetStream.',
  }),
  lastStateBytes: Type.Integer({
    env: 'HEADWAY_LAST_STATE_BYTES',
    default: 256 * MiB,
    minimum: 64 * 1024,
    maximum: 8192 * MiB,
    description:
      'Memory for the last states that are not among the newest events, and as much again at most for where evicted ones stand in the stream (256 MiB).',
    see: '[Memory](#memory)',
  }),
  sendWatermarkBytes: Type.Integer({
    env: 'HEADWAY_SEND_WATERMARK_BYTES',
    default: 64 * 1024,
    minimum: 1024,
    maximum: 16 * MiB,
    description: 'A socket that holds so many unsent bytes gets no more updates until it drains.',
  }),
  readBufferBytes: Type.Integer({
    env: 'HEADWAY_READ_BUFFER_BYTES',
    default: 2 * 1024 * 1024,
    minimum: 128 * 1024,
    maximum: 64 * 1024 * 1024,
    description:
      'The most bytes of events that the edge asks NATS for ahead of what it has taken in. Less suits a slow link: no ' +
      'answer waits behind more than that.',
  }),
  historyReads: Type.Integer({
    env: 'HEADWAY_HISTORY_READS',
    default: 8,
    minimum: 1,
    maximum: 256,
    description: 'Reads from JetStream that run at the same time for cursors behind the tail.',
  }),
  maxPendingReads: Type.Integer({
    env: 'HEADWAY_MAX_PENDING_READS',
    default: 5_000,
    minimum: 1,
    maximum: 1_000_000,
    description:
      'While so many reads from JetStream run or wait, new connections are refused with 503 and `Retry-After: 1`.',
  }),
  maxPendingReadsPerSubject: Type.Integer({
    env: 'HEADWAY_MAX_PENDING_READS_PER_SUBJECT',
    default: 1_000,
    minimum: 0,
    maximum: 1_000_000,
    description:
      'Those of one `sub`, or of one address (of IPv6, one /64) where there is no `sub`; above it new connections of the ' +
      'same are refused: 1013 where a token was checked, else 503. 0: no limit.',
  }),
  maxFollowedJobs: Type.Integer({
    env: 'HEADWAY_MAX_FOLLOWED_JOBS',
    default: 256,
    minimum: 1,
    maximum: 10_000,
    description: 'The most jobs that one connection with `?select` follows at once.',
  }),
  maxReplayJob: Type.Integer({
    env: 'HEADWAY_MAX_REPLAY_JOB',
    default: 1_000_000,
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'A cursor on one job with more events of that job after it gets a `reset` (`limit`).',
  }),
  maxReplayAll: Type.Integer({
    env: 'HEADWAY_MAX_REPLAY_ALL',
    default: 1_000_000,
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'A cursor on all jobs with more events after it gets `skipped` (`limit`) and newest states.',
  }),
  stallAfterSeconds: Type.Integer({
    env: 'HEADWAY_STALL_AFTER_SECONDS',
    default: 0,
    minimum: 0,
    maximum: 31_536_000,
    description:
      'After so much silence clients are told that a job has stalled, where its events do not say `stall_after_seconds`; 0: never.',
    see: '[Silent jobs](#silent-jobs)',
  }),
  timeoutSeconds: Type.Integer({
    env: 'HEADWAY_TIMEOUT_SECONDS',
    default: 0,
    minimum: 0,
    maximum: 31_536_000,
    description:
      'After so much silence a job gets the error `timeout`, where its events do not say `timeout_seconds`; 0: never.',
  }),
  maxWatchedJobs: Type.Integer({
    env: 'HEADWAY_MAX_WATCHED_JOBS',
    default: 1_000_000,
    minimum: 0,
    maximum: 10_000_000,
    description:
      'Jobs whose silence is watched at once, about 100 bytes each; 0: none is, and no heartbeat is heard.',
  }),
  drainMs: Type.Integer({
    env: 'HEADWAY_DRAIN_MS',
    default: 5_000,
    minimum: 0,
    maximum: 300_000,
    description: 'On SIGTERM clients are closed evenly over this time.',
    see: '[Running an edge](#running-an-edge)',
  }),
});
export type EdgeConfig = Static<typeof EdgeConfig>;

export type Environment = Readonly<Record<string, string | undefined>>;
export type ConfigResult =
  | { readonly ok: true; readonly config: EdgeConfig; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] };

function coerce(schema: TSchema, raw: string): unknown {
  if (schema.type === 'integer') return /^-?\d{1,16}$/.test(raw) ? Number(raw) : raw;
  if (schema.type === 'boolean') return raw === 'true' ? true : raw === 'false' ? false : raw;
  return raw;
}

function problem(name: string, schema: TSchema, raw: string | undefined): string {
  const wanted = (schema.expected as string | undefined) ?? expectation(schema);
  if (raw === undefined) return `${name} is not set; expected ${wanted}`;
  const shown = schema.secret === true ? 'not valid' : show(raw);
  return `${name} is ${shown}; expected ${wanted}${hint(raw)}`;
}

function hint(raw: string): string {
  // Kubernetes sets <SERVICE>_PORT=tcp://… in every pod beside a Service that is called "headway".
  if (raw.startsWith('tcp://'))
    return ' (set by Kubernetes for a Service of this name? see enableServiceLinks)';
  if (raw.includes('@')) return ' (in a user name or password write , / : @ % as %2C %2F %3A %40 %25)';
  return '';
}

/** Settings that had another name before. Platforms do not set these on their own: somebody means them. */
const RENAMED_SETTINGS: Readonly<Record<string, string>> = {
  HEADWAY_COLD_READS: 'HEADWAY_HISTORY_READS',
  HEADWAY_SHARE_PORT: 'HEADWAY_REUSE_PORT',
};

function unknownSetting(name: string): string {
  const now = Object.hasOwn(RENAMED_SETTINGS, name) ? RENAMED_SETTINGS[name] : undefined;
  return now === undefined
    ? `${name} is not a setting of Headway and is ignored`
    : `${name} is called ${now} now; by its old name it is ignored`;
}

/** The environment variable of each setting, with its schema. */
export function settings(): ReadonlyArray<{ key: string; env: string; schema: TSchema }> {
  return Object.entries(EdgeConfig.properties).map(([key, schema]) => ({
    key,
    env: (schema as TSchema).env as string,
    schema,
  }));
}

/**
 * Reads an edge's configuration from the environment. Every mistake is reported at once, by the variable's name,
 * with what was expected. An empty variable counts as not set. Variables that begin with HEADWAY_ and mean nothing
 * are warnings, since platforms add such variables on their own.
 * @param defaultEdgeId the edge's id when the environment names none
 * @param check what else is wrong with the values that are there
 */
export function parseEdgeConfig(
  env: Environment,
  defaultEdgeId: string,
  check: (values: Partial<EdgeConfig>) => readonly string[] = () => [],
): ConfigResult {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  const known = new Set<string>();
  const required = new Set<string>(EdgeConfig.required);
  for (const { key, env: name, schema } of settings()) {
    known.add(name);
    const raw = env[name] === '' ? undefined : env[name];
    const value = raw === undefined ? (schema.default as unknown) : coerce(schema, raw);
    if (value === undefined) {
      if (key === 'edgeId') values[key] = defaultEdgeId;
      else if (required.has(key)) problems.push(problem(name, schema, raw));
      continue;
    }
    if (Value.Check(schema, value)) values[key] = value;
    else problems.push(problem(name, schema, raw));
  }
  // What does not fit together is said beside what is wrong by itself.
  problems.push(...accessProblems(values as Partial<EdgeConfig>), ...check(values as Partial<EdgeConfig>));
  if (problems.length > 0) return { ok: false, problems };
  const warnings = Object.keys(env)
    .filter((name) => name.startsWith('HEADWAY_') && !known.has(name))
    .map(unknownSetting);
  return { ok: true, config: values as EdgeConfig, warnings };
}
