import type { CliContext } from '../../internal/cli/runtime/cli-context.js';

/** The world of a command that is called without a process: no terminal, no environment, and nothing it writes is kept. */
export function fakeCliContext(changes: Partial<CliContext> = {}): CliContext {
  return {
    env: {},
    now: Date.now,
    stdout: async () => undefined,
    stderr: () => undefined,
    terminal: { in: false, out: false, note: false },
    columns: () => 80,
    rows: () => 24,
    stopped: new AbortController().signal,
    prompt: async () => null,
    keys: () => () => undefined,
    hasCommand: () => false,
    page: () => ({ write: async () => undefined, end: async () => 0 }),
    ...changes,
  };
}
