import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OriginPolicy, parseOrigins } from '../../internal/edge/origin.js';

const LISTED = 'https://app.example.com';
const policy = new OriginPolicy([LISTED, 'https://other.example.com:8443', 'http://[2001:db8::1]:3000']);

/** What a policy says to a page on a host that is not the edge's own. */
const fromElsewhere = (origin: string) => policy.match(origin, 'edge.example.com', true);

describe('the page’s own origin', () => {
  test.each<[string, string, boolean]>([
    ['https://edge.example.com', 'edge.example.com', true],
    ['https://edge.example.com', 'edge.example.com:443', true],
    ['https://edge.example.com', 'EDGE.Example.COM', true],
    ['https://edge.example.com:8443', 'edge.example.com:8443', true],
    ['https://edge.example.com:80', 'edge.example.com:80', true],
    ['http://edge.example.com', 'edge.example.com', false],
    ['http://edge.example.com', 'edge.example.com:80', false],
    ['http://edge.example.com:443', 'edge.example.com:443', false],
    ['http://localhost:8080', 'localhost:8080', false],
    ['http://127.0.0.1:8080', '127.0.0.1:8080', false],
    ['http://[::1]:8080', '[::1]:8080', false],
    ['http://[2001:db8::a]', '[2001:DB8::A]:80', false],
    ['https://edge.example.com.', 'edge.example.com.', true],
    ['https://xn--bcher-kva.de', 'xn--bcher-kva.de', true],
    ['http://edge_1:8080', 'edge_1:8080', false],
  ])('%s of the host %s (TLS: %s)', (origin, host, isSecure) => {
    expect(new OriginPolicy([]).match(origin, host, isSecure)).toBe('own');
  });

  test.each<[string, string, string, boolean]>([
    ['another scheme', 'http://edge.example.com', 'edge.example.com', true],
    ['another scheme', 'https://edge.example.com', 'edge.example.com', false],
    ['another port', 'https://edge.example.com:8443', 'edge.example.com', true],
    ['another port', 'https://edge.example.com', 'edge.example.com:8443', true],
    ['the default port of the other scheme', 'https://edge.example.com', 'edge.example.com:80', true],
    ['a port with a zero before it', 'https://edge.example.com', 'edge.example.com:0443', true],
    ['a host that goes on', 'https://edge.example.com.evil.org', 'edge.example.com', true],
    ['a host that begins earlier', 'https://evil-edge.example.com', 'edge.example.com', true],
    ['the parent domain', 'https://example.com', 'edge.example.com', true],
    ['a trailing dot', 'https://edge.example.com.', 'edge.example.com', true],
    ['a trailing dot', 'https://edge.example.com', 'edge.example.com.', true],
    ['a user name', 'https://edge.example.com@evil.org', 'edge.example.com', true],
    ['a user name in the host', 'https://evil.org', 'edge.example.com@evil.org', true],
    ['a user name in both', 'https://a@edge.example.com', 'a@edge.example.com', true],
    ['upper case', 'https://EDGE.example.com', 'edge.example.com', true],
    ['upper case', 'HTTPS://edge.example.com', 'edge.example.com', true],
    ['a sign that becomes a letter', 'https://k.example.com', '\u212A.example.com', true],
    ['a default port', 'https://edge.example.com:443', 'edge.example.com', true],
    ['a trailing slash', 'https://edge.example.com/', 'edge.example.com', true],
    ['another way to write an address', 'http://127.0.0.1', '0x7f.1', false],
    ['another way to write an address', 'http://[::1]', '[0:0::1]', false],
    ['no host', 'https://', '', true],
    ['no host', 'https://edge.example.com', '', true],
    ['a port alone', 'https://:8080', ':8080', true],
    ['a path in the host', 'https://edge.example.com/a', 'edge.example.com/a', true],
    ['several hosts', 'https://a,b', 'a,b', true],
    ['a space', 'https://a b', 'a b', true],
    ['no origin in particular', 'null', 'null', true],
    ['no origin in particular', 'null', '', true],
  ])('G7 nobody unauthorised: %s is not it (%s, host %s)', (_, origin, host, isSecure) => {
    expect(new OriginPolicy([]).match(origin, host, isSecure)).toBe('refused');
  });
});

