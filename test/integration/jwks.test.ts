/** Keys behind a JWKS URL, from a real HTTP server on this machine. The time is the test's own. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { KeyReport, KeySetLimits } from '../../internal/auth/jwks.js';
import { createVerifier, type Verifier, type VerifierSettings } from '../../internal/auth/verifier.js';
import { craft, hmac, JWT_SECRET, type KeyPair, keyPair, part, signedBy, token } from '../harness/jwt.js';
import { waitFor } from '../harness/wait.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = Date.parse('2026-01-31T12:00:00Z');
const CLAIMS = { exp: START / 1000 + 10 * 86_400, jobs: ['*'] };

const first = keyPair('RS256', 'first');
const second = keyPair('ES256', 'second');

let server: Server;
let requests = 0;
let answer: RequestListener;
let now: number;
let reports: KeyReport[];
let verifiers: Verifier[];

beforeEach(async () => {
  requests = 0;
  now = START;
  reports = [];
  verifiers = [];
  publish(first);
  server = createServer((request, response) => {
    requests += 1;
    answer(request, response);
  });
  await listen(0);
});

afterEach(async () => {
  for (const verifier of verifiers) verifier.close();
  await hostDown();
});

async function listen(port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

async function hostDown(): Promise<void> {
  server.closeAllConnections();
  if (server.listening) await new Promise((resolve) => server.close(resolve));
}

/** What the host answers from now on. */
function publish(...keys: (KeyPair | Record<string, unknown>)[]): void {
  send(200, JSON.stringify({ keys: keys.map((key) => ('jwk' in key ? key.jwk : key)) }));
}

function send(status: number, body: string | Buffer, headers: Record<string, string> = {}): void {
  answer = (_, response) => response.writeHead(status, headers).end(body);
}

function verifier(settings: Partial<VerifierSettings> = {}, limits: Partial<KeySetLimits> = {}): Verifier {
  const { port } = server.address() as AddressInfo;
  const made = createVerifier(
    { jwksUrl: `http://127.0.0.1:${port}/keys?secret=hunter2`, clockToleranceSeconds: 0, ...settings },
    () => now,
    { limits, onKeys: (report) => void reports.push(report) },
  );
  verifiers.push(made);
  return made;
}

/** 'ok', or the defect; every message is for people. */
async function resultOf(check: Verifier, text: string): Promise<string> {
  const result = await check.verify(text);
  if (result.ok) return 'ok';
  expect(result.message).toMatch(/^[ -~]{10,220}$/);
  expect(result.message).not.toMatch(/127\.0\.0\.1|hunter2/);
  return result.defect;
}

const reported = async (count: number) => {
  await waitFor(() => reports.length >= count, { what: `${count} reports` });
  expect(JSON.stringify(reports)).not.toMatch(/127\.0\.0\.1|hunter2/);
  return reports;
};

