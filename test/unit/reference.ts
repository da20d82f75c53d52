/**
 * Makes the parts of docs/reference/ that come from the code: from the schemas, the registry of an edge, the program
 * `headway`, and the docstrings of the error classes. Each part stands between two marks. Cells that people write are kept.
 */
import { exitCodeOf } from '../../internal/cli/runtime/exit-codes.js';
import type { HeadwayError } from '../../internal/errors.js';
import { Metrics } from '../../internal/telemetry/metrics.js';
import { CLOSE_CODES, closeCode, ERROR_CODES } from '../../schemas/close-codes.js';
import { byName, filesIn, read } from './documents.js';

/** What stands in a cell that somebody has to write. */
export const UNWRITTEN = '**to be written**';

const END = '<!-- end -->';
const cellsOf = (line: string): string[] =>
  line
    .trim()
    .slice(1, -1)
    .split('|')
    .map((cell) => cell.trim());

interface Table {
  readonly head: readonly string[];
  /** Each begins with its key; without what people write. */
  readonly rows: readonly (readonly string[])[];
  /** How many columns at the end of the table people write. */
  readonly written: number;
}

/**
 * A document with one part of it made anew.
 * @throws Error when the document has no place of this name
 */
export function withPart(document: string, name: string, part: Table | string): string {
  const start = new RegExp(`^<!-- generated: ${name}[ ,].*-->$`, 'm').exec(document);
  const end = start === null ? -1 : document.indexOf(END, start.index);
  if (start === null || end < 0) throw new Error(`the document has no place for "${name}"`);
  const from = start.index + start[0].length;
  const text = typeof part === 'string' ? part : tableText(part, document.slice(from, end));
  return `${document.slice(0, from)}\n\n${text}\n\n${document.slice(end)}`;
}

function tableText({ head, rows, written }: Table, before: string): string {
  const kept = new Map(
    before
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => {
        const cells = cellsOf(line);
        return [cells[0], written === 0 ? [] : cells.slice(-written)];
      }),
  );
  const lines = rows.map((row) => [
    ...row,
    ...(kept.get(row[0]) ?? Array.from({ length: written }, () => UNWRITTEN)),
  ]);
  return [head, head.map(() => '---'), ...lines]
    .map((cells) => `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |'))
    .join('\n');
}

const code = (text: string | number): string => `\`${text}\``;
/** The words of a comment or docstring on one line, with no full stop at the end. */
const sentence = (text: string): string =>
  text
    .replace(/^\s*(\/\*\*|\*\/|\*)/gm, '')
    .replace(/\*\/\s*$/, '')
    .replaceAll('``', '`')
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/\.$/, '');

/** Every metric of ours, as an edge registers them. */
export async function metricRows(): Promise<
  { name: string; type: string; labels: string[]; help: string }[]
> {
  const all = new Metrics();
  all.observe({
    connections: () => ({ job: 0, all: 0, selected: 0 }),
    sessionStates: () => new Map(),
    feedFollowing: () => false,
    feedLag: () => ({ events: 0, seconds: 0 }),
    log: () => ({ head: 0, tailStart: 0, tailBytes: 0, tailEvents: 0, lastStateBytes: 0, jobs: 0 }),
    historyReads: () => ({ pending: 0, waiting: 0, requesters: 0, longestMs: 0 }),
    unauthenticated: () => 0,
    httpSockets: () => 0,
    liveness: () => ({ isListening: false, watched: 0, overdue: 0, rejected: 0, evicted: 0 }),
  });
  const { registry } = all;
  return (await registry.getMetricsAsJSON())
    .filter(({ name }) => name.startsWith('headway_'))
    .map(({ name, type, help }) => {
      const { labelNames } = registry.getSingleMetric(name) as unknown as { labelNames: string[] };
      return { name, type: String(type), labels: labelNames, help };
    });
}

const ACTIONS = { retry: 'retries', retry_with_new_token: 'retries with a new token', stop: 'stops' };

function closeCodes(): Table {
  return {
    head: ['code', 'name', 'a client', 'meaning', 'who fixes it, and how'],
    rows: CLOSE_CODES.map((one) => [
      code(one.code),
      code(one.name),
      ACTIONS[one.action],
      sentence(one.meaning),
    ]),
    written: 1,
  };
}

function errorCodes(): Table {
  return {
    head: ['code', 'close', 'who fixes it, and how'],
    rows: Object.entries(ERROR_CODES).map(([name, close]) => [code(name), code(closeCode(close))]),
    written: 1,
  };
}

