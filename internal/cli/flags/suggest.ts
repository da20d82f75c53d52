import { Command, CommanderError } from 'commander';

const CHOICES = /argument '(.*)' is invalid\..*Allowed choices are ([^.]*)\.$/s;

/**
 * The choice that was probably meant, as commander says it of unknown commands: "(Did you mean json?)"; '' when none
 * comes near, or when the text is not about choices.
 * @param text what commander says of an argument that is none of the choices
 */
export function suggestChoice(text: string): string {
  const [, said = '', list = ''] = CHOICES.exec(text) ?? [];
  const choices = list.split(', ').filter((one) => one !== '');
  const unknown = said.split(',').find((one) => !choices.includes(one));
  return unknown === undefined ? '' : suggest(unknown, choices);
}

// Commander does not give away how it finds what is near, so it is asked for a command among these.
function suggest(word: string, choices: readonly string[]): string {
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
