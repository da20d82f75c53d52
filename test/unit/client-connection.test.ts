import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
// Loaded here: where the machine is busy, a test would be over before it comes.
import '../../sdk/client/refusals.js';
import { createProgressClient } from '../../sdk/client/client.js';
import { createConnection, GOOD_MS, HELLO_MS, WAKE_MS } from '../../sdk/client/connection.js';
import { UnauthorizedError } from '../../sdk/client/errors.js';
import { PROBE_MS } from '../../sdk/client/fallback.js';
import { createTransports } from '../../sdk/client/transports.js';
import type { ConnectionState, TransportName, WebSocketClass } from '../../sdk/client/types.js';
import type { OpenWire, Platform, WireClose, WireOptions, WireOwner } from '../../sdk/client/wire.js';
import { settled } from '../model/page.js';
import { TestClock } from './test-clock.js';

interface FakeWire {
  readonly name: TransportName;
  readonly options: WireOptions;
  readonly owner: WireOwner;
  readonly calls: string[];
}

const HEARTBEAT_MS = 15_000;

/** A connection over wires that do as they are told. */
function world(
  given: {
    getToken?: () => Promise<string | null>;
    random?: () => number;
    transport?: 'auto' | TransportName;
    WebSocket?: WebSocketClass | undefined;
  } = {},
) {
  const clock = new TestClock();
  const wires: FakeWire[] = [];
  const states: ConnectionState[] = [];
  const errors: Error[] = [];
  let wake = (): void => {};
  let hide = (): void => {};
  const platform: Platform = {
    WebSocket: 'WebSocket' in given ? given.WebSocket : (class {} as unknown as WebSocketClass),
    fetch,
    now: clock.now,
    random: given.random ?? (() => 0.5),
    later: clock.later,
    onPage: (onWake, onHide) => {
      wake = onWake;
      hide = onHide;
      return () => {
        wake = () => {};
      };
    },
    isVisible: () => true,
  };
  const open =
    (name: TransportName): OpenWire =>
    (options, owner) => {
      const calls: string[] = [];
      wires.push({ name, options, owner, calls });
      return {
        transport: name,
        follow: () => calls.push('follow'),
        unfollow: () => calls.push('unfollow'),
        renew: (token) => {
          calls.push(`renew ${token}`);
          return name === 'websocket';
        },
        ping: () => calls.push('ping'),
        close: () => calls.push('close'),
      };
    };
  const connection = createConnection(
    {
      base: 'http://edge',
      target: { kind: 'selected', query: () => 'select=' },
      platform,
      transports: createTransports(given.transport ?? 'websocket', platform, open),
      getToken: given.getToken ?? (async () => null),
    },
    {
      followed: () => [],
      position: () => null,
      frame: () => {},
      connected: (state) => states.push(state),
      failed: (error) => errors.push(error),
    },
  );
  const last = (): FakeWire => {
    const wire = wires.at(-1);
    if (wire === undefined) throw new Error('no wire was opened');
    return wire;
  };
  return {
    clock,
    wires,
    states,
    errors,
    platform,
    connection,
    last,
    wake: () => wake(),
    hide: () => hide(),
    async pass(ms: number) {
      clock.pass(ms);
      await settled();
    },
    async start() {
      connection.start();
      await settled();
    },
    async hello(wire = last()) {
      wire.owner.frame({
        type: 'hello',
        protocol: 'progress.v1',
        epoch: 'e',
        session: 's',
        heartbeat_ms: HEARTBEAT_MS,
        scope: 'x',
      });
      await settled();
    },
    async close(close: Partial<WireClose> = {}, wire = last()) {
      wire.owner.closed({ next: 'retry', code: 1006, message: 'cut', retryAfterMs: 0, ...close });
      await settled();
    },
  };
}

describe('waits', () => {
  test('each is random, at most 1 s x 2^n and 30 s; a short connection does not set n back, a good one does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ min: 0.01, max: 0.999, noNaN: true }), async (random) => {
        const w = world({ random: () => random });
        await w.start();
        for (let n = 0; n < 8; n++) {
          if (n % 2 === 1) await w.hello();
          await w.close();
          expect(w.connection.state).toBe('waiting');
          const ms = random * Math.min(30_000, 1_000 * 2 ** n);
          await w.pass(ms - 0.01);
          expect(w.wires).toHaveLength(n + 1);
          await w.pass(0.02);
          expect(w.wires).toHaveLength(n + 2);
        }
        await w.hello();
        for (let i = 0; i < 3; i++) {
          await w.pass(GOOD_MS / 3 + 1);
          w.last().owner.alive();
        }
        await w.close();
        const before = w.wires.length;
        await w.pass(random * 1_000 + 0.01);
        expect(w.wires).toHaveLength(before + 1);
      }),
      { numRuns: 30 },
    );
  });

  test('draining and 1012 wait as the first time, and leave n as it is', async () => {
    const w = world({ random: () => 0.999 });
    await w.start();
    for (let i = 0; i < 3; i++) {
      await w.close();
      await w.pass(30_000);
    }
    await w.hello();
    await w.close({ code: 1012 });
    const before = w.wires.length;
    await w.pass(1_000);
    expect(w.wires).toHaveLength(before + 1);
    await w.close();
    await w.pass(7_900);
    expect(w.wires).toHaveLength(before + 1);
    await w.pass(100);
    expect(w.wires).toHaveLength(before + 2);
  });

  test('Retry-After comes first, and then the random time; waking cuts the second short, and not the first', async () => {
    const w = world();
    await w.start();
    await w.close({ retryAfterMs: 10_000, code: 429 });
    await w.pass(9_000);
    w.wake();
    await settled();
    expect(w.wires).toHaveLength(1);
    await w.pass(1_100);
    expect(w.wires).toHaveLength(1);
    w.wake();
    await settled();
    expect(w.wires).toHaveLength(2);
  });
});

