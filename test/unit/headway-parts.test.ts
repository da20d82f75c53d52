/** The pure parts of the operators' commands. */
import { InvalidArgumentError } from 'commander';
import stringWidth from 'string-width';
import { describe, expect, test } from 'vitest';
import { LatestById } from '../../internal/cli/commands/list/latest-by-id.js';
import { type ListStyle, rowOf } from '../../internal/cli/commands/list/rows.js';
import { quantile } from '../../internal/cli/commands/stats/counts.js';
import { Scan } from '../../internal/cli/commands/stats/scan.js';
import {
  durationOption,
  parseDuration,
  secondsOption,
  showAge,
  showDuration,
} from '../../internal/cli/flags/durations.js';
import {
  matches,
  momentOption,
  resolveStart,
  timeOption,
  untilOf,
} from '../../internal/cli/flags/filters.js';
import { bar } from '../../internal/cli/output/cells.js';
import { colorizer } from '../../internal/cli/output/color.js';
import { JsonArrayWriter, LineWriter } from '../../internal/cli/output/line-writer.js';
import { tableLines } from '../../internal/cli/output/table.js';
import { shorten } from '../../internal/cli/output/width.js';
import { run } from '../../internal/cli/program.js';
import type { JobEvent } from '../../internal/cli/reads/job-event.js';
import {
  type CliContext,
  OutputError,
  PipeClosed,
  SignalError,
  UsageError,
} from '../../internal/cli/runtime/cli-context.js';
import { EXIT, exitCodeOf } from '../../internal/cli/runtime/exit-codes.js';
import { progressOf } from '../../internal/cli/runtime/status.js';
import { FINDING_IDS, RENAMED_FINDINGS } from '../../internal/doctor/findings.js';
import {
  JetStreamUnavailableError,
  JobNotFoundError,
  NatsAuthError,
  NatsUnreachableError,
  StreamNotFoundError,
} from '../../internal/errors.js';
import { bytes } from '../../internal/formatting.js';
import { DeliveryReader } from '../../internal/jetstream/delivery.js';
import type { Event } from '../../schemas/event.js';
import { printable, printableJson } from '../../schemas/text.js';

/** A world in which everything is written down. */
type FakeIo = CliContext & { written: string; noted: string; time: number };
function fakeIo(changes: Partial<CliContext> = {}): FakeIo {
  const io: FakeIo = {
    env: {},
    time: 1_000_000,
    now: () => io.time,
    written: '',
    noted: '',
    stdout: (text: string) => {
      io.written += text;
      return Promise.resolve();
    },
    stderr: (text: string) => {
      io.noted += text;
    },
    terminal: { in: false, out: false, note: false },
    columns: () => 80,
    rows: () => 24,
    stopped: new AbortController().signal,
    prompt: () => Promise.resolve(null),
    keys: () => () => undefined,
    hasCommand: () => false,
    page: () => ({ write: async () => undefined, end: async () => 0 }),
    ...changes,
  };
  return io;
}

describe('durations', () => {
  test.each([
    ['500ms', 500],
    ['90s', 90_000],
    ['15m', 900_000],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
    expect(durationOption(text)).toBe(ms);
  });

  test.each(['', '10', 's', '-1h', '1.5h', '1 h', '1w', '1h30', 'h1'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
    expect(() => durationOption(text)).toThrow(InvalidArgumentError);
  });

  test('an option takes more than nothing and at most 366 days; seconds are whole', () => {
    for (const text of ['0s', '0h0m', '367d', '366d1ms'])
      expect(() => durationOption(text)).toThrow(/at most 366d/);
    expect(durationOption('366d')).toBe(366 * 86_400_000);
    expect(secondsOption('2000ms')).toBe(2);
    expect(() => secondsOption('1500ms')).toThrow(/whole seconds/);
  });

  test.each([
    [0, '0ms', '0s'],
    [999, '999ms', '0s'],
    [1_500, '1.5s', '1s'],
    [9_949, '9.9s', '9s'],
    [9_960, '10s', '9s'],
    [59_499, '59s', '59s'],
    [59_600, '1m00s', '59s'],
    [185_000, '3m05s', '3m'],
    [3_599_600, '1h00m', '59m'],
    [18_180_000, '5h03m', '5h'],
    [274_000_000, '3d4h', '3d'],
    [-2_000, '-2.0s', '0s'],
  ])('%i ms is shown as %s, as an age %s', (ms, duration, age) => {
    expect(showDuration(ms)).toBe(duration);
    expect(showAge(ms)).toBe(age);
  });
});

