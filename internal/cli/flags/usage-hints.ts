import { Command, CommanderError, type Option } from 'commander';

// What helps somebody whose command line is refused.

/** Options that had another name before, by command. */
const RENAMED_OPTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  replay: { '--forget': '--reset' },
};

const CHOICES = /argument '(.*)' is invalid\..*Allowed choices are ([^.]*)\.$/s;
const UNKNOWN_OPTION = /^unknown option '([^'=]*)/;
const MISSING = /^option '(.*)' argument missing/;

/**
 * What is said of a mistake in the command line: commander's words, and what was probably meant.
 * @param said what commander says, without its "error: "
 * @param command the command's name; '' where none was named
 * @param options those that it knows
 * @returns whole sentences
 */
export function explainMistake(said: string, command: string, options: readonly Option[]): string {
  const text = said.replaceAll(/\s*\n\s*/g, ' ');
  const [, unknown = ''] = UNKNOWN_OPTION.exec(text) ?? [];
  const now = RENAMED_OPTIONS[command]?.[unknown];
  // What commander finds near it is something else.
  if (now !== undefined) return `unknown option '${unknown}'.${itIsCalled(now)}`;
  const near = suggestChoice(text);
  return `${text}${/[.)]$/.test(text) ? '' : '.'}${near === '' ? '' : ` ${near}`}${whatItTakes(text, options)}${idHint(unknown)}`;
}

/** For what was renamed: "It is called --reset now.", with a space before it. */
export const itIsCalled = (name: string): string => ` It is called ${name} now.`;

function whatItTakes(text: string, options: readonly Option[]): string {
  const [, flags] = MISSING.exec(text) ?? [];
  const choices = options.find((one) => one.flags === flags)?.argChoices;
  return choices === undefined ? '' : ` It takes ${choices.join(', ')}.`;
}

// A job's id may begin with a dash; an option of one dash has one letter.
const idHint = (unknown: string): string =>
  /^-[^-]./.test(unknown) ? ' An id that begins with - comes after a --.' : '';

/**
 * The choice that was probably meant, as commander says it of unknown commands: "(Did you mean json?)"; '' when none
 * comes near, or when the text is not about choices.
 */
function suggestChoice(text: string): string {
  const [, said = '', list = ''] = CHOICES.exec(text) ?? [];
  const choices = list.split(', ').filter((one) => one !== '');
  const unknown = said.split(',').find((one) => !choices.includes(one));
  return unknown === undefined ? '' : suggest(unknown, choices);
}

/** Which of these was probably meant: "(Did you mean json?)"; '' when none comes near. */
// Commander does not give away how it finds what is near, so it is asked for a command among these.
export function suggest(word: string, choices: readonly string[]): string {
  if (!/^\w/.test(word)) return '';
  const asked = new Command()
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  for (const choice of choices) asked.command(choice);
  try {
    asked.parse([word], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return /\(Did you mean .*\)/.exec(error.message)?.[0] ?? '';
    throw error;
  }
  return '';
}
