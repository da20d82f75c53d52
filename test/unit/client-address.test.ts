import { BlockList, isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { headerLines, parseProxies, TrustedProxies } from '../../internal/edge/client-address.js';
import { addressText, canonicalAddress, limitKey } from '../../internal/edge/ip-address.js';

const PROXY = '10.0.0.1';
const proxies = new TrustedProxies(['10.0.0.0/8', '192.0.2.7', '2001:db8:1::/48']);

const bytes = (...values: number[]): ArrayBuffer => new Uint8Array(values).buffer;

describe('the client’s address', () => {
  test.each<[string, string, string, string]>([
    ['no header', PROXY, '', PROXY],
    ['one address', PROXY, '203.0.113.5', '203.0.113.5'],
    ['proxies in a row', PROXY, '203.0.113.5, 192.0.2.7, 10.3.2.1', '203.0.113.5'],
    ['proxies of both families', '2001:db8:1::5', '2001:db8:2::9,10.1.1.1', '2001:db8:2::9'],
    ['a proxy as IPv6 shows it', `::ffff:${PROXY}`, '203.0.113.5', '203.0.113.5'],
    ['spaces', PROXY, '  203.0.113.5  ,\t10.3.2.1 ', '203.0.113.5'],
    ['a port', PROXY, '203.0.113.5:49152', '203.0.113.5'],
    ['brackets', PROXY, '[2001:db8:2::9]', '2001:db8:2::9'],
    ['brackets and a port', PROXY, '[2001:DB8:2:0::9]:49152', '2001:db8:2::9'],
    ['IPv4 within IPv6', PROXY, '::ffff:203.0.113.5', '203.0.113.5'],
    ['IPv4 within IPv6, in hex', PROXY, '0:0:0:0:0:FFFF:cb00:7105', '203.0.113.5'],
    ['a zone', PROXY, 'fe80::1%eth0', 'fe80::1'],
    ['only proxies', PROXY, '10.0.0.3, 10.0.0.2', '10.0.0.3'],
  ])('%s', (_, peer, header, client) => {
    expect(proxies.clientAddress(peer, header)).toBe(client);
  });

  test.each<[string, string, string, string]>([
    ['whoever is no proxy says nothing', '203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['a neighbour of a proxy says nothing', '192.0.2.8', '198.51.100.1', '192.0.2.8'],
    ['a proxy’s twin in the other family says nothing', '::10.0.0.1', '198.51.100.1', '::a00:1'],
    [
      'what stands left of the client counts for nothing',
      PROXY,
      '10.0.0.9, 198.51.100.1, 203.0.113.5',
      '203.0.113.5',
    ],
    [
      'a proxy left of the client counts for nothing',
      PROXY,
      '198.51.100.1, 203.0.113.5, 10.0.0.9',
      '203.0.113.5',
    ],
    ['a word', PROXY, '198.51.100.1, unknown', PROXY],
    ['a word behind a proxy', PROXY, '198.51.100.1, unknown, 10.0.0.9', '10.0.0.9'],
    ['a name', PROXY, '_hidden', PROXY],
    ['an empty entry', PROXY, '198.51.100.1,,10.0.0.9', '10.0.0.9'],
    ['a comma at the end', PROXY, '198.51.100.1,', PROXY],
    ['nothing but commas', PROXY, ',,,,', PROXY],
    ['nothing but a comma at the start', PROXY, ',203.0.113.5', '203.0.113.5'],
    ['a number out of range', PROXY, '198.51.100.256', PROXY],
    ['an octal number', PROXY, '0300.51.100.1', PROXY],
    ['three parts', PROXY, '198.51.100', PROXY],
    ['a range', PROXY, '198.51.100.0/24', PROXY],
    ['a quoted one', PROXY, '"198.51.100.1"', PROXY],
    ['an open bracket', PROXY, '[2001:db8::1', PROXY],
    ['an IPv6 address with a port, but no brackets', PROXY, '1:2:3:4:5:6:7:8:49152', PROXY],
    ['two in one', PROXY, '198.51.100.1 203.0.113.5', PROXY],
    ['other digits', PROXY, '１98.51.100.1', PROXY],
    ['a line end', PROXY, '198.51.100.1\r\nx: y', PROXY],
    ['a null', PROXY, '198.51.100.1\0', PROXY],
    ['an endless entry', PROXY, `${' '.repeat(1_000)}198.51.100.1`, PROXY],
  ])('G8 bad input: %s', (_, peer, header, client) => {
    expect(proxies.clientAddress(peer, header)).toBe(client);
  });

  test('with no proxy trusted the header means nothing', () => {
    const nobody = new TrustedProxies([]);
    expect(nobody.clientAddress('203.0.113.9', '198.51.100.1')).toBe('203.0.113.9');
    expect(nobody.clientAddress('::ffff:203.0.113.9', '198.51.100.1')).toBe('203.0.113.9');
    expect(nobody.clientAddress('', '198.51.100.1')).toBe('');
  });

  test('G8 bad input: of thousands of entries only the last ones are looked at', () => {
    const entries = Array.from({ length: 50_000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
    // One that is looked at too many would be somebody else, and then the client.
    const header = `203.0.113.5,${entries.join(',')}`;
    expect(proxies.clientAddress(PROXY, header)).toBe(entries.at(-32));
    expect(proxies.clientAddress(PROXY, '203.0.113.5,'.repeat(50_000))).toBe(PROXY);
    expect(proxies.clientAddress(PROXY, ' '.repeat(1_000_000))).toBe(PROXY);
  });

  test('G7 nobody unauthorised: behind any row of proxies it is the last address that is none of them', () => {
    const stranger = fc.nat(255).map((last) => `198.51.100.${last}`);
    const proxy = fc.nat(255).map((last) => `10.0.0.${last}`);
    fc.assert(
      fc.property(fc.array(fc.oneof(stranger, proxy), { maxLength: 12 }), (entries) => {
        const client = entries.findLast((entry) => !entry.startsWith('10.')) ?? entries[0] ?? PROXY;
        expect(proxies.clientAddress(PROXY, entries.join(', '))).toBe(client);
      }),
      { numRuns: 500 },
    );
  });

  test('G8 bad input: any header gives the peer or something that its proxies wrote, and nothing throws', () => {
    const entry = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.nat(255).map((last) => `10.0.0.${last}`),
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.stringMatching(/^[0-9a-f:.[\]% ]{0,20}$/),
    );
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 6 }),
        fc.constantFrom(PROXY, '203.0.113.9', '', 'x'),
        (list, peer) => {
          const client = proxies.clientAddress(peer, list.join(','));
          if (peer !== PROXY) expect(client).toBe(peer);
          else expect(parseProxies(client).ok).toBe(true);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('an address has one form', () => {
  // `ipaddr.js` by itself would read each of these, most of them as 10.0.0.1.
  test.each([
    '010.0.0.1',
    '012.0.0.1',
    '10.0.0.01',
    '0xa.0.0.1',
    '0x0a000001',
    '10.0.1',
    '10.1',
    '167772161',
    '::010.0.0.1',
    '::ffff:010.0.0.1',
    '::ffff:0xa.0.0.1',
  ])('G7 nobody unauthorised: %j is none', (text) => {
    expect(canonicalAddress(text)).toBeNull();
    expect(parseProxies(text).ok).toBe(false);
    expect(limitKey(text)).toBe(text);
  });

  test.each([
    ['::FFFF:10.0.0.1', '10.0.0.1'],
    ['::ffff:a00:1', '10.0.0.1'],
    ['0:0:0:0:0:ffff:10.0.0.1', '10.0.0.1'],
    // By `ipaddr.js` itself the next two would be 10.0.0.1 as well.
    ['::10.0.0.1', '::a00:1'],
    ['::10.0.0.1%eth0', '::a00:1'],
    ['0::10.0.0.1', '::a00:1'],
    ['::ffff:0:10.0.0.1', '::ffff:0:a00:1'],
    ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['fe80::1%eth0.100-a', 'fe80::1'],
    ['::ffff:10.0.0.1%1', '10.0.0.1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
  ])('%s is %s', (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical);
    expect(canonicalAddress(canonical)).toBe(canonical);
  });

  test('and it is the one that Node gives it', () => {
    const group = fc.oneof(fc.constant('0'), fc.constantFrom('ffff', '1', 'A00'), fc.nat(0xffff).map(hex));
    const native = fc
      .tuple(fc.array(group, { maxLength: 8 }), fc.array(group, { maxLength: 8 }), fc.boolean())
      .map(([left, right, isShort]) => [left.join(':'), right.join(':')].join(isShort ? '::' : ':'));
    const dotted = fc.tuple(native, fc.ipV4()).map(([left, right]) => `${left}:${right}`);
    const text = fc.oneof(native, dotted, fc.ipV6(), fc.ipV4(), fc.stringMatching(/^[0-9a-fx:.%]{0,20}$/));
    fc.assert(
      fc.property(text, (given) => {
        const family = isIP(given);
        const canonical = canonicalAddress(given);
        expect(canonical === null).toBe(family === 0);
        if (canonical === null) return;
        const list = new BlockList();
        const form = isIP(canonical) === 4 ? 'ipv4' : 'ipv6';
        list.addAddress(canonical, form);
        expect(list.check(given.replace(/%.*/, ''), family === 4 ? 'ipv4' : 'ipv6')).toBe(true);
        expect(canonical.includes('.')).toBe(form === 'ipv4');
      }),
      { numRuns: 5_000 },
    );
  });
});

const hex = (number: number): string => number.toString(16);

describe('who is trusted', () => {
  test.each([
    '10.0.0.0',
    '10.255.255.255',
    '192.0.2.7',
    '2001:db8:1:ffff::1',
    '2001:0DB8:0001::',
    '::ffff:10.1.1.1',
  ])('%s is', (address) => {
    expect(proxies.isTrusted(address)).toBe(true);
  });

  test.each([
    '9.255.255.255',
    '11.0.0.0',
    '192.0.2.6',
    '192.0.2.8',
    '2001:db8:2::',
    '2001:db8:0:ffff::1',
    '::10.0.0.1',
    '64:ff9b::10.0.0.1',
    '::ffff:11.0.0.1',
    '',
    'x',
    '10.0.0.1 ',
    '10.0.0.1/8',
    '10.0.0.1:80',
    '[2001:db8:1::1]',
    '010.0.0.1',
    '10.1',
    '0xa.0.0.1',
    '167772161',
  ])('G7 nobody unauthorised: %j is not', (address) => {
    expect(proxies.isTrusted(address)).toBe(false);
  });

  test('an IPv6 range, however wide, holds no IPv4 address', () => {
    const wide = new TrustedProxies(['::/1']);
    expect(wide.isTrusted('1::')).toBe(true);
    expect(wide.isTrusted('10.0.0.1')).toBe(false);
    expect(wide.isTrusted('::ffff:10.0.0.1')).toBe(false);
  });

  test('a range holds what shares its first bits, and nothing else', () => {
    const width = fc.constantFrom(32, 128);
    const numbers = fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), fc.nat(), fc.nat());
    fc.assert(
      fc.property(width, numbers, (size, [number, anyPrefix, anyBit]) => {
        const address = BigInt.asUintN(size, number);
        const prefix = 1 + (anyPrefix % size);
        // The same address but for one bit, which is within the prefix or behind it.
        const bit = anyBit % size;
        const other = address ^ (1n << BigInt(size - 1 - bit));
        const range = new TrustedProxies([`${write(address, size)}/${prefix}`]);
        expect(range.isTrusted(write(address, size))).toBe(true);
        // Which within ::ffff:0:0/96 would be IPv4; no such number is made here but by great chance.
        expect(range.isTrusted(write(other, size))).toBe(bit >= prefix);
      }),
      { numRuns: 1_000 },
    );
  });

  test('what is no list of proxies is not taken for one', () => {
    expect(() => new TrustedProxies(['10.0.0.0/8', 'proxy.local'])).toThrow(RangeError);
    expect(() => new TrustedProxies(['0.0.0.0/0'])).toThrow(RangeError);
  });
});

/** An address of 32 or 128 bits as text. */
function write(address: bigint, size: number): string {
  const [part, separator, radix] = size === 32 ? [8, '.', 10] : [16, ':', 16];
  const parts = Array.from({ length: size / part }, (_, index) =>
    BigInt.asUintN(part, address >> BigInt(size - part * (index + 1))).toString(radix),
  );
  return parts.join(separator);
}

describe('the setting', () => {
  test.each<[string, string[]]>([
    ['', []],
    [' ', []],
    ['10.0.0.1', ['10.0.0.1/32']],
    [' 10.0.0.0/8 , 2001:DB8:0::/32 ', ['10.0.0.0/8', '2001:db8::/32']],
    ['::1,::1', ['::1/128']],
    ['::ffff:10.0.0.0/104', ['10.0.0.0/8']],
    ['::ffff:10.0.0.1', ['10.0.0.1/32']],
  ])('%j', (text, list) => {
    expect(parseProxies(text)).toEqual({ ok: true, list, tooWide: expect.anything() });
    // What it reads is what the constructor takes.
    expect(new TrustedProxies(list)).toBeDefined();
  });

  test.each<[string, string]>([
    ['proxy.local', 'entry 1 ("proxy.local") is not an address or a range'],
    ['10.0.0.0/33', 'is not an address or a range'],
    ['2001:db8::/129', 'is not an address or a range'],
    ['10.0.0.0/', 'is not an address or a range'],
    ['10.0.0.0/08', 'is not an address or a range'],
    ['10.0.0.0/-8', 'is not an address or a range'],
    ['10.0.0.0/8/8', 'is not an address or a range'],
    ['10.0.0.0/255.0.0.0', 'is not an address or a range'],
    ['10.0.0/8', 'is not an address or a range'],
    ['010.0.0.0/8', 'is not an address or a range'],
    ['fe80::1%eth0', 'is not an address or a range'],
    ['[::1]', 'is not an address or a range'],
    ['10.0.0.1:80', 'is not an address or a range'],
    ['10.0.0.1 10.0.0.2', 'is not an address or a range'],
    ['::ffff:0:0/95', 'is not an address or a range'],
    ['*', 'is not an address or a range'],
    ['10.0.0.1,', 'entry 2 ("") is empty'],
    ['a,10.0.0.1,b', '; entry 3 ("b") is not an address'],
  ])('%j is a mistake, and said to be one', (text, problem) => {
    expect(parseProxies(text)).toEqual({ ok: false, problem: expect.stringContaining(problem) });
    expect(parseProxies(text)).toEqual({
      ok: false,
      problem: expect.stringContaining('; expected addresses'),
    });
  });

  test.each(['0.0.0.0/0', '::/0', '10.0.0.1/0', '::ffff:0.0.0.0/96'])(
    'G7 nobody unauthorised: %s would trust everybody, and is refused',
    (text) => {
      expect(parseProxies(text)).toEqual({ ok: false, problem: expect.stringContaining('is everybody') });
    },
  );
});

describe('G7 nobody unauthorised: proxies that are too many to be trusted', () => {
  test.each([
    ['two halves of IPv4', '0.0.0.0/1,128.0.0.0/1', 4],
    ['in any order, and overlapping', '128.0.0.0/1, 64.0.0.0/2, 10.0.0.0/8, 0.0.0.0/2', 4],
    ['a range that is named by an address within it', '1.2.3.4/1,200.1.2.3/1', 4],
    ['two halves of IPv6', '::/1,8000::/1', 6],
    ['IPv4 within IPv6', '::ffff:0.0.0.0/97,::ffff:128.0.0.0/97', 4],
    ['one by one', Array.from({ length: 256 }, (_, i) => `${i}.0.0.0/8`).join(','), 4],
  ])('%s', (_, text, family) => {
    const parsed = parseProxies(text);
    expect(parsed).toEqual({
      ok: false,
      problem: expect.stringContaining(`hold every IPv${family} address`),
    });
  });

  test('what leaves somebody out is taken, whatever it is', () => {
    const all = Array.from({ length: 256 }, (_, i) => `${i}.0.0.0/8`);
    fc.assert(
      fc.property(fc.nat({ max: 255 }), fc.shuffledSubarray(all, { minLength: 250 }), (left, some) => {
        const text = some.filter((range) => !range.startsWith(`${left}.`)).join(',');
        expect(parseProxies(text).ok).toBe(true);
      }),
    );
  });

  test.each([
    ['0.0.0.0/1,10.0.0.0/8', ['0.0.0.0/1']],
    ['10.0.0.0/7', ['10.0.0.0/7']],
    ['10.0.0.0/8,172.16.0.0/12,192.168.0.0/16', []],
    ['fc00::/7,2001:db8::/32', ['fc00::/7']],
    ['2001:db8::/31', ['2001:db8::/31']],
    ['::ffff:10.0.0.0/103', ['10.0.0.0/7']],
  ])('%s: a range in which strangers may be is named', (text, wide) => {
    expect(parseProxies(text)).toMatchObject({ ok: true, tooWide: wide });
  });
});

describe('whether the client came over TLS', () => {
  test.each<[string, string, boolean, string, boolean]>([
    ['a proxy that says so', PROXY, false, 'https', true],
    ['a proxy that says not', PROXY, true, 'http', false],
    ['a proxy that names the socket’s scheme', PROXY, false, 'wss', true],
    ['a proxy that names the socket’s scheme', PROXY, true, 'ws', false],
    ['a proxy in capitals', PROXY, false, ' HTTPS ', true],
    ['a proxy that says nothing', PROXY, true, '', true],
    ['a proxy that says nothing', PROXY, false, '', false],
    ['of several, the one that the proxy wrote itself', PROXY, false, 'http, http, https', true],
    ['of several, the one that the proxy wrote itself', PROXY, false, 'https,http', false],
    ['somebody else', '203.0.113.9', false, 'https', false],
    ['somebody else', '203.0.113.9', true, 'http', true],
    ['nobody', '', false, 'https', false],
    ['garbage', PROXY, false, 'httpsx', false],
    ['garbage', PROXY, true, 'https,', true],
    ['garbage', PROXY, false, 'https,', false],
  ])('%s: %s, own %s, %j', (_, peer, ownTls, header, isSecure) => {
    expect(proxies.isSecure(peer, ownTls, header)).toBe(isSecure);
  });
});

describe('the key of the limits', () => {
  test.each([
    ['203.0.113.5', '203.0.113.5'],
    ['::ffff:203.0.113.5', '203.0.113.5'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:1::2:3:4:5', '2001:db8:1:0::/64'],
    ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
    ['1:2:3::8', '1:2:3:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::1.2.3.4', '0:0:0:0::/64'],
    ['::2:3:4:5:6:7:8', '0:2:3:4::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
    ['unknown', 'unknown'],
  ])('%s counts under %s', (address, key) => {
    expect(limitKey(address)).toBe(key);
    expect(limitKey(key)).toBe(key);
  });

  test('two IPv6 addresses share one exactly when they share their first 64 bits', () => {
    const half = fc.oneof(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.constantFrom(1n, 0xffffn, 1n << 48n),
    );
    fc.assert(
      fc.property(half, half, half, half, (left, right, otherLeft, otherRight) => {
        fc.pre(left !== 0n && otherLeft !== 0n);
        const one = limitKey(write((left << 64n) | right, 128));
        expect(limitKey(write((left << 64n) | otherRight, 128))).toBe(one);
        expect(limitKey(write((otherLeft << 64n) | right, 128)) === one).toBe(left === otherLeft);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the library’s address', () => {
  test.each<[ArrayBuffer, string]>([
    [bytes(203, 0, 113, 5), '203.0.113.5'],
    [bytes(0, 0, 0, 0), '0.0.0.0'],
    [bytes(0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), '2001:db8::1'],
    [bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), '::1'],
    [bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 203, 0, 113, 5), '203.0.113.5'],
    [bytes(), ''],
    [bytes(1, 2, 3), ''],
    [bytes(...Array<number>(17).fill(1)), ''],
  ])('%o is %s', (given, text) => {
    expect(addressText(given)).toBe(text);
  });

  test('is read back as it was', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (given) => {
        fc.pre(given[0] !== 0);
        const number = [...given].reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
        const only = new TrustedProxies([addressText(new Uint8Array(given).buffer)]);
        expect(only.isTrusted(write(number, 128))).toBe(true);
      }),
    );
  });
});

test('G7 nobody unauthorised: a header of several lines is read whole, so that the proxy’s own line is the last', () => {
  const lines = [
    ['x-forwarded-for', '198.51.100.1'],
    ['host', 'edge.example.com'],
    ['x-forwarded-for', '203.0.113.5'],
  ] as const;
  const request = {
    forEach: (visit: (name: string, value: string) => void) => {
      for (const [name, value] of lines) visit(name, value);
    },
  };
  expect(headerLines(request)('x-forwarded-for')).toBe('198.51.100.1,203.0.113.5');
  expect(headerLines(request)('host')).toBe('edge.example.com');
  expect(headerLines(request)('origin')).toBe('');
  expect(proxies.clientAddress(PROXY, headerLines(request)('x-forwarded-for'))).toBe('203.0.113.5');
});
