import { describe, expect, test } from 'vitest';
import { type EdgeConfig, type Environment, parseEdgeConfig, settings } from '../../schemas/config.js';

const OPEN = { HEADWAY_AUTH: 'none' };

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
    sharePort: false,
    auth: 'none',
    stream: 'PROGRESS',
    streamReplicas: 1,
    edgeId: 'host-1',
    logLevel: 'info',
    heartbeatMs: 15_000,
    idleTimeoutSeconds: 120,
    tailBytes: 64 * 1024 * 1024,
    lastStateBytes: 256 * 1024 * 1024,
    sendWatermarkBytes: 64 * 1024,
    coldReads: 8,
    maxReplayJob: 1_000_000,
    maxReplayAll: 1_000_000,
    drainMs: 5_000,
  };

  test('only HEADWAY_AUTH has to be given', () => {
    expect(accepted({})).toMatchObject({ config: defaults, warnings: [] });
  });

  test('an empty variable counts as not set', () => {
    const empty = Object.fromEntries(settings().map(({ env }) => [env, '']));
    expect(accepted({ ...empty, ...OPEN, HEADWAY_JWT_SECRET: '' })).toMatchObject({
      config: defaults,
      warnings: [],
    });
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
    HEADWAY_HOST: '::1',
    HEADWAY_PORT: '0',
    HEADWAY_SHARE_PORT: 'true',
    HEADWAY_AUTH: 'none',
    HEADWAY_STREAM: 'Other_1-2',
    HEADWAY_STREAM_REPLICAS: '3',
    HEADWAY_EDGE_ID: 'edge-7',
    HEADWAY_LOG_LEVEL: 'silent',
    HEADWAY_HEARTBEAT_MS: '100',
    HEADWAY_IDLE_TIMEOUT_SECONDS: '960',
    HEADWAY_TAIL_BYTES: '65536',
    HEADWAY_LAST_STATE_BYTES: '65537',
    HEADWAY_SEND_WATERMARK_BYTES: '1024',
    HEADWAY_COLD_READS: '256',
    HEADWAY_MAX_PENDING_READS: '7',
    HEADWAY_MAX_REPLAY_JOB: '1',
    HEADWAY_MAX_REPLAY_ALL: '9007199254740991',
    HEADWAY_DRAIN_MS: '0',
  };
  expect(new Set(Object.keys(env))).toEqual(new Set(settings().map(({ env: name }) => name)));
  expect(accepted(env).config).toEqual({
    natsUrl: env.NATS_URL,
    natsCreds: env.NATS_CREDS,
    host: '::1',
    port: 0,
    sharePort: true,
    auth: 'none',
    stream: 'Other_1-2',
    streamReplicas: 3,
    edgeId: 'edge-7',
    logLevel: 'silent',
    heartbeatMs: 100,
    idleTimeoutSeconds: 960,
    tailBytes: 65_536,
    lastStateBytes: 65_537,
    sendWatermarkBytes: 1024,
    coldReads: 256,
    maxPendingReads: 7,
    maxReplayJob: 1,
    maxReplayAll: Number.MAX_SAFE_INTEGER,
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
    ['HEADWAY_SHARE_PORT', 'yes', /is "yes"; expected true or false$/],
    ['HEADWAY_SHARE_PORT', '1', /is "1"; expected true or false$/],
    ['HEADWAY_SHARE_PORT', 'TRUE', /is "TRUE"; expected true or false$/],
    ['HEADWAY_STREAM', 'a.b', /is "a.b"; expected text that matches /],
    ['HEADWAY_EDGE_ID', 'my edge', /is "my edge"; expected text that matches /],
    ['HEADWAY_LOG_LEVEL', 'loud', /is "loud"; expected "fatal" or "error" or .*"info".* or "silent"$/],
    ['HEADWAY_AUTH', 'jwt', /^HEADWAY_AUTH is "jwt"; expected "none" \(/],
    ['HEADWAY_AUTH', 'None', /^HEADWAY_AUTH is "None"; expected "none" \(/],
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
    expect(accepted({ HEADWAY_SHARE_PORT: 'true' }).config.sharePort).toBe(true);
    expect(accepted({ HEADWAY_SHARE_PORT: 'false' }).config.sharePort).toBe(false);
  });

  test('HEADWAY_AUTH that is not set stops the start and says why there is no default', () => {
    const [problem, ...others] = problems({ HEADWAY_AUTH: undefined });
    expect(others).toEqual([]);
    expect(problem).toMatch(
      /^HEADWAY_AUTH is not set; expected "none" \(whoever reaches the port sees every job/,
    );
  });

  test('all of them at once, in the order of the settings', () => {
    const found = problems({
      NATS_URL: 'not an address',
      HEADWAY_PORT: 'x',
      HEADWAY_SHARE_PORT: 'x',
      HEADWAY_AUTH: undefined,
      HEADWAY_STREAM: '*',
      HEADWAY_LOG_LEVEL: 'x',
      HEADWAY_DRAIN_MS: 'x',
      HEADWAY_JWKS_URL: 'https://x.example',
    });
    expect(found.map((problem) => problem.split(' ')[0])).toEqual([
      'NATS_URL',
      'HEADWAY_PORT',
      'HEADWAY_SHARE_PORT',
      'HEADWAY_AUTH',
      'HEADWAY_STREAM',
      'HEADWAY_LOG_LEVEL',
      'HEADWAY_DRAIN_MS',
      'HEADWAY_JWKS_URL',
    ]);
  });

  test.each(['HEADWAY_JWT_SECRET', 'HEADWAY_JWKS_URL', 'HEADWAY_ALLOWED_ORIGINS'])(
    'G7 nobody unauthorised: %s, which nothing reads yet, is not ignored',
    (name) => {
      expect(problems({ [name]: 'hunter2' })).toEqual([
        `${name} is set, but this version does not read it yet; remove it`,
      ]);
    },
  );
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

  test('HEADWAY_PORT from a Kubernetes Service is told for what it is', () => {
    expect(problems({ HEADWAY_PORT: 'tcp://10.0.0.7:8080' })).toEqual([
      'HEADWAY_PORT is "tcp://10.0.0.7:8080"; expected an integer from 0 to 65535 ' +
        '(set by Kubernetes for a Service of this name? see enableServiceLinks)',
    ]);
  });
});
