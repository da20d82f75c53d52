import { describe, expect, test } from 'vitest';
import { type EdgeConfig, type Environment, parseEdgeConfig, settings } from '../../schemas/config.js';

const OPEN = { HEADWAY_AUTH: 'none' };
const SECRET = 'hunter2-hunter2-hunter2-hunter2-';
const LOCKED = { HEADWAY_AUTH: 'jwt', HEADWAY_JWT_SECRET: SECRET };

function accepted(env: Environment): { config: EdgeConfig; warnings: readonly string[] } {
  const result = parseEdgeConfig({ ...OPEN, ...env }, 'host-1');
  if (!result.ok) throw new Error(result.problems.join('\n'));
  return result;
}

function problems(env: Environment): readonly string[] {
  const result = parseEdgeConfig({ ...OPEN, ...env }, 'host-1');
  return result.ok ? [] : result.problems;
}

describe('defaults', () => {
  const defaults = {
    natsUrl: 'nats://127.0.0.1:4222',
    host: '0.0.0.0',
    port: 8080,
    reusePort: false,
    auth: 'none',
    jwtToleranceSeconds: 5,
    tokenInQuery: false,
    dashboard: 'auto',
    tokenWarningSeconds: 60,
    authTimeoutMs: 6_000,
    allowedOrigins: '',
    trustedProxies: '',
    maxConnections: 15_000,
    maxConnectionsPerAddress: 1_000,
    maxConnectionsPerSubject: 200,
    maxFollowedJobs: 256,
    maxUnauthenticated: 2_000,
    maxUnauthenticatedPerAddress: 500,
    maxHttpSockets: 6_000,
    maxHttpSocketsPerAddress: 1_000,
    metricsMaxAgeMs: 1_000,
    maxUpgradesPerSecond: 5_000,
    maxUpgradesPerAddress: 500,
    maxClientFramesPerSecond: 50,
    maxClientBytesPerSecond: 64 * 1024,
    maxClientFrameBytes: 16 * 1024,
    maxHeaderBytes: 16 * 1024,
    stream: 'PROGRESS',
    streamReplicas: 1,
    edgeId: 'host-1',
    logLevel: 'info',
    heartbeatMs: 15_000,
    idleTimeoutSeconds: 120,
    tailBytes: 64 * 1024 * 1024,
    lastStateBytes: 256 * 1024 * 1024,
    sendWatermarkBytes: 64 * 1024,
    readBufferBytes: 2_097_152,
    historyReads: 8,
    maxPendingReads: 5_000,
    maxPendingReadsPerSubject: 1_000,
    maxReplayJob: 1_000_000,
    maxReplayAll: 1_000_000,
    stallAfterSeconds: 0,
    timeoutSeconds: 0,
    maxWatchedJobs: 1_000_000,
    drainMs: 5_000,
  };

  test('only HEADWAY_AUTH has to be given', () => {
    expect(accepted({})).toEqual({ ok: true, config: defaults, warnings: [] });
  });

  test('an empty variable counts as not set', () => {
    const empty = Object.fromEntries(settings().map(({ env }) => [env, '']));
    expect(accepted({ ...empty, ...OPEN })).toEqual({ ok: true, config: defaults, warnings: [] });
    expect(problems({ HEADWAY_AUTH: '' })).toEqual(problems({ HEADWAY_AUTH: undefined }));
  });

  test('other variables of the environment are nobody\u2019s business', () => {
    expect(accepted({ PATH: '/bin', JWT_SECRET: 'x', PORT: 'x', headway_port: 'x' }).warnings).toEqual([]);
  });
});

