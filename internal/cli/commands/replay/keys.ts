/** What a key does during a replay. */
export type ReplayCommand = 'pause' | 'step' | 'faster' | 'slower' | 'quit';

const COMMANDS: ReadonlyMap<string, ReplayCommand> = new Map([
  [' ', 'pause'],
  ['p', 'pause'],
  ['n', 'step'],
  ['right', 'step'],
  // The right arrow as terminals send it, in both of their modes.
  ['\u001b[C', 'step'],
  ['\u001bOC', 'step'],
  ['+', 'faster'],
  ['=', 'faster'],
  ['-', 'slower'],
  ['_', 'slower'],
  ['q', 'quit'],
  // Ctrl-D, which a terminal in raw mode does not turn into an end of the input.
  ['\u0004', 'quit'],
]);

/** The keys, for a line of help. */
export const KEYS_HELP = 'space: pause, n or right arrow: step, + and -: speed, q: quit';

/** The same, short enough to stand behind the state in 80 columns. */
export const KEYS_HINT = 'space pause, n step, + - speed, q quit';

/** What this key does; null: nothing. */
export function commandOf(key: string): ReplayCommand | null {
  return COMMANDS.get(key) ?? COMMANDS.get(key.toLowerCase()) ?? null;
}

const ESCAPE = '\u001b';
const KEY = new RegExp(`${ESCAPE}[[O][\\d;]*[A-Za-z~]|.`, 'gsu');

/** The keys in what a terminal sends at once: whoever types fast, or holds a key down, sends several. */
export const keysOf = (data: string): readonly string[] => data.match(KEY) ?? [];