describe('text by others', () => {
  const HOSTILE = [
    '\u001b[2J',
    '\u0007',
    '\u009b31m',
    '\u202e',
    '\u2028',
    '\r',
    '\u0000',
    '\u{e0041}',
    '\u007f',
  ];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
  const OBEYED = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e]|\u{e0041}/u;

  test('G8 bad input: nothing of it that a terminal would obey is left', () => {
    for (const one of HOSTILE) {
      expect(printable(`a${one}b`)).not.toMatch(OBEYED);
      expect(printable(`a${one}b`)).toMatch(/^a .*b$/);
    }
    expect(printable(' a \n\n\tb ')).toBe('a b');
    expect(printable('日本 é 👍')).toBe('日本 é 👍');
  });

  test('as JSON it is on one line, and means the same to the last digit', () => {
    const json = `{"n": 123456789012345678901234567890,\r\n\t${HOSTILE.slice(2, 6)
      .map((one, at) => `"k${at}":"x${one}"`)
      .join(',\n')}}`.replaceAll('\r"', '\\r"');
    const line = printableJson(json);
    expect(line).not.toMatch(OBEYED);
    expect(line).toContain('123456789012345678901234567890');
    expect(JSON.parse(line)).toEqual(JSON.parse(json));
    expect(JSON.parse(printableJson(JSON.stringify({ '\u{e0041}': '\u009b\ud800' })))).toEqual({
      '\u{e0041}': '\u009b\ud800',
    });
  });
});

describe('a table', () => {
  const columns = [{ title: 'A' }, { title: 'N', align: 'right' as const }, { title: 'LAST' }];
  const rows = [
    [
      { text: 'a-long-name' },
      { text: '7' },
      { text: '長い話'.repeat(20), dress: (text: string) => `<${text}>` },
    ],
    [{ text: 'b' }, { text: '12,345' }, { text: '' }],
  ];

  test('stands in columns, as terminals count, and cuts only the last one', () => {
    const lines = tableLines(columns, rows, 40);
    expect(lines[0]).toBe('A                 N  LAST');
    expect(lines[1]).toMatch(/^a-long-name {7}7 {2}<(長い話?)+.*…>$/);
    expect(stringWidth(lines[1] ?? '') - 2).toBeLessThanOrEqual(40);
    expect(lines[2]).toBe('b            12,345');
    expect(tableLines(columns, rows, Number.POSITIVE_INFINITY)[1]).toContain(`<${'長い話'.repeat(20)}>`);
  });

  test.each([1, 2, 3, 11, 12, 13, 14, 15, 20, 21, 22])('is never wider than %d', (width) => {
    for (const line of tableLines(columns, rows, width)) {
      expect(stringWidth(line.replaceAll(/[<>]/g, ''))).toBeLessThanOrEqual(width);
    }
  });

  test('has no half characters where a message is cut', () => {
    for (const message of ['😀'.repeat(150), `x${'😀'.repeat(150)}`]) {
      const event = {
        processing_id: 'a',
        status: 'processing',
        progress: 1,
        timestamp: '',
        message,
      } as const;
      const job = { seq: 1, storedAt: 0, id: 'a', event } as unknown as JobEvent;
      const style = { paint: (_: unknown, text: string) => text, isTerminal: false } as ListStyle;
      expect(rowOf(job, style).said).toMatch(/^x?(😀)+…$/u);
    }
  });

  test('cuts between what a person takes for characters', () => {
    expect(shorten('👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧', 5)).toBe('👨‍👩‍👧👨‍👩‍👧…');
    expect(shorten('abc', 3)).toBe('abc');
    expect(shorten('abcd', 3)).toBe('ab…');
    expect(shorten('abcd', 0)).toBe('');
  });

  test('a bar is full only at 100%', () => {
    expect([0, 9.9, 55, 99.9, 100].map(bar)).toEqual([
      '░░░░░░░░░░',
      '░░░░░░░░░░',
      '█████░░░░░',
      '█████████░',
      '██████████',
    ]);
  });
});

