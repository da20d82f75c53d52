import type { TSchema } from '@sinclair/typebox';
import { EdgeConfig, settings } from './config.js';

const BEGIN = '<!-- This table is written by `npm run schemas`, from schemas/config.ts. -->';
const END = '<!-- The end of what is written. -->';
const HEAD = ['| variable | default | range | meaning |', '| --- | --- | --- | --- |'];

const numbers = new Intl.NumberFormat('en');
const count = (value: number): string =>
  value === Number.MAX_SAFE_INTEGER ? '2^53-1' : numbers.format(value);

/** Where the sections are that the schema links to by their name alone, seen from `docs/reference/`. */
const SECTIONS: Readonly<Record<string, string>> = {
  '#memory': '../guides/sizing.md#memory',
  '#metrics': 'metrics.md',
  '#running-an-edge': '../guides/production.md#stopping-and-deploys',
};

/** The settings of an edge as a table in Markdown; links are as `docs/reference/settings.md` needs them. */
export function settingsTable(): string {
  const rows = settings().map(({ key, env, schema }) => {
    const cells = [`\`${env}\``, standard(key, schema), range(schema), meaning(schema)];
    return `| ${cells.join(' | ')} |`;
  });
  return [BEGIN, '', ...HEAD, ...rows, '', END].join('\n');
}

/**
 * A document with its table of settings written anew.
 * @throws Error when the document has no such table
 */
export function withSettingsTable(document: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin)
    throw new Error(`the document has no place for the table: ${BEGIN} ... ${END}`);
  return document.slice(0, begin) + settingsTable() + document.slice(end + END.length);
}

function standard(key: string, schema: TSchema): string {
  if (schema.unset !== undefined) return `none: ${schema.unset}`;
  if (schema.default !== undefined && schema.default !== '') return `\`${schema.default}\``;
  return schema.default === undefined && (EdgeConfig.required as string[]).includes(key)
    ? 'none, must be set'
    : 'none';
}

function range(schema: TSchema): string {
  if (Array.isArray(schema.anyOf)) {
    const values = (schema.anyOf as TSchema[]).map((one) => `\`${one.const}\``);
    return `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
  }
  if (schema.type === 'boolean') return '`true` or `false`';
  if (schema.type === 'integer')
    return `${count(Number(schema.minimum))} to ${count(Number(schema.maximum))}`;
  // What stands in brackets is for error messages.
  if (schema.expected !== undefined) return String(schema.expected).replace(/ \(.*\)$/, '');
  const [, characters, least, most] = /^\^\[(.+)\]\{(\d+),(\d+)\}\$$/.exec(String(schema.pattern)) ?? [];
  if (characters !== undefined)
    return `${least} to ${most} of \`${characters.match(/\w-\w|./g)?.join(' ')}\``;
  return `text, at least ${schema.minLength} character`;
}

function meaning({ description, see }: TSchema): string {
  const text = String(description);
  return withLinks(see === undefined ? text.replace(/\.$/, '') : `${text} See ${see}`);
}

function withLinks(text: string): string {
  return text
    .replace(/\]\((#[\w-]+)\)/g, (_, anchor: string) => {
      return `](${SECTIONS[anchor] ?? `../guides/production.md${anchor}`})`;
    })
    .replace(/\]\((nats|guides)\//g, '](../$1/');
}
