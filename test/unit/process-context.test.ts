/** The signals of a command: the first stops it, a second one ends it at once. */
import { afterEach, expect, test, vi } from 'vitest';
import { STOP_SIGNALS } from '../../internal/cli/runtime/cli-context.js';
import { processContext } from '../../internal/cli/runtime/process-context.js';

const before = STOP_SIGNALS.map((signal) => [signal, process.listeners(signal)] as const);
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const [signal, listeners] of before) {
    for (const listener of process.listeners(signal)) {
      if (!listeners.includes(listener)) process.off(signal, listener);
    }
  }
});

test('a signal that npx, npm or timeout passes on once more is the same press, and ends nothing', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
  const { stopped } = processContext();
  process.emit('SIGINT', 'SIGINT');
  expect(stopped.aborted).toBe(true);
  vi.advanceTimersByTime(20);
  process.emit('SIGINT', 'SIGINT');
  expect(exit).not.toHaveBeenCalled();
  // A person presses again.
  vi.advanceTimersByTime(500);
  process.emit('SIGINT', 'SIGINT');
  expect(exit).toHaveBeenCalledExactlyOnceWith(130);
});

test('another signal ends it at once', () => {
  const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
  processContext();
  process.emit('SIGINT', 'SIGINT');
  process.emit('SIGTERM', 'SIGTERM');
  expect(exit).toHaveBeenCalledExactlyOnceWith(143);
});
