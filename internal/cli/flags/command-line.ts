import { Command, CommanderError } from 'commander';
import { addNatsOptions, type NatsFlags } from '../runtime/nats.js';
import { addColorOption } from './filters.js';

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
