/** The formats of `--output`, and what hostile text becomes in them. */
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { Row } from '../../internal/cli/commands/list/rows.js';
import { RowPlaces } from '../../internal/cli/commands/list/view.js';
import { progressText } from '../../internal/cli/output/cells.js';
import { isColored } from '../../internal/cli/output/color.js';
import type { DataFormat } from '../../internal/cli/output/format.js';
import { csvLine, itemWriter, writeDocument, yamlText } from '../../internal/cli/output/item-writer.js';
import { JsonPathTemplate } from '../../internal/cli/output/json-path.js';
import { shortenMiddle, widthOf } from '../../internal/cli/output/width.js';
import { percent } from '../../internal/cli/reads/job-event.js';
import { UsageError } from '../../internal/cli/runtime/cli-context.js';
import type { Event } from '../../schemas/event.js';
import { fakeCliContext } from '../harness/fake-cli-context.js';

const ESC = '\u001b';
const JOBS = [
  { processing_id: 'a', status: 'processing', progress: 40, message: '=cmd|calc', seq: 7 },
  { processing_id: 'b', status: 'error', progress: 1.5, error: { code: 'E', message: `x${ESC}[2J` }, seq: 9 },
];

async function written(output: DataFormat, items: readonly object[]): Promise<string> {
  let text = '';
  const io = fakeCliContext({
    stdout: async (more) => {
      text += more;
    },
  });
  const writer = await itemWriter(io, output);
  for (const item of items) await writer.item(JSON.stringify(item));
  await writer.end();
  return text;
}

describe('-o', () => {
  test('json and ndjson are the items as they are; no item is an empty list', async () => {
    const lines = JOBS.map((one) => JSON.stringify(one));
    expect(await written('ndjson', JOBS)).toBe(`${lines.join('\n')}\n`);
    expect(await written('json', JOBS)).toBe(`[\n${lines.join(',\n')}\n]\n`);
    expect(await written('json', [])).toBe('[]\n');
    expect(await written('ndjson', [])).toBe('');
  });

  test('yaml is one document with the same values', async () => {
    expect(parse(await written('yaml', JOBS))).toEqual(JOBS);
    expect(parse(await written('yaml', []))).toEqual([]);
    expect(await written('yaml', JOBS.slice(0, 1))).toBe(
      '- processing_id: a\n  status: processing\n  progress: 40\n  message: =cmd|calc\n  seq: 7\n',
    );
  });

  test('name is the ids, a line each', async () => {
    expect(await written('name', JOBS)).toBe('a\nb\n');
  });

  test('csv has a title, also alone, and what a spreadsheet would run is text', async () => {
    const title = 'processing_id,job_type,status,retryable,progress,attempt,seq,stored_at,message\n';
    expect(await written('csv', [])).toBe(title);
    expect(await written('csv', JOBS)).toBe(
      `${title}a,,processing,,40,1,7,,'=cmd|calc\nb,,error,false,1.5,1,9,,E: x [2J\n`,
    );
    for (const first of ['=', '+', '-', '@']) expect(csvLine([`${first}1`])).toBe(`'${first}1`);
    expect(csvLine(['a"b', 'c,d', 1, null])).toBe('"a""b","c,d",1,');
  });

  test('a message that is no event is a line of csv as well', async () => {
    const invalid = { type: 'invalid', seq: 3, processing_id: 'a', reason: 'not_json', detail: `${ESC}x` };
    expect(await written('csv', [invalid])).toMatch(/\na,,invalid,,,,3,,not_json: x\n$/);
  });

  test('one document is not a list', async () => {
    const seen: string[] = [];
    const io = fakeCliContext({ stdout: async (text) => void seen.push(text) });
    for (const output of ['json', 'yaml', 'jsonpath={.seq}'] as const) {
      await writeDocument(io, output, '{"seq":7}');
    }
    expect(seen).toEqual(['{"seq":7}\n', 'seq: 7\n', '7\n']);
  });
});

describe('-o jsonpath', () => {
  test.each<[template: string, text: string]>([
    ['{[*].processing_id}', 'a b\n'],
    ['[*].processing_id', 'a b\n'],
    ['{[0].status}/{[0].progress}', 'processing/40\n'],
    ['{range [*]}{.processing_id}{"\\t"}{.progress}{"\\n"}{end}', 'a\t40\nb\t1.5\n'],
    ['{range $[*]}{@.seq},{end}', '7,9,\n'],
    ["{[?(@.status=='error')].error}", '{"code":"E","message":"x\\u001b[2J"}\n'],
    ['{[?@.progress > 10].processing_id}', 'a\n'],
    ['{[1].error.message}', 'x [2J\n'],
    ['{[0].nothing}', ''],
    ['{..code}', 'E\n'],
    ['{[-1].seq}', '9\n'],
    ['{"{}"}', '{}\n'],
  ])('%s', (template, text) => {
    expect(new JsonPathTemplate(template).fill(JOBS)).toBe(text);
  });

  test.each(['{', '{.a', '}', '{.a[}', '{range [*]}', '{end}', '{[?(process.exit())]}', '{(1)}'])(
    '%s is refused',
    (template) => {
      expect(() => new JsonPathTemplate(template)).toThrow(UsageError);
    },
  );
});

