import { describe, expect, test } from 'vitest';
import { UnreadPeers } from '../../internal/edge/unread-peers.js';

describe('an address of which no request can be read', () => {
  test('is noticed after more than ten sockets in at least five seconds', () => {
    const peers = new UnreadPeers();
    const times = [...Array(11).keys()].map((i) => i * 499);
    expect(times.map((now) => peers.came('a', now))).toEqual(times.map(() => false));
    expect(peers.came('a', 5_000)).toBe(true);
    expect(peers.came('b', 5_000)).toBe(false);
  });

  test('is not one that is slow: few sockets, however long it takes', () => {
    const peers = new UnreadPeers();
    expect([...Array(10).keys()].map((i) => peers.came('a', i * 60_000))).not.toContain(true);
  });

  test('is not a herd that has had no time to ask yet', () => {
    const peers = new UnreadPeers();
    expect([...Array(5_000).keys()].map((i) => peers.came('a', i % 4_999))).not.toContain(true);
  });

  test('is not one that was understood in between', () => {
    const peers = new UnreadPeers();
    for (let i = 0; i < 100; i++) {
      expect(peers.came('a', i * 1_000)).toBe(false);
      if (i % 10 === 9) peers.asked('a');
    }
  });

  test('G9 memory: so many addresses are watched, and no more', () => {
    const peers = new UnreadPeers();
    for (let i = 0; i < 10_000; i++) peers.came(String(i), 0);
    expect(peers.size).toBe(1_000);
  });
});
