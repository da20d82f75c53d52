import tab from '@bomb.sh/tab/commander';
import type { Command, Option } from 'commander';
import { commandLine, commandName, natsFlagsOf } from '../../flags/command-line.js';
import { EVENT_STATUSES, JOB_STATUSES } from '../../flags/filters.js';
import { type CliContext, UsageError } from '../../runtime/cli-context.js';
import { type Asked, offered } from './ask.js';

const SHELLS = ['zsh', 'bash', 'fish', 'powershell'] as const;

const EXAMPLES = `
Examples:
  source <(headway complete bash)                    in ~/.bashrc
  source <(headway complete zsh)                     in ~/.zshrc, after compinit
  headway complete fish > ~/.config/fish/completions/headway.fish
`;

/**
 * Ours, since the library's gives the line to eval: there the Tab key runs what stands in $( ) and empties the file after
 * a >. It needs nothing of bash-completion, and may be read twice.
 */
const BASH = `# bash completion for headway
_headway_complete() {
    local words=() word value
    COMPREPLY=()
    # bash takes --output=json apart at the =.
    for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
        [[ $word == = ]] || words+=("$word")
    done
    [[ \${COMP_WORDS[COMP_CWORD]} == = ]] && words+=("")
    while IFS=$'\\t' read -r value _; do
        case $value in
            :0) compopt -o default 2>/dev/null ;;
            :*) ;;
            *) COMPREPLY+=("$value") ;;
        esac
    done < <(headway complete -- "\${words[@]}" 2>/dev/null)
}
complete -F _headway_complete headway
`;

/**
 * `headway complete`: shell completion of commands, options and what options may be. Last, since it completes what is
 * there when it is added.
 */
export function addCompletion(program: Command, context: CliContext): void {
  const completion = tab(program);
  for (const { value, options } of completion.commands.values()) {
    // An option that may be repeated has no choices that commander knows.
    const status = options.get('status');
    if (status === undefined) continue;
    completion.commands
      .get(value)
      ?.option('status', status.description, offer(value === 'list' ? JOB_STATUSES : EVENT_STATUSES));
  }
  completion.commands.get('complete')?.argument('shell', offer(SHELLS));
  completion.commands.get('help')?.argument('command', offer(program.commands.map((one) => one.name())));
  const command = program.commands.find((one) => one.name() === 'complete');
  command?.addHelpText('after', EXAMPLES).action(async () => {
    const words = [...command.args];
    const { rawArgs } = program as Command & { readonly rawArgs: readonly string[] };
    const isRequest = rawArgs[rawArgs.indexOf('complete') + 1] === '--';
    if (!isRequest)
      return context.stdout(scriptFor(words, (shell) => completion.setup('headway', 'headway', shell)));
    const { flags, words: own } = commandLine(words);
    const [word = '', ...rest] = own;
    // A word that is still being typed is no command yet.
    if (rest.length === 0)
      return context.stdout(said(() => completion.parse(own.length > 0 ? [...own] : words)));
    const called = [commandName(word), ...rest];
    if (isFileWanted(program, called)) return context.stdout(':0\n');
    const known = program.commands.find((one) => one.name() === called[0]);
    const place = known === undefined ? null : placeOf(known, rest);
    if (place === null || place.asked === null) return context.stdout(said(() => completion.parse(called)));
    const nats = { ...flags, ...natsFlagsOf(rest) };
    const found = await offered(context, nats, place.asked, place.typed);
    return context.stdout(`${found.map((one) => `${one}\t\n`).join('')}:4\n`);
  });
}

const offer = (values: readonly string[]) => (complete: (value: string, description: string) => void) => {
  for (const one of values) complete(one, '');
};

function scriptFor(words: readonly string[], write: (shell: string) => void): string {
  const shell = SHELLS.find((one) => one === words[0]);
  if (shell === undefined || words.length !== 1) {
    throw new UsageError(`Name one shell. Allowed choices are ${SHELLS.join(', ')}.`);
  }
  return shell === 'bash' ? BASH : said(() => write(shell));
}

/** Whether the last of these words is an option's value that names a file: the shell knows those. */
function isFileWanted(program: Command, words: readonly string[]): boolean {
  const last = words.at(-1) ?? '';
  const name = /^(--[^=]+)=/.exec(last)?.[1] ?? words.at(-2);
  const options = program.commands.find((one) => one.name() === words[0])?.options ?? [];
  return options.some(({ long, flags }) => long === name && flags.endsWith('<file>'));
}

// The library writes by console.log, which tells nobody of a full disk.
function said(work: () => void): string {
  const { log } = console;
  let text = '';
  console.log = (line: string) => {
    text += `${line}\n`;
  };
  try {
    work();
  } finally {
    console.log = log;
  }
  return text;
}

/** Where the cursor of a command line stands. */
export interface CompletionPosition {
  /** What is typed of the word so far; of `--type=x` the part behind the =. */
  readonly typed: string;
  /** What stands before it in the same word: `--type=`. */
  readonly prefix: string;
  /** What may stand here that NATS knows; null: nothing. */
  readonly asked: Asked | null;
}

/**
 * What may stand where the last word is being typed.
 * @param command the command that is called; its aliases of options count
 * @param words behind the command's name; the last one is being typed, and may be empty
 */
export function placeOf(command: Command, words: readonly string[]): CompletionPosition {
  const last = words.at(-1) ?? '';
  const [prefix = ''] = /^--[^=]+=/.exec(last) ?? [];
  const isOperand = words.slice(0, -1).includes('--');
  const flag = prefix === '' ? words.at(-2) : prefix.slice(0, -1);
  const option = isOperand
    ? undefined
    : command.options.find(({ long, short }) => flag !== undefined && (flag === long || flag === short));
  if (option !== undefined && (option.required || option.optional)) {
    return { typed: last.slice(prefix.length), prefix, asked: valuesOf(option) };
  }
  if (!isOperand && last.startsWith('-')) return { typed: last, prefix: '', asked: null };
  const takesJobs = command.registeredArguments.some((one) => ['id', 'ids'].includes(one.name()));
  return { typed: last, prefix: '', asked: takesJobs ? 'jobs' : null };
}

function valuesOf(option: Option): Asked | null {
  switch (option.attributeName()) {
    case 'job':
      return 'jobs';
    case 'jobType':
      return 'types';
    default:
      return null;
  }
}
