/** One check for each language of a block. Each gives what is wrong, and nothing when all is well. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Command } from 'commander';
import { parseAllDocuments } from 'yaml';
import { run } from '../../../internal/cli/program.js';
import { checkClaims } from '../../../schemas/claims.js';
import { settings } from '../../../schemas/config.js';
import { checkEvent } from '../../../schemas/event.js';
import { CLIENT_FRAMES, SERVER_FRAMES } from '../../../schemas/frames.js';
import { fakeCliContext } from '../../harness/fake-cli-context.js';
import { natsBinary } from '../../harness/nats-binary.js';
import { filesIn, ROOT, read } from '../documents.js';
import { type Block, place } from './blocks.js';
import { commandsOf, headwayArguments } from './shell.js';

const exec = promisify(execFile);
export type Check = (blocks: readonly Block[]) => Promise<string[]>;

/** Runs a program with a text on its standard input; gives what it printed, also when it fails. */
async function output(program: string, args: readonly string[], input = ''): Promise<string> {
  const started = exec(program, [...args], { cwd: ROOT, maxBuffer: 2 ** 24 });
  // A program that ends without reading it is none that failed.
  started.child.stdin?.on('error', () => undefined);
  started.child.stdin?.end(input);
  try {
    const { stdout, stderr } = await started;
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr, code } = error as { stdout?: string; stderr?: string; code?: unknown };
    if (typeof code !== 'number') throw error;
    return `${stdout}${stderr}` || `${program} ended with ${code}`;
  }
}

