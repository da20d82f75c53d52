/** Finds the blocks of code in the documents. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { filesIn, ROOT, read } from '../documents.js';

export interface Block {
  /** From the top of the repository. */
  readonly file: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
  /** What stands behind the fence; empty when nothing does. */
  readonly language: string;
  readonly code: string;
}

/** Every document that people read, as paths from the top. */
export function documents(): string[] {
  const folders = ['docs', 'sdk', 'deploy'].filter((folder) => existsSync(join(ROOT, folder)));
  return [
    ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
    ...filesIn(folders, '.md').filter(
      (path) => !/(?:^|\/)(?:node_modules|\.\w[^/]*|dist|build)\//.test(path),
    ),
  ];
}

/** The blocks of one document. A block in a list is taken without its indentation. */
export function blocksOf(file: string, text: string = read(file)): Block[] {
  const blocks: Block[] = [];
  const lines = text.split('\n');
  for (let index = 0; index < lines.length; index++) {
    const [, indent = '', fence = '', language = ''] = /^( *)(`{3,})(\S*) *$/.exec(lines[index] ?? '') ?? [];
    if (fence === '') continue;
    const end = lines.findIndex((line, at) => at > index && line.trim() === fence);
    if (end < 0) throw new Error(`${file}:${index + 1}: this block has no end`);
    const code = lines
      .slice(index + 1, end)
      .map((line) => line.slice(Math.min(indent.length, line.search(/\S|$/))));
    blocks.push({ file, line: index + 1, language, code: `${code.join('\n')}\n` });
    index = end;
  }
  return blocks;
}

/** Where a block is, for messages. */
export const place = ({ file, line }: Block): string => `${file}:${line}`;
