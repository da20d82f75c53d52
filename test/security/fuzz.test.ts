/** Several requests in one write, at random: right ones, nearly right ones, bodies, handshakes and noise, cut anywhere. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { request, target } from '../harness/hostile-input.js';
import { ProbedEdge } from '../harness/probed-edge.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 200);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const FAILED = process.env.HEADWAY_PROPERTY_PATH;
const PARAMETERS = {
  numRuns: RUNS,
  ...(SEED ? { seed: Number(SEED) } : {}),
  ...(FAILED ? { path: FAILED } : {}),
};
const TIME = { timeout: Math.max(60_000, RUNS * 200) };

let world: ProbedEdge;
beforeAll(async () => {
  world = await ProbedEdge.start();
});
afterAll(async () => await world?.[Symbol.asyncDispose]());
afterEach(async () => await world.stands());

const method = fc.constantFrom('GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE');
const bodies = fc.constantFrom(
  '\r\n',
  'Content-Length: 3\r\n\r\nabc',
  'Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc',
  'Content-Length: 40\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'Host: b\r\n\r\n',
  'Connection: keep-alive\r\n\r\n',
  'Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
);
const plain = fc
  .tuple(method, target, bodies)
  .map(([verb, where, rest]) => `${verb} ${where} HTTP/1.1\r\nHost: a\r\n${rest}`);
const one = fc.oneof(
  { weight: 6, arbitrary: plain },
  { weight: 1, arbitrary: target.map((where) => handshake(where)) },
  { weight: 1, arbitrary: request },
);
/** The same requests in one write, or in pieces. */
const writes = fc.record({
  requests: fc.array(one, { minLength: 2, maxLength: 40 }),
  cuts: fc.array(fc.nat({ max: 2_000 }), { maxLength: 4 }),
});

function inPieces(bytes: string, cuts: readonly number[]): string[] {
  const places = [0, ...cuts.filter((at) => at < bytes.length).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, i) => bytes.slice(places[i], end));
}

test(
  'G8 bad input: however many requests come on one connection, and however they are cut, it gets one answer at the most, and the end',
  TIME,
  async () => {
    let answered = 0;
    const property = fc.asyncProperty(writes, async ({ requests, cuts }) => {
      await using raw = await RawSocket.connect(world.edge.port);
      for (const piece of inPieces(requests.join(''), cuts)) raw.send(piece);
      raw.finish();
      const text = await raw.gone();
      const heads = text.match(/HTTP\/1\.1 [2-5]\d\d |HTTP\/1\.1 101 /g) ?? [];
      expect(heads.length).toBeLessThanOrEqual(1);
      answered += heads.length;
      expect(text).not.toMatch(/\bat \S+ \(|node:internal|node_modules|\.[jt]s:\d+/);
    });
    await fc.assert(property, PARAMETERS);
    expect(answered).toBeGreaterThan(0);
  },
);