/** JavaScript and TypeScript, in one program. A block may use what an earlier one of its document declares. */
export const checkScripts: Check = async (blocks) => {
  mkdirSync(join(ROOT, '.tools'), { recursive: true });
  const folder = mkdtempSync(join(ROOT, '.tools', 'snippets-'));
  try {
    const compilerOptions = {
      lib: ['ES2023', 'ES2024.String', 'ESNext.Disposable', 'DOM', 'DOM.Iterable'],
      allowJs: true,
      checkJs: true,
      // As most readers have it.
      noImplicitAny: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
      exactOptionalPropertyTypes: false,
      noUncheckedIndexedAccess: false,
      paths: {
        ...Object.fromEntries(
          ['@headway/worker', 'headway/worker'].map((name) => [name, [join(ROOT, 'sdk/worker/index.ts')]]),
        ),
        '@headway/client': [join(ROOT, 'sdk/client/index.ts')],
        '@headway/client/element': [join(ROOT, 'sdk/client/element.ts')],
        '@headway/react': [join(ROOT, 'sdk/react/index.ts')],
      },
    };
    const names = blocks.map((block, index) => `block-${index}.${block.language}`);
    const files = [...names, '../../test/unit/snippets/globals.d.ts'];
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: [], files }),
    );
    for (const [index, name] of names.entries()) {
      // The added line makes a module of it, so that it may wait at the top.
      writeFileSync(join(folder, name), `${blocks[index]?.code ?? ''}export {};\n`);
    }
    const said = await output(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder, '--pretty', 'false']);
    return said.split('\n').flatMap((text) => {
      const [, index, line, what = ''] = /block-(\d+)\.\w+\((\d+),\d+\): error (.*)/.exec(text) ?? [];
      if (index === undefined) return /error TS/.test(text) ? [text] : [];
      const block = blocks[Number(index)] as Block;
      // A page takes its own elements to be there.
      if (block.language === 'js' && /^TS(?:2531|2532|18047|18048|18049):/.test(what)) return [];
      const [, unknown] = /TS(?:2304|2552): Cannot find name '(\w+)'/.exec(what) ?? [];
      if (unknown !== undefined && isDeclaredBefore(unknown, block, blocks)) return [];
      return [`${block.file}:${block.line + Number(line)}: ${what}`];
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

function isDeclaredBefore(name: string, block: Block, blocks: readonly Block[]): boolean {
  const declares = new RegExp(`^(?:export )?(?:async )?(?:function|const|let|class) ${name}\\b`, 'm');
  return blocks.some(
    ({ file, line, code }) => file === block.file && line < block.line && declares.test(code),
  );
}

const frames: Readonly<Record<string, TSchema>> = { ...SERVER_FRAMES, ...CLIENT_FRAMES };

/** JSON; an event, a frame and the claims of a token also fit their schemas. */
export const checkJson: Check = async (blocks) =>
  blocks.flatMap((block) => {
    try {
      const problem = problemOf(JSON.parse(block.code));
      return problem === null ? [] : [`${place(block)}: ${problem}`];
    } catch (error) {
      return [`${place(block)}: ${String(error)}`];
    }
  });

function problemOf(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const { type } = value as { type?: unknown };
  if (typeof type === 'string') {
    const schema = frames[type];
    // What is no frame of ours may have a type of its own.
    if (schema === undefined) return null;
    const [first] = [...Value.Errors(schema, value)];
    return first === undefined ? null : `as ${type}: ${first.path} ${first.message}`;
  }
  if ('processing_id' in value && 'status' in value) {
    const problem = checkEvent(value);
    return problem === null ? null : `as an event: ${JSON.stringify(problem)}`;
  }
  if ('exp' in value) {
    const claims = checkClaims(value);
    return claims.ok ? null : `as claims: ${JSON.stringify(claims)}`;
  }
  return null;
}

const PYTHON = `
import ast, json, pathlib, sys

def names(module):
    base = pathlib.Path("sdk/python", *module.split("."))
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    if not file.exists():
        return None
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {one.asname or one.name for one in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found

for where, code in json.load(sys.stdin):
    try:
        compile(code, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        tree = ast.parse(code)
    except SyntaxError as error:
        print(f"{where}: {error}")
        continue
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "headway_worker":
            there = names(node.module)
            for one in node.names:
                if there is None or one.name not in there:
                    print(f"{where}: {node.module} has no {one.name}")
`;

/** Whether Python can be asked. */
export async function hasPython(): Promise<boolean> {
  return output('python3', ['--version']).then(
    () => true,
    () => false,
  );
}

/** Python compiles, and what it takes from headway_worker is there. */
export const checkPython: Check = async (blocks) => {
  const input = JSON.stringify(blocks.map((block) => [place(block), block.code]));
  return (await output('python3', ['-c', PYTHON], input)).split('\n').filter(Boolean);
};

const makeTargets = new Set([...read('Makefile').matchAll(/^([a-z0-9.-]+):/gm)].map(([, name = '']) => name));
const npmScripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts);

/** Shell scripts: bash can read them, and what they call of ours is there. */
export const checkShell: Check = async (blocks) => {
  const problems: string[] = [];
  for (const block of blocks) {
    const said = await output('bash', ['-n'], block.code);
    problems.push(
      ...said
        .split('\n')
        .filter(Boolean)
        .map((line) => `${place(block)}: ${line}`),
    );
    for (const words of commandsOf(block.code)) {
      const found = await problemsOfCommand(words);
      problems.push(...found.map((problem) => `${place(block)}: ${words.join(' ')}: ${problem}`));
    }
  }
  return problems;
};

async function problemsOfCommand(words: readonly string[]): Promise<string[]> {
  const args = headwayArguments(words);
  if (args !== null) return problemsOfHeadway(args);
  const [program, ...rest] = words;
  const operands = rest.filter((word) => !word.startsWith('-') && !word.includes('='));
  if (program === 'make')
    return operands.filter((name) => !makeTargets.has(name)).map((name) => `no target ${name}`);
  if (program === 'npm' && rest[0] === 'run') {
    return npmScripts.includes(rest[1] ?? '') ? [] : [`no script ${rest[1]}`];
  }
  // What is built has a source.
  const paths = [program ?? '', ...operands].map((word) =>
    word.replace(/^dist\/(.*)\.js$/, '$1.ts').replace(/^\.\//, ''),
  );
  return paths
    .filter((path) => /^(?:cmd|scripts|test|deploy|bench|docker|demo)\/[\w./-]*\w$/.test(path))
    .filter((path) => !existsSync(join(ROOT, path)))
    .map((path) => `no file ${path}`);
}

/** What the program says of these arguments before it does anything. */
export async function problemsOfHeadway(args: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  const { action } = Command.prototype;
  // Everything of a command stays, but for what it does.
  Command.prototype.action = function (this: Command) {
    return action.call(this, () => undefined);
  };
  try {
    const code = await run(args, fakeCliContext({ stderr: (text) => problems.push(text.trim()) }));
    return code === 0 ? [] : problems;
  } finally {
    Command.prototype.action = action;
  }
}

/** YAML without mistakes. */
export const checkYaml: Check = async (blocks) =>
  blocks.flatMap((block) =>
    parseAllDocuments(block.code)
      .flatMap((document) => ('errors' in document ? document.errors : []))
      .map((error) => `${place(block)}: ${error.message}`),
  );

/** Elements that have no end. */
const VOID = new Set(['br', 'hr', 'img', 'input', 'link', 'meta']);

/** Every element that begins ends, in order. What it does is for the tests in Chromium. */
export const checkMarkup: Check = async (blocks) =>
  blocks.flatMap((block) => {
    const open: string[] = [];
    for (const [, end = '', name = ''] of block.code.matchAll(/<(\/?)([a-z][\w-]*)(?:"[^"]*"|[^">])*>/g)) {
      if (end === '') open.push(...(VOID.has(name) ? [] : [name]));
      else if (open.pop() !== name) return [`${place(block)}: </${name}> ends nothing`];
    }
    return open.map((name) => `${place(block)}: <${name}> has no end`);
  });

