/**
 * A program of its own: runs a command that must not outlive the demo. It ends the command when the demo says so by
 * closing the channel between them, which the system also does when the demo dies of anything, `kill -9` included.
 * So there is one way to the end and not two.
 *
 *     node supervisor.js <ms between SIGTERM and SIGKILL> <prefix of a temporary folder, or nothing> <command> [<argument> …]
 *
 * The folder is made before the command starts and removed when it is gone; `{folder}` in arguments stands for it.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

/** What the supervisor reports to the demo about its command. */
export type SupervisorMessage =
  | { readonly kind: 'started'; readonly pid: number; readonly folder: string | undefined }
  /** It could not be started at all; `reason` is a system error such as ENOENT. */
  | { readonly kind: 'failed'; readonly reason: string };

const [killAfterMs = '', prefix = '', command = '', ...args] = process.argv.slice(2);
const folder = prefix === '' ? undefined : mkdtempSync(join(tmpdir(), prefix));

function send(message: SupervisorMessage, then: () => void = () => {}): void {
  // With a callback, because that nobody listens any more is no error here: 'disconnect' tells it.
  process.send?.(message, undefined, undefined, then);
}

function end(code: number): never {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
  process.exit(code);
}

const filled = folder === undefined ? args : args.map((arg) => arg.replaceAll('{folder}', folder));
const child = spawn(command, filled, { stdio: ['ignore', 'inherit', 'inherit'] });

let isStopping = false;
function stop(): void {
  if (isStopping) return;
  isStopping = true;
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), Number(killAfterMs));
}

child.on('error', (error: NodeJS.ErrnoException) => {
  // Also emitted when a signal cannot be sent; the process then still runs.
  if (child.pid !== undefined) return;
  send({ kind: 'failed', reason: error.code ?? error.message }, () => end(1));
});
// As shells have it: a signal counts from 128.
child.on('exit', (code, signal) => end(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
child.on('spawn', () => send({ kind: 'started', pid: child.pid ?? 0, folder }));

process.on('disconnect', stop);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
// The demo may have died while this program was loading, before anybody listened.
if (!process.connected) stop();
