import { describe, expect, test } from 'vitest';
import { LivenessMonitor } from '../../internal/liveness/liveness-monitor.js';
import type { LivenessLimits } from '../../internal/liveness/ports.js';

const OFF: LivenessLimits = { stallAfterMs: null, timeoutMs: null, maxWatched: 1_000 };
const TICK_MS = 250;

/** A `LivenessMonitor` that follows from time 0 on, what it told, and a clock that is moved by hand. */
function start(limits: Partial<LivenessLimits> = {}, from = 0) {
  const told: string[] = [];
  const room = { has: true };
  const silences: number[] = [];
  const monitor = new LivenessMonitor(
    { ...OFF, ...limits },
    {
      stalled: (id, silentMs) => {
        told.push(`stalled ${id}`);
        silences.push(silentMs);
      },
      timedOut: (id, lastSeq, silentMs) => {
        if (!room.has) return false;
        told.push(`timed out ${id} ${lastSeq}`);
        silences.push(silentMs);
        return true;
      },
    },
  );
  let now = from;
  monitor.resume(now);
  return {
    monitor,
    told,
    silences,
    room,
    seen: (
      id: string,
      seq: number,
      fields: { stall?: number; timeout?: number; isRunning?: boolean; attempt?: number } = {},
    ) =>
      monitor.recordEvent(
        {
          id,
          seq,
          isRunning: fields.isRunning ?? true,
          stallAfterSeconds: fields.stall,
          timeoutSeconds: fields.timeout,
          attempt: fields.attempt,
        },
        now,
      ),
    alive: (id: string, attempt?: number) => monitor.recordHeartbeat(id, now, attempt),
    /** Passes so much time in ticks, and returns what was told meanwhile. */
    pass: (ms: number, meanwhile: () => void = () => undefined): string[] => {
      told.length = 0;
      for (const end = now + ms; now < end; ) {
        now = Math.min(end, now + TICK_MS);
        meanwhile();
        monitor.tick(now);
      }
      return [...told];
    },
    jump: (ms: number): string[] => {
      told.length = 0;
      now += ms;
      monitor.tick(now);
      return [...told];
    },
    pause: () => monitor.pause(),
    resume: () => monitor.resume(now),
  };
}

