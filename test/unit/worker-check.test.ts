import { expect, test } from 'vitest';
import { type CheckDeps, checkReporter } from '../../sdk/worker/check.js';
import type { Clock, Transport } from '../../sdk/worker/ports.js';

/** What a check holds of a reporter that gets no answer, and the end of its time. */
function silent(isConnected: boolean) {
  const held = new Set<unknown>();
  let ring = (): void => undefined;
  const clock: Clock = {
    now: () => 0,
    timestamp: () => '',
    later: (_ms, call) => {
      ring = call;
      return () => undefined;
    },
    chance: () => 0,
  };
  const transport = {
    isConnected,
    unreachable: 'NATS cannot be reached',
    registerReply: (handler: unknown) => {
      held.add(handler);
      return 1;
    },
    unregisterReply: (handler: unknown) => void held.delete(handler),
    publish: () => true,
  } as unknown as Transport;
  const deps: CheckDeps = {
    clock,
    transport,
    history: { last: () => new Promise(() => undefined), range: () => new Promise(() => undefined) },
    random: () => 'random',
    obstacle: () => null,
    isConnectionClosed: () => false,
    refusal: () => null,
    onChange: (call) => {
      held.add(call);
      return () => void held.delete(call);
    },
  };
  return { deps, held, ring: () => ring() };
}

test.each([
  ['with', true],
  ['without', false],
])(
  'a check that gets no answer in time leaves nothing behind, %s a connection',
  async (_what, isConnected) => {
    const { deps, held, ring } = silent(isConnected);
    const checking = checkReporter(deps, {});
    expect(held.size).toBeGreaterThan(0);
    ring();
    expect((await checking).ok).toBe(false);
    expect(held).toEqual(new Set());
  },
);
