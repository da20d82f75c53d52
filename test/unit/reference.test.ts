/**
 * docs/reference/ says what the code says. `npm run schemas` writes anew what differs; cells that people write, and that are
 * not written yet, fail.
 */
import { describe, expect, test } from 'vitest';
import { run } from '../../internal/cli/program.js';
import { fakeCliContext } from '../harness/fake-cli-context.js';
import { read } from './documents.js';
import { commandsPage, errorsPage, metricsPage, UNWRITTEN, withPart } from './reference.js';

const FILE = (name: string): string => `../../docs/reference/${name}.md`;

async function help(...args: string[]): Promise<string> {
  let text = '';
  const stdout = async (piece: string): Promise<void> => {
    text += piece;
  };
  expect(await run([...args, '--help'], fakeCliContext({ stdout }))).toBe(0);
  return text;
}

async function commandNames(): Promise<string[]> {
  const list = await help();
  return [...list.matchAll(/^ {2}([a-z]+)(?:\|[a-z]+)?(?: \[| <)/gm)].flatMap(([, name]) =>
    name === undefined || name === 'help' ? [] : [name],
  );
}

describe('docs/reference', () => {
  test('metrics.md has every metric, with its type, labels and help', async () => {
    await expect(await metricsPage(read('docs/reference/metrics.md'))).toMatchFileSnapshot(FILE('metrics'));
  });

  test('errors.md has every code and every class, with what it means', async () => {
    const page = errorsPage(read('docs/reference/errors.md'));
    await expect(page).toMatchFileSnapshot(FILE('errors'));
  });

  test('command-help.md has the help of every command', async () => {
    const names = await commandNames();
    expect(names.length).toBeGreaterThan(10);
    const page = await commandsPage(read('docs/reference/command-help.md'), names, help);
    await expect(page).toMatchFileSnapshot(FILE('command-help'));
  });

  test.each(['metrics', 'errors'])('%s.md: every cell that people write is written', (name) => {
    expect(read(`docs/reference/${name}.md`)).not.toContain(UNWRITTEN);
  });
});

test('a new row asks for what people write, a row that is gone goes, and what is written is kept', () => {
  const document =
    'before\n<!-- generated: some, by hand -->\n| a | | kept |\n| gone | | too |\n<!-- end -->\nbehind';
  const rows = [
    ['a', '1'],
    ['b', '2'],
  ];
  expect(withPart(document, 'some', { head: ['key', 'value', 'words'], rows, written: 1 })).toBe(
    'before\n<!-- generated: some, by hand -->\n\n| key | value | words |\n| --- | --- | --- |\n' +
      `| a | 1 | kept |\n| b | 2 | ${UNWRITTEN} |\n\n<!-- end -->\nbehind`,
  );
  expect(() => withPart(document, 'other', '')).toThrow('no place for "other"');
});
