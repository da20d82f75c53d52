/** `headway stalled`: whose worker fell silent, also where an edge has written the timeout. */
import { beforeEach, describe, expect, test } from 'vitest';
import { run } from '../../internal/cli/program.js';
import { timeoutEvent } from '../../internal/liveness/timeout-event.js';
import type { Event } from '../../schemas/event.js';
import { fakeCliContext } from '../harness/fake-cli-context.js';
import { headway, natsEnv } from '../harness/headway-command.js';
import { event, publish, publishRaw } from '../harness/publish.js';
import { freshStream, sharedNats } from '../harness/shared-nats.js';

const shared = sharedNats();
beforeEach(() => freshStream(shared));

const HOUR_MS = 3_600_000;
const timeout = (id: string, silentMs: number): string =>
  timeoutEvent(event(id) as Event, silentMs, new Date().toISOString());

/** Runs `headway` here; calls `listening` when it says that it listens. */
async function stalledHere(args: readonly string[], listening: () => Promise<unknown>): Promise<string> {
  let notes = '';
  let heard: Promise<unknown> | null = null;
  const note = (text: string): void => {
    notes += text;
    if (text.includes('listening ')) heard ??= listening();
  };
  let out = '';
  const io = fakeCliContext({
    env: natsEnv(shared.nats.url),
    terminal: { in: false, out: false, note: true },
    stderr: note,
    stdout: async (text) => {
      out += text;
      await heard;
    },
  });
  expect(await run(['stalled', ...args], io)).toBe(0);
  return `${out}${notes}`;
}

describe("an edge's timeout is not the worker speaking", () => {
  test('the job is silent since its worker was heard last', async () => {
    await publish(shared.nc, 'dead', { progress: 40 });
    await publishRaw(shared.nc, 'progress.dead', timeout('dead', HOUR_MS));
    await publish(shared.nc, 'retried', { status: 'error', error: { code: 'E_DISK', retryable: true } });
    const { code, stdout } = await headway(['stalled', '--no-listen', '-o', 'json'], {
      env: natsEnv(shared.nats.url),
    });
    expect(code).toBe(0);
    const jobs = JSON.parse(stdout) as { processing_id: string; silent_ms: number }[];
    expect(jobs.map(({ processing_id }) => processing_id)).toEqual(['dead']);
    expect(jobs[0]?.silent_ms).toBeGreaterThanOrEqual(HOUR_MS);
  });

  test('also when it is written while the command listens', async () => {
    await publish(shared.nc, 'dead', { stall_after_seconds: 0.001 });
    const shown = await stalledHere(['--listen', '1s', '-o', 'json'], () =>
      publishRaw(shared.nc, 'progress.dead', timeout('dead', HOUR_MS)),
    );
    expect(shown).toContain('"processing_id":"dead"');
    expect(shown).toMatch(/of 1 job without a recent event 0 are alive\n/);
  });
});

test('who reports while the command listens is counted as alive, beside "no unfinished job is silent"', async () => {
  await publish(shared.nc, 'slow', { stall_after_seconds: 0.001 });
  const shown = await stalledHere(['--listen', '1s'], () => publish(shared.nc, 'slow', { progress: 50 }));
  expect(shown).toMatch(
    /of 1 job without a recent event 1 is alive \(0 by heartbeat, 1 by a new event\)\nheadway: no unfinished job is silent\n$/,
  );
});
