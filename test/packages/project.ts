/** An empty project, as somebody has who installs one of Headway's packages, and the examples of the documents to run in it. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { guard } from '../harness/watchdog.js';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PACKAGES = join(ROOT, 'dist/packages');
/** The address that the documents' examples connect to. */
const EXAMPLE_ADDRESS = 'nats://127.0.0.1:4222';

/** The one file of `dist/packages/` that begins and ends like this; undefined: `make packages` has written none. */
export function packageFile(name: string, ending: '.tgz' | '.whl'): string | undefined {
  const found = existsSync(PACKAGES)
    ? readdirSync(PACKAGES).filter((file) => file.startsWith(name) && file.endsWith(ending))
    : [];
  if (found.length > 1) throw new Error(`dist/packages/ has more than one ${name}: ${found.join(', ')}`);
  return found[0] && join(PACKAGES, found[0]);
}

/** @throws Error that says what to run, where there is none */
export function tarball(name: string): string {
  const found = packageFile(name, '.tgz');
  if (found === undefined) throw new Error(`there is no ${name} in dist/packages/: run \`make packages\``);
  return found;
}

/** The code blocks of a document in a language. */
export function blocksOf(document: string, language: 'js' | 'tsx' | 'python'): string[] {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    (match) => match[1] ?? '',
  );
}

/** An example with the address of a server that runs. */
export function at(url: string, example: string): string {
  if (!example.includes(EXAMPLE_ADDRESS))
    throw new Error(`the example does not connect to ${EXAMPLE_ADDRESS}`);
  return example.replaceAll(EXAMPLE_ADDRESS, url);
}

/**
 * Runs a program to its end.
 * @returns what it wrote to stdout
 * @throws Error with all that it wrote, when it ends with another code than 0
 */
export async function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<string> {
  const running = promisify(execFile)(program, args, { timeout: 150_000, killSignal: 'SIGKILL', ...options });
  const release = guard(running.child.pid ?? 0);
  try {
    return (await running).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error });
  } finally {
    release();
  }
}
