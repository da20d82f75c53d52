import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SocketGuard, type SocketLimits } from '../../internal/edge/socket-guard.js';
import { sharedAnswer } from '../../internal/telemetry/metrics.js';

const ADDRESS = '192.0.2.1';

function guard(limits: Partial<SocketLimits>) {
  const clock = { now: 0 };
  const sockets = new SocketGuard(
    { maxHttp: 0, maxHttpPerAddress: 0, maxOpen: null, ...limits },
    () => clock.now,
  );
  return { clock, sockets, came: (address = ADDRESS, isProxy = false) => sockets.came(address, isProxy) };
}

describe('G9 memory: sockets that ask nothing', () => {
  test('so many in all; one that is gone, or has become a WebSocket, makes room', () => {
    const { came, sockets } = guard({ maxHttp: 2 });
    expect([came(), came(), came()]).toEqual([null, null, 'http_sockets']);
    // It is cut off, and with that gone.
    sockets.gone();
    expect(came()).toBe('http_sockets');
    sockets.gone();
    sockets.gone();
    expect(came()).toBeNull();
    sockets.upgraded();
    expect([came(), came()]).toEqual([null, 'http_sockets']);
  });

  test('so many of one address, or of one /64, until they ask for something', () => {
    const { came, sockets } = guard({ maxHttpPerAddress: 2 });
    expect([came(), came(), came()]).toEqual([null, null, 'http_sockets_per_address']);
    expect(came('192.0.2.2')).toBeNull();
    sockets.asked(ADDRESS);
    expect([came(), came()]).toEqual([null, 'http_sockets_per_address']);
    const ipv6 = ['2001:db8::1', '2001:db8::2', '2001:db8::3'].map((address) => came(address));
    expect(ipv6).toEqual([null, null, 'http_sockets_per_address']);
    expect(came('2001:db8:0:1::1')).toBeNull();
  });

  test('which of an address are gone nobody tells: they count for 10 to 20 s, and no longer', () => {
    const { clock, came, sockets } = guard({ maxHttpPerAddress: 2 });
    clock.now = 9_000;
    came();
    came();
    sockets.gone();
    sockets.gone();
    for (const now of [9_001, 18_000, 19_000]) {
      clock.now = now;
      expect(came()).toBe('http_sockets_per_address');
      sockets.gone();
    }
    clock.now = 29_000;
    expect(came()).toBeNull();
  });

  test('those of a proxy count for all, and not for its address', () => {
    const { came } = guard({ maxHttpPerAddress: 1, maxHttp: 3 });
    expect([came(ADDRESS, true), came(ADDRESS, true), came(ADDRESS, true)]).toEqual([null, null, null]);
    expect(came(ADDRESS, true)).toBe('http_sockets');
  });

  test('an address that asks more than it has is owed nothing', () => {
    const { came, sockets } = guard({ maxHttpPerAddress: 1 });
    for (let i = 0; i < 10; i++) sockets.asked(ADDRESS);
    expect([came(), came()]).toEqual([null, 'http_sockets_per_address']);
  });
});

test('G9 memory: at the end of the open files every kind of socket counts, also one that the edge has closed and its peer has not', () => {
  const { clock, came, sockets } = guard({ maxOpen: 3 });
  for (let i = 0; i < 3; i++) expect(came()).toBeNull();
  for (let i = 0; i < 2; i++) sockets.upgraded();
  expect([sockets.http, sockets.open]).toEqual([1, 3]);
  expect(came()).toBe('open_files');
  sockets.gone();
  // The peer has left by itself.
  sockets.left(false);
  expect(came()).toBeNull();
  sockets.left(true);
  expect(came()).toBe('open_files');
  sockets.gone();
  clock.now = 20_000;
  expect(came()).toBeNull();
});

test('G9 memory: whatever comes and goes, there are never more than the limits say', () => {
  const step = fc.record({
    do: fc.constantFrom('come', 'come', 'ask', 'go', 'upgrade', 'leave', 'wait'),
    address: fc.constantFrom('192.0.2.1', '192.0.2.2'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { clock, came, sockets } = guard({ maxHttp: 6, maxHttpPerAddress: 4, maxOpen: 9 });
      let [http, webSockets] = [0, 0];
      for (const { do: what, address } of steps) {
        if (what === 'come') {
          const refusal = came(address);
          if (refusal === null) http++;
          else sockets.gone();
        } else if (what === 'ask') sockets.asked(address);
        else if (what === 'go' && http > 0) {
          sockets.gone();
          http--;
        } else if (what === 'upgrade' && http > 0) {
          sockets.upgraded();
          http--;
          webSockets++;
        } else if (what === 'leave' && webSockets > 0) {
          sockets.left(true);
          webSockets--;
        } else if (what === 'wait') clock.now += 3_000;
        expect(sockets.http).toBe(http);
        expect(sockets.open).toBeGreaterThanOrEqual(http + webSockets);
        expect(http).toBeLessThanOrEqual(6);
        expect(http + webSockets).toBeLessThanOrEqual(9);
      }
    }),
  );
});

describe('an answer that is shared', () => {
  function shared(maxAgeMs: number) {
    const clock = { now: 0 };
    const made: { give: (value: string) => void; fail: (error: Error) => void }[] = [];
    const ask = sharedAnswer(
      maxAgeMs,
      () => clock.now,
      () => new Promise<string>((give, fail) => made.push({ give, fail })),
    );
    return { clock, made, ask };
  }

  test('is made once for all who ask while it is made, however long that takes, and within its age', async () => {
    const { clock, made, ask } = shared(1_000);
    const first = [ask(), ask()];
    clock.now = 5_000;
    first.push(ask());
    expect(made).toHaveLength(1);
    made[0]?.give('one');
    expect(await Promise.all(first)).toEqual(['one', 'one', 'one']);
    clock.now = 5_001;
    const second = ask();
    expect(made).toHaveLength(2);
    made[1]?.give('two');
    expect(await second).toBe('two');
    clock.now = 6_000;
    expect(await ask()).toBe('two');
    clock.now = 6_001;
    void ask();
    expect(made).toHaveLength(3);
  });

  test('is made anew after it failed, and for each who asks where it may not age', async () => {
    const { made, ask } = shared(1_000);
    const failing = ask();
    made[0]?.fail(new Error('no'));
    await expect(failing).rejects.toThrow('no');
    const next = ask();
    made[1]?.give('yes');
    expect(await next).toBe('yes');
    const ageless = shared(0);
    const one = ageless.ask();
    ageless.made[0]?.give('one');
    await one;
    void ageless.ask();
    expect(ageless.made).toHaveLength(2);
  });
});