describe('a job that falls silent', () => {
  test('stalls after its stall_after_seconds and times out after its timeout_seconds, each once', () => {
    const { seen, pass, silences } = start();
    seen('a', 7, { stall: 5, timeout: 30 });
    expect(pass(4_900)).toEqual([]);
    expect(pass(500)).toEqual(['stalled a']);
    expect(pass(24_500)).toEqual([]);
    expect(pass(500)).toEqual(['timed out a 7']);
    expect(pass(3_600_000)).toEqual([]);
    expect(silences.map((ms) => Math.round(ms / 1_000))).toEqual([5, 30]);
  });

  test('is told again after a sign of life and another silence', () => {
    const { seen, alive, pass, monitor } = start();
    seen('a', 1, { stall: 5 });
    expect(pass(6_000)).toEqual(['stalled a']);
    expect(monitor.stalledFor('a')).toBe(6_000);
    alive('a');
    expect(monitor.stalledFor('a')).toBeNull();
    expect(pass(4_900)).toEqual([]);
    expect(pass(500)).toEqual(['stalled a']);
    seen('a', 2, { stall: 5 });
    expect(pass(4_900)).toEqual([]);
    expect(pass(500)).toEqual(['stalled a']);
  });

  test('is not kept alive by a worker of an older attempt', () => {
    const { seen, alive, pass } = start();
    seen('a', 1, { stall: 5, attempt: 1 });
    seen('a', 2, { stall: 5, attempt: 2 });
    expect(pass(20_000, () => alive('a', 1))).toEqual(['stalled a']);
    seen('a', 3, { stall: 5, attempt: 2 });
    expect(pass(20_000, () => alive('a', 2))).toEqual([]);
    // One that has begun, and whose first event is still on its way; and one that names none.
    expect(pass(20_000, () => alive('a', 3))).toEqual([]);
    expect(pass(20_000, () => alive('a'))).toEqual([]);
    seen('b', 4, { stall: 5 });
    expect(pass(20_000, () => alive('b', 1))).toEqual(['stalled a']);
  });

  test('times out again only after it has moved on', () => {
    const { seen, alive, pass } = start();
    seen('a', 1, { timeout: 5 });
    expect(pass(6_000)).toEqual(['timed out a 1']);
    alive('a');
    seen('a', 1, { timeout: 5 });
    expect(pass(60_000)).toEqual([]);
    seen('a', 4, { timeout: 5 });
    expect(pass(6_000)).toEqual(['timed out a 4']);
  });

  test('is told with the next tick when the sink has no room, in the order of becoming due', () => {
    const { seen, pass, room, monitor } = start();
    seen('a', 1, { timeout: 5 });
    seen('b', 2, { timeout: 6 });
    room.has = false;
    expect(pass(20_000)).toEqual([]);
    expect(monitor.stats.overdue).toBe(2);
    room.has = true;
    expect(pass(TICK_MS)).toEqual(['timed out a 1', 'timed out b 2']);
    expect(monitor.stats.overdue).toBe(0);
  });

  test('a sign of life while there is no room takes the timeout back', () => {
    const { seen, alive, pass, room, monitor } = start();
    seen('a', 1, { timeout: 5 });
    room.has = false;
    pass(6_000);
    alive('a');
    room.has = true;
    expect(monitor.stats.overdue).toBe(0);
    expect(pass(4_900)).toEqual([]);
    expect(pass(500)).toEqual(['timed out a 1']);
  });

  test('whose timeout could not be written is told again after 10 s, unless it moved', () => {
    const { seen, pass, monitor } = start();
    seen('a', 1, { timeout: 5 });
    seen('b', 2, { timeout: 5 });
    expect(pass(6_000)).toEqual(['timed out a 1', 'timed out b 2']);
    monitor.retryTimeout('a', 1);
    seen('b', 3, { timeout: 5_000 });
    monitor.retryTimeout('b', 2);
    expect(pass(9_900)).toEqual([]);
    expect(pass(500)).toEqual(['timed out a 1']);
  });

  test('whose timeout could not be written, but which timed out anew since, is not told again', () => {
    const { seen, pass, monitor } = start();
    seen('a', 1, { timeout: 5 });
    pass(6_000);
    seen('a', 2, { timeout: 5 });
    expect(pass(6_000)).toEqual(['timed out a 2']);
    monitor.retryTimeout('a', 1);
    expect(pass(60_000)).toEqual([]);
  });
});

describe('busy is not dead', () => {
  test('heartbeats keep a job alive while nothing else comes of it', () => {
    const { seen, alive, pass } = start();
    seen('a', 1, { stall: 5, timeout: 10 });
    let ticks = 0;
    expect(pass(3_600_000, () => ++ticks % 19 === 0 && alive('a'))).toEqual([]);
    expect(pass(11_000)).toEqual(['stalled a', 'timed out a 1']);
  });

  test('a job that names neither costs nothing, nor does its heartbeat', () => {
    const { seen, alive, pass, monitor } = start();
    seen('a', 1);
    alive('a');
    alive('nobody');
    expect(monitor.stats.watched).toBe(0);
    expect(pass(3_600_000)).toEqual([]);
  });

  test('the defaults hold where an event says nothing, its own where it does', () => {
    const { seen, pass } = start({ stallAfterMs: 5_000, timeoutMs: 20_000 });
    seen('default', 1);
    seen('own', 2, { stall: 10, timeout: 1e308 });
    expect(pass(6_000)).toEqual(['stalled default']);
    expect(pass(5_000)).toEqual(['stalled own']);
    expect(pass(3_600_000)).toEqual(['timed out default 1']);
  });

  test('the newest event says what holds, also when that is sooner, or nothing any more', () => {
    const { seen, pass, monitor } = start();
    seen('a', 1, { timeout: 3_600 });
    seen('b', 2, { timeout: 5 });
    pass(1_000);
    seen('a', 3, { timeout: 5 });
    seen('b', 4);
    expect(monitor.stats.watched).toBe(1);
    expect(pass(6_000)).toEqual(['timed out a 3']);
  });

  test.each([
    ['the smallest number there is', 5e-324, TICK_MS],
    ['a millisecond', 0.001, TICK_MS],
  ])('a period of %s is a millisecond', (_, seconds, ms) => {
    const { seen, pass } = start();
    seen('a', 1, { stall: seconds, timeout: seconds });
    expect(pass(ms)).toEqual(['stalled a', 'timed out a 1']);
  });

  test('G8 bad input: the largest numbers there are wait, and hurt nobody else', () => {
    const { seen, pass, monitor } = start();
    seen('large', 1, { stall: 1e308, timeout: Number.MAX_VALUE });
    seen('other', 2, { stall: 5 });
    expect(pass(86_400_000)).toEqual(['stalled other']);
    expect(monitor.stats.watched).toBe(2);
  });
});

