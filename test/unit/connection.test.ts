import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { ErrorCode, NatsError, nkeys } from 'nats';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError } from '../../internal/errors.js';
import { connectNats, type NatsSettings } from '../../internal/jetstream/connection.js';
import { explainConnectError } from '../../internal/jetstream/nats-errors.js';
import { parseNatsUrl, redactUrl } from '../../internal/jetstream/nats-url.js';
import { isAtLeast } from '../../internal/server-version.js';

describe('redactUrl leaves addresses and takes credentials', () => {
  test.each([
    ['nats://127.0.0.1:4222', 'nats://127.0.0.1:4222'],
    ['nats://user:hunter2@a.example:4222', 'nats://a.example:4222'],
    ['user:hunter2@a.example', 'a.example'],
    ['nats://hunter2@a.example', 'nats://a.example'],
    ['tls://user:hunter2%40x@a', 'tls://a'],
    ['nats://user:hunter2@a,nats://user:hunter2@b', 'nats://a,nats://b'],
    ['nats://a:1,user:hunter2@b:2,c:3', 'nats://a:1,b:2,c:3'],
    ['nats://user:hun@ter2@a', 'nats://a'],
    ['nats://[::1]:4222', 'nats://[::1]:4222'],
    ['', ''],
    ['nats://user:hunter2/x@a', 'nats://a'],
    ['nats://user:hunter2@a/x', '(not an address)'],
    ['nats://user:hun,ter2@a', '(not an address)'],
    ['nats://user:hunter2', '(not an address)'],
    ['user:hunter2@a b', '(not an address)'],
  ])('%s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });
});

describe('parseNatsUrl', () => {
  test.each<[string, ReturnType<typeof parseNatsUrl>]>([
    ['nats://127.0.0.1:4222', { servers: ['nats://127.0.0.1:4222'] }],
    ['nats://127.0.0.1:4222/', { servers: ['nats://127.0.0.1:4222'] }],
    ['localhost', { servers: ['localhost'] }],
    ['nats://a:1,nats://b:2/,c', { servers: ['nats://a:1', 'nats://b:2', 'c'] }],
    ['nats://user:pass@a:1', { servers: ['nats://a:1'], user: 'user', pass: 'pass' }],
    ['user:pass@a', { servers: ['a'], user: 'user', pass: 'pass' }],
    ['nats://user:@a', { servers: ['nats://a'], user: 'user', pass: '' }],
    ['nats://user:pa:ss@a', { servers: ['nats://a'], user: 'user', pass: 'pa:ss' }],
    ['nats://u%40x:p%2C%2F%25%C3%A4@a', { servers: ['nats://a'], user: 'u@x', pass: 'p,/%ä' }],
    ['nats://to%6ben@a', { servers: ['nats://a'], token: 'token' }],
    ['nats://user:pass@a,nats://b', { servers: ['nats://a', 'nats://b'], user: 'user', pass: 'pass' }],
    ['nats://a,nats://user:pass@b', { servers: ['nats://a', 'nats://b'], user: 'user', pass: 'pass' }],
    ['tls://a', { servers: ['tls://a'], tls: {} }],
    ['nats://a,tls://user:pass@b', { servers: ['nats://a', 'tls://b'], user: 'user', pass: 'pass', tls: {} }],
    ['nats://[::1]:4222', { servers: ['nats://[::1]:4222'] }],
  ])('%s', (url, options) => {
    expect(parseNatsUrl(url)).toEqual(options);
  });
});

describe('isAtLeast', () => {
  test.each<[boolean, string, string]>([
    [true, '2.10.0', '2.10.0'],
    [true, '2.10.27', '2.10.0'],
    [true, '2.15.1', '2.10.0'],
    [true, '2.100.0', '2.10.0'],
    [true, '3.0.0', '2.10.0'],
    [true, '10.0.0', '2.10.0'],
    [true, '2.12.0-RC.1', '2.10.0'],
    [true, '2.11.0-dev', '2.10.0'],
    [true, '2.10', '2.10.0'],
    [false, '2.9.25', '2.10.0'],
    [false, '2.1.10', '2.10.0'],
    [false, '1.99.99', '2.10.0'],
    [false, '0.0.0', '2.10.0'],
    [true, '2.11.5', '2.11.5'],
    [true, '2.11.10', '2.11.5'],
    [true, '2.12.0', '2.11.5'],
    [false, '2.11.4', '2.11.5'],
    [false, '2.11', '2.11.5'],
    [false, '2', '2.10.0'],
    [false, 'unknown', '2.10.0'],
    [false, '', '2.10.0'],
    [false, 'two.ten', '2.10.0'],
  ])('%s for %s and %s', (enough, version, wanted) => {
    expect(isAtLeast(version, wanted)).toBe(enough);
  });
});

/** Everything that is before the last `@`, in the forms in which it could come back. */
const secrets = fc.record({
  user: fc.string({ minLength: 4, maxLength: 20, unit: 'binary' }).filter(isTelling),
  password: fc.string({ minLength: 4, maxLength: 30, unit: 'binary' }).filter(isTelling),
});

/** Whether finding this text in a message proves that it leaked: the fixed words of the messages hold other letters. */
function isTelling(text: string): boolean {
  return !/^[\w .:%/()-]*$/.test(text);
}

describe('no part of a user or password is in what a failure says', () => {
  const errors = (url: string, words: readonly string[]): unknown[] => [
    new NatsError(`'you are ${words.join(' and ')}'`, ErrorCode.ProtocolError),
    new NatsError(url, ErrorCode.Unknown),
    new NatsError(words.join(''), ErrorCode.AuthorizationViolation),
    new TypeError(`Invalid URL: ${url}`),
    Object.assign(new Error(url), { code: 'ECONNRESET' }),
    new URIError(`URI malformed: ${url}`),
    url,
  ];

  test.each<[string, (user: string, password: string) => string]>([
    ['as they should be', (user, password) => `nats://${encode(user)}:${encode(password)}@host:4222`],
    ['without a scheme', (user, password) => `${encode(user)}:${encode(password)}@host`],
    ['a token', (_user, password) => `tls://${encode(password)}@host`],
    [
      'at the second address',
      (user, password) => `nats://a:1,nats://${encode(user)}:${encode(password)}@b:2`,
    ],
    ['not encoded', (user, password) => `nats://${user}:${password}@host:4222`],
    [
      'not encoded, at two addresses',
      (user, password) => `nats://${user}:${password}@a,nats://${user}:${password}@b`,
    ],
  ])('%s', (_name, urlOf) => {
    fc.assert(
      fc.property(secrets, ({ user, password }) => {
        const url = urlOf(user, password);
        const words = [user, password, encode(user), encode(password)].filter(isTelling);
        for (const error of errors(url, words)) {
          const shownUrl = redactUrl(url);
          const { message, cause } = explainConnectError({ url, shownUrl, wasEncrypted: false }, error);
          for (const word of words) if (url.includes(word)) expect(message).not.toContain(word);
          expect(message).not.toContain(password);
          expect(cause).toBeUndefined();
        }
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    'nats://user:hunter2/x@a:4222',
    'nats://user:hun,ter2@a:4222',
    'nats://user:hun ter2@a:4222',
    'nats://user:hunter2',
    'nats://user:hunter2%zz@127.0.0.1:1',
  ])('%s, which is no address', async (url) => {
    const error = await failure({ url });
    expect(error.message).not.toMatch(/hun|ter2/);
    expect(error.message).toMatch(/^Cannot reach NATS at /);
  });
});

describe('G8 bad input: a file that cannot be used is named with its variable, and not shown', () => {
  const folder = mkdtempSync(join(tmpdir(), 'headway-keys-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string;
  const { privateKey } = generateKeyPairSync('ed25519');
  const encrypted = privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'hunter2',
  });
  const account = new TextDecoder().decode(nkeys.createAccount().getSeed());
  const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
  const damaged = '-----BEGIN CERTIFICATE-----\nhunter2AAAA\n-----END CERTIFICATE-----\n';

  const variables = {
    caFile: 'NATS_CA',
    certFile: 'NATS_CERT',
    keyFile: 'NATS_KEY',
    nkeyFile: 'NATS_NKEY',
  } as const;
  const fields = Object.keys(variables) as (keyof typeof variables)[];

  test.each(fields)('%s that is not there, is a folder, or holds something else', async (field) => {
    for (const [path, why] of [
      [join(folder, 'nowhere.pem'), 'there is no such file'],
      [folder, 'it is a folder'],
      [file('other.txt', 'hunter2'), 'expected a '],
      [file('empty.pem', ''), 'expected a '],
    ] as const) {
      const error = await failure({ [field]: path });
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toContain(`  - ${variables[field]} is ${JSON.stringify(path)}; ${why}`);
      expect(error.message).not.toContain('hunter2');
    }
  });

  test.skipIf(process.getuid?.() === 0)('that this process may not read', async () => {
    const path = file('closed.pem', 'hunter2');
    chmodSync(path, 0);
    expect((await failure({ caFile: path })).message).toContain('this process may not read the file');
  });

  test.each<[string, Partial<NatsSettings>, string]>([
    [
      'a damaged certificate',
      { caFile: file('damaged.pem', damaged) },
      'NATS_CA is .* what is in it is damaged',
    ],
    [
      'a key with a passphrase',
      { keyFile: file('locked.pem', String(encrypted)) },
      'NATS_KEY is .* a key without a passphrase',
    ],
    [
      'a key without its certificate',
      { keyFile: file('alone.pem', pem(privateKey)) },
      'NATS_KEY is set, but NATS_CERT is not',
    ],
    [
      'a certificate without its key',
      { certFile: file('alone.crt', damaged) },
      'NATS_CERT is set, but NATS_KEY is not',
    ],
    [
      'a key in place of a certificate',
      { caFile: file('key.pem', pem(privateKey)) },
      'NATS_CA is .* with a certificate, but there is none',
    ],
    [
      'the seed of an account',
      { nkeyFile: file('account.nk', account) },
      'NATS_NKEY is .* seed of a user, one line that begins with SU',
    ],
    ['half a seed', { nkeyFile: file('half.nk', seed.slice(0, 40)) }, 'NATS_NKEY is .* seed of a user'],
    [
      'a seed and more',
      { nkeyFile: file('more.nk', `${seed}\n${seed}`) },
      'NATS_NKEY is .* and nothing else',
    ],
    [
      'two ways to sign in',
      { nkeyFile: file('user.nk', seed), credsFile: '/nowhere/edge.creds' },
      'NATS_CREDS and NATS_NKEY are both set',
    ],
  ])('%s', async (_name, settings, why) => {
    const error = await failure(settings);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(new RegExp(why));
    expect(error.message).not.toMatch(/hunter2|SU[A-Z2-7]{5}|SA[A-Z2-7]{5}|BEGIN|AAAA/);
  });

  test('a credentials file that is damaged', async () => {
    const path = file(
      'damaged.creds',
      `-----BEGIN NATS USER JWT-----\nhunter2\n------END NATS USER JWT------\n${seed}`,
    );
    const { message } = await failure({ credsFile: path });
    expect(message).toContain(`NATS_CREDS is "${path}"; expected a NATS credentials file`);
    expect(message).not.toMatch(/hunter2|SU[A-Z2-7]{5}/);
  });

  test('several mistakes are told at once', async () => {
    const error = await failure({
      caFile: '/nowhere/ca',
      certFile: '/nowhere/cert',
      nkeyFile: '/nowhere/nk',
    });
    expect(error.message.match(/^ {2}- NATS_\w+/gm)).toEqual([
      '  - NATS_CERT',
      '  - NATS_CA',
      '  - NATS_CERT',
      '  - NATS_NKEY',
    ]);
  });
});

/** What connecting with these settings fails with. Port 1 answers nobody. */
async function failure(settings: Partial<NatsSettings>): Promise<Error> {
  const connected = connectNats({ url: 'nats://127.0.0.1:1', name: 'test', ...settings });
  return connected.then(
    async (connection) => {
      await connection.close();
      throw new Error('it connected');
    },
    (error: Error) => error,
  );
}

function encode(text: string): string {
  return encodeURIComponent(text);
}