describe('algorithms', () => {
  const algorithms = [
    'RS256',
    'RS384',
    'RS512',
    'PS256',
    'PS384',
    'PS512',
    'ES256',
    'ES384',
    'ES512',
    'EdDSA',
  ];

  test.each(algorithms)('%s is taken, and a signature of another key is not', async (alg) => {
    const pair = keyPair(alg);
    const other = keyPair(alg);
    publish(pair);
    const check = verifier();
    expect(await resultOf(check, signedBy(pair, CLAIMS))).toBe('ok');
    expect(await resultOf(check, signedBy(other, CLAIMS))).toBe('signature');
    expect(await resultOf(check, signedBy(pair, { ...CLAIMS, exp: START / 1000 }))).toBe('expired');
  });

  test('G7 nobody unauthorised: no public key is ever the secret of an HMAC', async () => {
    const { alg: _, ...bare } = first.jwk;
    publish(bare);
    const spellings = [
      first.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      first.publicKey.export({ type: 'spki', format: 'pem' }).toString().trimEnd(),
      first.publicKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
      first.publicKey.export({ type: 'spki', format: 'der' }).toString('latin1'),
      JSON.stringify(bare),
      JSON.stringify(first.jwk),
      String(bare.n),
    ];
    for (const check of [verifier(), verifier({ secret: JWT_SECRET })]) {
      for (const spelling of spellings) {
        for (const bits of [256, 384, 512]) {
          for (const kid of [{}, { kid: first.kid }]) {
            const header = { alg: `HS${bits}`, ...kid };
            const result = await resultOf(check, craft(header, CLAIMS, hmac(spelling, `sha${bits}`)));
            expect(result).toMatch(/^(algorithm|signature)$/);
          }
        }
      }
      expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    }
  });

  test.each(['none', 'None', 'NONE', 'HS256', 'HS384', 'HS512', 'RS1', 'ES256K', 'RSA-OAEP', 'dir', ''])(
    'G7 nobody unauthorised: %j is refused without asking for keys',
    async (alg) => {
      const check = verifier();
      expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
      now += HOUR;
      expect(await resultOf(check, signedBy(first, CLAIMS, { alg }))).toBe('algorithm');
      expect(await resultOf(check, `${part({ alg, kid: first.kid })}.${part(CLAIMS)}.`)).toBe('algorithm');
      expect(requests).toBe(1);
    },
  );

  test('G7 nobody unauthorised: a token cannot bring or name the key that it is checked by', async () => {
    const own = keyPair('RS256', 'own');
    const check = verifier();
    const { port } = server.address() as AddressInfo;
    for (const header of [
      { jwk: own.jwk },
      { jku: `http://127.0.0.1:${port}/own` },
      { x5u: 'x' },
      { x5c: ['x'] },
    ]) {
      expect(await resultOf(check, signedBy(own, CLAIMS, { ...header, kid: 'first' }))).toBe('signature');
      expect(await resultOf(check, signedBy(own, CLAIMS, header))).toBe('unknown_key');
    }
    expect(requests).toBe(1);
  });

  test('a key is only taken for its own algorithm, use and kind', async () => {
    const { alg: _, ...bare } = first.jwk;
    const text = signedBy(first, CLAIMS);
    for (const spoiled of [
      { alg: 'PS256' },
      { use: 'enc' },
      { key_ops: ['sign'] },
      { kty: 'oct', k: 'AAAA' },
    ]) {
      publish({ ...bare, ...spoiled });
      expect(await resultOf(verifier(), text)).toBe('unknown_key');
    }
    publish(bare);
    expect(await resultOf(verifier(), text)).toBe('ok');
  });

  test('an RSA key of 1024 bits and a private key are not used', async () => {
    const weak = keyPair('RS256', 'weak', 1024);
    publish(weak);
    expect(await resultOf(verifier(), signedBy(weak, CLAIMS))).toBe('keys_unavailable');
    publish({ ...first.privateKey.export({ format: 'jwk' }), kid: first.kid });
    expect(await resultOf(verifier(), signedBy(first, CLAIMS))).toBe('unknown_key');
  });

  test('with a secret too, HS256 goes by the secret and all else by the keys', async () => {
    const check = verifier({ secret: JWT_SECRET });
    expect(await resultOf(check, token(CLAIMS))).toBe('ok');
    expect(await resultOf(check, token(CLAIMS, `${JWT_SECRET}x`))).toBe('signature');
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    await hostDown();
    now += 2 * 24 * HOUR;
    expect(await resultOf(check, token(CLAIMS))).toBe('ok');
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('keys_unavailable');
  });
});

describe('tokens without a key id', () => {
  test('are checked by every key of their kind', async () => {
    const keys = [keyPair('ES256', null), keyPair('ES256', null), keyPair('ES256', 'named')];
    publish(first, ...keys);
    const check = verifier();
    for (const key of keys) {
      expect(await resultOf(check, signedBy(key, CLAIMS, { kid: undefined }))).toBe('ok');
    }
    const stranger = keyPair('ES256', null);
    expect(await resultOf(check, signedBy(stranger, CLAIMS))).toBe('signature');
  });

  test('of a new key are taken once the cool-down is over', async () => {
    const [old, next] = [keyPair('ES256', null), keyPair('ES256', null)];
    publish(old);
    const check = verifier();
    expect(await resultOf(check, signedBy(old, CLAIMS))).toBe('ok');
    publish(next);
    expect(await resultOf(check, signedBy(next, CLAIMS))).toBe('signature');
    now += 30_000;
    expect(await resultOf(check, signedBy(next, CLAIMS))).toBe('ok');
    expect(await resultOf(check, signedBy(old, CLAIMS))).toBe('signature');
    expect(requests).toBe(2);
  });
});