describe('a job that nobody waits for any more', () => {
  test('leaves when it is finished, or failed and waits for its next attempt', () => {
    const { seen, alive, pass, monitor } = start({ stallAfterMs: 5_000, timeoutMs: 5_000 });
    seen('a', 1);
    seen('a', 2, { isRunning: false });
    alive('a');
    expect(monitor.stats.watched).toBe(0);
    expect(pass(60_000)).toEqual([]);
    seen('a', 3);
    expect(pass(6_000)).toEqual(['stalled a', 'timed out a 3']);
  });

  test('leaves when it is forgotten, and all when the stream starts over', () => {
    const { seen, pass, monitor } = start();
    for (const id of ['a', 'b', 'c']) seen(id, 1, { stall: 5, timeout: 5 });
    monitor.remove('a');
    monitor.remove('nobody');
    expect(pass(6_000)).toEqual(['stalled b', 'stalled c', 'timed out b 1', 'timed out c 1']);
    seen('d', 2, { timeout: 5 });
    monitor.reset();
    expect(monitor.stats).toMatchObject({ watched: 0, overdue: 0 });
    // Numbers begin anew.
    seen('b', 1, { timeout: 5 });
    expect(pass(6_000)).toEqual(['timed out b 1']);
  });

  test('leaves also while there is no room for its timeout', () => {
    const { seen, pass, monitor, room } = start();
    seen('a', 1, { timeout: 5 });
    seen('b', 2, { timeout: 5 });
    room.has = false;
    pass(6_000);
    monitor.remove('a');
    expect(monitor.stats).toMatchObject({ watched: 1, overdue: 1 });
    room.has = true;
    expect(pass(6_000)).toEqual(['timed out b 2']);
  });

  test('an event that is not newer changes nothing', () => {
    const { seen, pass } = start();
    seen('a', 5, { stall: 5 });
    pass(4_000);
    seen('a', 5, { stall: 5 });
    seen('a', 3, { isRunning: false });
    expect(pass(1_500)).toEqual(['stalled a']);
  });
});

describe('what is no silence', () => {
  test.each([
    ['an hour forwards', 3_600_000],
    ['a year forwards', 365 * 86_400_000],
    ['an hour backwards', -3_600_000],
  ])('a clock that jumps by %s counts for a second at most', (_, ms) => {
    const { seen, jump, pass } = start({}, 1_700_000_000_000);
    seen('a', 1, { stall: 5, timeout: 10 });
    pass(2_000);
    expect(jump(ms)).toEqual([]);
    expect(pass(1_900)).toEqual([]);
    expect(pass(1_500)).toEqual(['stalled a']);
    expect(pass(6_000)).toEqual(['timed out a 1']);
  });

  test('what an edge did not hear: each job has a full period from the moment it follows again', () => {
    const { seen, pass, pause, resume } = start();
    seen('a', 1, { stall: 5, timeout: 10 });
    pass(4_000);
    pause();
    expect(pass(60_000)).toEqual([]);
    seen('b', 2, { stall: 5 });
    resume();
    expect(pass(4_900)).toEqual([]);
    expect(new Set(pass(500))).toEqual(new Set(['stalled a', 'stalled b']));
    expect(pass(4_500)).toEqual([]);
    expect(pass(500)).toEqual(['timed out a 1']);
  });

  test('the same for a job whose timeout was due and not told', () => {
    const { seen, pass, pause, resume, room } = start();
    seen('a', 1, { timeout: 5 });
    room.has = false;
    pass(6_000);
    pause();
    room.has = true;
    pass(1_000);
    resume();
    expect(pass(4_900)).toEqual([]);
    expect(pass(500)).toEqual(['timed out a 1']);
  });

  test('nothing is told before the edge follows for the first time', () => {
    const told: string[] = [];
    const monitor = new LivenessMonitor(OFF, {
      stalled: (id) => told.push(id),
      timedOut: () => true,
    });
    monitor.recordEvent({ id: 'a', seq: 1, isRunning: true, stallAfterSeconds: 1 }, 0);
    for (let now = 0; now < 60_000; now += TICK_MS) monitor.tick(now);
    expect(told).toEqual([]);
    monitor.resume(60_000);
    for (let now = 60_000; now < 62_000; now += TICK_MS) monitor.tick(now);
    expect(told).toEqual(['a']);
  });
});

