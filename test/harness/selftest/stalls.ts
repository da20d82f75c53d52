import { describe, expect, test } from 'vitest';
import { Child, stateOf } from '../child.js';
import { noTerminal, TERMINAL } from '../headway-command.js';
import { ProcessPauser } from '../process-pauser.js';
import { waitFor } from '../wait.js';

// In a run that has them it could not tell its own from others.
const isSkipped = process.platform !== 'linux' || process.env.HEADWAY_STALLS !== undefined;

describe.skipIf(isSkipped)('stalls', () => {
  test('hit the processes below one, children of children too, and leave all of them running', async () => {
    const program = '(sleep 60 & echo $!; sleep 60 & echo $!; wait) & wait';
    const root = await Child.spawn('parent', 'sh', ['-c', program]);
    try {
      const sleepers = await waitFor(
        () => {
          const pids = root.output().split('\n').filter(Boolean).map(Number);
          return pids.length === 2 && pids;
        },
        { what: 'two processes' },
      );
      const states = () => Promise.all(sleepers.map(stateOf));
      const hit = new Set<number>();
      const seen = new Set<string | undefined>();
      let next = 0;
      {
        // The next of them each time, for 100 ms.
        const random = () => (next++ % 7) / 7;
        await using stalls = new ProcessPauser({ root: root.pid, longestMs: 100, random });
        await waitFor(
          async () => {
            for (const [at, state] of (await states()).entries()) if (state === 'T') hit.add(at);
            seen.add(await stateOf(root.pid));
            return hit.size === 2;
          },
          { what: 'each of them to stand still', everyMs: 5 },
        );
        expect(stalls.count).toBeGreaterThan(1);
      }
      expect(await states()).not.toContain('T');
      expect(seen).not.toContain('T');
    } finally {
      for (const pid of root.output().split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGKILL');
      await root.exited;
    }
  });

  test.skipIf(noTerminal !== null)('spare what runs at a terminal of its own', async () => {
    const program = [TERMINAL, '80', '24', 'together', 'sh', '-c', 'echo $$; exec sleep 60'];
    const root = await Child.spawn('parent', 'sh', ['-c', 'python3 "$@" & wait', 'sh', ...program]);
    const sleeper = await waitFor(() => Number.parseInt(root.output(), 10) || undefined, {
      what: 'a process at a terminal',
    });
    try {
      const seen = new Set<string | undefined>();
      await using stalls = new ProcessPauser({ root: root.pid, longestMs: 100, random: () => 0.99 });
      await waitFor(
        async () => {
          seen.add(await stateOf(sleeper));
          return stalls.count >= 5;
        },
        { what: 'others to stand still', everyMs: 5 },
      );
      expect(seen).not.toContain('T');
    } finally {
      process.kill(sleeper, 'SIGKILL');
      await root.exited;
    }
  });
});
