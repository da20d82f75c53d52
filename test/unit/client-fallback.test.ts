import { describe, expect, test } from 'vitest';
import type { ServerFrame } from '../../schemas/frames.js';
import { openPolling, openSse } from '../../sdk/client/fallback.js';
import type { FollowedJob, OpenWire, Platform, WireClose } from '../../sdk/client/wire.js';

const HELLO = { type: 'hello', protocol: 'progress.v1', epoch: 'e', session: 's', heartbeat_ms: 1_000 };

/** A page whose requests are answered by the test, and whose time passes when it says so. */
class World {
  readonly frames: ServerFrame[] = [];
  readonly closes: WireClose[] = [];
  readonly asked: { url: string; init: RequestInit | undefined }[] = [];
  alive = 0;
  followed: FollowedJob[] = [];
  #now = 0;
  readonly #timers = new Set<{ at: number; run: () => void }>();

  constructor(readonly answer: (url: string, count: number) => Response | Promise<Response>) {}

  open(openWire: OpenWire, ids: readonly string[], token: string | null = null) {
    this.followed = ids.map((id) => ({ id, position: null }));
    return openWire(
      { base: 'http://edge/base', target: { kind: 'selected', query: () => '' }, token },
      {
        followed: () => this.followed,
        position: () => null,
        frame: (frame) => this.frames.push(frame),
        alive: () => {
          this.alive += 1;
        },
        closed: (close) => this.closes.push(close),
      },
      this.#platform(),
    );
  }

