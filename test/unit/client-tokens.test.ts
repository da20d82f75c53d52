import { describe, expect, test } from 'vitest';
import { createProgressClient } from '../../sdk/client/client.js';
import { HELLO_MS } from '../../sdk/client/connection.js';
// Loaded here: where the machine is busy, `get` would come to ask when the answer has been given already.
import '../../sdk/client/http.js';
import '../../sdk/client/refusals.js';
import type { TransportName } from '../../sdk/client/types.js';
import { settled } from '../model/page.js';
import { clientWorld, update } from './client-fixture.js';
import { TestClock } from './test-clock.js';

test('a token that never comes does not block the page: the next attempt asks anew', async () => {
  let asked = 0;
  const w = clientWorld({
    getToken: async () => {
      asked += 1;
      if (asked === 1) await new Promise(() => {});
      return `token-${asked}`;
    },
  });
  w.client.job('a');
  await settled();
  // One call at a time, as long as an attempt may take.
  await w.pass(HELLO_MS - 1);
  void w.client.get('a').catch(() => {});
  await settled();
  expect([asked, w.wires.length]).toEqual([1, 0]);
  await w.pass(1);
  expect(w.client.connection).toBe('waiting');
  await w.pass(30_000);
  expect(asked).toBe(2);
  expect(w.wires[0]?.options.token).toBe('token-2');
  w.client.close();
});

test('whoever asks for a token while one is awaited gets the same one', async () => {
  let asked = 0;
  let answer = (_token: string): void => {};
  const w = clientWorld({
    getToken: () => {
      asked += 1;
      return new Promise<string>((resolve) => {
        answer = resolve;
      });
    },
  });
  w.client.job('a');
  // Loaded before, so that both ask at once.
  await import('../../sdk/client/http.js');
  const got = w.client.get('a');
  await w.loaded();
  answer('token-1');
  expect(await got).toBe(null);
  await settled();
  expect([asked, w.wires[0]?.options.token]).toEqual([1, 'token-1']);
  w.client.close();
});

/** A page whose tokens open the jobs that it has by then. */
async function growingPage() {
  let asked = 0;
  const token = { current: () => `token-${asked}` as string | null };
  const w = clientWorld({
    getToken: async () => {
      asked += 1;
      return token.current();
    },
  });
  const first = w.client.job('a');
  await w.pass(1);
  await w.hello();
  await w.pass(100);
  await w.say({ type: 'following', processing_id: 'a', cursor: 1, scope: 's' });
  const follow = async (id: string) => {
    const job = w.client.job(id);
    const errors: string[] = [];
    job.addEventListener('error', ({ detail }) => errors.push(detail.name));
    await w.pass(100);
    return { job, errors };
  };
  const refuse = (id: string) =>
    w.say({ type: 'error', code: 'forbidden', message: 'the token does not open it', processing_id: id });
  const askedFor = () => w.wires.map(({ asked }) => asked.flat().map(({ id }) => id));
  return { ...w, first, follow, refuse, askedFor, token, asked: () => asked };
}

test('G7 access: jobs that the token in use does not open are asked for once more with a newer one, once it counts', async () => {
  const { first, follow, refuse, askedFor, say, pass, asked } = await growingPage();
  const [b, c] = [await follow('b'), await follow('c')];
  await refuse('b');
  await refuse('c');
  await pass(10_000);
  expect([asked(), askedFor()]).toEqual([2, [['b', 'c']]]);
  await say({ type: 'auth_ok', expires_at: '2026-01-31T12:00:00Z', scope: 's' });
  await pass(100);
  expect([asked(), askedFor()]).toEqual([2, [['b', 'c', 'b', 'c']]]);
  expect([b.errors, c.errors]).toEqual([[], []]);
  // The newer token does not open it either.
  await refuse('c');
  await pass(10_000);
  expect([asked(), askedFor(), c.errors]).toEqual([2, [['b', 'c', 'b', 'c']], ['ForbiddenError']]);
  expect([first.getSnapshot().error, b.job.getSnapshot().error]).toEqual([null, null]);
});

test('a job is refused where there is no other token, and asked for again where none comes now', async () => {
  const { follow, refuse, askedFor, pass, token } = await growingPage();
  const b = await follow('b');
  token.current = () => {
    throw new Error('the server is away');
  };
  await refuse('b');
  await pass(10_000);
  expect([askedFor(), b.errors]).toEqual([[['b', 'b']], []]);
  token.current = () => null;
  await refuse('b');
  await pass(10_000);
  expect([askedFor(), b.errors]).toEqual([[['b', 'b']], ['ForbiddenError']]);
});

test('a job that is refused while its connection is lost is asked for by the next one', async () => {
  const { follow, refuse, pass, hello, wires, asked } = await growingPage();
  const b = await follow('b');
  await refuse('b');
  wires[0]?.owner.closed({ next: 'retry', code: 1006, message: 'cut', retryAfterMs: 0 });
  await pass(30_000);
  await hello();
  expect(wires[1]?.owner.followed().map(({ id }) => id)).toEqual(['a', 'b']);
  expect([asked(), wires[1]?.options.token, b.errors]).toEqual([3, 'token-3', []]);
});