describe('how often keys are asked for', () => {
  test('once, before the first token, for any number of tokens at once', async () => {
    const check = verifier();
    await waitFor(() => requests === 1, { what: 'the keys to be asked for without a token' });
    const results = await Promise.all(
      Array.from({ length: 200 }, () => resultOf(check, signedBy(first, CLAIMS))),
    );
    expect(new Set(results)).toEqual(new Set(['ok']));
    expect(requests).toBe(1);
    expect(reports).toEqual([{ kind: 'fetched', keys: 1 }]);
  });

  test('again for an unknown key, by all who wait together, but not within 30 s', async () => {
    const check = verifier();
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    publish(first, second);
    now += 29_999;
    expect(await resultOf(check, signedBy(second, CLAIMS))).toBe('unknown_key');
    expect(requests).toBe(1);
    now += 1;
    const results = await Promise.all(
      Array.from({ length: 50 }, () => resultOf(check, signedBy(second, CLAIMS))),
    );
    expect(new Set(results)).toEqual(new Set(['ok']));
    expect(requests).toBe(2);
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
  });

  test('not more often for a flood of unknown keys', async () => {
    const check = verifier();
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    for (let i = 0; i < 100; i++) {
      now += 1_000;
      expect(await resultOf(check, signedBy(first, CLAIMS, { kid: `kid-${i}` }))).toBe('unknown_key');
    }
    expect(requests).toBe(4);
  });

  test('beside their use when they are half as old as they may be, so that nobody waits', async () => {
    const check = verifier();
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    now += 5 * MINUTE;
    let letGo = () => {};
    answer = (_, response) => {
      letGo = () => response.end(JSON.stringify({ keys: [second.jwk] }));
    };
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    await waitFor(() => requests === 2, { what: 'the second request' });
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    letGo();
    await reported(2);
    expect(await resultOf(check, signedBy(second, CLAIMS))).toBe('ok');
    expect(requests).toBe(2);
  });

  test('G7 nobody unauthorised: a key that was withdrawn opens nothing after ten minutes', async () => {
    const check = verifier();
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    publish(second);
    now += 10 * MINUTE;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('unknown_key');
    expect(await resultOf(check, signedBy(second, CLAIMS))).toBe('ok');
    expect(requests).toBe(2);
  });

  test('also after the clock was set back', async () => {
    now = START + 24 * HOUR;
    const check = verifier();
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    now = START;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    publish(second);
    now += 10 * MINUTE;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('unknown_key');
  });
});