test('every setting is read from its own variable', () => {
  const env = {
    NATS_URL: 'tls://a.example:4222,nats://b.example',
    NATS_CREDS: '/run/nats.creds',
    NATS_NKEY: '/run/nats.nk',
    NATS_CA: '/run/ca.pem',
    NATS_CERT: '/run/nats.pem',
    NATS_KEY: '/run/nats.key',
    HEADWAY_HOST: '::1',
    HEADWAY_PORT: '0',
    HEADWAY_REUSE_PORT: 'true',
    ...LOCKED,
    HEADWAY_JWKS_URL: 'https://id.example/keys.json',
    HEADWAY_JWT_ISSUER: 'https://id.example',
    HEADWAY_JWT_AUDIENCE: 'headway',
    HEADWAY_JWT_TOLERANCE_SECONDS: '0',
    HEADWAY_TOKEN_IN_QUERY: 'true',
    HEADWAY_TOKEN_WARNING_SECONDS: '3600',
    HEADWAY_AUTH_TIMEOUT_MS: '100',
    HEADWAY_ALLOWED_ORIGINS: 'https://app.example.com',
    HEADWAY_TRUSTED_PROXIES: '10.0.0.0/8',
    HEADWAY_MAX_CONNECTIONS: '1',
    HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '2',
    HEADWAY_MAX_CONNECTIONS_PER_SUBJECT: '3',
    HEADWAY_MAX_FOLLOWED_JOBS: '7',
    HEADWAY_MAX_UNAUTHENTICATED: '4',
    HEADWAY_MAX_UNAUTHENTICATED_PER_ADDRESS: '3',
    HEADWAY_MAX_HTTP_SOCKETS: '7',
    HEADWAY_METRICS_LISTEN: '[::1]:9090',
    HEADWAY_METRICS_MAX_AGE_MS: '9',
    HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS: '6',
    HEADWAY_MAX_UPGRADES_PER_SECOND: '5',
    HEADWAY_MAX_UPGRADES_PER_ADDRESS: '4',
    HEADWAY_MAX_CLIENT_FRAMES_PER_SECOND: '6',
    HEADWAY_MAX_CLIENT_BYTES_PER_SECOND: '0',
    HEADWAY_MAX_CLIENT_FRAME_BYTES: '256',
    HEADWAY_MAX_HEADER_BYTES: '65536',
    HEADWAY_TLS_CERT: '/run/edge.pem',
    HEADWAY_TLS_KEY: '/run/edge.key',
    HEADWAY_STREAM: 'Other_1-2',
    HEADWAY_STREAM_REPLICAS: '3',
    HEADWAY_EDGE_ID: 'edge-7',
    HEADWAY_LOG_LEVEL: 'silent',
    HEADWAY_HEARTBEAT_MS: '100',
    HEADWAY_IDLE_TIMEOUT_SECONDS: '960',
    HEADWAY_TAIL_BYTES: '65536',
    HEADWAY_LAST_STATE_BYTES: '65537',
    HEADWAY_SEND_WATERMARK_BYTES: '1024',
    HEADWAY_READ_BUFFER_BYTES: '131072',
    HEADWAY_HISTORY_READS: '256',
    HEADWAY_MAX_PENDING_READS: '7',
    HEADWAY_MAX_PENDING_READS_PER_SUBJECT: '0',
    HEADWAY_MAX_REPLAY_JOB: '1',
    HEADWAY_MAX_REPLAY_ALL: '9007199254740991',
    HEADWAY_DASHBOARD: 'off',
    HEADWAY_STALL_AFTER_SECONDS: '60',
    HEADWAY_TIMEOUT_SECONDS: '31536000',
    HEADWAY_MAX_WATCHED_JOBS: '0',
    HEADWAY_DRAIN_MS: '0',
  };
  expect(new Set(Object.keys(env))).toEqual(new Set(settings().map(({ env: name }) => name)));
  expect(accepted(env).config).toEqual({
    natsUrl: env.NATS_URL,
    natsCreds: env.NATS_CREDS,
    natsNkey: env.NATS_NKEY,
    natsCa: env.NATS_CA,
    natsCert: env.NATS_CERT,
    natsKey: env.NATS_KEY,
    host: '::1',
    port: 0,
    reusePort: true,
    auth: 'jwt',
    jwtSecret: SECRET,
    jwksUrl: env.HEADWAY_JWKS_URL,
    jwtIssuer: env.HEADWAY_JWT_ISSUER,
    jwtAudience: env.HEADWAY_JWT_AUDIENCE,
    jwtToleranceSeconds: 0,
    tokenInQuery: true,
    tokenWarningSeconds: 3_600,
    authTimeoutMs: 100,
    allowedOrigins: env.HEADWAY_ALLOWED_ORIGINS,
    trustedProxies: env.HEADWAY_TRUSTED_PROXIES,
    maxConnections: 1,
    maxConnectionsPerAddress: 2,
    maxConnectionsPerSubject: 3,
    maxFollowedJobs: 7,
    maxUnauthenticated: 4,
    maxUnauthenticatedPerAddress: 3,
    maxHttpSockets: 7,
    maxHttpSocketsPerAddress: 6,
    metricsListen: '[::1]:9090',
    metricsMaxAgeMs: 9,
    maxUpgradesPerSecond: 5,
    maxUpgradesPerAddress: 4,
    maxClientFramesPerSecond: 6,
    maxClientBytesPerSecond: 0,
    maxClientFrameBytes: 256,
    maxHeaderBytes: 65_536,
    tlsCert: env.HEADWAY_TLS_CERT,
    tlsKey: env.HEADWAY_TLS_KEY,
    stream: 'Other_1-2',
    streamReplicas: 3,
    edgeId: 'edge-7',
    logLevel: 'silent',
    heartbeatMs: 100,
    idleTimeoutSeconds: 960,
    tailBytes: 65_536,
    lastStateBytes: 65_537,
    sendWatermarkBytes: 1024,
    readBufferBytes: 131_072,
    historyReads: 256,
    maxPendingReads: 7,
    maxPendingReadsPerSubject: 0,
    maxReplayJob: 1,
    maxReplayAll: Number.MAX_SAFE_INTEGER,
    dashboard: 'off',
    stallAfterSeconds: 60,
    timeoutSeconds: 31_536_000,
    maxWatchedJobs: 0,
    drainMs: 0,
  });
});