test('a token that the edge cannot check when it comes is given to it again, until it counts', async () => {
  const { follow, refuse, askedFor, say, pass, asked, wires } = await growingPage();
  const beat = () => say({ type: 'heartbeat', cursor: 1, feed: 'ok' });
  await beat();
  const b = await follow('b');
  await refuse('b');
  await beat();
  await beat();
  await say({ type: 'auth_ok', expires_at: '2026-01-31T12:00:00Z', scope: 's' });
  await beat();
  await pass(100);
  expect([asked(), wires[0]?.renewed]).toEqual([2, ['token-2', 'token-2', 'token-2']]);
  expect([askedFor(), b.errors]).toEqual([[['b', 'b']], []]);
});

test('a token that was asked for before a job was wanted is not newer than the job', async () => {
  const answers: ((token: string) => void)[] = [];
  const w = clientWorld({ getToken: () => new Promise((resolve) => answers.push(resolve)) });
  const errors: string[] = [];
  const follow = async (id: string) => {
    w.client.job(id).addEventListener('error', ({ detail }) => errors.push(`${id} ${detail.name}`));
    await settled();
    await w.pass(100);
  };
  const refuse = (id: string) =>
    w.say({ type: 'error', code: 'forbidden', message: 'the token does not open it', processing_id: id });
  const grant = async () => {
    answers.at(-1)?.(`token-${answers.length}`);
    await settled();
    await w.say({ type: 'auth_ok', expires_at: '2026-01-31T12:00:00Z', scope: 's' });
    await w.pass(100);
  };
  await follow('a');
  await follow('b');
  await grant();
  await w.hello();
  // Made for what there was when the first one was followed.
  await refuse('b');
  expect([answers.length, errors]).toEqual([2, []]);
  await w.pass(100);
  await follow('c');
  await grant();
  await refuse('c');
  expect([answers.length, errors]).toEqual([3, []]);
  await grant();
  await refuse('b');
  await refuse('c');
  expect([answers.length, errors]).toEqual([3, ['b ForbiddenError', 'c ForbiddenError']]);
  w.client.close();
});

describe.each(['sse', 'polling'] as const)('over %s', (transport) => {
  /** An edge whose tokens open these jobs. */
  async function page(transport: TransportName, tokens: (string | Error)[], opens: Record<string, string[]>) {
    const clock = new TestClock();
    const answer = (address: string, token: string): Response => {
      const url = new URL(address);
      const ids = url.searchParams.getAll('processing_id');
      const refused = Response.json({ code: 'forbidden', detail: 'not yours' }, { status: 403 });
      const isOpen = (id: string) => opens[token]?.includes(id);
      if (ids.length > 0) {
        if (!ids.some(isOpen)) return refused;
        const frames = [
          {
            type: 'hello',
            protocol: 'progress.v1',
            epoch: 'e',
            session: 's',
            heartbeat_ms: 15_000,
            scope: 's',
          },
          ...ids.flatMap((processing_id): object[] =>
            isOpen(processing_id)
              ? [update(processing_id, 5), { type: 'following', processing_id, cursor: 5, scope: 's' }]
              : [{ type: 'error', code: 'forbidden', message: 'not yours', processing_id }],
          ),
        ];
        const body = new ReadableStream({
          start: (out) =>
            out.enqueue(
              new TextEncoder().encode(frames.map((one) => `data: ${JSON.stringify(one)}\n\n`).join('')),
            ),
        });
        return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
      }
      const [, id = '', events] = /jobs\/([^/]+)(\/events)?/.exec(url.pathname) ?? [];
      if (!isOpen(id)) return refused;
      return Response.json(events ? { epoch: 'e', events: [], cursor: 5, next: null } : update(id, 5));
    };
    const client = createProgressClient(
      {
        url: 'http://edge',
        transport,
        getToken: () => {
          const token = tokens.length > 1 ? tokens.shift() : tokens[0];
          if (token instanceof Error) throw token;
          return token ?? null;
        },
      },
      {
        platform: {
          ...{ now: clock.now, later: clock.later, random: () => 0.5, WebSocket: undefined },
          fetch: async (input, init) =>
            answer(String(input), new Headers(init?.headers).get('authorization')?.slice(7) ?? ''),
          ...{ onPage: () => () => {}, isVisible: () => true },
        },
      },
    );
    const pass = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 50) {
        clock.pass(50);
        await settled();
        await settled();
      }
    };
    await import('../../sdk/client/fallback.js');
    return { client, pass };
  }

  test('G7 access: a job that the token in use does not open is followed with a newer one', async () => {
    const { client, pass } = await page(transport, ['1', '2'], { 1: ['a'], 2: ['a', 'b'] });
    client.job('a');
    await pass(1_000);
    const b = client.job('b');
    await pass(5_000);
    expect(b.getSnapshot()).toMatchObject({ state: { seq: 5 }, isCurrent: true, error: null });
    client.close();
  });

  test('a job is followed also where the edge has refused all those before it', async () => {
    const { client, pass } = await page(transport, ['1'], { 1: ['b'] });
    const a = client.job('a');
    await pass(1_000);
    expect(a.getSnapshot().error).toMatchObject({ name: 'ForbiddenError' });
    const b = client.job('b');
    await pass(5_000);
    expect(b.getSnapshot()).toMatchObject({ state: { seq: 5 }, isCurrent: true, error: null });
    client.close();
  });

  test('a job is followed once a newer token comes, where the edge has said hello to none and no token came at first', async () => {
    const away = new Error('the server of tokens is away');
    const { client, pass } = await page(transport, ['1', away, '2'], { 1: [], 2: ['b'] });
    client.job('a');
    await pass(1_000);
    const b = client.job('b');
    await pass(10_000);
    expect(b.getSnapshot()).toMatchObject({ state: { seq: 5 }, isCurrent: true, error: null });
    client.close();
  });
});