/** Ways for a host not to have keys; each answers or ends by itself. */
const FAILURES: [how: string, fail: () => void | Promise<void>, reason: RegExp][] = [
  ['is down', hostDown, /ECONNREFUSED|UND_ERR_SOCKET/],
  ['answers 500', () => send(500, JSON.stringify({ keys: [second.jwk] })), /status 500/],
  ['answers 404', () => send(404, ''), /status 404/],
  ['redirects', () => send(302, '', { location: '/elsewhere' }), /status 302/],
  ['answers junk', () => send(200, '<html>hello</html>'), /not a JSON Web Key Set/],
  ['answers nothing', () => send(200, ''), /not a JSON Web Key Set/],
  ['answers null', () => send(200, 'null'), /not a JSON Web Key Set/],
  ['answers a list', () => send(200, '[]'), /not a JSON Web Key Set/],
  ['answers keys that are none', () => send(200, '{"keys":[7]}'), /not a JSON Web Key Set/],
  ['answers bytes', () => send(200, Buffer.from([0xff, 0, 0x80])), /not a JSON Web Key Set/],
  ['answers too much', () => send(200, ' '.repeat(300 * 1024)), /longer than 262144 bytes/],
  [
    'answers without end',
    () => {
      answer = (_, response) => {
        const more = () => {
          while (!response.destroyed && response.write(' '.repeat(65_536)));
        };
        response.on('drain', more);
        more();
      };
    },
    /longer than 262144 bytes/,
  ],
  ['answers too many keys', () => publish(...Array(101).fill(second)), /more than 100 keys/],
  [
    'hangs up',
    () => {
      answer = (request) => void request.socket.destroy();
    },
    /request failed/,
  ],
  [
    'hangs up in the middle',
    () => {
      answer = (request, response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"keys":[', () => request.socket.destroy());
      };
    },
    /request failed/,
  ],
  [
    'never answers',
    () => {
      answer = () => {};
    },
    /no whole answer within 1000 ms/,
  ],
  [
    'never finishes its answer',
    () => {
      answer = (_, response) => void response.write('{"keys":[');
    },
    /no whole answer within 1000 ms/,
  ],
];

describe.each(FAILURES)('a host that %s', (_, fail, reason) => {
  const limits = String(reason).includes('whole answer') ? { timeoutMs: 1_000 } : {};

  test('leaves the keys that were there in use, for a day', async () => {
    const check = verifier({}, limits);
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    await fail();
    now += 10 * MINUTE;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    expect(await reported(2)).toEqual([
      { kind: 'fetched', keys: 1 },
      { kind: 'failed', reason: expect.stringMatching(reason), hasOlderKeys: true },
    ]);
    now = START + 24 * HOUR - 1;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    await reported(3);
    now += 1 + MINUTE;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('keys_unavailable');
  });

  test('from the start refuses every token for the time being, and is asked again after 5 s', async () => {
    const check = verifier({}, limits);
    // The verifier asks at once: this request is not to be answered before the host fails.
    answer = (request) => void request.socket.destroy();
    await reported(1);
    reports = [];
    await fail();
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('keys_unavailable');
    expect(reports).toEqual([]);
    now += 5_000;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('keys_unavailable');
    expect(reports).toEqual([{ kind: 'failed', reason: expect.stringMatching(reason), hasOlderKeys: false }]);
  });
});

describe('a host that comes back', () => {
  test('is found by a token that needs it, and what it has is used', async () => {
    const { port } = server.address() as AddressInfo;
    const check = verifier();
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    await hostDown();
    now += 10 * MINUTE;
    // The key may be a new one that could not be fetched: nobody is told that it is unknown.
    expect(await resultOf(check, signedBy(second, CLAIMS))).toBe('keys_unavailable');
    publish(second);
    await listen(port);
    now += 5_000;
    expect(await resultOf(check, signedBy(second, CLAIMS))).toBe('ok');
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('unknown_key');
    expect(reports.map(({ kind }) => kind)).toEqual(['fetched', 'failed', 'fetched']);
  });
});

describe('a host that is slow', () => {
  test('delays no token while it is known to be down', async () => {
    const check = verifier();
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    send(503, '');
    now += 10 * MINUTE;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    await reported(2);
    answer = () => {};
    now += 5_000;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    // The result came without an answer of the host, which was asked again all the same.
    expect(reports).toHaveLength(2);
    await waitFor(() => requests === 3, { what: 'the third request' });
  });
});

describe('G8 bad input: tokens of keys that nobody knows, while the host hangs', () => {
  test('have a few wait for it; the others are told at once, and good tokens are taken meanwhile', async () => {
    const check = verifier({}, { maxWaiting: 10 });
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    let letGo = () => {};
    answer = (_, response) => {
      letGo = () => response.end(JSON.stringify({ keys: [first.jwk, second.jwk] }));
    };
    now += 30_000;
    let told = 0;
    const all = Array.from({ length: 50 }, async (_, i) => {
      const result = await resultOf(check, signedBy(first, CLAIMS, { kid: `kid-${i}` }));
      told++;
      return result;
    });
    await waitFor(() => requests === 2 && told === 40, { what: 'forty to be told' });
    // It may be a new key, so nobody is told that it is none.
    expect(await resultOf(check, signedBy(second, CLAIMS))).toBe('keys_unavailable');
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('ok');
    letGo();
    const results = await Promise.all(all);
    expect(results.filter((result) => result === 'unknown_key')).toHaveLength(10);
    expect(results.filter((result) => result === 'keys_unavailable')).toHaveLength(40);
    expect(await resultOf(check, signedBy(second, CLAIMS))).toBe('ok');
    expect(requests).toBe(2);
  });

  test('without a key id as well', async () => {
    const { kid: _, ...bare } = first.jwk;
    publish(bare);
    const check = verifier({}, { maxWaiting: 0 });
    const other = keyPair('RS256', null);
    expect(await resultOf(check, signedBy(first, CLAIMS, { kid: undefined }))).toBe('ok');
    answer = () => {};
    now += 30_000;
    expect(await resultOf(check, signedBy(other, CLAIMS))).toBe('signature');
    expect(await resultOf(check, signedBy(first, CLAIMS, { kid: undefined }))).toBe('ok');
  });
});

describe('close', () => {
  test('ends a request that is under way; whoever waits gets a result; nothing is asked any more', async () => {
    let cut = false;
    answer = (request) => void request.socket.on('close', () => (cut = true));
    const check = verifier();
    const waiting = resultOf(check, signedBy(first, CLAIMS));
    await waitFor(() => requests === 1, { what: 'the request' });
    check.close();
    expect(await waiting).toBe('keys_unavailable');
    await waitFor(() => cut, { what: 'the connection to end' });
    now += HOUR;
    expect(await resultOf(check, signedBy(first, CLAIMS))).toBe('keys_unavailable');
    expect(requests).toBe(1);
    expect(reports).toEqual([]);
  });
});