describe('a mistake is named, with what was expected', () => {
  const cases: [name: string, value: string, expected: RegExp][] = [
    ['HEADWAY_PORT', 'http', /^HEADWAY_PORT is "http"; expected an integer from 0 to 65535$/],
    ['HEADWAY_PORT', '65536', /is "65536"; expected an integer from 0 to 65535$/],
    ['HEADWAY_PORT', '-1', /is "-1"; expected an integer/],
    ['HEADWAY_PORT', '80.5', /is "80.5"; expected an integer/],
    ['HEADWAY_PORT', '0x50', /is "0x50"; expected an integer/],
    ['HEADWAY_PORT', '1e3', /is "1e3"; expected an integer/],
    ['HEADWAY_PORT', ' 80', /is " 80"; expected an integer/],
    ['HEADWAY_MAX_REPLAY_JOB', '9007199254740992', /; expected an integer from 1$/],
    ['HEADWAY_MAX_REPLAY_ALL', '99999999999999999999', /; expected an integer from 1$/],
    ['HEADWAY_IDLE_TIMEOUT_SECONDS', '7', /; expected an integer from 8 to 960$/],
    ['HEADWAY_IDLE_TIMEOUT_SECONDS', '961', /; expected an integer from 8 to 960$/],
    ['HEADWAY_HEARTBEAT_MS', '99', /; expected an integer from 100 to 300000$/],
    ['HEADWAY_REUSE_PORT', 'yes', /is "yes"; expected true or false$/],
    ['HEADWAY_REUSE_PORT', '1', /is "1"; expected true or false$/],
    ['HEADWAY_REUSE_PORT', 'TRUE', /is "TRUE"; expected true or false$/],
    ['HEADWAY_STREAM', 'a.b', /is "a.b"; expected text that matches /],
    ['HEADWAY_EDGE_ID', 'my edge', /is "my edge"; expected text that matches /],
    ['HEADWAY_LOG_LEVEL', 'loud', /is "loud"; expected "fatal" or "error" or .*"info".* or "silent"$/],
    ['HEADWAY_AUTH', 'None', /^HEADWAY_AUTH is "None"; expected "jwt" \(.*\) or "none" \(/],
    ['HEADWAY_AUTH', 'JWT', /^HEADWAY_AUTH is "JWT"; expected "jwt" \(/],
    ['HEADWAY_JWT_TOLERANCE_SECONDS', '301', /; expected an integer from 0 to 300$/],
    ['HEADWAY_TOKEN_WARNING_SECONDS', '0', /; expected an integer from 1 to 3600$/],
    ['HEADWAY_TOKEN_IN_QUERY', '1', /is "1"; expected true or false$/],
    ['HEADWAY_MAX_CONNECTIONS', '-1', /; expected an integer from 0 to 10000000$/],
    ['HEADWAY_MAX_CLIENT_FRAME_BYTES', '0', /; expected an integer from 256 to 1048576$/],
    ['HEADWAY_METRICS_LISTEN', '9090', /is "9090"; expected a host and a port such as 127.0.0.1:9090/],
    ['HEADWAY_METRICS_LISTEN', ':9090', /; expected a host and a port/],
    ['HEADWAY_METRICS_LISTEN', '::1:9090', /; expected a host and a port/],
    ['HEADWAY_METRICS_LISTEN', 'localhost:65536', /; expected a host and a port/],
    ['HEADWAY_METRICS_LISTEN', 'http://localhost:9090', /; expected a host and a port/],
    ['HEADWAY_MAX_HEADER_BYTES', '65537', /; expected an integer from 1024 to 65536$/],
  ];
  test.each(cases)('%s=%s', (name, value, expected) => {
    const found = problems({ [name]: value });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(expected);
  });

  test('a long value is cut short', () => {
    expect(problems({ HEADWAY_STREAM: 'x y'.repeat(10_000) })[0]?.length).toBeLessThan(200);
  });

  test('booleans are true and false', () => {
    expect(accepted({ HEADWAY_REUSE_PORT: 'true' }).config.reusePort).toBe(true);
    expect(accepted({ HEADWAY_REUSE_PORT: 'false' }).config.reusePort).toBe(false);
  });

  test('HEADWAY_AUTH that is not set stops the start and says why there is no default', () => {
    const [problem, ...others] = problems({ HEADWAY_AUTH: undefined });
    expect(others).toEqual([]);
    expect(problem).toMatch(
      /^HEADWAY_AUTH is not set; expected "jwt" \(.*\) or "none" \(whoever reaches the port sees every job/,
    );
  });

  test('all of them at once, in the order of the settings', () => {
    const found = problems({
      NATS_URL: 'not an address',
      HEADWAY_PORT: 'x',
      HEADWAY_REUSE_PORT: 'x',
      HEADWAY_AUTH: undefined,
      HEADWAY_STREAM: '*',
      HEADWAY_LOG_LEVEL: 'x',
      HEADWAY_DRAIN_MS: 'x',
      HEADWAY_JWKS_URL: 'x.example',
      HEADWAY_TLS_CERT: '/run/edge.pem',
    });
    expect(found.map((problem) => problem.split(' ')[0])).toEqual([
      'NATS_URL',
      'HEADWAY_PORT',
      'HEADWAY_REUSE_PORT',
      'HEADWAY_AUTH',
      'HEADWAY_JWKS_URL',
      'HEADWAY_STREAM',
      'HEADWAY_LOG_LEVEL',
      'HEADWAY_DRAIN_MS',
      'HEADWAY_TLS_CERT',
    ]);
  });
});

describe('G7 nobody unauthorised: settings that do not lock', () => {
  test('HEADWAY_AUTH=jwt without keys stops the start', () => {
    expect(problems({ HEADWAY_AUTH: 'jwt' })).toEqual([
      'HEADWAY_AUTH is "jwt", but neither HEADWAY_JWT_SECRET nor HEADWAY_JWKS_URL is set; set one',
    ]);
  });

  test.each([{ HEADWAY_JWT_SECRET: SECRET }, { HEADWAY_JWKS_URL: 'https://id.example/keys' }])(
    'HEADWAY_AUTH=none with keys stops the start: %j',
    (keys) => {
      const [problem, ...others] = problems(keys);
      expect(others).toEqual([]);
      expect(problem).toMatch(/^HEADWAY_AUTH is "none", but HEADWAY_JWT_SECRET or HEADWAY_JWKS_URL is set;/);
      expect(problem).not.toContain('hunter2');
    },
  );

  test.each([
    { HEADWAY_JWT_SECRET: SECRET },
    { HEADWAY_JWKS_URL: 'https://id.example/keys' },
    { HEADWAY_JWT_SECRET: SECRET, HEADWAY_JWKS_URL: 'http://id.example/keys' },
  ])('HEADWAY_AUTH=jwt with keys is taken: %j', (keys) => {
    expect(accepted({ HEADWAY_AUTH: 'jwt', ...keys }).config).toMatchObject({ auth: 'jwt' });
  });

  test('a secret that is too short is refused, and never shown', () => {
    expect(problems({ ...LOCKED, HEADWAY_JWT_SECRET: SECRET.slice(1) })[0]).toBe(
      'HEADWAY_JWT_SECRET has 31 bytes; expected at least 32 (openssl rand -base64 48 makes one)',
    );
    // It is bytes that count.
    expect(problems({ ...LOCKED, HEADWAY_JWT_SECRET: 'ä'.repeat(16) })).toEqual([]);
    expect(problems({ ...LOCKED, HEADWAY_JWT_SECRET: 'hunter2' }).join()).not.toContain('hunter2');
  });

  test.each(['id.example/keys', 'file:///keys', 'https://', 'ftp://id.example'])(
    'HEADWAY_JWKS_URL=%s is no address of keys',
    (url) => {
      expect(problems({ ...LOCKED, HEADWAY_JWKS_URL: url })[0]).toMatch(
        /; expected an http:\/\/ or https:\/\/ address of a JSON Web Key Set$/,
      );
    },
  );
});

describe('settings that belong together', () => {
  test.each(['HEADWAY_TLS_CERT', 'HEADWAY_TLS_KEY'])('%s alone is half of TLS', (name) => {
    expect(problems({ [name]: '/run/half.pem' })).toEqual([
      'HEADWAY_TLS_CERT and HEADWAY_TLS_KEY belong together; only one of them is set',
    ]);
  });

  test('what the caller finds wrong with the values is said beside the rest', () => {
    const result = parseEdgeConfig(
      { ...OPEN, HEADWAY_PORT: 'x', HEADWAY_HOST: '::1' },
      'host-1',
      (values) => [`HEADWAY_HOST ${values.host} and port ${values.port}`],
    );
    expect(result).toEqual({
      ok: false,
      problems: [expect.stringMatching(/^HEADWAY_PORT is "x"/), 'HEADWAY_HOST ::1 and port undefined'],
    });
  });
});

describe('NATS_URL', () => {
  test.each([
    'nats://127.0.0.1:4222',
    'nats://127.0.0.1:4222/',
    '127.0.0.1:4222',
    'localhost',
    'nats://[::1]:4222',
    'nats://user:p%40ss@a.example:4222',
    'nats://token@a.example',
    'nats://user:pass@a:4222,nats://b:4222,c:4222',
  ])('%s is taken', (natsUrl) => {
    expect(accepted({ NATS_URL: natsUrl }).config.natsUrl).toBe(natsUrl);
  });

  test.each(['http://a:4222', 'nats://', 'nats://a,,nats://b', 'a b', ',a', 'nats://a:4222/x', 'ws://a'])(
    '%s is not',
    (natsUrl) => {
      expect(problems({ NATS_URL: natsUrl })).toEqual([
        'NATS_URL is not valid; expected one or more addresses such as nats://127.0.0.1:4222, with commas between them',
      ]);
    },
  );

  test.each(['nats://admin:hunter2@a b:4222', 'nats://admin:hunter2/x@a:4222', 'http://admin:hunter2@a'])(
    'a password in it is never shown: %s',
    (natsUrl) => {
      const text = problems({ NATS_URL: natsUrl }).join('\n');
      expect(text).toContain('NATS_URL is not valid');
      expect(text).not.toMatch(/hunter2|admin/);
    },
  );

  test.each(['nats://admin:hun,ter2@a:4222', 'nats://admin:hun@ter2@a:4222', 'nats://admin:hunter2%@a:4222'])(
    'a password that is not percent-encoded is a mistake here, not a puzzle later: %s',
    (natsUrl) => {
      expect(problems({ NATS_URL: natsUrl })).toHaveLength(1);
    },
  );
});

describe('what platforms add on their own', () => {
  test('a variable that begins with HEADWAY_ and means nothing is a warning by name, without its value', () => {
    const { warnings } = accepted({
      HEADWAY_SERVICE_HOST: '10.0.0.7',
      HEADWAY_PROT: 's3cret',
      HEADWAY_: 'x',
    });
    expect(warnings).toEqual([
      'HEADWAY_SERVICE_HOST is not a setting of Headway and is ignored',
      'HEADWAY_PROT is not a setting of Headway and is ignored',
      'HEADWAY_ is not a setting of Headway and is ignored',
    ]);
  });

  test.each([
    ['HEADWAY_COLD_READS', 'HEADWAY_HISTORY_READS'],
    ['HEADWAY_SHARE_PORT', 'HEADWAY_REUSE_PORT'],
  ])('a setting by its old name %s is told the new one, which is a setting', (old, now) => {
    const { warnings } = accepted({ [old]: 's3cret' });
    expect(warnings).toEqual([`${old} is called ${now} now; by its old name it is ignored`]);
    expect(settings().map(({ env }) => env)).toContain(now);
    expect(settings().map(({ env }) => env)).not.toContain(old);
  });

  test('HEADWAY_PORT from a Kubernetes Service is told for what it is', () => {
    expect(problems({ HEADWAY_PORT: 'tcp://10.0.0.7:8080' })).toEqual([
      'HEADWAY_PORT is "tcp://10.0.0.7:8080"; expected an integer from 0 to 65535 ' +
        '(set by Kubernetes for a Service of this name? see enableServiceLinks)',
    ]);
  });
});
