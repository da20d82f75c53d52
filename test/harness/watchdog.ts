/**
 * Nothing that a test starts outlives the test's process, however that process ends.
 *
 * One small watchdog process per test process is told over its stdin which processes and folders are ours. When the
 * pipe ends, because the test process finished, crashed or was killed with -9, it kills the processes and removes the
 * folders that have not been released. It stands in a session of its own, so that a Ctrl-C or a kill of the whole
 * process group does not take it along.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Plain JavaScript: it runs in a bare node, without this suite's transforms. Lines are `+item` and `-item`. */
const PROGRAM = `
const { rmSync } = require('node:fs');
const items = new Set();
let rest = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (text) => {
  const lines = (rest + text).split('\\n');
  rest = lines.pop();
  for (const line of lines) {
    const item = JSON.parse(line.slice(1));
    if (line[0] === '+') items.add(item); else items.delete(item);
  }
});
function reap() {
  for (const item of items) {
    if (typeof item === 'number') try { process.kill(item, 'SIGKILL'); } catch {}
  }
  for (const item of items) {
    if (typeof item === 'string') try { rmSync(item, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }); } catch {}
  }
  process.exit(0);
}
process.stdin.on('end', reap);
process.stdin.on('error', reap);
`;

let watchdog: ChildProcess | undefined;

/** Hands a process id or a folder to the watchdog; call what it returns once the thing is gone. */
export function guard(item: number | string): () => void {
  tell('+', item);
  return () => tell('-', item);
}

/** A new folder under the system's temporary folder, and how to remove it again. */
export async function guardedFolder(prefix: string): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `${prefix}-`));
  const release = guard(path);
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
      release();
    },
  };
}

function tell(sign: '+' | '-', item: number | string): void {
  watchdog ??= startWatchdog();
  watchdog.stdin?.write(`${sign}${JSON.stringify(item)}\n`);
}

function startWatchdog(): ChildProcess {
  const child = spawn(process.execPath, ['-e', PROGRAM], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: {},
  });
  child.on('error', (error) => {
    throw new Error('the test harness could not start its watchdog', { cause: error });
  });
  // It ends when we do; until then it keeps neither the event loop nor the test runner waiting.
  child.unref();
  const { stdin } = child;
  if (stdin !== null) {
    stdin.on('error', () => {});
    if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  }
  // A worker of the test runner whose runner was killed only loses its channel: then nobody needs our children.
  process.once('disconnect', () => stdin?.end());
  return child;
}