describe('the list', () => {
  test.each([LISTED, 'https://other.example.com:8443', 'http://[2001:db8::1]:3000'])('%s', (origin) => {
    expect(fromElsewhere(origin)).toBe('listed');
    expect(policy.match(origin, '', false)).toBe('listed');
  });

  test.each([
    'https://app.example.com.evil.org',
    'https://app.example.com@evil.org',
    'https://evil.org/https://app.example.com',
    'https://evil.org#https://app.example.com',
    'https://sub.app.example.com',
    'https://example.com',
    'https://app.example.co',
    'https://app.example.com.',
    'https://app.example.com/',
    'https://app.example.com:443',
    'https://app.example.com:8443',
    'https://other.example.com',
    'http://app.example.com',
    'https://APP.example.com',
    'https://app.example.com https://evil.org',
    'https://app.example.com, https://evil.org',
    'https://app.example.com,https://app.example.com',
    ' https://app.example.com',
    'https://app.example.com\0',
    'https://аpp.example.com',
    'app.example.com',
    '*',
    ' ',
    'null',
    'NULL',
    'undefined',
    '__proto__',
  ])('G7 nobody unauthorised: it has not %j', (origin) => {
    expect(fromElsewhere(origin)).toBe('refused');
  });

  test('G8 bad input: it has not an endless one', () => {
    const endless = 'https://'.padEnd(100_000, 'a');
    expect(fromElsewhere(endless)).toBe('refused');
    expect(policy.match(endless, 'a'.repeat(100_000), true)).toBe('refused');
  });

  test('a page without an origin of its own comes in only where the list says so', () => {
    expect(new OriginPolicy(['null']).match('null', 'null', false)).toBe('listed');
    expect(fromElsewhere('null')).toBe('refused');
  });

  test('no Origin header is no origin, whatever is listed', () => {
    expect(fromElsewhere('')).toBe('none');
    expect(new OriginPolicy(['null', '']).match('', '', true)).toBe('none');
  });
});

