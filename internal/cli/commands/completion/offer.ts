import type { Command, Option } from 'commander';

/** What of NATS the Tab key asks for. */
export type Asked = 'jobs' | 'types';

/** Where the cursor of a command line stands. */
export interface Place {
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
export function placeOf(command: Command, words: readonly string[]): Place {
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
