/** Reads the documents as tests need them: headings, tables, and what stands in backquotes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const CODE = /^```.*?^```$/gms;

/** The files of these folders and all below, as paths from the top. */
export const filesIn = (folders: readonly string[], suffix: string): string[] =>
  folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(suffix))
      .map((name) => join(folder, name)),
  );

export const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
export type Row = Readonly<Record<string, string>>;

export interface Section {
  readonly title: string;
  readonly level: number;
  readonly text: string;
}

/** The headings of a document, each with what stands under it up to the next one. */
export function sections(markdown: string): Section[] {
  // A heading inside a block of code is none: the marks are taken away there for the search, at the same length.
  const searchable = markdown.replace(CODE, (block) => block.replaceAll('#', '-'));
  const heads = [...searchable.matchAll(/^(#+) (.+)$/gm)];
  return heads.map((head, index) => ({
    title: head[2] ?? '',
    level: (head[1] ?? '').length,
    text: markdown.slice(head.index + head[0].length, heads[index + 1]?.index),
  }));
}

export function section(document: readonly Section[], title: string): Section {
  const found = document.filter((one) => one.title === title);
  if (found.length !== 1 || found[0] === undefined) {
    throw new Error(`there are ${found.length} sections "${title}", not one`);
  }
  return found[0];
}

/** The titles one level below a heading. */
export function below(document: readonly Section[], title: string): string[] {
  const start = document.indexOf(section(document, title)) + 1;
  const rest = document.slice(start);
  const end = rest.findIndex(({ level }) => level <= 2);
  return rest.slice(0, end < 0 ? undefined : end).map((one) => one.title);
}

/** The rows of the table whose first column has this name, by column. */
export function table({ title, text }: Section, firstColumn: string): Row[] {
  const cells = (line: string) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim());
  const tables = text.replace(CODE, '').match(/(^\|.*\|\n)+/gm) ?? [];
  const found = tables
    .map((one) => one.trim().split('\n').map(cells))
    .find((rows) => rows[0]?.[0] === firstColumn);
  if (found === undefined) throw new Error(`"${title}" has no table that begins with "${firstColumn}"`);
  const [head = [], , ...rows] = found;
  return rows.map((row) => Object.fromEntries(head.map((name, column) => [name, row[column] ?? ''])));
}

export const byName = (one: string, other: string): number => one.localeCompare(other);

export const bare = (cell: string | undefined): string => (cell ?? '').replaceAll('`', '');

/** What stands in backquotes, in order. */
export const quoted = (text: string | undefined): string[] =>
  [...(text ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