describe('the newest of many', () => {
  test('are kept in bounded memory, each once, the newest first', () => {
    const newest = new LatestById<{ id: string; seq: number }>(3);
    for (let seq = 1; seq <= 1_000; seq++) newest.put({ id: `job-${seq % 100}`, seq });
    newest.put({ id: 'job-0', seq: 4 });
    expect(newest.sorted().map(({ seq }) => seq)).toEqual([1_000, 999, 998]);
    newest.drop('job-99', 999);
    newest.drop('job-98', 1);
    expect(
      newest
        .sorted()
        .map(({ seq }) => seq)
        .slice(0, 2),
    ).toEqual([1_000, 998]);
    expect(newest.size).toBe(3);
  });

  test('say when others would stand where some were dropped', () => {
    const newest = new LatestById<{ id: string; seq: number }>(3);
    for (let seq = 1; seq <= 70; seq++) newest.put({ id: `job-${seq}`, seq });
    expect(newest.isShortOf(3)).toBe(false);
    newest.drop('job-70', 70);
    expect([newest.size, newest.isShortOf(2), newest.isShortOf(3)]).toEqual([2, false, true]);
    newest.clear();
    for (const seq of [1, 2]) newest.put({ id: `job-${seq}`, seq });
    // All that there are.
    expect(newest.isShortOf(3)).toBe(false);
  });
});

describe('selection', () => {
  const event = (fields: Partial<Event>): Event =>
    ({ processing_id: 'a', status: 'processing', progress: 1, timestamp: '', ...fields }) as Event;

  test('a job passes by its type and by what its last event says', () => {
    const retrying = event({ status: 'error', error: { retryable: true }, job_type: 'x' });
    expect(matches({}, retrying)).toBe(true);
    expect(matches({ jobType: ['y', 'x'] }, retrying)).toBe(true);
    expect(matches({ jobType: ['y'] }, retrying)).toBe(false);
    expect(matches({ jobType: ['x'] }, event({}))).toBe(false);
    expect(matches({ status: ['unfinished'] }, retrying)).toBe(true);
    expect(matches({ status: ['finished'] }, retrying)).toBe(false);
    expect(matches({ status: ['finished'] }, event({ status: 'error' }))).toBe(true);
    expect(matches({ status: ['completed', 'error'] }, retrying)).toBe(true);
    expect(matches({ status: ['completed'], jobType: ['x'] }, retrying)).toBe(false);
  });

  test('the ends of a read are said once, and count from now', () => {
    expect(resolveStart({}, 5_000)).toBeNull();
    expect(resolveStart({ since: 1_000 }, 5_000)).toEqual({ kind: 'time', ms: 4_000 });
    expect(resolveStart({ sinceTime: 7 }, 5_000)).toEqual({ kind: 'time', ms: 7 });
    expect(resolveStart({ startSequence: 7 }, 5_000)).toEqual({ kind: 'seq', seq: 7 });
    expect(() => resolveStart({ since: 1, sinceTime: 2, startSequence: 3 }, 0)).toThrow(
      /--since and --since-time and --start-sequence do not go together/,
    );
    expect(untilOf({}, 5_000)).toBeNull();
    expect(untilOf({ until: momentOption('2s') }, 5_000)).toBe(3_000);
    expect(untilOf({ until: momentOption('1970-01-01T00:00:01Z') }, 5_000)).toBe(1_000);
    expect(timeOption('1970-01-01T01:00:00+01:00')).toBe(0);
    expect(untilOf({ until: momentOption('1s'), since: 1_000 }, 5_000)).toBe(4_000);
    expect(() => untilOf({ until: momentOption('2s'), since: 1_000 }, 5_000)).toThrow(/--until lies before/);
    expect(() => untilOf({ until: momentOption('2s'), sinceTime: 3_001 }, 5_000)).toThrow(
      /--until lies before --since-time/,
    );
    expect(() => timeOption('2026-02-30T00:00:00Z')).toThrow(InvalidArgumentError);
  });

  test('a time that a server cannot count is the nearest one that it can', () => {
    for (const early of ['0000-01-01T00:00:00+23:59', '1600-01-01T00:00:00Z']) {
      expect(timeOption(early)).toBe(0);
      expect(momentOption(early)).toEqual({ kind: 'at', ms: 0 });
    }
    for (const late of ['2300-01-01T00:00:00Z', '9999-12-31T23:59:59-23:59']) {
      expect(new Date(timeOption(late)).toISOString()).toBe('2200-01-01T00:00:00.000Z');
      expect(momentOption(late)).toEqual({ kind: 'at', ms: timeOption(late) });
    }
    expect(untilOf({ until: momentOption('999999999d') }, Date.UTC(2026))).toBeGreaterThan(0);
  });
});

