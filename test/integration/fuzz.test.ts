/** Whatever clients and workers send, at random: the edge stands, tells nothing of its insides, and serves others. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { SERVER_FRAMES } from '../../schemas/frames.js';
import { type Frame, WsClient } from '../harness/client.js';
import { body, clientFrame, ENDPOINT, rawFrames, request, target } from '../harness/hostile-input.js';
import { jobId } from '../harness/ids.js';
import { ProbedEdge } from '../harness/probed-edge.js';
import { publish, publishRaw } from '../harness/publish.js';
import { handshake, OPCODE, RawSocket, rawFrame, serverFrames } from '../harness/raw-socket.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 200);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const FAILED = process.env.HEADWAY_PROPERTY_PATH;
const PARAMETERS = {
  numRuns: RUNS,
  ...(SEED ? { seed: Number(SEED) } : {}),
  ...(FAILED ? { path: FAILED } : {}),
};
/** Soaks take as long as they take. */
const TIME = { timeout: Math.max(60_000, RUNS * 200) };

/** Files, lines and frames of a stack: nothing that a client has a use for. */
const INSIDES = /\bat \S+ \(|node:internal|node_modules|\.[jt]s:\d+/;

let world: ProbedEdge;
beforeAll(async () => {
  world = await ProbedEdge.start();
});
afterAll(async () => await world?.[Symbol.asyncDispose]());
afterEach(async () => {
  await world.stands();
  expect(world.edge.output()).not.toMatch(INSIDES);
});

const isPong = ({ type }: Frame): boolean => type === 'pong';
function isPing(text: string): boolean {
  try {
    return (JSON.parse(text) as { type?: unknown } | null)?.type === 'ping';
  } catch {
    return false;
  }
}

test(
  'G8 bad input: any frames of a client are answered, or explained and closed with 4400',
  TIME,
  async () => {
    let explained = 0;
    let answered = 0;
    const property = fc.asyncProperty(
      fc.array(clientFrame, { minLength: 1, maxLength: 4 }),
      async (frames) => {
        await using client = await WsClient.connect(`${world.edge.ws}${ENDPOINT}/${jobId()}`);
        await client.until(({ type }) => type === 'caught_up');
        for (const frame of frames) client.send(frame);
        client.send({ type: 'ping' });
        const pings = frames.filter((frame) => typeof frame === 'string' && isPing(frame)).length + 1;
        let pongs = 0;
        const seen = await client.until((frame) => {
          if (isPong(frame)) pongs++;
          return frame.type === 'error' || pongs === pings;
        });
        for (const frame of client.frames) {
          expect(Object.keys(SERVER_FRAMES)).toContain(frame.type);
          expect(JSON.stringify(frame)).not.toMatch(INSIDES);
        }
        const last = seen.at(-1);
        if (last?.type !== 'error') answered++;
        else {
          explained++;
          expect(['invalid_frame', 'unknown_frame']).toContain(last.code);
          expect((await client.closed).code).toBe(4400);
        }
      },
    );
    await fc.assert(property, PARAMETERS);
    expect(explained).toBeGreaterThan(0);
    expect(answered).toBeGreaterThan(0);
  },
);

/** The texts that came over a WebSocket, each of a frame that the protocol knows. */
function framesIn(received: Buffer): Frame[] {
  const texts = serverFrames(received).filter(({ opcode }) => opcode === OPCODE.text);
  const frames = texts.map(({ payload }) => JSON.parse(payload.toString()) as Frame);
  for (const { type } of frames) expect(Object.keys(SERVER_FRAMES)).toContain(type);
  expect(JSON.stringify(frames)).not.toMatch(INSIDES);
  return frames;
}

test('G8 bad input: any WebSocket frames, right or wrong, get whole frames or the end', TIME, async () => {
  const property = fc.asyncProperty(rawFrames, async (frames) => {
    await using raw = await RawSocket.connect(world.edge.port, handshake(`${ENDPOINT}/${jobId()}`));
    await raw.until((text) => text.includes('"caught_up"'));
    for (const { cut, ...frame } of frames) {
      const bytes = rawFrame(frame);
      raw.send(bytes.subarray(0, Math.max(1, bytes.length - cut)));
    }
    raw.finish();
    await raw.gone();
    expect(framesIn(raw.received)[0]?.type).toBe('hello');
    for (const { opcode } of serverFrames(raw.received)) {
      expect([OPCODE.text, OPCODE.close, OPCODE.pong]).toContain(opcode);
    }
  });
  await fc.assert(property, PARAMETERS);
});

/** What an edge may answer to a request; nothing at all when it cannot be read as one. */
function checkAnswer(text: string): void {
  if (text === '') return;
  expect(text).toMatch(/^HTTP\/1\.1 (101|200|400|401|403|404|405|410|426|429|431|503|505) /);
  expect(text).not.toMatch(INSIDES);
}

test('G8 bad input: any path and query get an answer, as a request and as a handshake', TIME, async () => {
  let upgrades = 0;
  let explained = 0;
  const property = fc.asyncProperty(target, fc.boolean(), async (where, isHandshake) => {
    const bytes = isHandshake ? handshake(where) : `GET ${where} HTTP/1.1\r\nHost: a\r\n\r\n`;
    await using raw = await RawSocket.connect(world.edge.port, bytes);
    raw.finish();
    const text = await raw.gone();
    checkAnswer(text);
    if (/^HTTP\/1\.1 4(04|26)/.test(text)) expect(text).toContain('application/problem+json');
    if (!text.startsWith('HTTP/1.1 101')) return;
    upgrades++;
    const first = framesIn(raw.received)[0];
    expect(['hello', 'error']).toContain(first?.type);
    if (first?.type !== 'error') return;
    explained++;
    expect(first.message).toMatch(/\S/);
  });
  await fc.assert(property, PARAMETERS);
  expect(upgrades).toBeGreaterThan(RUNS / 20);
  expect(explained).toBeGreaterThan(RUNS / 50);
});

test('G8 bad input: any headers, methods and bytes get an answer or the end', TIME, async () => {
  let answered = 0;
  const property = fc.asyncProperty(request, async (bytes) => {
    await using raw = await RawSocket.connect(world.edge.port, bytes);
    raw.finish();
    const text = await raw.gone();
    checkAnswer(text);
    if (text !== '') answered++;
  });
  await fc.assert(property, PARAMETERS);
  expect(answered).toBeGreaterThan(RUNS / 4);
});

test(
  'G8 bad input: any bodies of events leave the feed running, and clients get what they can read, in order',
  TIME,
  async () => {
    await using all = await WsClient.connect(`${world.edge.ws}${ENDPOINT}`);
    await all.until(({ type }) => type === 'caught_up');
    let taken = 0;
    const property = fc.asyncProperty(fc.array(body, { minLength: 1, maxLength: 10 }), async (bodies) => {
      const sent = new Map<number, string>();
      for (const bytesFor of bodies) {
        const id = jobId();
        sent.set(await publishRaw(world.nc, `progress.${id}`, bytesFor(id)), id);
      }
      const valid = await publish(world.nc, world.job);
      sent.set(valid, world.job);
      const frames = await all.until(({ seq }) => seq === valid);
      const updates = frames.filter(({ type }) => type !== 'heartbeat');
      let last = 0;
      for (const { type, seq, prev_seq: previous, processing_id: id } of updates) {
        expect([type, id]).toEqual(['progress_update', sent.get(Number(seq))]);
        if (id !== world.job) expect(previous).toBe(0);
        expect(Number(seq)).toBeGreaterThan(last);
        last = Number(seq);
      }
      taken += updates.length - 1;
    });
    await fc.assert(property, { ...PARAMETERS, numRuns: Math.ceil(RUNS / 4) });
    expect(taken).toBeGreaterThan(0);
  },
);
