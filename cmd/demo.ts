import { DemoError, Interrupted } from '../demo/errors.js';
import { readOptions, USAGE } from '../demo/options.js';
import { Screen } from '../demo/screen.js';
import { HeadwayError } from '../internal/errors.js';

/** Aborted when the demo has to end early: by a person, or because a part of it failed. */
const scope = new AbortController();
let isTerminalGone = false;
const interrupt = (): void => scope.abort(new Interrupted());
const hangUp = (): void => {
  isTerminalGone = true;
  interrupt();
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);
process.on('SIGHUP', hangUp);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // EPIPE: the reader of a pipe, such as head, has seen enough.
  if (error.code === 'EPIPE') interrupt();
  else if (error.code === 'EIO') hangUp();
  else scope.abort(new DemoError(`Cannot write to the standard output (${error.message}).`));
});

const asked = readOptions(process.argv.slice(2), process.env);
if (asked.kind === 'help') {
  process.stdout.write(USAGE);
} else {
  const screen = new Screen(process.stdout, process.env);
  const code = await run(asked, screen);
  if (isTerminalGone) dieOfHangUp();
  else process.exit(code);
}

async function run({ options, problems }: Exclude<typeof asked, { kind: 'help' }>, screen: Screen) {
  try {
    // Only now, because loading it takes a moment in which a Ctrl-C should be heard already.
    const { runDemo } = await import('../demo/run.js');
    const isFine = await runDemo({ options, problems, screen, scope, isTerminal: isTerminal() });
    return isFine ? 0 : 1;
  } catch (error) {
    if (error instanceof Interrupted) {
      screen.line();
      screen.line('Stopped. Whatever the demo started has ended.');
      return 0;
    }
    if (!(error instanceof HeadwayError)) throw error;
    screen.line();
    process.stderr.write(`headway demo: ${error.message}\n`);
    return 1;
  }
}

/** An orderly exit would have Node reset a terminal that is not there any more, and Node aborts when it cannot. */
function dieOfHangUp(): void {
  process.off('SIGHUP', hangUp);
  process.kill(process.pid, 'SIGHUP');
}

/** Whether there is somebody who could press Ctrl-C. */
function isTerminal(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}
