import { Command, CommanderError } from 'commander';
import { HeadwayError } from '../../internal/errors/catalogue.js';
import type { Io } from './io.js';
import { addTokenCommand } from './token.js';

/** Each command of `headway`, in the order of the help. A new one is a file beside this one and a line here. */
const COMMANDS: readonly ((program: Command, io: Io) => void)[] = [addTokenCommand];

/**
 * Runs `headway` with these arguments.
 *
 * @returns the exit code: 0, 1 when something failed, 2 for a mistake in arguments or environment
 */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const program = new Command('headway')
    .description('What operators and developers of Headway do by hand.')
    .exitOverride()
    // Errors are written below, in the same way as our own.
    .configureOutput({ writeOut: io.out, writeErr: io.note, outputError: () => {} });
  for (const add of COMMANDS) add(program, io);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return usage(error, io);
    if (!(error instanceof HeadwayError)) throw error;
    io.note(`headway: ${error.message}\n`);
    return error.exitCode;
  }
}

function usage(error: CommanderError, io: Io): number {
  // Help that was asked for, or shown because there was no command.
  if (error.exitCode === 0) return 0;
  if (error.code !== 'commander.help') {
    const text = error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
    io.note(`headway: ${text}${/[.)]$/.test(text) ? '' : '.'} Try --help.\n`);
  }
  return 2;
}
