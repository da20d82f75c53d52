/** Every block of code in the documents is what it says: it is typed, parsed, or known to the programs that it calls. */
import { describe, expect, test } from 'vitest';
import { read } from './documents.js';
import { type Block, blocksOf, documents } from './snippets/blocks.js';
import {
  type Check,
  checkConfiguration,
  checkDiagrams,
  checkJson,
  checkMarkup,
  checkPython,
  checkScripts,
  checkShell,
  checkYaml,
  hasNatsServer,
  hasPython,
  knownVariables,
  problemsOfHeadway,
} from './snippets/checks.js';
import { commandsOf } from './snippets/shell.js';

const all = documents().flatMap((file) => blocksOf(file));
/** For pictures and what a program prints. */
const UNCHECKED = ['text'];
const CHECKS: Readonly<Record<string, { languages: readonly string[]; check: Check; wrong: string }>> = {
  scripts: { languages: ['js', 'ts', 'tsx'], check: checkScripts, wrong: "const x = 'text';\nx.push(1);\n" },
  markup: { languages: ['html'], check: checkMarkup, wrong: '<p>one <b>two</p>\n' },
  json: { languages: ['json'], check: checkJson, wrong: '{ "a": 1, }\n' },
  python: { languages: ['python'], check: checkPython, wrong: 'def f(:\n  pass\n' },
  shell: { languages: ['sh'], check: checkShell, wrong: 'if true; then\n' },
  yaml: { languages: ['yaml'], check: checkYaml, wrong: 'a: [1\n' },
  configuration: {
    languages: ['conf'],
    check: checkConfiguration,
    wrong: 'jetstream { stor_dir: "/data" }\n',
  },
  diagrams: { languages: ['mermaid'], check: checkDiagrams, wrong: 'flowchart LR\n  a[one --> b\n' },
};
const skipped = new Set([
  ...((await hasPython()) ? [] : ['python']),
  ...((await hasNatsServer()) ? [] : ['configuration']),
]);

const block = (language: string, code: string): Block => ({ file: 'made-up.md', line: 1, language, code });

test('every block names a language that is checked', () => {
  const known = [...Object.values(CHECKS).flatMap(({ languages }) => languages), ...UNCHECKED];
  const unknown = all.filter(({ language }) => !known.includes(language));
  expect(unknown.map(({ file, line, language }) => `${file}:${line} ${language}`)).toEqual([]);
  expect(all.length).toBeGreaterThan(50);
});

/** Beside the blocks of the documents: what shows that a check finds something, in the same run. */
const MADE_UP: readonly Block[] = [
  ...Object.values(CHECKS).map(({ languages, wrong }) => block(languages[0] ?? '', wrong)),
  { file: 'two-blocks.md', line: 1, language: 'js', code: 'function follow() {}\n' },
  { file: 'two-blocks.md', line: 9, language: 'js', code: 'follow();\n' },
  { file: 'one-block.md', line: 9, language: 'js', code: 'follow();\n' },
];
const found = new Map<string, Promise<string[]>>();
/** What the check of these languages finds in all blocks; asked once, since a program is started for it. */
function problemsOf(name: string): Promise<string[]> {
  const { languages = [], check = checkJson } = CHECKS[name] ?? {};
  const problems =
    found.get(name) ?? check([...all, ...MADE_UP].filter(({ language }) => languages.includes(language)));
  found.set(name, problems);
  return problems;
}
const isMadeUp = (problem: string): boolean => /^(?:made-up|two-blocks|one-block)\.md:/.test(problem);

describe.each(Object.keys(CHECKS))('blocks of %s', (name) => {
  test.skipIf(skipped.has(name))('are right', { timeout: 60_000 }, async () => {
    expect((await problemsOf(name)).filter((problem) => !isMadeUp(problem))).toEqual([]);
  });

  test.skipIf(skipped.has(name))('are found when they are wrong', { timeout: 60_000 }, async () => {
    expect((await problemsOf(name)).filter((problem) => problem.startsWith('made-up.md:'))).not.toEqual([]);
  });
});

test('a block may use what an earlier one of its document declares, and nothing else', async () => {
  const problems = (await problemsOf('scripts')).filter((problem) => /^\w+-blocks?\.md:/.test(problem));
  expect(problems).toEqual(["one-block.md:10: TS2304: Cannot find name 'follow'."]);
});