test('however many jobs come, what is known of the first of them stays', () => {
  const { seen, pass } = start({ maxWatched: 100_000 });
  seen('first', 1, { stall: 5, timeout: 20 });
  seen('second', 2, { timeout: 20 });
  expect(pass(6_000)).toEqual(['stalled first']);
  for (let n = 0; n < 10_000; n++) seen(`job-${n}`, n + 3, { timeout: 3_600 });
  expect(new Set(pass(20_000))).toEqual(new Set(['timed out first 1', 'timed out second 2']));
});

describe('G9 memory: more jobs than may be watched', () => {
  test('a new one takes the place of the one that all was told of, and is counted', () => {
    const { seen, pass, monitor } = start({ maxWatched: 2 });
    seen('a', 1, { stall: 5 });
    seen('b', 2, { stall: 60 });
    expect(pass(6_000)).toEqual(['stalled a']);
    seen('c', 3, { stall: 5 });
    expect(monitor.stats).toEqual({ watched: 2, overdue: 0, rejected: 0, evicted: 1 });
    expect(pass(6_000)).toEqual(['stalled c']);
    expect(pass(60_000)).toEqual(['stalled b']);
  });

  test('where there is none it is not watched, is counted, and is taken with its next event', () => {
    const { seen, alive, pass, monitor } = start({ maxWatched: 2 });
    seen('a', 1, { stall: 5 });
    seen('b', 2, { stall: 5 });
    seen('c', 3, { stall: 5 });
    alive('c');
    expect(monitor.stats).toEqual({ watched: 2, overdue: 0, rejected: 1, evicted: 0 });
    expect(pass(6_000)).toEqual(['stalled a', 'stalled b']);
    seen('c', 4, { stall: 5 });
    expect(pass(6_000)).toEqual(['stalled c']);
    expect(monitor.stats).toEqual({ watched: 2, overdue: 0, rejected: 1, evicted: 1 });
  });

  test('none at all: nothing is watched', () => {
    const { seen, pass, monitor } = start({ maxWatched: 0 });
    seen('a', 1, { stall: 5 });
    expect(pass(6_000)).toEqual([]);
    expect(monitor.stats).toMatchObject({ watched: 0, rejected: 1 });
  });
});

describe('a sink that calls back', () => {
  test('may forget, reset, or hear of a job while it is told of it', () => {
    const told: string[] = [];
    const monitor: LivenessMonitor = new LivenessMonitor(OFF, {
      stalled: (id) => {
        told.push(`stalled ${id}`);
        if (id === 'forgotten') monitor.remove(id);
        if (id === 'alive') monitor.recordHeartbeat(id, now);
      },
      timedOut: (id, seq) => {
        told.push(`timed out ${id}`);
        if (id === 'last') monitor.reset();
        else if (id === 'moved')
          monitor.recordEvent({ id, seq: seq + 1, isRunning: true, timeoutSeconds: 60 }, now);
        else monitor.remove(id);
        return id !== 'refused';
      },
    });
    let now = 0;
    monitor.resume(now);
    const ids = ['forgotten', 'alive', 'moved', 'refused', 'last'];
    for (const [index, id] of ids.entries()) {
      const period = id === 'forgotten' || id === 'alive' ? { stallAfterSeconds: 5 } : { timeoutSeconds: 6 };
      monitor.recordEvent({ id, seq: index + 1, isRunning: true, ...period }, now);
    }
    while (now < 8_000) {
      now += TICK_MS;
      monitor.tick(now);
    }
    expect(told).toEqual([
      'stalled forgotten',
      'stalled alive',
      'timed out moved',
      'timed out refused',
      'timed out last',
    ]);
    expect(monitor.stats).toMatchObject({ watched: 0, overdue: 0 });
  });
});