/** Whether a nats-server can be asked. */
export async function hasNatsServer(): Promise<boolean> {
  return natsBinary().then(
    () => true,
    () => false,
  );
}

/** Configuration of nats-server: it takes it, and what it includes is beside the document. */
export const checkConfiguration: Check = async (blocks) => {
  const { path } = await natsBinary();
  mkdirSync(join(ROOT, '.tools'), { recursive: true });
  const folder = mkdtempSync(join(ROOT, '.tools', 'snippets-'));
  try {
    const problems: string[] = [];
    for (const block of blocks) {
      const include = /^\s*include\s+"?([^"\s]+)"?\s*$/gm;
      for (const [, name = ''] of block.code.matchAll(include)) {
        if (!existsSync(join(ROOT, block.file, '..', name)))
          problems.push(`${place(block)}: no file ${name}`);
      }
      const file = join(folder, 'nats.conf');
      writeFileSync(file, block.code.replace(include, ''));
      const said = await output(path, ['-t', '-c', file]);
      if (!said.includes('is valid')) problems.push(`${place(block)}: ${said.trim()}`);
    }
    return problems;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

const DIAGRAMS =
  /^\s*(?:flowchart|graph|sequenceDiagram|stateDiagram-v2|classDiagram|erDiagram|timeline|gantt)\b/;

/** Diagrams have a known kind, and as many closing brackets as opening ones. */
export const checkDiagrams: Check = async (blocks) =>
  blocks.flatMap((block) => {
    const problems = DIAGRAMS.test(block.code) ? [] : ['the first word is no kind of diagram'];
    for (const pair of ['[]', '()', '{}']) {
      const [opened, closed] = [...pair].map((mark) => block.code.split(mark).length);
      if (opened !== closed) problems.push(`${pair} do not match`);
    }
    return problems.map((problem) => `${place(block)}: ${problem}`);
  });

/** Every variable of ours that some code reads, or passes on. Tests make names up; of them only what they read counts. */
export function knownVariables(): Set<string> {
  const sources = [
    ...filesIn(['internal', 'cmd', 'sdk/worker', 'demo', 'docker', 'scripts', '.ci'], ''),
    ...['docker-compose.yml', 'Makefile', 'Dockerfile', 'vitest.config.ts'],
    ...filesIn(['docs/nats'], '.conf'),
  ].filter((path) => /\.(?:ts|mjs|sh|yml|conf)$|file$|^\.ci\/\w+$/.test(path));
  const named = sources.flatMap((path) => read(path).match(/\bHEADWAY_[A-Z0-9_]*[A-Z0-9]\b/g) ?? []);
  const ofTests = filesIn(['test', 'bench'], '.ts').flatMap((path) =>
    [...read(path).matchAll(/\benv\.(HEADWAY_\w+)/g)].map(([, name = '']) => name),
  );
  return new Set([...named, ...ofTests, ...settings().map(({ env }) => env)]);
}
