/** WebSocket frames that no library would send: each is cut off, explained or answered, and hurts nobody else. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { arrays } from '../harness/bad-event.js';
import { jobId } from '../harness/ids.js';
import { ProbedEdge } from '../harness/probed-edge.js';
import {
  closePayload,
  handshake,
  OPCODE,
  type RawBytes,
  RawSocket,
  rawFrame,
  serverFrames,
} from '../harness/raw-socket.js';

const MiB = 1024 * 1024;
const PATH = `/ws/upload-progress/${jobId('watched')}`;
const PING = '{"type":"ping"}';

let world: ProbedEdge;
beforeAll(async () => {
  world = await ProbedEdge.start();
});
afterAll(async () => await world?.[Symbol.asyncDispose]());
afterEach(async () => await world.stands());

/** A connection that is at the head, and how many frames it has got by then. */
async function upgraded(): Promise<{ raw: RawSocket; framesBefore: number }> {
  const raw = await RawSocket.connect(world.edge.port, handshake(PATH));
  await raw.until((text) => text.includes('"caught_up"'));
  return { raw, framesBefore: serverFrames(raw.received).length };
}

describe('G8 bad input: WebSocket frames against the rules', () => {
  const { text, binary, continuation, close, ping, pong } = OPCODE;
  const frame = rawFrame;
  const pieces = (count: number, payload: string): Buffer =>
    Buffer.concat([
      frame({ opcode: text, fin: false, payload }),
      ...Array.from({ length: count }, () => frame({ opcode: continuation, fin: false, payload })),
    ]);

  const cut: [name: string, bytes: Buffer][] = [
    ...[3, 7, 11, 15].map((opcode): [string, Buffer] => [
      `the reserved opcode ${opcode}`,
      frame({ opcode, payload: PING }),
    ]),
    ...[1, 2, 4, 7].map((rsv): [string, Buffer] => [
      `the reserved bits ${rsv}`,
      frame({ opcode: text, rsv, payload: PING }),
    ]),
    ['reserved bits of a ping', frame({ opcode: ping, rsv: 7 })],
    ['a length of 2^63', frame({ opcode: text, length: 1n << 63n })],
    ['a length of 2^64-1', frame({ opcode: text, length: (1n << 64n) - 1n })],
    ['a length of 2^32', frame({ opcode: binary, length: 1n << 32n })],
    ['a length of 2 MiB', frame({ opcode: text, length: BigInt(2 * MiB) })],
    [
      'a ping in pieces',
      Buffer.concat([frame({ opcode: ping, fin: false }), frame({ opcode: continuation })]),
    ],
    ['a pong in pieces', frame({ opcode: pong, fin: false })],
    ['a close in pieces', frame({ opcode: close, fin: false })],
    ['a ping of 126 bytes', frame({ opcode: ping, payload: 'x'.repeat(126) })],
    ['a piece of nothing', frame({ opcode: continuation, payload: PING })],
    [
      'a text within a text',
      Buffer.concat([
        frame({ opcode: text, fin: false, payload: '{' }),
        frame({ opcode: text, payload: '}' }),
      ]),
    ],
    ['pieces without end', pieces(40_000, 'x'.repeat(100))],
    ['a byte that is not UTF-8', frame({ opcode: text, payload: '"\xff"' })],
    ['half a pair in UTF-8', frame({ opcode: text, payload: '"\xed\xa0\x80"' })],
    ['overlong UTF-8', frame({ opcode: text, payload: '"\xc0\x80"' })],
    ['UTF-8 cut in a character', frame({ opcode: text, payload: '"\xf0\x9f' })],
    [
      'pieces that are not UTF-8 together',
      Buffer.concat([
        frame({ opcode: text, fin: false, payload: '\xf0\x9f' }),
        frame({ opcode: continuation, payload: 'xx' }),
      ]),
    ],
  ];
  test.each(cut)('%s: cut off without another frame', async (_name, bytes) => {
    const { raw, framesBefore } = await upgraded();
    await using _ = raw;
    raw.send(bytes);
    await world.othersAreServed();
    await raw.gone();
    expect(serverFrames(raw.received).slice(framesBefore)).toEqual([]);
  });

  test.each([
    [
      'a text that is not masked',
      Buffer.concat([frame({ opcode: text, payload: PING, masked: false }), Buffer.alloc(8)]),
    ],
    ['100,000 empty pieces', Buffer.concat([pieces(100_000, ''), frame({ opcode: continuation })])],
    [
      'a binary frame in pieces',
      Buffer.concat([frame({ opcode: binary, fin: false, payload: '\0' }), frame({ opcode: continuation })]),
    ],
    ['a NUL', frame({ opcode: text, payload: '\0' })],
    ['10,000 arrays that never end', frame({ opcode: text, payload: '['.repeat(10_000) })],
    ['7,000 arrays', frame({ opcode: text, payload: arrays(7_000) })],
    ['7,000 arrays for a type', frame({ opcode: text, payload: `{"type":${arrays(7_000)}}` })],
    [
      '7,000 arrays for a token',
      frame({ opcode: text, payload: `{"type":"auth","token":${arrays(7_000)}}` }),
    ],
  ])('%s: explained, then closed with 4400', async (_name, bytes) => {
    const { raw, framesBefore } = await upgraded();
    await using _ = raw;
    raw.send(bytes);
    await world.othersAreServed();
    await raw.gone();
    const [error, closing, ...more] = serverFrames(raw.received).slice(framesBefore);
    expect(JSON.parse(String(error?.payload))).toMatchObject({
      type: 'error',
      code: expect.stringMatching(/^(invalid|unknown)_frame$/),
    });
    expect([closing?.opcode, closing?.payload.readUInt16BE(0)]).toEqual([close, 4400]);
    expect(more).toEqual([]);
  });

  test.each([
    ['a length in 64 bits that fits in 7', frame({ opcode: text, payload: PING, lengthBits: 64 }), 1],
    [
      'a ping between the pieces of a text',
      Buffer.concat([
        frame({ opcode: text, fin: false, payload: '{"type":' }),
        frame({ opcode: ping, payload: 'mid' }),
        frame({ opcode: continuation, payload: '"ping"}' }),
      ]),
      2,
    ],
    [
      'pongs that nobody asked for',
      Buffer.concat([
        ...Array.from({ length: 10 }, () => frame({ opcode: pong, payload: 'x'.repeat(125) })),
        frame({ opcode: text, payload: PING }),
      ]),
      1,
    ],
  ])('%s: odd, but allowed, and answered', async (_name, bytes, count) => {
    const { raw, framesBefore } = await upgraded();
    await using _ = raw;
    raw.send(bytes);
    await raw.until(() => serverFrames(raw.received).length >= framesBefore + count);
    expect(String(serverFrames(raw.received).at(-1)?.payload)).toBe('{"type":"pong"}');
    expect(raw.isClosed).toBe(false);
  });

  const payloads: [name: string, payload: RawBytes, answer: number | null][] = [
    ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535].map((code): [string, Buffer, null] => [
      `the code ${code}`,
      closePayload(code),
      null,
    ]),
    ['half a code', '\x03', null],
    ['a reason that is not UTF-8', closePayload(1000, '\xff'), null],
    ['no code', '', null],
    ['a code of its own', closePayload(4444, 'bye'), 4444],
  ];
  test.each(payloads)(
    'a close with %s: is closed, and a frame behind it is not read',
    async (_name, payload, answer) => {
      const { raw, framesBefore } = await upgraded();
      await using _ = raw;
      raw.send(Buffer.concat([frame({ opcode: close, payload }), frame({ opcode: text, payload: PING })]));
      await raw.gone();
      const rest = serverFrames(raw.received).slice(framesBefore);
      expect(rest.map(({ opcode }) => opcode)).toEqual([close]);
      expect(rest[0]?.payload.length ? rest[0].payload.readUInt16BE(0) : null).toBe(answer);
    },
  );
});
