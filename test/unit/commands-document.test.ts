// docs/reference/commands.md is held against the program; reference.test.ts holds the help of each command.
import { describe, expect, test } from 'vitest';
import { SORT_FIELDS } from '../../internal/cli/commands/list/options.js';
import { OUTPUT_FORMATS } from '../../internal/cli/output/format.js';
import { EVENT_CSV } from '../../internal/cli/output/item-writer.js';
import { run } from '../../internal/cli/program.js';
import { EXIT_CODES_HELP } from '../../internal/cli/runtime/exit-codes.js';
import { fakeCliContext } from '../harness/fake-cli-context.js';
import { bare, byName, read, section, sections, table } from './documents.js';

describe('commands.md', () => {
  const document = sections(read('docs/reference/commands.md'));

  test('"The commands" are those of the program', async () => {
    let help = '';
    const out = async (text: string): Promise<void> => {
      help += text;
    };
    await run(['--help'], fakeCliContext({ stdout: out }));
    const listed = table(section(document, 'The commands'), 'command').map((row) =>
      // Behind the name stand other words for it.
      bare(row.command).replace(/, .*$/, ''),
    );
    const there = [...help.matchAll(/^ {2}([a-z]+)(?:\|[a-z]+)?(?: \[| <)/gm)].map(([, name]) => name);
    expect(there.length).toBeGreaterThan(0);
    expect(listed.toSorted(byName)).toEqual(
      there.flatMap((name) => (name === undefined || name === 'help' ? [] : [name])).toSorted(byName),
    );
  });

  test('"Exit codes" are those of the help', () => {
    const codes = table(section(document, 'Exit codes'), 'code').map((row) => [row.code, row.meaning]);
    const said = EXIT_CODES_HELP.split('\n').flatMap((line) => {
      const [, code, meaning] = /^ {2}(\d[\d, -]*\d|\d) {2,}(.+)$/.exec(line) ?? [];
      return code === undefined ? [] : [[code, meaning]];
    });
    expect(codes.map(([code, meaning]) => [code, bare(meaning)])).toEqual(said);
  });

  test('"What they print" has the formats, the columns of CSV and the fields to sort by of the program', () => {
    const text = section(document, 'What they print');
    const formats = table(text, 'format').flatMap((row) => (row.format ?? '').split(', ').map(bare));
    expect(formats.toSorted(byName)).toEqual([...OUTPUT_FORMATS].toSorted(byName));
    const list = text.text.replaceAll(/\s+/g, ' ');
    expect(list).toContain(`list --sort-by ${SORT_FIELDS.join('|')}\``);
    const columns = Object.keys(EVENT_CSV).map((name) => `\`${name}\``);
    expect(list).toContain(`the columns ${columns.slice(0, -1).join(', ')} and ${columns.at(-1)};`);
  });
});