  async pass(ms: number): Promise<void> {
    await settled();
    this.#now += ms;
    for (const timer of [...this.#timers])
      if (timer.at <= this.#now) {
        this.#timers.delete(timer);
        timer.run();
      }
    await settled();
  }

  #platform(): Platform {
    return {
      WebSocket: undefined,
      fetch: async (url, init) => {
        this.asked.push({ url: String(url), init });
        return await this.answer(String(url), this.asked.length);
      },
      now: () => this.#now,
      random: () => 0,
      later: (ms, run) => {
        const timer = { at: this.#now + ms, run };
        this.#timers.add(timer);
        return () => this.#timers.delete(timer);
      },
      onPage: () => () => {},
      isVisible: () => true,
    };
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** A stream that the test writes. */
function stream() {
  let out: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      out = controller;
    },
  });
  const write = (text: string): void => out?.enqueue(new TextEncoder().encode(text));
  return {
    answer: new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
    send: (frame: object) => write(`data: ${JSON.stringify(frame)}\n\n`),
    beat: (cursor: number) => write(`: ${JSON.stringify({ type: 'heartbeat', cursor, feed: 'ok' })}\n\n`),
    end: () => out?.close(),
  };
}

const problem = (status: number, code: string, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify({ status, code, detail: 'why' }), { status, headers });
const update = (seq: number, prev: number, status = 'processing') => ({
  type: 'progress_update',
  seq,
  prev_seq: prev,
  processing_id: 'a',
  status,
});

describe.each([
  ['server-sent events', openSse],
  ['polling', openPolling],
])('%s', (_name, openWire) => {
  test.each([
    [503, { 'retry-after': '7' }, { next: 'retry', retryAfterMs: 7_000 }],
    [429, {}, { next: 'retry', retryAfterMs: 0 }],
    [408, {}, { next: 'retry' }],
    [401, {}, { next: 'new_token' }],
    [431, {}, { next: 'stop' }],
    [302, {}, { next: 'stop' }],
  ])('status %i says what to do', async (code, headers, expected) => {
    const world = new World(() => problem(code, 'whatever', headers));
    world.open(openWire, ['a']);
    await world.pass(0);
    expect(world.closes).toMatchObject([{ code, ...expected }]);
  });

  test('a token goes in a header, and without one there is none', async () => {
    for (const token of ['t', null]) {
      const world = new World(() => problem(503, 'overloaded'));
      world.open(openWire, ['a'], token);
      await world.pass(0);
      const expected = token === null ? [] : [['authorization', 'Bearer t']];
      expect([...new Headers(world.asked[0]?.init?.headers)]).toEqual(expected);
      expect(world.asked[0]?.url).toMatch(/^http:\/\/edge\/base\/(sse|v1)\//);
    }
  });

  test('G1 order: what is wanted while it connects is asked for as soon as the edge has answered', async () => {
    let answer = (_: Response): void => {};
    const one = stream();
    const first = openWire === openSse ? one.answer : Response.json(update(5, 4), { status: 200 });
    const world = new World((_url, count) =>
      count === 1
        ? new Promise<Response>((resolve) => {
            answer = resolve;
          })
        : Response.json({ epoch: 'e', events: [], cursor: 5, next: null }),
    );
    world.open(openWire, ['a']);
    await world.pass(0);
    const position = { seq: 3, epoch: 'e', scope: '' };
    world.followed = [world.followed[0] as FollowedJob, { id: 'b', position }];
    answer(first);
    one.send({ ...HELLO, scope: 'all' });
    await world.pass(0);
    await world.pass(100);
    await world.pass(0);
    expect(world.asked.slice(1).some(({ url }) => /after=b:3|jobs\/b/.test(url))).toBe(true);
  });

  test('after close() nothing is called, and the requests are broken off', async () => {
    const world = new World(() => new Promise(() => undefined));
    world.open(openWire, ['a']).close();
    await world.pass(60_000);
    expect([world.frames, world.closes]).toEqual([[], []]);
    expect(world.asked[0]?.init?.signal?.aborted).toBe(true);
  });
});

describe('server-sent events', () => {
  test('a stream that something between holds back is given up, so that another way has its turn', async () => {
    const world = new World(() => stream().answer);
    world.open(openSse, ['a']);
    await world.pass(9_999);
    expect(world.closes).toEqual([]);
    await world.pass(1);
    expect(world.closes).toMatchObject([{ next: 'retry', code: 0 }]);
  });

  test('G1 order: a heartbeat counts for no job before all of them are followed', async () => {
    const one = stream();
    const world = new World(() => one.answer);
    world.open(openSse, ['a', 'b']);
    one.send({ ...HELLO, scope: 'all' });
    one.send({ type: 'following', processing_id: 'a', cursor: 1, scope: 'a' });
    one.beat(9);
    await world.pass(0);
    expect(world.frames.map(({ type }) => type)).toEqual(['hello', 'following']);
    one.send({ type: 'following', processing_id: 'b', cursor: 9, scope: 'b' });
    one.beat(10);
    await world.pass(0);
    expect(world.frames.at(-1)).toMatchObject({ type: 'heartbeat', cursor: 10 });
  });

  test('many jobs share three streams, and those beyond are told so', async () => {
    const ids = Array.from({ length: 400 }, (_, index) => `${index}`.padStart(36, 'x'));
    const world = new World(() => stream().answer);
    world.open(openSse, ids);
    expect(world.asked).toHaveLength(3);
    for (const { url } of world.asked) expect(url.length).toBeLessThanOrEqual(6_000);
    const named = world.asked.flatMap(({ url }) => new URL(url).searchParams.getAll('processing_id'));
    const refused = world.frames.flatMap((frame) => (frame.type === 'error' ? frame.processing_id : []));
    expect(refused.length).toBeGreaterThan(0);
    expect([...named, ...refused]).toEqual(ids);
  });

  test('G5 stale cursors: one of another scope is a reset, and the job is asked for anew', async () => {
    const [one, two] = [stream(), stream()];
    const world = new World((_url, count) => (count === 1 ? one : two).answer);
    world.followed = [];
    const wire = world.open(openSse, []);
    world.followed = [{ id: 'a', position: { seq: 5, epoch: 'e', scope: 'old' } }];
    wire.follow(world.followed);
    await world.pass(50);
    expect(world.asked[0]?.url).toContain('processing_id=a&after=a:5');
    one.send({ ...HELLO, scope: 'all' });
    one.send({ type: 'following', processing_id: 'a', cursor: 5, scope: 'new' });
    await world.pass(0);
    expect(world.frames.at(-1)).toMatchObject({ type: 'reset', reason: 'scope', processing_id: 'a' });
    world.followed = [{ id: 'a', position: null }];
    await world.pass(50);
    expect(world.asked[1]?.url).not.toContain('after');
    expect(world.closes).toEqual([]);
  });

  test('a job that is wanted while the stream of the last one ends is followed', async () => {
    const [one, two] = [stream(), stream()];
    const world = new World((_url, count) => (count === 1 ? one : two).answer);
    const wire = world.open(openSse, ['a']);
    one.send({ ...HELLO, scope: 'all' });
    one.send(update(5, 4, 'completed'));
    one.send({ type: 'end', processing_id: 'a' });
    await world.pass(0);
    world.followed = [{ id: 'b', position: null }];
    wire.follow(world.followed);
    one.end();
    await world.pass(50);
    await world.pass(2_000);
    expect(world.asked.slice(1).map(({ url }) => url)).toEqual([expect.stringContaining('processing_id=b')]);
    expect(world.closes).toEqual([]);
  });

  test('a page that wakes hears at once from a living edge, and its streams go on where they were', async () => {
    const [one, two] = [stream(), stream()];
    const world = new World((_url, count) => (count === 1 ? one : two).answer);
    const wire = world.open(openSse, ['a']);
    one.send({ ...HELLO, scope: 'all' });
    one.send({ type: 'following', processing_id: 'a', cursor: 5, scope: 'a' });
    await world.pass(0);
    world.followed = [{ id: 'a', position: { seq: 5, epoch: 'e', scope: 'a' } }];
    wire.ping();
    wire.ping();
    await world.pass(50);
    expect(world.asked.slice(1).map(({ url }) => url)).toEqual([expect.stringContaining('after=a:5')]);
    const { alive } = world;
    two.send({ ...HELLO, scope: 'all' });
    await world.pass(0);
    expect(world.alive).toBe(alive + 1);
    expect([world.frames.map(({ type }) => type), world.closes]).toEqual([['hello', 'following'], []]);
  });

  test.each([
    [
      { type: 'draining', reconnect_within_ms: 1 },
      { next: 'retry', code: 1012 },
    ],
    [
      { type: 'error', code: 'token_expired', message: 'm' },
      { next: 'new_token', code: 4401 },
    ],
    [
      { type: 'error', code: 'overloaded', message: 'm' },
      { next: 'retry', code: 1013 },
    ],
    [null, { next: 'retry', code: 0 }],
  ])('behind %o the end of the stream says what to do', async (last, expected) => {
    const one = stream();
    const world = new World(() => one.answer);
    world.open(openSse, ['a']);
    one.send({ ...HELLO, scope: 'all' });
    if (last !== null) one.send(last);
    one.end();
    await world.pass(0);
    expect(world.closes).toMatchObject([expected]);
  });
});

describe('polling', () => {
  test('G1 order: what comes between two looks is all told, page by page, and then the end', async () => {
    let states = 0;
    const world = new World((url) => {
      const answer = (body: object, etag = ''): Response => Response.json(body, { headers: { etag } });
      if (!url.includes('/events'))
        return states++ === 0 ? answer(update(5, 4), '"one"') : answer(update(9, 8, 'completed'), '"two"');
      const after = Number(new URL(url).searchParams.get('after'));
      const events = [update(7, 5), update(8, 7), update(9, 8, 'completed')].filter(({ seq }) => seq > after);
      if (states === 1) return answer({ epoch: 'e', events: [], cursor: 6, next: null });
      const [first] = events;
      return answer({
        epoch: 'e',
        events: first ? [first] : [],
        cursor: first?.seq,
        next: after < 8 ? '/' : null,
      });
    });
    world.open(openPolling, ['a']);
    await world.pass(0);
    await world.pass(2_000);
    expect(world.frames.flatMap((frame) => (frame.type === 'progress_update' ? frame.seq : []))).toEqual([
      5, 7, 8, 9,
    ]);
    expect(world.frames.map(({ type }) => type)).toEqual([
      'hello',
      'progress_update',
      'following',
      ...Array.from({ length: 3 }, () => 'progress_update'),
      'following',
      'end',
    ]);
    expect(new Headers(world.asked[2]?.init?.headers).get('if-none-match')).toBe('"one"');
  });
});
