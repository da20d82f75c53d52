import { JSONPathEnvironment } from 'json-p3';
import { printable, printableJson } from '../../../schemas/text.js';
import { UsageError } from '../runtime/cli-context.js';

// Templates as `kubectl -o jsonpath=` takes them. The paths are RFC 9535, by a library that interprets them: nothing in a
// template or in an event is ever run as code.

type Value = Parameters<JSONPathEnvironment['query']>[1];

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'path'; readonly path: Path }
  | { readonly kind: 'range'; readonly path: Path; readonly parts: readonly Part[] };

interface Path {
  /** Of the whole document, also within a range. */
  readonly isAbsolute: boolean;
  readonly query: ReturnType<JSONPathEnvironment['compile']>;
}

/** What of a template comes next: text outside braces, or what stands in a pair of them. */
const TOKEN = /\{((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^{}"'])*)\}|([^{}]+)|([{}])/g;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

const environment = new JSONPathEnvironment();

/** A template, ready to be filled. */
export class JsonPathTemplate {
  readonly #parts: readonly Part[];

  /**
   * @param text such as `{.status}`, or `{range [*]}{.processing_id}{"\t"}{.progress}{"\n"}{end}`; a path alone needs no
   * braces
   * @throws UsageError
   */
  constructor(text: string) {
    this.#parts = parse(/[{}]/.test(text) ? text : `{${text}}`);
  }

  /** The template filled from a document, with a line break at its end. Paths that lead nowhere give nothing. */
  fill(document: unknown): string {
    const text = fillAll(this.#parts, document as Value, document as Value);
    return text === '' || text.endsWith('\n') ? text : `${text}\n`;
  }
}

function parse(template: string): readonly Part[] {
  const open: { path: Path; parts: Part[] }[] = [];
  const parts: Part[] = [];
  for (const [token, braced, plain] of template.matchAll(TOKEN)) {
    const into = open.at(-1)?.parts ?? parts;
    if (plain !== undefined) into.push({ kind: 'text', text: plain });
    else if (braced === undefined) throw new UsageError(`-o jsonpath: a ${token} has no other one.`);
    else {
      const inner = braced.trim();
      const range = /^range\s+(.+)$/s.exec(inner)?.[1];
      if (range !== undefined) open.push({ path: compile(range), parts: [] });
      else if (inner === 'end') {
        const ended = open.pop();
        if (ended === undefined) throw new UsageError('-o jsonpath: an {end} has no {range}.');
        (open.at(-1)?.parts ?? parts).push({ kind: 'range', ...ended });
      } else if (/^["'].*["']$/s.test(inner)) into.push({ kind: 'text', text: unquoted(inner) });
      else into.push({ kind: 'path', path: compile(inner) });
    }
  }
  if (open.length > 0) throw new UsageError('-o jsonpath: a {range} has no {end}.');
  return parts;
}

const unquoted = (text: string): string =>
  text.slice(1, -1).replace(/\\(.)/gs, (_all, character: string) => ESCAPES[character] ?? character);

// kubectl leaves the $ out.
function compile(text: string): Path {
  const isAbsolute = text.startsWith('$');
  const rest = isAbsolute || text.startsWith('@') ? text.slice(1) : text;
  const path = rest === '.' ? '' : /^[A-Za-z_]/.test(rest) ? `.${rest}` : rest;
  try {
    return { isAbsolute, query: environment.compile(`$${path}`) };
  } catch (error) {
    throw new UsageError(`-o jsonpath: "${printable(text)}" is not a path: ${(error as Error).message}.`);
  }
}

const fillAll = (parts: readonly Part[], root: Value, current: Value): string =>
  parts.map((part) => fill(part, root, current)).join('');

function fill(part: Part, root: Value, current: Value): string {
  switch (part.kind) {
    case 'text':
      return part.text;
    case 'path':
      return found(part.path, root, current).map(shown).join(' ');
    case 'range':
      return found(part.path, root, current)
        .map((value) => fillAll(part.parts, root, value))
        .join('');
  }
}

const found = ({ isAbsolute, query }: Path, root: Value, current: Value): Value[] =>
  query.query(isAbsolute ? root : current).values() as Value[];

// What others wrote is nothing that a terminal obeys.
const shown = (value: Value): string =>
  typeof value === 'string' ? printable(value) : printableJson(JSON.stringify(value));
