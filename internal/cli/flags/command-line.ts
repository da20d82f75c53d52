import { Command, CommanderError, Option } from 'commander';
import { addNatsOptions, type NatsFlags } from '../runtime/nats.js';

/** Other words for a command, as hands have them from kubectl and shells. */
export const ALIASES: Readonly<Record<string, string>> = {
  ls: 'list',
  describe: 'get',
  logs: 'history',
  events: 'tail',
};

/** The name of a command by whichever word it was called. */
export const commandName = (word: string): string =>
  Object.hasOwn(ALIASES, word) ? (ALIASES[word] as string) : word;

const COLOR_CHOICES = ['always', 'auto', 'never'] as const;
export interface ColorFlag {
  /** false with --no-color. */
  readonly color?: false | (typeof COLOR_CHOICES)[number] | undefined;
}

export function addColorOption(command: Command): Command {
  return command
    .addOption(
      new Option('--color <when>', 'colours; auto: at a terminal, and not with NO_COLOR').choices(
        COLOR_CHOICES,
      ),
    )
    .option('--no-color', 'the same as --color=never');
}

/** Options that may stand before the command's name, too. */
export function addGlobalOptions(command: Command): Command {
  return addColorOption(addNatsOptions(command));
}

/** A command line, taken apart without judging it. */
export interface CommandLine {
  /** What was said before the command's name. */
  readonly flags: NatsFlags;
  /** The command's word, and what stands behind it; nothing where there is none, or where a mistake stands before it. */
  readonly words: readonly string[];
}

/** Finds the word that names the command. Mistakes are told when the line is read in earnest. */
export function commandLine(args: readonly string[]): CommandLine {
  const scout = addGlobalOptions(quietCommand()).passThroughOptions();
  const words = parsed(scout, args)?.operands ?? [];
  return { flags: scout.opts(), words };
}

/** What of these words says where NATS is, whatever else they say. */
export function natsFlagsOf(words: readonly string[]): NatsFlags {
  const scout = addNatsOptions(quietCommand());
  parsed(scout, words);
  return scout.opts();
}

const quietCommand = (): Command =>
  new Command().exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} });

function parsed(scout: Command, args: readonly string[]): ReturnType<Command['parseOptions']> | null {
  try {
    return scout.parseOptions([...args]);
  } catch (error) {
    if (error instanceof CommanderError) return null;
    throw error;
  }
}

/** A second name of an option. What it leaves in the command's options, it leaves under the first name. */
class AliasOption extends Option {
  readonly #original: Option;

  constructor(flags: string, original: Option) {
    super(flags, original.description);
    this.#original = original;
    if (original.parseArg !== undefined) this.argParser(original.parseArg);
    // One line of the help is enough: that of the first name tells of the second.
    this.hideHelp();
  }

  override attributeName(): string {
    return this.#original.attributeName();
  }
}

/**
 * Adds a second name to an option that the command has.
 * @param flags as commander writes them, with the same kind of value: `--type <type>`
 * @param long the first name, such as `--job-type`
 * @throws RangeError when the command has no such option
 */
export function addAlias(command: Command, flags: string, long: string): Command {
  const original = command.options.find((one) => one.long === long);
  if (original === undefined) throw new RangeError(`${command.name()} has no option ${long}`);
  return command.addOption(new AliasOption(flags, original));
}

/** `-f, --follow`, and `-w, --watch` for hands that are used to it. */
export function addFollowOption(command: Command, description: string): Command {
  return addAlias(
    command.option('-f, --follow', `${description} (also -w, --watch)`),
    '-w, --watch',
    '--follow',
  );
}
