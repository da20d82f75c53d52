/** What commands print at a terminal of 60, 80 and 120 columns: nothing wraps, and columns stay below each other. */
import { describe, expect, test } from 'vitest';
import { describeJob } from '../../internal/cli/commands/get/text.js';
import { historyWriter } from '../../internal/cli/commands/history/writer.js';
import { type ListStyle, listTable, rowOf } from '../../internal/cli/commands/list/rows.js';
import { ListView } from '../../internal/cli/commands/list/view.js';
import { silentTable } from '../../internal/cli/commands/stalled.js';
import { describeStats } from '../../internal/cli/commands/stats/text.js';
import { tailWriter } from '../../internal/cli/commands/tail/tail.js';
import { widthOf, wrapIndented } from '../../internal/cli/output/width.js';
import { type JobEvent, readEvent } from '../../internal/cli/reads/job-event.js';
import type { StoredMessage } from '../../internal/jetstream/read-stored.js';
import { fakeCliContext } from '../harness/fake-cli-context.js';

const WIDTHS = [60, 80, 120];
const T0 = Date.UTC(2026, 2, 1, 3);
const NOW = T0 + 3_600_000;
const plain = (_format: unknown, text: string): string => text;

function message(seq: number, id: string, fields: object): StoredMessage {
  const event = {
    processing_id: id,
    status: 'processing',
    progress: 0,
    timestamp: new Date(T0).toISOString(),
  };
  const data = Buffer.from(JSON.stringify({ ...event, ...fields }));
  return { seq, subject: `progress.${id}`, storedAt: NOW - 300_000 + seq * 20_000, data };
}

const MESSAGES = [
  message(1, '3f6c2a1e-8a55-4a3e-9d2b-5f0f2f6f7a10', {
    job_type: 'invoice.render.pdf',
    progress: 33.333,
    step: { name: 'render', index: 3, total: 9 },
    message: 'Page 7 of a document that is longer than anybody wants to read',
  }),
  message(2, '3f6c2a1e-8a55-4a3e-9d2b-5f0f2f6f7b11', {
    status: 'error',
    progress: 100,
    attempt: 12,
    error: { code: 'E_DISK', message: 'evil \u001b]0;owned\u0007 \u001b[2J \u202e', retryable: true },
  }),
  message(3, `${'-'.repeat(60)}${'_'.repeat(68)}`, {
    job_type: 'x'.repeat(64),
    message: '長い話 e\u0301 👨‍👩‍👧 '.repeat(20),
  }),
  message(4, 'job-1', {
    status: 'completed',
    progress: 100,
    job_type: 'a',
    result: { words: 3_120, files: Array.from({ length: 12 }, (_, at) => `page-${at}.png`) },
  }),
  message(5, 'job-2', { indeterminate: true, stall_after_seconds: 1, job_type: 'a' }),
];
const JOBS = MESSAGES.map((one): JobEvent => {
  const read = readEvent(one);
  if (!read.ok) throw new Error(read.detail);
  return read.job;
});
const style = (width: number): ListStyle => ({
  paint: plain,
  isTerminal: true,
  timestamps: false,
  isWide: false,
  now: () => NOW,
  width,
});

async function written(
  columns: number,
  write: (io: ReturnType<typeof fakeCliContext>) => Promise<void>,
): Promise<string[]> {
  let text = '';
  const out = async (more: string): Promise<void> => {
    text += more;
  };
  await write(
    fakeCliContext({
      stdout: out,
      terminal: { in: true, out: true, note: true },
      columns: () => columns,
      rows: () => 12,
    }),
  );
  return text.trimEnd().split('\n');
}