describe('the setting', () => {
  test.each<[string, string[]]>([
    ['', []],
    ['  ', []],
    ['https://app.example.com', ['https://app.example.com']],
    [' https://a.example , http://b.example:8080 ', ['https://a.example', 'http://b.example:8080']],
    ['HTTPS://App.Example.COM:443', ['https://app.example.com']],
    ['http://a.example:80,http://a.example', ['http://a.example']],
    ['https://a.example:80', ['https://a.example:80']],
    ['http://localhost:3000,null', ['http://localhost:3000', 'null']],
    ['http://[0:0:0::1]:3000', ['http://[::1]:3000']],
    ['https://bücher.de', ['https://xn--bcher-kva.de']],
    ['https://a.example.', ['https://a.example.']],
  ])('%j', (text, origins) => {
    expect(parseOrigins(text)).toEqual({ ok: true, origins });
  });

  test('means the same however often it is read', () => {
    const text = 'https://bücher.de';
    const wrong = Array.from({ length: 50_000 }, () => parseOrigins(text)).filter(({ ok }) => !ok);
    expect(wrong).toEqual([]);
  });

  test.each<[string, string]>([
    ['*', 'entry 1 ("*") has a wildcard'],
    ['https://*.example.com', 'has a wildcard'],
    ['https://a.example/', 'has more than scheme, host and port, if only a slash'],
    ['https://a.example/app', 'has more than scheme, host and port, if only a slash'],
    ['https:\\\\a.example', 'does not begin with http:// or https://'],
    ['https://a.example\\b', 'has more than scheme, host and port, if only a slash'],
    ['a.example', 'does not begin with http:// or https://'],
    ['localhost:3000', 'does not begin with http:// or https://'],
    ['https:a.example', 'does not begin with http:// or https://'],
    ['NULL', 'does not begin with http:// or https://'],
    ['wss://a.example', 'is the address of a socket'],
    ['chrome-extension://abcdef', 'has a scheme other than http and https'],
    ['file:///home', 'has a scheme other than http and https'],
    ['javascript://a.example', 'has a scheme other than http and https'],
    ['https://me@a.example', 'has a user name or a password'],
    ['https://me:secret@a.example', 'has a user name or a password'],
    ['https://', 'has no valid host'],
    ['https://:443', 'has no valid host'],
    ['https://a.example:', 'no valid port'],
    ['https://a.example:99999', 'no valid port'],
    ['https://a.example:8O80', 'no valid port'],
    ['https://a b', 'has no valid host'],
    ['https://a\tb', 'has no valid host'],
    ['https://a%2eb', 'has no valid host'],
    ["https://a'b", 'has no valid host'],
    ['https://[::1', 'has no valid host'],
    ['https://[a.example]', 'has no valid host'],
    ['https://a.example;https://b.example', 'has more than scheme, host and port, if only a slash'],
    ['https://a.example https://b.example', 'has more than scheme, host and port, if only a slash'],
    ['https://a.example,', 'entry 2 is empty'],
    [',', 'entry 1 is empty; entry 2 is empty'],
    [
      'https://a.example,ftp://b,c',
      'entry 2 ("ftp://b") has a scheme other than http and https; entry 3 ("c")',
    ],
  ])('G7 nobody unauthorised: %j is a mistake, and said to be one', (text, problem) => {
    expect(parseOrigins(text)).toEqual({ ok: false, problem: expect.stringContaining(problem) });
    expect(parseOrigins(text)).toEqual({ ok: false, problem: expect.stringContaining('; expected origins') });
  });

  test.each([
    'https://me:hunter2@a.example',
    'https://a.example?token=hunter2',
    'https://a.example#hunter2',
    'postgres://me:hunter2@db',
  ])('a secret that came in by mistake is not repeated: %s', (text) => {
    const parsed = parseOrigins(text);
    expect(parsed).toMatchObject({ ok: false, problem: expect.stringMatching(/^entry 1 /) });
    expect(JSON.stringify(parsed)).not.toContain('hunter2');
  });

  test('what it reads, it reads again, and lets in; nothing makes it throw', () => {
    const host = fc.oneof(
      fc.domain(),
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`),
      fc.string({ unit: 'binary', maxLength: 20 }),
    );
    const port = fc.oneof(
      fc.constant(''),
      fc.nat({ max: 70_000 }).map((number) => `:${number}`),
    );
    const scheme = fc.constantFrom('http', 'https', 'HTTPS');
    let read = 0;
    fc.assert(
      fc.property(scheme, host, port, (name, where, at) => {
        const parsed = parseOrigins(`${name}://${where}${at}`);
        if (!parsed.ok) return;
        const { origins } = parsed;
        read++;
        expect(parseOrigins(origins.join(','))).toEqual(parsed);
        for (const origin of origins) {
          // The form of browsers: what the platform's own parser makes of it.
          expect(new URL(origin).origin).toBe(origin);
          expect(new OriginPolicy(origins).match(origin, 'edge.example.com', true)).toBe('listed');
          const url = new URL(origin);
          expect(new OriginPolicy([]).match(origin, url.host, url.protocol === 'https:')).toBe('own');
        }
      }),
      { numRuns: 1_000 },
    );
    expect(read).toBeGreaterThan(100);
  });

  test('G7 nobody unauthorised: two headers are one’s own only as one name and one port', () => {
    const name = fc.oneof(
      { weight: 4, arbitrary: fc.domain() },
      {
        weight: 1,
        arbitrary: fc.string({ unit: 'binary', maxLength: 20 }).filter((text) => !text.startsWith('[')),
      },
    );
    const same = fc.constantFrom<(text: string) => string>(
      (text) => text,
      (text) => text.toUpperCase(),
      (text) => `${text}:443`,
      (text) => `${text}:80`,
    );
    const other = fc.constantFrom<(text: string) => string>(
      (text) => `${text}.`,
      (text) => `${text}:`,
      (text) => `${text}.evil.org`,
      (text) => `a@${text}`,
      (text) => text.slice(1),
      () => 'evil.org',
    );
    const change = fc.oneof({ weight: 2, arbitrary: same }, { weight: 1, arbitrary: other });
    const seen = { own: 0, refused: 0 };
    fc.assert(
      fc.property(name, change, change, fc.boolean(), (text, toOrigin, toHost, isSecure) => {
        const [from, host] = [toOrigin(text), toHost(text)];
        const [scheme, port] = isSecure ? ['https', '443'] : ['http', '80'];
        const match = policy.match(`${scheme}://${from}`, host, isSecure);
        const isOwn =
          /^[a-z0-9._-]+(:\d{1,5})?$/.test(from) &&
          [from, `${from}:${port}`].includes(host.toLowerCase()) &&
          from.split(':')[1] !== port;
        expect(match).toBe(isOwn ? 'own' : 'refused');
        seen[isOwn ? 'own' : 'refused']++;
      }),
      { numRuns: 2_000 },
    );
    expect(seen.own).toBeGreaterThan(100);
    expect(seen.refused).toBeGreaterThan(100);
  });
});