describe('silence', () => {
  test('no hello within 30 s, and no frame for two heartbeats, are a loss', async () => {
    const w = world({ random: () => 0 });
    await w.start();
    await w.pass(HELLO_MS - 1);
    expect(w.last().calls).toEqual([]);
    await w.pass(1);
    expect(w.wires[0]?.calls).toEqual(['close']);
    await w.pass(1);
    await w.hello();
    await w.pass(2 * HEARTBEAT_MS - 1);
    w.last().owner.alive();
    await w.pass(2 * HEARTBEAT_MS - 1);
    expect(w.connection.state).toBe('open');
    await w.pass(1);
    expect(w.wires[1]?.calls).toEqual(['close']);
  });

  test('a page that wakes asks, and gives the connection a few seconds', async () => {
    const w = world();
    await w.start();
    await w.hello();
    w.wake();
    expect(w.last().calls).toEqual(['ping']);
    await w.pass(WAKE_MS - 1);
    w.last().owner.frame({ type: 'pong' });
    await w.pass(WAKE_MS + 1);
    expect(w.connection.state).toBe('open');
    w.wake();
    await w.pass(WAKE_MS);
    expect(w.connection.state).toBe('waiting');
  });
});

test('a page that goes closes its connection, and opens one at once when it comes back', async () => {
  const w = world();
  await w.start();
  await w.hello();
  w.hide();
  expect(w.last().calls).toEqual(['close']);
  expect(w.connection.state).toBe('waiting');
  w.wake();
  await settled();
  expect(w.wires).toHaveLength(2);
});

test('a page that goes and comes back keeps to the Retry-After of before', async () => {
  const w = world();
  await w.start();
  await w.close({ code: 429, retryAfterMs: 60_000 });
  w.hide();
  w.wake();
  await w.pass(59_000);
  expect(w.wires).toHaveLength(1);
  await w.pass(1_000);
  w.wake();
  await settled();
  expect(w.wires).toHaveLength(2);
});

describe('tokens', () => {
  test('before each attempt, and when it is about to expire, on the open connection', async () => {
    let n = 0;
    const w = world({ getToken: async () => `token-${++n}` });
    await w.start();
    expect(w.last().options.token).toBe('token-1');
    await w.hello();
    w.last().owner.frame({ type: 'token_expiring', expires_at: '2026-01-31T13:00:00.000Z' });
    await vi.dynamicImportSettled();
    await settled();
    expect(w.last().calls).toEqual(['renew token-2']);
    await w.close();
    await w.pass(1_000);
    expect(w.last().options.token).toBe('token-3');
  });

  test('an old token that is refused brings a new one at once; quite new ones wait, and end in UnauthorizedError', async () => {
    const w = world({ getToken: async () => 'token' });
    await w.start();
    await w.hello();
    await w.pass(20_000);
    w.last().owner.alive();
    await w.pass(20_000);
    await w.close({ next: 'new_token', code: 4401 });
    expect(w.wires).toHaveLength(2);
    for (let i = 0; i < 3; i++) {
      await w.close({ next: 'new_token', code: 4401 });
      expect(w.connection.state).toBe('waiting');
      await w.pass(30_000);
    }
    await w.close({ next: 'new_token', code: 4401, message: 'no good' });
    expect(w.connection.state).toBe('closed');
    expect(w.errors).toEqual([expect.any(UnauthorizedError)]);
    expect(w.errors[0]?.message).toBe('no good');
    await w.pass(600_000);
    expect(w.wires).toHaveLength(5);
  });

  test('where there is no token, being refused is the end', async () => {
    const w = world();
    await w.start();
    await w.close({ next: 'new_token', code: 4401 });
    expect(w.errors).toEqual([expect.any(UnauthorizedError)]);
  });

  test('one that cannot be had now is asked for again after a wait', async () => {
    let n = 0;
    const w = world({
      getToken: async () => {
        n += 1;
        if (n === 1) throw new Error('not now');
        return 'token';
      },
    });
    await w.start();
    expect(w.connection.state).toBe('waiting');
    await w.pass(1_000);
    expect(w.last().options.token).toBe('token');
  });
});

