import { stringify } from 'csv-stringify/sync';
import { Document, isScalar, Scalar, visit } from 'yaml';
import type { Event } from '../../../schemas/event.js';
import { printable } from '../../../schemas/text.js';
import { summary } from '../reads/job-event.js';
import type { CliContext } from '../runtime/cli-context.js';
import { type DataFormat, jsonPathOf } from './format.js';
import { JsonArrayWriter, LineWriter } from './line-writer.js';

/** Writes items, each given as the JSON text that `-o json` has of it, in the format that was asked for. */
export interface ItemWriter {
  item(json: string): Promise<void>;
  /** What was given leaves, as far as it can: somebody may be waiting for it. */
  flush(): Promise<void>;
  /** Only with this it is whole. */
  end(): Promise<void>;
}

/** What stands in the columns of CSV, by its title. */
export type CsvColumns = Readonly<
  Record<string, (item: Readonly<Record<string, unknown>>) => string | number | null | undefined>
>;

/** An update, or what `history` writes of a message that is no event. */
type Item = Partial<Omit<Event, 'type'>> & {
  readonly type?: string;
  readonly seq?: number;
  readonly stored_at?: string;
  readonly reason?: string;
  readonly detail?: string;
};

const isInvalid = ({ type, reason }: Item): boolean => type === 'invalid' && reason !== undefined;

/** The columns of jobs and events. Everything else is in JSON. */
export const EVENT_CSV = {
  processing_id: (item: Item) => item.processing_id,
  job_type: (item: Item) => item.job_type,
  status: (item: Item) => (isInvalid(item) ? 'invalid' : item.status),
  retryable: (item: Item) => (item.status === 'error' ? String(item.error?.retryable === true) : ''),
  progress: (item: Item) => item.progress,
  attempt: (item: Item) => (isInvalid(item) ? '' : (item.attempt ?? 1)),
  seq: (item: Item) => item.seq,
  stored_at: (item: Item) => item.stored_at,
  message: (item: Item) =>
    isInvalid(item) ? printable(`${item.reason}: ${item.detail}`) : summary(item as Event),
} as CsvColumns;

/**
 * @param columns those of CSV
 * @param isOne the document is the one item, and not a list
 * @throws UsageError for a template that is none
 */
export async function itemWriter(
  context: CliContext,
  output: DataFormat,
  columns: CsvColumns = EVENT_CSV,
  isOne = false,
): Promise<ItemWriter> {
  switch (output) {
    case 'json': {
      if (isOne) return lineWriter(context, (json) => json);
      const array = new JsonArrayWriter(context);
      return { item: (json) => array.item(json), flush: async () => undefined, end: () => array.end() };
    }
    case 'ndjson':
      return lineWriter(context, (json) => json);
    case 'name':
      return lineWriter(context, (json) => (JSON.parse(json) as Item).processing_id ?? '');
    case 'csv': {
      const { csvLine } = await import('./item-writer.js');
      const cells = Object.values(columns);
      const line = (json: string): string => {
        const item = JSON.parse(json) as Record<string, unknown>;
        return csvLine(cells.map((cell) => cell(item)));
      };
      return lineWriter(context, line, csvLine(Object.keys(columns)));
    }
    case 'yaml': {
      const { yamlText } = await import('./item-writer.js');
      const text = (json: string): string => {
        const value: unknown = JSON.parse(json);
        return yamlText(isOne ? value : [value]).trimEnd();
      };
      return lineWriter(context, text, null, '[]');
    }
    default: {
      const { JsonPathTemplate } = await import('./json-path.js');
      const template = new JsonPathTemplate(jsonPathOf(output) ?? '');
      const items: unknown[] = [];
      return {
        item: async (json) => void items.push(JSON.parse(json)),
        flush: async () => undefined,
        end: async () => {
          const text = template.fill(isOne ? items[0] : items);
          if (text !== '') await context.stdout(text);
        },
      };
    }
  }
}

/** Writes one document in the format that was asked for. */
export async function writeDocument(
  context: CliContext,
  output: DataFormat,
  json: string,
  columns: CsvColumns = EVENT_CSV,
): Promise<void> {
  const writer = await itemWriter(context, output, columns, true);
  await writer.item(json);
  await writer.end();
}

/** @param title the first line, also where there is no item. @param none what is written where there is none */
function lineWriter(
  context: CliContext,
  textOf: (json: string) => string,
  title: string | null = null,
  none: string | null = null,
): ItemWriter {
  const emitter = new LineWriter(context);
  let isFirst = true;
  const begin = async (): Promise<void> => {
    if (isFirst && title !== null) await emitter.line(title);
    isFirst = false;
  };
  return {
    item: async (json) => {
      await begin();
      await emitter.line(textOf(json));
    },
    flush: () => emitter.flush(),
    end: async () => {
      if (isFirst && none !== null) await emitter.line(none);
      await begin();
      await emitter.flush();
    },
  };
}

/**
 * One line of CSV (RFC 4180, with a line feed), without its end. A cell that a spreadsheet would take for a formula begins
 * with an apostrophe: its text may be a worker's, and CSV is for spreadsheets.
 */
export const csvLine = (cells: readonly (string | number | null | undefined)[]): string =>
  stringify([cells], { escape_formulas: true, record_delimiter: '' });

/** What a terminal obeys, but for line breaks. The same as `printable` takes out. */
const OBEYED = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/**
 * A value of JSON as YAML, with a line break at its end. What a terminal would obey is written as an escape. Numbers are
 * those of a 64-bit float.
 */
export function yamlText(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  // Only text in double quotes has escapes; also keys.
  visit(document, (_key, node) => {
    if (!isScalar(node) || typeof node.value !== 'string') return;
    if (OBEYED.test(node.value.replaceAll('\n', ''))) node.type = Scalar.QUOTE_DOUBLE;
  });
  return document
    .toString({ lineWidth: 0 })
    .replace(/[^\P{Cc}\n]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
      character
        .split('')
        .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
        .join(''),
    );
}
