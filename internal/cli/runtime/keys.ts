import type { StopSignal } from './cli-context.js';

const CTRL_C = '\u0003';
const CTRL_Z = '\u001a';
const CTRL_BACKSLASH = '\u001c';

/**
 * Keys as they are pressed, without Enter; see `CliContext.keys`. The terminal makes no signals of keys then, so that is done
 * here.
 */
export function keys(pressed: (typed: string) => void, stop: (signal: StopSignal) => void): () => void {
  const { stdin } = process;
  let isOn = true;
  // A shell sets the terminal as it likes it while this process stands still.
  const takeKeys = (): void => {
    if (!isOn) return;
    stdin.setRawMode(false);
    stdin.setRawMode(true);
  };
  // The whole job, as the terminal would: what stands in the same pipe stops as well. Where no shell could continue it,
  // as in a container, the system lets it run on, and the keys go on too.
  const suspend = (): void => {
    stdin.setRawMode(false);
    process.kill(0, 'SIGTSTP');
    setImmediate(takeKeys);
  };
  const press = (typed: string): void => {
    switch (typed) {
      case CTRL_C:
        stop('SIGINT');
        return;
      case CTRL_BACKSLASH:
        stop('SIGQUIT');
        return;
      case CTRL_Z:
        suspend();
        return;
      default:
        if (typed !== '') pressed(typed);
    }
  };
  const onData = (data: string): void => {
    // Typed fast, or pasted, several come at once.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the keys.
    for (const typed of data.split(/([\u0003\u001a\u001c])/)) press(typed);
  };
  stdin.setEncoding('utf8');
  stdin.setRawMode(true);
  stdin.on('data', onData);
  stdin.resume();
  process.on('SIGCONT', takeKeys);
  return () => {
    if (!isOn) return;
    isOn = false;
    process.off('SIGCONT', takeKeys);
    stdin.off('data', onData);
    stdin.setRawMode(false);
    stdin.pause();
  };
}
