import { Command, CommanderError } from 'commander';
import { HeadwayError } from '../errors.js';
import { ALIASES, addGlobalOptions, commandLine, commandName } from './flags/command-line.js';
import { explainMistake } from './flags/usage-hints.js';
import { wrapIndented } from './output/width.js';
import { type CliContext, Exit, PipeClosed, SignalError, VERSION } from './runtime/cli-context.js';
import { EXIT, EXIT_CODES_HELP, exitCodeOf } from './runtime/exit-codes.js';

type Add = (program: Command, context: CliContext) => void;

/**
 * Each command of `headway`, in the order of the help. A new one is a file beside this one and a line here. Only what is
 * needed is loaded: that saves a third of the time that a small command takes.
 */
const COMMANDS: Readonly<Record<string, () => Promise<Add>>> = {
  list: async () => (await import('./commands/list/list.js')).addListCommand,
  get: async () => (await import('./commands/get/get.js')).addGetCommand,
  tail: async () => (await import('./commands/tail/tail.js')).addTailCommand,
  history: async () => (await import('./commands/history/history.js')).addHistoryCommand,
  replay: async () => (await import('./commands/replay/replay.js')).addReplayCommand,
  export: async () => (await import('./commands/export/export.js')).addExportCommand,
  wait: async () => (await import('./commands/wait/wait.js')).addWaitCommand,
  top: async () => (await import('./commands/list/list.js')).addTopCommand,
  stats: async () => (await import('./commands/stats/stats.js')).addStatsCommand,
  stalled: async () => (await import('./commands/stalled.js')).addStalledCommand,
  fail: async () => (await import('./commands/fail/fail.js')).addFailCommand,
  doctor: async () => (await import('./commands/doctor/doctor.js')).addDoctorCommand,
  bench: async () => (await import('./commands/bench/bench.js')).addBenchCommand,
  init: async () => (await import('./commands/init.js')).addInitCommand,
  token: async () => (await import('./commands/token.js')).addTokenCommand,
  purge: async () => (await import('./commands/purge/purge.js')).addPurgeCommand,
  rm: async () => (await import('./commands/purge/purge.js')).addRmCommand,
  version: async () => (await import('./commands/version.js')).addVersionCommand,
  complete: async () => (await import('./commands/completion/completion.js')).addCompletion,
};

/**
 * Runs `headway` with these arguments.
 *
 * @returns the exit code, one of `EXIT`, or 128 and the signal that stopped it
 */
export async function run(args: readonly string[], context: CliContext): Promise<number> {
  let asked = '';
  const program = new Command('headway')
    .description('What operators and developers of Headway do by hand.')
    .version(`headway ${VERSION}`, '-V, --version', 'show the version')
    .exitOverride()
    // What stands before a command's name is for all of them; what stands behind it is the command's own.
    .enablePositionalOptions()
    .hook('preAction', handDown)
    .configureOutput({
      // Help and the version. Commander does not wait for what is written.
      writeOut: (text) => {
        asked += context.terminal.out ? wrapIndented(text, context.columns()) : text;
      },
      writeErr: context.stderr,
      // Errors are written below, in the same way as our own.
      outputError: () => {},
    })
    .addHelpText('after', EXIT_CODES_HELP);
  addGlobalOptions(program);
  for (const load of loadersFor(args)) (await load())(program, context);
  for (const command of program.commands) {
    for (const [alias, of] of Object.entries(ALIASES)) if (of === command.name()) command.alias(alias);
  }
  const parsing = program.parseAsync([...args], { from: 'user' }).catch((error: unknown) => {
    if (error instanceof CommanderError) return usage(error, program, args, context);
    throw error;
  });
  const outcome = await ending(parsing, context);
  const code = asked === '' ? outcome : await ending(context.stdout(asked), context, outcome);
  const { reason } = context.stopped;
  return reason instanceof SignalError ? reason.exitCode : code;
}

/** What has to be loaded for these arguments: help, completion of a command and an unknown command need all of them. */
function loadersFor(args: readonly string[]): readonly (() => Promise<Add>)[] {
  const [word = '', first, ...line] = commandLine(args).words;
  const isTabKey = word === 'complete' && first === '--';
  // The Tab key behind a command's name is about this command.
  const [called = '', ...rest] = isTabKey ? commandLine(line).words : [word];
  const name = commandName(called);
  const named = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (named === undefined || name === 'complete') return Object.values(COMMANDS);
  if (!isTabKey) return [named];
  return rest.length > 0 && COMMANDS.complete !== undefined
    ? [named, COMMANDS.complete]
    : Object.values(COMMANDS);
}

/** Gives a command what was said before its name, unless the command was told otherwise behind it. */
function handDown(program: Command, command: Command): void {
  for (const option of program.options) {
    const name = option.attributeName();
    const isMeant = program.getOptionValueSource(name) === 'cli';
    const isKnown = command !== program && command.options.some((one) => one.attributeName() === name);
    if (!isMeant || !isKnown || command.getOptionValueSource(name) === 'cli') continue;
    command.setOptionValueWithSource(name, program.getOptionValue(name), 'cli');
  }
}

async function ending(
  work: Promise<unknown>,
  context: CliContext,
  code: number = EXIT.done,
): Promise<number> {
  try {
    const own = await work;
    return typeof own === 'number' ? own : code;
  } catch (error) {
    if (error instanceof PipeClosed) return EXIT.done;
    if (error instanceof SignalError || error instanceof Exit) return error.exitCode;
    if (!(error instanceof HeadwayError)) throw error;
    context.stderr(`headway: ${error.message}\n`);
    return exitCodeOf(error);
  }
}

function usage(
  error: CommanderError,
  program: Command,
  args: readonly string[],
  context: CliContext,
): number {
  // Help that was asked for, or shown because there was no command.
  if (error.exitCode === 0) return EXIT.done;
  if (error.code !== 'commander.help') {
    const name = commandName(commandLine(args).words[0] ?? '');
    const command = program.commands.find((one) => one.name() === name);
    const options = [...(command?.options ?? []), ...program.options];
    const text = explainMistake(error.message.replace(/^error: /, ''), name, options);
    context.stderr(`headway: ${text} Try --help.\n`);
  }
  return EXIT.usage;
}