describe('figures', () => {
  test('a quantile is one of the values, by nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, at) => at + 1);
    expect([0.5, 0.95, 1].map((share) => quantile(values, share))).toEqual([50, 95, 100]);
    expect(quantile([7], 0.5)).toBe(7);
    expect(quantile([], 0.5)).toBeNull();
  });

  test('durations are of finished jobs whose first events are kept, and junk neither ends nor begins a job', () => {
    const scan = new Scan(3);
    const add = (id: string, storedAt: number, body: string) =>
      scan.add({ seq: 1, subject: `progress.${id}`, storedAt, data: Buffer.from(body) });
    const body = (id: string, status: string, more = {}) =>
      JSON.stringify({ processing_id: id, status, progress: 1, timestamp: '2026-01-01T00:00:00Z', ...more });
    add('a', 1_000, body('a', 'processing'));
    add('a', 3_000, body('a', 'completed'));
    add('b', 1_000, body('b', 'error', { error: { retryable: true } }));
    for (const at of [1_000, 2_000, 9_000]) add('c', at, body('c', 'completed'));
    add('d', 1_000, 'junk');
    add('d', 6_000, body('d', 'completed'));
    add('e', 1_000, body('e', 'completed'));
    add('e', 9_000, body('e', 'processing'));
    expect(scan.figures()).toEqual({
      messages: 10,
      valid: 9,
      invalid: 1,
      invalid_by_reason: { not_json: 1 },
      durations: { jobs: 2, cut: 1, p50_ms: 2_000, p95_ms: 5_000, longest_ms: 5_000 },
    });
  });

  test('bytes', () => {
    expect([0, 1_023, 1_024, 3.4 * 1024 ** 2, 2 ** 60].map(bytes)).toEqual([
      '0 bytes',
      '1,023 bytes',
      '1 KiB',
      '3.4 MiB',
      '1,048,576 TiB',
    ]);
  });
});

test("JetStream's words about a message, with and without a domain, also in turns", () => {
  const expected = { seq: 42, deliverySequence: 7, storedAt: 1_700_000_000_123, pending: 9 };
  const reader = new DeliveryReader();
  for (let i = 0; i < 2; i++) {
    expect(reader.read('$JS.ACK.PROGRESS.c.1.42.7.1700000000123456789.9')).toEqual(expected);
    expect(reader.read('$JS.ACK.hub.hash.PROGRESS.c.1.42.7.1700000000123456789.9.x')).toEqual(expected);
    expect(reader.read('_INBOX.1')).toBeNull();
    expect(reader.read(undefined)).toBeNull();
  }
});

describe('output', () => {
  test('leaves in pieces, whole, and an array is one document', async () => {
    const io = fakeIo();
    const emitter = new LineWriter(io);
    const lines = Array.from({ length: 10_000 }, (_, at) => `line ${at}`);
    for (const line of lines) await emitter.line(line);
    expect(io.written.length).toBeGreaterThan(0);
    await emitter.flush();
    expect(io.written).toBe(`${lines.join('\n')}\n`);
    for (const items of [[], [1], [1, 2, 3]]) {
      const other = fakeIo();
      const array = new JsonArrayWriter(other);
      for (const item of items) await array.item(JSON.stringify(item));
      await array.end();
      expect(JSON.parse(other.written)).toEqual(items);
    }
  });

  test('progress is shown on a terminal alone, not for short work, and is taken away', () => {
    const off = fakeIo();
    progressOf(off, 'job').show(1, 2);
    expect(off.noted).toBe('');
    const io = fakeIo({ terminal: { in: true, out: false, note: true } });
    const progress = progressOf(io, 'job');
    progress.show(1, 4);
    expect(io.noted).toBe('');
    io.time += 500;
    progress.show(2_000, 4_000);
    expect(io.noted).toBe('\r\u001b[K2,000 jobs of 4,000, 50%');
    progress.show(2_001, 4_000);
    progress.clear();
    expect(io.noted).toBe('\r\u001b[K2,000 jobs of 4,000, 50%\r\u001b[K');
  });

  test.each<[env: Record<string, string>, isTerminal: boolean, color: boolean, isPainted: boolean]>([
    [{}, true, true, true],
    [{ NO_COLOR: '' }, true, true, true],
    [{}, false, true, false],
    [{ FORCE_COLOR: '1' }, false, true, false],
    [{ NO_COLOR: '1' }, true, true, false],
    [{ TERM: 'dumb' }, true, true, false],
    [{}, true, false, false],
  ])('colours with %j, terminal %j, --color %j: %j', (env, isTerminal, color, isPainted) => {
    const io = fakeIo({ env, terminal: { in: false, out: isTerminal, note: false } });
    expect(colorizer(io, { color: color ? undefined : false })('red', 'x')).toBe(
      isPainted ? '\u001b[31mx\u001b[39m' : 'x',
    );
  });
});