describe('transports', () => {
  test('two attempts without hello bring the next; WebSocket is taken back when it says hello', async () => {
    const w = world({ transport: 'auto', random: () => 0 });
    await w.start();
    await w.close();
    await w.pass(1);
    await w.close();
    await w.pass(1);
    expect(w.wires.map(({ name }) => name)).toEqual(['websocket', 'websocket', 'sse']);
    await w.hello();
    const sse = w.last();
    const live = async (ms: number) => {
      for (let at = 0; at < ms; at += 10_000) {
        sse.owner.alive();
        await w.pass(10_000);
      }
    };
    await live(PROBE_MS);
    expect(w.last().name).toBe('websocket');
    await w.close();
    expect(w.connection.state).toBe('open');
    await live(PROBE_MS);
    expect(w.wires).toHaveLength(5);
    await w.hello();
    expect(sse.calls).toEqual(['close']);
    expect(w.connection.wire?.transport).toBe('websocket');
    expect(w.states).not.toContain('closed');
  });

  test('WebSocket is looked at again also where each connection of the fallback is cut sooner', async () => {
    const w = world({ transport: 'auto', random: () => 0 });
    await w.start();
    for (let i = 0; i < 2; i++) {
      await w.close();
      await w.pass(1);
    }
    for (let at = 0; at < PROBE_MS && w.last().name === 'sse'; at += 20_000) {
      await w.hello();
      await w.pass(20_000);
      if (w.last().name === 'sse') await w.close();
      await w.pass(1);
    }
    await w.hello();
    await w.pass(1);
    expect(w.last().name).toBe('websocket');
  });

  test('a token that does not come is no failure of the transport', async () => {
    let n = 0;
    const w = world({
      transport: 'auto',
      getToken: async () => {
        n += 1;
        if (n <= 3) throw new Error('not now');
        return 'token';
      },
    });
    await w.start();
    for (let i = 0; i < 3; i++) await w.pass(2_000);
    expect(n).toBe(4);
    expect(w.last().name).toBe('websocket');
  });

  test('the same token again does not open SSE again, which would bring the same warning', async () => {
    const w = world({ transport: 'sse', getToken: async () => 'token' });
    await w.start();
    await w.hello();
    w.last().owner.frame({ type: 'token_expiring', expires_at: '2026-01-31T13:00:00.000Z' });
    await vi.dynamicImportSettled();
    await settled();
    expect(w.wires).toHaveLength(1);
    expect(w.connection.state).toBe('open');
  });

  test('a token that SSE cannot renew opens it again', async () => {
    let n = 0;
    const w = world({ transport: 'auto', random: () => 0, getToken: async () => `token-${++n}` });
    await w.start();
    await w.close();
    await w.pass(1);
    await w.close();
    await w.pass(1);
    await w.hello();
    w.last().owner.frame({ type: 'token_expiring', expires_at: '2026-01-31T13:00:00.000Z' });
    await vi.dynamicImportSettled();
    await settled();
    expect(w.wires.at(-2)?.calls).toEqual(['renew token-4', 'close']);
    expect(w.last().name).toBe('sse');
  });

  test('where there is no WebSocket, who wants nothing else is told so at once', async () => {
    const { platform } = world({ WebSocket: undefined });
    const job = createProgressClient({ url: 'http://edge', transport: 'websocket' }, { platform }).job('a');
    await expect(job.done).rejects.toMatchObject({ name: 'EdgeError', code: 'no_websocket' });
    expect(job.getSnapshot().error?.message).toContain('give the class as an option');
  });

  test('where there is no WebSocket, it is left out', async () => {
    const w = world({ transport: 'auto', random: () => 0, WebSocket: undefined });
    await w.start();
    for (let i = 0; i < 4; i++) {
      await w.close();
      await w.pass(1);
    }
    await w.hello();
    for (let at = 0; at < 3 * PROBE_MS; at += 10_000) {
      w.last().owner.alive();
      await w.pass(10_000);
    }
    expect(w.wires.map(({ name }) => name)).toEqual(['sse', 'sse', 'polling', 'polling', 'sse']);
    expect(w.errors).toEqual([]);
  });

  test('a close by the edge itself is no failure of the transport', async () => {
    const w = world({ transport: 'auto', random: () => 0 });
    const fail = async (code: number) => {
      await w.close({ code });
      await w.pass(1_000);
      return w.last().name;
    };
    await w.start();
    for (const code of [1012, 1013, 4429, 4429]) expect(await fail(code)).toBe('websocket');
    const names = [];
    for (let i = 0; i < 6; i++) names.push(await fail(0));
    expect(names).toEqual(['websocket', 'sse', 'sse', 'polling', 'polling', 'websocket']);
  });
});
