import tab from '@bomb.sh/tab/commander';
import type { Command } from 'commander';
import { STATUS_FILTERS } from './choice/selection.js';

const EXAMPLES = `
Examples:
  source <(headway complete bash)                    in ~/.bashrc; needs bash-completion
  source <(headway complete zsh)                     in ~/.zshrc
  headway complete fish > ~/.config/fish/completions/headway.fish
`;

/**
 * `headway complete`: shell completion of commands, options and what options may be. Last, since it completes what is
 * there when it is added.
 */
export function addCompletion(program: Command): void {
  const completion = tab(program);
  for (const { value, options } of completion.commands.values()) {
    // An option that may be repeated has no choices that commander knows.
    const status = options.get('status');
    if (status === undefined) continue;
    completion.commands.get(value)?.option('status', status.description, (complete) => {
      for (const one of STATUS_FILTERS) complete(one, '');
    });
  }
  program.commands.find((command) => command.name() === 'complete')?.addHelpText('after', EXAMPLES);
}