test.each([
  [{ type: 'end', more: 1 }, true],
  [{ type: 'caught_up', cursor: -1 }, false],
  [{ type: 'auth', token: '' }, false],
  [{ processing_id: 'a', status: 'done', progress: 1, timestamp: '2026-01-31T12:00:00Z' }, false],
  [{ exp: 1, jobs: [] }, false],
  [{ anything: 'else' }, true],
])('JSON that says what it is fits its schema: %j', async (value, isRight) => {
  expect(await checkJson([block('json', JSON.stringify(value))])).toHaveLength(isRight ? 0 : 1);
});

test.skipIf(skipped.has('python'))('Python takes from the package what is there', async () => {
  const right =
    'from headway_worker import connect_reporter\nfrom headway_worker.sync import connect_reporter\n';
  expect(await checkPython([block('python', right)])).toEqual([]);
  expect(await checkPython([block('python', 'from headway_worker import nothing\n')])).toEqual([
    'made-up.md:1: headway_worker has no nothing',
  ]);
});

test.each([
  ['headway nonsense', /unknown command/],
  ['A=1 headway list --no-such-flag | cat', /unknown option/],
  ['node dist/cmd/headway.js list --status nonsense', /status/],
  ['docker run --rm image headway headway gett x', /unknown command/],
  ['x=$(headway tail --last many)', /last/],
  ['make no-such-target', /no target no-such-target/],
  ['npm run no-such-script', /no script/],
  ['node dist/cmd/no-such.js', /no file/],
])('shell: %s', async (script, problem) => {
  expect((await checkShell([block('sh', `${script}\n`)])).join()).toMatch(problem);
});

test('shell: words are read as a shell reads them', () => {
  const script = `export A=1 # no
for one in a b; do
  B="x y" headway get 'a b'"c" \\
    --json >file 2>&1 | jq '.[] | x' && echo "$(headway list -o name)" &
done
`;
  expect(commandsOf(script)).toEqual([
    ['export', 'A=1'],
    ['for', 'one', 'in', 'a', 'b'],
    ['headway', 'get', 'a bc', '--json'],
    ['jq', '.[] | x'],
    ['headway', 'list', '-o', 'name'],
    ['echo', 'x'],
    ['done'],
  ]);
});

// What stands for something else, and lists of commands.
const isWhole = (text: string): boolean => !/…|\.\.\.|COMMAND|ROLE|FIELD|^headway (?:edge|demo)\b/.test(text);
const inline = documents()
  .filter((file) => file !== 'CHANGELOG.md')
  .flatMap((file) =>
    [
      ...read(file)
        .replace(/^ *```.*?^ *```$/gms, '')
        .matchAll(/`(headway [a-z-][^`]*)`/g),
    ].map(([, text = '']) => ({
      file,
      text: text.replace(/\s+/g, ' '),
    })),
  )
  .filter(({ text }) => isWhole(text));

test('commands of headway in the middle of a text are such as it takes', async () => {
  const problems: string[] = [];
  for (const { file, text } of inline) {
    const [name, ...args] =
      commandsOf(text)
        .find(([program]) => program === 'headway')
        ?.slice(1) ?? [];
    // A name alone speaks of the command.
    const said = await problemsOfHeadway(
      name === undefined ? [] : args.length === 0 ? ['help', name] : [name, ...args],
    );
    problems.push(...said.map((problem) => `${file}: ${text}: ${problem}`));
  }
  expect(problems).toEqual([]);
  expect(inline.length).toBeGreaterThan(20);
});

test('every variable HEADWAY_… that a document names is one that some code reads', () => {
  const known = knownVariables();
  const named = documents()
    .filter((file) => file !== 'CHANGELOG.md')
    .flatMap((file) =>
      [...read(file).matchAll(/\bHEADWAY_[A-Z0-9_]*[A-Z0-9]\b(?!_)/g)].map(([name]) => ({ file, name })),
    );
  expect(named.filter(({ name }) => !known.has(name))).toEqual([]);
  expect(known.has('HEADWAY_NO_SUCH')).toBe(false);
});
