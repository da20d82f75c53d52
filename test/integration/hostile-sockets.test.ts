/** What no client would send, by hand over TCP: each hurts nobody else, and no connection is held for ever. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { jobId } from '../harness/ids.js';
import { ProbedEdge } from '../harness/probed-edge.js';
import {
  handshake,
  handshakeStart,
  OPCODE,
  type RawBytes,
  RawSocket,
  rawFrame,
} from '../harness/raw-socket.js';
import { waitFor } from '../harness/wait.js';

const MiB = 1024 * 1024;
/** Much more than what is measured (the timers of the library tick every 4 s), much less than for ever. */
const BOUNDED_MS = 30_000;
const PATH = `/ws/upload-progress/${jobId('watched')}`;
const LIVEZ = 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n';

let world: ProbedEdge;
beforeAll(async () => {
  world = await ProbedEdge.start({ HEADWAY_IDLE_TIMEOUT_SECONDS: '8' });
});
afterAll(async () => await world?.[Symbol.asyncDispose]());
afterEach(async () => await world.stands());

const answers = (text: string): string[] => text.match(/HTTP\/1\.1 \d{3}/g) ?? [];

describe('G8 bad input: HTTP that is none is refused once, and the connection is closed', () => {
  const post = (headers: string, body = ''): string => `POST /x HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;
  const refused: [name: string, bytes: string, status: RegExp][] = [
    [
      'one header of 100,000 letters',
      `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
      /431/,
    ],
    ['50,000 header lines', `GET /livez HTTP/1.1\r\nHost: a\r\n${'a:b\r\n'.repeat(50_000)}\r\n`, /431/],
    ['2 MB of header lines', `GET /livez HTTP/1.1\r\nHost: a\r\n${'a:b\r\n'.repeat(400_000)}\r\n`, /431/],
    ['a handshake of 50,000 header lines', handshake(PATH, 'a:b\r\n'.repeat(50_000)), /431/],
    [
      'a handshake that offers 50,000 subprotocols',
      handshake(PATH, `Sec-WebSocket-Protocol: ${'a,'.repeat(50_000)}\r\n`),
      /431/,
    ],
    ['a NUL in the method', LIVEZ.replace('GET', 'G\0T'), /400|505/],
    ['CONNECT', 'CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n', /400|404|505/],
    ['an address of another server', 'GET http://evil/livez HTTP/1.1\r\nHost: evil\r\n\r\n', /400|404|505/],
    ['a space in the path', LIVEZ.replace('livez', 'li vez'), /400|505/],
    ['a NUL in the path', LIVEZ.replace('livez', 'li\0vez'), /400|505/],
    ...['1.2', '2.0', '1.10', '9.9', '1.', ''].map((version): [string, string, RegExp] => [
      `HTTP/${version}`,
      LIVEZ.replace('1.1', version),
      /400|505/,
    ]),
    ['another protocol', LIVEZ.replace('HTTP', 'ICAP'), /400|505/],
    ['lines that end with LF only', LIVEZ.replaceAll('\r', ''), /400|505/],
    ['lines that end with CR only', LIVEZ.replaceAll('\n', ''), /400|505/],
    ['a line for a proxy', `PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n${LIVEZ}`, /400|505/],
    // A second request behind these is what a proxy in front takes for the first one's body, or the other way round.
    [
      'a length and chunks',
      post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${LIVEZ}`),
      /400/,
    ],
    [
      'chunks and a length',
      post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', `0\r\n\r\n${LIVEZ}`),
      /400/,
    ],
    ['an encoding that is not chunked', post('Transfer-Encoding: identity\r\n', LIVEZ), /400/],
    ...['0, 0', '+0', '0x0', '-1', '1e1', '18446744073709551616'].map((length): [string, string, RegExp] => [
      `the length ${length}`,
      post(`Content-Length: ${length}\r\n`, LIVEZ),
      /400/,
    ]),
    ...['ffffffffffffffff', '-1', 'zz', '0x1'].map((size): [string, string, RegExp] => [
      `a chunk of the size ${size}`,
      post('Transfer-Encoding: chunked\r\n', `${size}\r\n\r\n${LIVEZ}`),
      /400/,
    ]),
  ];
  test.each(refused)('%s', async (_name, bytes, status) => {
    await using raw = await RawSocket.connect(world.edge.port, bytes);
    await world.othersAreServed();
    const text = await raw.gone();
    // Who still sends may be cut off before the answer reaches him.
    expect(answers(text).length).toBeLessThanOrEqual(1);
    if (bytes.length < 50_000) expect(text).toMatch(/^HTTP\/1\.1 /);
    if (text !== '') expect(answers(text)[0]).toMatch(status);
    expect(text).not.toMatch(/\bat \S+ \(|node:|\.js:\d/);
  });

  // Taken by this version of the library. A proxy in front that is strict refuses them.
  const tolerated: [name: string, bytes: string][] = [
    ['an encoding that ends with chunked', post('Transfer-Encoding: xchunked\r\n', `0\r\n\r\n${LIVEZ}`)],
    ['a method of 3,000 letters', LIVEZ.replace('GET', 'G'.repeat(3_000))],
    ['no method', LIVEZ.replace('GET', '')],
    ['a header without a name', 'GET /livez HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n'],
    ['an older WebSocket', handshake(PATH).replace('Version: 13', 'Version: 8')],
    ['a handshake with a body', `${handshake(PATH, 'Content-Length: 4\r\n')}abcd`],
    ['a handshake with two keys', handshake(PATH, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n')],
    ['a header of a proxy, version 2', `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c${'\x01'.repeat(12)}${LIVEZ}`],
    [
      'a header of a proxy that lies about its length',
      `\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff${'\x01'.repeat(12)}${LIVEZ}`,
    ],
  ];
  test.each(tolerated)('or it is harmless: %s', async (_name, bytes) => {
    await using raw = await RawSocket.connect(world.edge.port, bytes);
    await world.othersAreServed();
    raw.finish();
    expect(await raw.gone(BOUNDED_MS)).toMatch(/^(HTTP\/1\.1 |$)/);
  });
});

describe('G8 bad input, G9 memory: connections that do not get on', () => {
  const slow: [name: string, start: RawBytes | undefined, drip?: string][] = [
    ['nothing', undefined],
    ['half a line', 'GET /ws'],
    ['half a handshake', handshakeStart(PATH)],
    ['a handshake, one header byte after the other', `${handshakeStart(PATH)}X: `, 'x'],
    ['a header line after the other', handshakeStart(PATH), 'a: b\r\n'],
    ['a body that does not come', 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n'],
    ['a body, one byte after the other', 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n', 'x'],
    [
      'one chunk after the other',
      'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
      '1\r\nx\r\n',
    ],
    ['nothing behind an answer', LIVEZ],
    ['a folded header', 'GET /livez HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n'],
    ['a header without a colon', 'GET /livez HTTP/1.1\r\nHost: a\r\nX\r\n\r\n'],
    ['a NUL in a header', 'GET /livez HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n'],
    ['a space in a header name', 'GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n'],
    ['HTTP/0.9', 'GET /livez\r\n\r\n'],
    ['half the head of a frame', `${handshake(PATH)}\x81\xfe`],
    ['half a frame', `${handshake(PATH)}\x81\xfe\x10\x00\0\0\0\0${'x'.repeat(1_000)}`],
    [
      'a first piece',
      `${handshake(PATH)}${rawFrame({ opcode: OPCODE.text, fin: false, payload: 'x' }).toString('latin1')}`,
    ],
    ['no answer to pings', handshake(PATH)],
  ];

  test('are closed within a bounded time, a thousand of them as well, while others are served', async () => {
    const before = await world.memory();
    const startedAt = performance.now();
    const dripping = new Set<NodeJS.Timeout>();
    const closedAfter = async ([name, start, drip]: (typeof slow)[number]): Promise<[string, number]> => {
      await using raw = await RawSocket.connect(world.edge.port, start);
      const timer = drip === undefined ? undefined : setInterval(() => raw.send(drip), 250);
      if (timer !== undefined) dripping.add(timer);
      await raw.gone(BOUNDED_MS).finally(() => clearInterval(timer));
      return [name, performance.now() - startedAt];
    };
    const crowd = Array.from({ length: 1_000 }, (_, i) => slow[i % 4] ?? (['nothing', undefined] as const));
    let isOver = false;
    const all = Promise.all(
      [...slow, ...crowd.map(([name, start]): (typeof slow)[number] => [name, start])].map(closedAfter),
    );
    void all
      .finally(() => {
        isOver = true;
      })
      .catch(() => undefined);
    let served = 0;
    while (!isOver) {
      await world.othersAreServed();
      served++;
      await waitFor(() => isOver || performance.now() - startedAt > served * 100, {
        what: 'the next look',
        timeoutMs: 1_000,
      });
    }
    const times = (await all).map(([, ms]) => ms);
    process.stdout.write(
      `    closed after ${Math.round(Math.min(...times))} to ${Math.round(Math.max(...times))} ms; ${served} events served meanwhile\n`,
    );
    expect(served).toBeGreaterThan(10);
    await waitFor(async () => (await world.memory()) < before + 40 * MiB, { what: 'the memory to return' });
  });

  test('unfinished frames of 100 connections are let go with them', async () => {
    const before = await world.memory();
    const half = rawFrame({ opcode: OPCODE.text, fin: false, payload: 'x'.repeat(500_000) });
    const all = await Promise.all(
      Array.from({ length: 100 }, () => RawSocket.connect(world.edge.port, handshake(PATH))),
    );
    for (const raw of all) {
      await raw.until((text) => text.includes('"caught_up"'));
      raw.send(half);
    }
    await world.othersAreServed();
    const peak = await world.memory();
    for (const raw of all) await raw[Symbol.asyncDispose]();
    process.stdout.write(`    memory grew by ${Math.round((peak - before) / MiB)} MiB\n`);
    expect(peak - before).toBeLessThan(250 * MiB);
    await waitFor(async () => (await world.memory()) < before + 40 * MiB, { what: 'the memory to return' });
  });
});