/** What the edge answers over HTTP by itself, beside the codes of `error` frames. */
function httpProblems(): Table {
  const source = filesIn(['internal/edge'], '.ts').map(read).join('');
  const found = [
    ...source.matchAll(/\bproblem\(\s*(\d{3}),\s*'(\w+)'/g),
    // A refused upgrade, whose answer is made of these fields.
    ...source.matchAll(/^\s*status: (\d{3}),\s*code: '(\w+)',$/gm),
  ].map(([, status, name]) => `${status} ${name}`);
  const rows = [...new Set(found)].toSorted(byName).map((one) => [one.split(' ').map(code).join(' ')]);
  return { head: ['status and code', 'who fixes it, and how'], rows, written: 1 };
}

interface ErrorClass {
  readonly name: string;
  readonly code: string;
  readonly exitCode: number;
  readonly meaning: string;
}

/** The classes of a TypeScript source that extend `base` (or say of themselves that they are errors), in its order. */
function errorClasses(source: string, base: string): ErrorClass[] {
  const pattern = new RegExp(
    `(?:/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\\n)?(?:export )?class (\\w+) extends ${base} \\{([\\s\\S]*?)^\\}`,
    'gm',
  );
  return [...source.matchAll(pattern)].map(([, comment = '', name = '', body = '']) => ({
    name,
    code: /readonly code = '(\w+)'/.exec(body)?.[1] ?? '',
    exitCode: Number(/readonly exitCode = (\d+)/.exec(body)?.[1] ?? 1),
    meaning: sentence(comment),
  }));
}

function startupErrors(): Table {
  const rows = errorClasses(read('internal/errors.ts'), 'HeadwayError').map((one) => [
    code(one.code),
    code(one.exitCode),
    code(exitCodeOf({ code: one.code, exitCode: one.exitCode } as HeadwayError)),
  ]);
  const head = ['code', 'an edge ends with', '`headway` ends with', 'it says', 'what to do'];
  return { head, rows, written: 2 };
}

function commandErrors(): Table {
  const rows = filesIn(['internal/cli'], '.ts')
    .flatMap((file) => errorClasses(read(file), 'HeadwayError'))
    .map((one) => [code(one.name), code(one.code), code(one.exitCode), one.meaning])
    .toSorted((one, other) => byName(one[0] ?? '', other[0] ?? ''));
  return { head: ['class', 'code', 'exit code', 'meaning', 'what to do'], rows, written: 1 };
}

/** What the package for Node is made of; what is built or installed beside it is not. */
const workerSources = (): string =>
  filesIn(['sdk/worker'], '.ts')
    .filter((path) => !/\/(?:node_modules|dist)\/|\.d\.ts$/.test(path))
    .map(read)
    .join('\n');

function workerErrors(): Table {
  const sources = workerSources();
  const rows = [...errorClasses(sources, 'WorkerError'), ...errorClasses(sources, 'Error')]
    .filter(({ name }) => name !== 'WorkerError')
    .map((one) => [code(one.name), one.code === '' ? '' : code(one.code), one.meaning]);
  return { head: ['class', '`code`', 'meaning', 'who fixes it, and how'], rows, written: 1 };
}

function pythonErrors(): Table {
  const source = read('sdk/python/headway_worker/errors.py');
  const rows = [
    ...source.matchAll(/^class (\w+)\((?:HeadwayError|Exception)\b[^)]*\):\n {4}"""([\s\S]*?)(?:"""|\n\n)/gm),
  ]
    .filter(([, name]) => name !== 'HeadwayError')
    .map(([, name = '', text = '']) => [code(name), sentence(text)]);
  return { head: ['class', 'meaning', 'who fixes it, and how'], rows, written: 1 };
}

function warnings(): Table {
  const list = /export type WarningKind =([\s\S]*?'\w+');\n/.exec(workerSources())?.[1] ?? '';
  const ofNode = new Map(
    [...list.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n\s*\| '(\w+)'/g)].map(([, text = '', kind = '']) => [
      kind,
      sentence(text),
    ]),
  );
  const ofPython = new Map(
    [
      ...read('sdk/python/headway_worker/warning.py').matchAll(
        /^ {4}- ``(\w+)``: ([\s\S]*?)(?=\n {4}- |\n\n| {4}""")/gm,
      ),
    ].map(([, kind = '', text = '']) => [kind, sentence(text.replace(/"""[\s\S]*/, ''))]),
  );
  const kinds = [...new Set([...ofNode.keys(), ...ofPython.keys()])];
  const rows = kinds.map((kind) => {
    const sdks = [...(ofNode.has(kind) ? ['Node'] : []), ...(ofPython.has(kind) ? ['Python'] : [])];
    return [code(kind), sdks.join(', '), ofNode.get(kind) ?? ofPython.get(kind) ?? ''];
  });
  return { head: ['kind', 'SDKs', 'meaning', 'who acts, and how'], rows, written: 1 };
}

/** docs/reference/errors.md as it has to be, from what it is. */
export function errorsPage(document: string): string {
  const parts: Record<string, Table> = {
    'close-codes': closeCodes(),
    'error-codes': errorCodes(),
    'http-problems': httpProblems(),
    'startup-errors': startupErrors(),
    'command-errors': commandErrors(),
    'worker-errors': workerErrors(),
    'python-errors': pythonErrors(),
    warnings: warnings(),
  };
  return Object.entries(parts).reduce((text, [name, part]) => withPart(text, name, part), document);
}

/** docs/reference/metrics.md as it has to be, from what it is. */
export async function metricsPage(document: string): Promise<string> {
  const rows = (await metricRows()).map(({ name, type, labels, help }) => [
    code(name),
    type,
    labels.map(code).join(', '),
    sentence(help),
  ]);
  return withPart(document, 'metrics', { head: ['metric', 'type', 'labels', 'meaning'], rows, written: 0 });
}

/** docs/reference/command-help.md as it has to be: `help` gives what the program prints for `--help`. */
export async function commandsPage(
  document: string,
  names: readonly string[],
  help: (name: string) => Promise<string>,
): Promise<string> {
  const parts: string[] = [];
  for (const name of names) {
    parts.push(`## headway ${name}\n\n\`\`\`text\n${(await help(name)).trim()}\n\`\`\``);
  }
  return withPart(document, 'commands', parts.join('\n\n'));
}
