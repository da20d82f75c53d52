import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../runtime/cli-context.js';

// `--output` and what goes with it: one implementation for all commands that read.

/**
 * `--output` as a command has it: for people (`wide`: nothing is cut), one JSON document, one JSON object a line, or
 * whatever else programs take.
 */
export type OutputFormat =
  | 'table'
  | 'wide'
  | 'json'
  | 'ndjson'
  | 'yaml'
  | 'name'
  | 'csv'
  | `jsonpath=${string}`;
/** For programs. */
export type DataFormat = Exclude<OutputFormat, 'table' | 'wide'>;

const JSONPATH = 'jsonpath=';
/** What a person may write; `jsonl` and `ndjson` are two names of one format. */
export const OUTPUT_FORMATS = [
  'table',
  'wide',
  'json',
  'jsonl',
  'ndjson',
  'yaml',
  'name',
  'csv',
  JSONPATH,
] as const;
export type OutputName = (typeof OUTPUT_FORMATS)[number];

export interface OutputFlag {
  readonly output: OutputFormat;
}
export interface PagerFlag {
  /** false with --no-pager. */
  readonly pager: boolean;
}
export interface SortFlags<Field extends string = string> {
  readonly sortBy?: Field;
  readonly reverse?: true;
}

/**
 * Adds `-o, --output`, and `--json` where that is one of the formats.
 * @param formats those that make sense
 */
export function addOutputOption(
  command: Command,
  formats: readonly OutputName[] = OUTPUT_FORMATS,
  byDefault: OutputFormat = 'table',
): Command {
  const option = new Option('-o, --output <format>', 'how it is written')
    .choices(formats)
    .default(byDefault)
    .argParser((text) => outputFormat(text, formats));
  command.addOption(option);
  if (!formats.includes('json')) return command;
  return command.addOption(new Option('--json', 'the same as -o json').implies({ output: 'json' }));
}

/** @throws InvalidArgumentError */
function outputFormat(text: string, formats: readonly OutputName[]): OutputFormat {
  if (formats.includes(JSONPATH)) {
    if (text.startsWith(JSONPATH) && text.length > JSONPATH.length) return text as OutputFormat;
    if (text === JSONPATH || text === 'jsonpath') {
      throw new InvalidArgumentError("Expected a template, such as jsonpath='{.status}'.");
    }
  }
  const known = formats.find((one) => one === text);
  if (known === undefined) throw new InvalidArgumentError(`Allowed choices are ${formats.join(', ')}.`);
  return known === 'jsonl' || known === JSONPATH ? 'ndjson' : known;
}

/** The template behind `jsonpath=`; null: it is another format. */
export const jsonPathOf = (output: OutputFormat): string | null =>
  output.startsWith(JSONPATH) ? output.slice(JSONPATH.length) : null;

/** Whether it is for people: a table. */
export const isTable = (output: OutputFormat): output is 'table' | 'wide' =>
  output === 'table' || output === 'wide';

/** @throws UsageError where what never ends is wanted as something that is whole only at its end */
export function checkFollow(output: OutputFormat): void {
  if (output !== 'json' && jsonPathOf(output) === null) return;
  const name = output === 'json' ? 'json' : 'jsonpath';
  throw new UsageError(`-o ${name} is one document, and --follow has no end: use -o ndjson with it.`);
}

/** Adds `--no-pager`. */
export function addPagerOption(command: Command): Command {
  return command.option(
    '--no-pager',
    'do not show what is longer than the terminal in HEADWAY_PAGER, PAGER or less',
  );
}

/** Adds `--sort-by` and `--reverse`. @param byDefault how it is sorted without them, in words */
export function addSortOptions(command: Command, fields: readonly string[], byDefault: string): Command {
  return command
    .addOption(new Option('--sort-by <field>', `what comes first; without it ${byDefault}`).choices(fields))
    .option('--reverse', 'the other way round');
}

/** Compares texts as a person sorts ids, and numbers as numbers. */
export function compareKeys(one: string | number, other: string | number): number {
  if (typeof one === 'number' && typeof other === 'number') return one - other;
  const [first, second] = [String(one), String(other)];
  return first < second ? -1 : first > second ? 1 : 0;
}