describe('how it ends', () => {
  test('each error has its exit code', () => {
    const codes = [
      new UsageError('x'),
      new JobNotFoundError('a', 'S'),
      new StreamNotFoundError('S', 'url'),
      new NatsUnreachableError('url', 'x'),
      new NatsAuthError('url', 'x'),
      new JetStreamUnavailableError('url', 'x'),
      new OutputError('x', new Error('y')),
    ].map(exitCodeOf);
    expect(codes).toEqual([EXIT.usage, 3, 3, 4, 4, 4, EXIT.output]);
  });

  test('an interruption wins over what it made fail, and a closed pipe is done', async () => {
    const help = ['token', '--help'];
    expect(await run(help, fakeIo())).toBe(0);
    expect(await run(help, fakeIo({ stdout: () => Promise.reject(new PipeClosed()) }))).toBe(0);
    const full = new OutputError('the standard output', { code: 'ENOSPC' });
    expect(await run(help, fakeIo({ stdout: () => Promise.reject(full) }))).toBe(5);
    const stopped = new AbortController();
    stopped.abort(new SignalError('SIGTERM'));
    expect(await run(help, fakeIo({ stopped: stopped.signal, stdout: () => Promise.reject(full) }))).toBe(
      143,
    );
  });

  test('each command has examples in its help, and the exit codes are in that of all', async () => {
    const io = fakeIo();
    await run(['--help'], io);
    expect(io.written).toMatch(/Exit codes:\n {2}0 +done\n {2}1 +failed\n/);
    const commands = [...io.written.matchAll(/^ {2}([a-z]+)(?:\|[a-z]+)? (?:\[|<)/gm)].map(
      ([, name]) => name ?? '',
    );
    expect(commands).toEqual(
      expect.arrayContaining(['list', 'get', 'tail', 'history', 'stats', 'stalled', 'complete']),
    );
    for (const command of commands.filter((name) => name !== 'help')) {
      const own = fakeIo();
      expect(await run([command, '--help'], own)).toBe(0);
      expect(own.written, command).toMatch(/\nExamples:\n/);
    }
  });
});

describe('what was renamed, or is not one of the choices, is told what it is', () => {
  const refused = async (...args: string[]): Promise<string> => {
    const io = fakeIo();
    expect(await run(args, io)).toBe(EXIT.usage);
    return io.noted;
  };

  test.each([
    ['replay', '--durable', 'x', '--forget'],
    ['replay', '--forget', '--durable', 'x'],
    ['-s', 'nats://127.0.0.1:1', 'replay', '--forget'],
  ])('an option by its old name: %s %s %s %s', async (...args) => {
    expect(await refused(...args)).toBe(
      "headway: unknown option '--forget'. It is called --reset now. Try --help.\n",
    );
  });

  test('where there is no such option, nothing is said of it', async () => {
    expect(await refused('list', '--forget')).not.toContain('--reset');
  });

  test.each(Object.entries(RENAMED_FINDINGS))('a finding by its old name: %s is %s', async (old, now) => {
    expect(await refused('doctor', '--ignore', old)).toContain(` It is called ${now} now. `);
    expect(FINDING_IDS).toContain(now);
    expect(FINDING_IDS).not.toContain(old);
  });

  test('a finding that is nearly right is told the right one', async () => {
    expect(await refused('doctor', '--ignore', 'job-stalled')).toContain('(Did you mean jobs-stalled?)');
    expect(await refused('doctor', '--ignore', 'constructor')).not.toContain('called');
  });

  test('an option whose value was forgotten says what it takes', async () => {
    expect(await refused('doctor', '--for')).toBe(
      "headway: option '--for <role>' argument missing. It takes edge, worker, operator. Try --help.\n",
    );
    expect(await refused('list', '--sort-by')).toContain(' It takes age, job, type, ');
    expect(await refused('--color')).toContain(' It takes always, auto, never. ');
    expect(await refused('list', '--since')).toBe(
      "headway: option '--since <duration>' argument missing. Try --help.\n",
    );
  });
});