describe('G8 bad input: in YAML', () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
  const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/;
  test.each([
    `${ESC}[2J`,
    '\u009b31m',
    'a\u202eb\nc',
    'a\rb',
    '\u2028',
    '- a: [',
    'null',
    'a\nb\n',
    '',
    '\ud800x',
  ])('%j means the same, and a terminal obeys nothing of it', (text) => {
    const value = { message: text, [`k${text}`]: [text] };
    const yaml = yamlText(value);
    expect(yaml).not.toMatch(OBEYED);
    expect(parse(yaml)).toEqual(value);
  });
});

describe('--color', () => {
  test.each<
    [color: 'always' | 'auto' | 'never' | false | undefined, env: object, isTerminal: boolean, is: boolean]
  >([
    ['always', { NO_COLOR: '1' }, false, true],
    ['auto', {}, true, true],
    ['auto', { NO_COLOR: '1' }, true, false],
    ['auto', {}, false, false],
    ['never', {}, true, false],
    [false, {}, true, false],
    [undefined, { TERM: 'dumb' }, true, false],
  ])('%j with %j, terminal %j: %j', (color, env, isTerminal, is) => {
    const terminal = { in: false, out: isTerminal, note: false };
    expect(isColored(fakeCliContext({ env: { ...env }, terminal }), { color })).toBe(is);
  });
});

describe('ids are cut in the middle', () => {
  const UUID = '3f6c2a1e-8a55-4a3e-9d2b-5f0f2f6f7a10';
  test.each<[id: string, width: number, text: string]>([
    [UUID, 36, UUID],
    [UUID, 9, '3f6c…7a10'],
    [UUID, 10, '3f6c2…7a10'],
    [UUID, 2, '3…'],
    [UUID, 1, '…'],
    [UUID, 0, ''],
    ['長い話長い話', 7, '長…話'],
    ['👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧', 5, '👨‍👩‍👧…👨‍👩‍👧'],
    ['e\u0301e\u0301e\u0301e\u0301', 3, 'e\u0301…e\u0301'],
  ])('%s in %d: %s', (id, width, text) => {
    expect(shortenMiddle(id, width)).toBe(text);
    expect(widthOf(text)).toBeLessThanOrEqual(width);
  });
});

describe('progress', () => {
  const of = (progress: number): Event => ({
    processing_id: 'a',
    status: 'processing',
    progress,
    timestamp: '',
  });
  test('bars stand below each other, and 100% is only what is done', () => {
    expect([0, 33.333, 99.99, 100].map((value) => progressText(of(value), true))).toEqual([
      '░░░░░░░░░░    0%',
      '███░░░░░░░ 33.3%',
      '█████████░ 99.9%',
      '██████████  100%',
    ]);
    expect(progressText({ ...of(1), indeterminate: true }, true)).toBe('··········     …');
    expect(percent(of(0.01))).toBe('0.0%');
  });
});

describe('rows of a list that is redrawn', () => {
  const row = (id: string, seq: number, more: Partial<Row> = {}): Row =>
    ({ id, seq, storedAt: seq, silentFrom: 1e12, ...more }) as Row;
  const newestFirst = (...rows: Row[]): Row[] => rows.sort((one, other) => other.seq - one.seq);
  const ids = (rows: readonly Row[]): string => rows.map(({ id }) => id).join('');

  test('keep their lines whoever reports, and new ones come below', () => {
    const places = new RowPlaces();
    expect(ids(places.arrange(newestFirst(row('a', 1), row('b', 2), row('c', 3)), 5, 10))).toBe('cba');
    expect(ids(places.arrange(newestFirst(row('a', 4), row('b', 2), row('c', 3)), 5, 10))).toBe('cba');
    expect(ids(places.arrange(newestFirst(row('a', 4), row('d', 5), row('b', 2), row('c', 3)), 5, 10))).toBe(
      'cbad',
    );
    // One leaves the stream.
    expect(ids(places.arrange(newestFirst(row('a', 4), row('d', 5), row('c', 3)), 5, 10))).toBe('cad');
  });

  test('give way, where there is no room, to newer news alone, and only when finished or quiet', () => {
    const finished = { silentFrom: Number.POSITIVE_INFINITY };
    const places = new RowPlaces();
    expect(ids(places.arrange(newestFirst(row('a', 1), row('b', 2)), 2, 10))).toBe('ba');
    expect(ids(places.arrange(newestFirst(row('a', 1), row('b', 2), row('c', 3)), 2, 10))).toBe('ba');
    expect(ids(places.arrange(newestFirst(row('a', 1), row('b', 2, finished), row('c', 3)), 2, 10))).toBe(
      'ca',
    );
    // 'a' has said nothing for over ten seconds, nor has 'c'; the one that is silent for longer goes.
    expect(ids(places.arrange(newestFirst(row('a', 1), row('c', 3), row('d', 4)), 2, 20_000))).toBe('cd');
    // What is older takes nobody's line.
    expect(ids(places.arrange(newestFirst(row('a', 1), row('c', 3), row('d', 4)), 2, 90_000))).toBe('cd');
    expect(ids(places.arrange(newestFirst(row('c', 3), row('d', 4)), 1, 90_000))).toBe('d');
  });
});
