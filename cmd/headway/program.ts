import { Command, CommanderError } from 'commander';
import { HeadwayError } from '../../internal/errors/catalogue.js';
import { addCompletion } from './completion.js';
import { addDoctorCommand } from './doctor.js';
import { EXIT, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.js';
import { addExportCommand } from './export.js';
import { addGetCommand } from './get.js';
import { addHistoryCommand } from './history.js';
import { addInitCommand } from './init.js';
import { Exit, Interrupted, type Io, PipeClosed } from './io.js';
import { addListCommand } from './list.js';
import { addPurgeCommand } from './purge.js';
import { addReplayCommand } from './replay.js';
import { addStalledCommand } from './stalled.js';
import { addStatsCommand } from './stats.js';
import { addTailCommand } from './tail.js';
import { addTokenCommand } from './token.js';

/** Each command of `headway`, in the order of the help. A new one is a file beside this one and a line here. */
const COMMANDS: readonly ((program: Command, io: Io) => void)[] = [
  addListCommand,
  addGetCommand,
  addTailCommand,
  addHistoryCommand,
  addReplayCommand,
  addExportCommand,
  addStatsCommand,
  addStalledCommand,
  addDoctorCommand,
  addInitCommand,
  addTokenCommand,
  addPurgeCommand,
  addCompletion,
];

/**
 * Runs `headway` with these arguments.
 *
 * @returns the exit code, one of `EXIT`, or 128 and the signal that stopped it
 */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let help = '';
  const program = new Command('headway')
    .description('What operators and developers of Headway do by hand.')
    .exitOverride()
    .configureOutput({
      // Commander does not wait for what is written.
      writeOut: (text) => {
        help += text;
      },
      writeErr: io.note,
      // Errors are written below, in the same way as our own.
      outputError: () => {},
    })
    .addHelpText('after', EXIT_CODES_HELP);
  for (const add of COMMANDS) add(program, io);
  const outcome = await ending(program.parseAsync([...args], { from: 'user' }), io);
  const code = help === '' ? outcome : await ending(io.out(help), io, outcome);
  const { reason } = io.stopped;
  return reason instanceof Interrupted ? reason.exitCode : code;
}

async function ending(work: Promise<unknown>, io: Io, code: number = EXIT.done): Promise<number> {
  try {
    const own = await work;
    return typeof own === 'number' ? own : code;
  } catch (error) {
    if (error instanceof CommanderError) return usage(error, io);
    if (error instanceof PipeClosed) return EXIT.done;
    if (error instanceof Interrupted || error instanceof Exit) return error.exitCode;
    if (!(error instanceof HeadwayError)) throw error;
    io.note(`headway: ${error.message}\n`);
    return exitCodeOf(error);
  }
}

function usage(error: CommanderError, io: Io): number {
  // Help that was asked for, or shown because there was no command.
  if (error.exitCode === 0) return EXIT.done;
  if (error.code !== 'commander.help') {
    const text = error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
    io.note(`headway: ${text}${/[.)]$/.test(text) ? '' : '.'} Try --help.\n`);
  }
  return EXIT.usage;
}