const PRINTED: Readonly<Record<string, (columns: number) => string[] | Promise<string[]>>> = {
  list: (columns) => [
    ...listTable(
      JOBS.map((job) => rowOf(job, style(columns))),
      style(columns),
    ).lines,
  ],
  'list without hostile ids': (columns) => [
    ...listTable(
      JOBS.filter(({ id }) => id.length < 40).map((job) => rowOf(job, style(columns))),
      style(columns),
    ).lines,
  ],
  'list --timestamps': (columns) => {
    const timed = { ...style(columns), timestamps: true };
    return [
      ...listTable(
        JOBS.map((job) => rowOf(job, timed)),
        timed,
      ).lines,
    ];
  },
  'list -f': (columns) => {
    const view = new ListView(
      fakeCliContext({ columns: () => columns, rows: () => 7 }),
      style(Number.POSITIVE_INFINITY),
    );
    return view.draw(JOBS.map((job) => rowOf(job, style(columns))).reverse());
  },
  tail: (columns) =>
    written(columns, async (io) => {
      const writer = await tailWriter(io, { output: 'table', pager: false });
      await writer.take(JOBS);
      await writer.end();
    }),
  'tail --timestamps': (columns) =>
    written(columns, async (io) => {
      const writer = await tailWriter(io, { output: 'table', pager: false, timestamps: true });
      await writer.take(JOBS);
      await writer.end();
    }),
  history: (columns) =>
    written(columns, async (io) => {
      const writer = await historyWriter(io, 'job-1', { output: 'table' });
      writer.begin({ kind: 'cut', because: 'the one before had seq 123456' });
      await writer.take([...MESSAGES, { ...message(6, 'job-1', {}), data: Buffer.from('junk') }]);
      await writer.end();
    }),
  'history --timestamps': (columns) =>
    written(columns, async (io) => {
      const writer = await historyWriter(io, 'job-1', { output: 'table', timestamps: true });
      await writer.take(MESSAGES);
      await writer.end();
    }),
  get: (columns) =>
    JOBS.slice(0, 4).flatMap((job) => [
      ...describeJob(job, { messages: 2, first: { seq: 1, storedAt: T0 }, previous: 1 }, 1, {
        paint: plain,
        now: NOW,
        withBar: true,
        width: columns,
      }),
      '',
    ]),
  stalled: (columns) =>
    silentTable(
      JOBS.filter(({ event }) => event.status === 'processing').map((job) => ({
        seq: job.seq,
        storedAt: job.storedAt,
        event: job.decoded,
        allowedMs: 60_000,
        attempt: undefined,
        heardAt: job.storedAt,
      })),
      NOW,
      { paint: plain, withBar: true, width: columns },
    ),
  stats: (columns) =>
    describeStats(
      {
        stream: {
          name: 'PROGRESS',
          created: '2026-02-01T00:00:00.123456789Z',
          messages: 12_345_678,
          bytes: 4e9,
          first_seq: 1_234_567,
          last_seq: 13_580_245,
          first_stored_at: '2026-02-22T03:00:00.123456789Z',
          last_stored_at: '2026-03-01T03:59:58.123456789Z',
          deleted: 12_345,
          consumers: 14,
          replicas: 3,
        },
        jobs: {
          total: 1_234_567,
          finished: 1_000_000,
          unfinished: 234_567,
          by_status: { processing: 200_000, completed: 900_000, error: 100_000, retrying: 34_567 },
          by_type: [
            {
              job_type: 'invoice.render.pdf',
              total: 1_234_567,
              processing: 200_000,
              completed: 900_000,
              error: 100_000,
              retrying: 34_567,
            },
            { job_type: null, total: 1, processing: 1, completed: 0, error: 0, retrying: 0 },
            { job_type: 'x'.repeat(64), total: 1, processing: 1, completed: 0, error: 0, retrying: 0 },
          ],
        },
        events_per_minute: { last_1: 12_345.6, last_5: 12_345.6, last_15: 12_345.6, last_60: 12_345.6 },
        scan: {
          messages: 12_345_678,
          valid: 12_345_000,
          invalid: 678,
          invalid_by_reason: { not_json: 600, schema: 78 },
          durations: { jobs: 1_000_000, cut: 12, p50_ms: 42_000, p95_ms: 420_000, longest_ms: 42_000_000 },
        },
      },
      { paint: plain, now: NOW, width: columns, isWide: false },
    ),
};

describe.each(Object.keys(PRINTED))('headway %s', (name) => {
  test.each(WIDTHS)('in %d columns', async (columns) => {
    const lines = (await PRINTED[name]?.(columns)) ?? [];
    for (const line of lines) expect({ line, fits: widthOf(line) <= columns }).toEqual({ line, fits: true });
    expect(`\n${lines.join('\n')}\n`).toMatchSnapshot();
  });

  test('in any width', async () => {
    for (let columns = 1; columns < 200; columns += 7) {
      for (const line of (await PRINTED[name]?.(columns)) ?? []) {
        if (columns >= 20)
          expect({ line, columns, fits: widthOf(line) <= columns }).toMatchObject({ fits: true });
      }
    }
  });
});

test('columns stay where they are when a list is redrawn, whatever becomes of its cells', () => {
  const view = new ListView(fakeCliContext({ columns: () => 100 }), style(Number.POSITIVE_INFINITY));
  const [first, second] = JOBS.slice(3).map((job) => rowOf(job, style(100)));
  if (first === undefined || second === undefined) throw new Error('no rows');
  const before = view.draw([second, { ...first, type: 'a-long-type', status: 'processing' }]);
  const after = view.draw([second, { ...first, seq: 99 }]);
  expect(after[0]).toBe(before[0]);
  expect(after.map((line) => line.slice(0, 6))).toEqual(before.map((line) => line.slice(0, 6)));
});

describe('lines that are written as they come keep their columns, whatever comes later', () => {
  // Short ids and no words first: what is longer comes when the first lines have left.
  const COMING = [
    message(9, 'job-1', {}),
    message(10, 'job-1', { progress: 50, message: 'half of it, and a sentence that is long' }),
    message(11, 'upload-2026-03-01-0000000000', {}),
    message(12, '3f6c2a1e-8a55-4a3e-9d2b-5f0f2f6f7a10', { progress: 33.333, message: 'one' }),
    message(13, 'i'.repeat(60), { progress: 100, message: 'two' }),
    message(14, 'job-1', { progress: 7 }),
  ];
  const LATER = COMING.map((one): JobEvent => {
    const read = readEvent(one);
    if (!read.ok) throw new Error(read.detail);
    return read.job;
  });
  const columnOf = (line: string): number => widthOf(line.slice(0, line.indexOf('processing')));
  /** Each line by itself, as `-f` writes them. */
  const tailed = async (isTerminal: boolean, columns: number, timestamps: boolean): Promise<string[]> => {
    let text = '';
    const io = fakeCliContext({
      stdout: async (more) => {
        text += more;
      },
      terminal: { in: true, out: isTerminal, note: true },
      columns: () => columns,
    });
    const options = { output: 'table', color: 'never', pager: false } as const;
    const writer = await tailWriter(io, timestamps ? { ...options, timestamps } : options);
    for (const job of LATER) await writer.take([job]);
    await writer.end();
    return text.trimEnd().split('\n');
  };

  test.each([60, 80, 100, 120, 200])('tail at a terminal of %d columns', async (columns) => {
    for (const timestamps of [false, true]) {
      const places = (await tailed(true, columns, timestamps)).map(columnOf);
      expect({ timestamps, places: [...new Set(places)] }).toEqual({ timestamps, places: [places[0]] });
    }
  });

  test('tail into a pipe: ids are whole, and one that is longer than a UUID moves its own line alone', async () => {
    const lines = await tailed(false, 80, false);
    expect(lines[4]).toContain('i'.repeat(60));
    const places = lines.filter((_, at) => at !== 4).map(columnOf);
    expect([...new Set(places)]).toEqual([places[0]]);
  });

  test('a sequence is never cut: its column widens, once', async () => {
    const seqs = [1, 1_234_567_890, 2];
    const lines = await written(100, async (io) => {
      const writer = await tailWriter(io, { output: 'table', color: 'never', pager: false });
      for (const [at, seq] of seqs.entries()) await writer.take([{ ...(LATER[at] as JobEvent), seq }]);
    });
    expect(lines.map((line) => Number(line.trim().split(/ +/)[0]))).toEqual(seqs);
    expect(columnOf(lines[2] ?? '')).toBe(columnOf(lines[1] ?? ''));
  });

  test.each([60, 80, 120])('history at a terminal of %d columns', async (columns) => {
    for (const options of [{}, { timestamps: true as const }]) {
      const lines = await written(columns, async (io) => {
        const writer = await historyWriter(io, 'job-1', { output: 'table', color: 'never', ...options });
        writer.begin({ kind: 'first' });
        for (const one of COMING) await writer.take([one]);
        await writer.end();
      });
      const places = lines.slice(1).map(columnOf);
      expect({ options, places: [...new Set(places)] }).toEqual({ options, places: [places[0]] });
      // The title stands over what it names.
      expect(widthOf((lines[0] ?? '').split('STATUS')[0] ?? '')).toBe(places[0]);
    }
  });
});

describe('help', () => {
  const text =
    'What it does, in a sentence that is\nlonger than narrow terminals.\n\nExamples:\n  headway list --limit 20   the newest\n';

  test('stays as it is where it fits', () => expect(wrapIndented(text, 40)).toBe(text));

  test('flows where it does not, and examples are wrapped under themselves', () => {
    expect(wrapIndented(text, 30).split('\n')).toEqual([
      'What it does, in a sentence',
      'that is longer than narrow',
      'terminals.',
      '',
      'Examples:',
      '  headway list --limit 20',
      '    the newest',
      '',
    ]);
  });
});
