/** Reads command lines of a shell, as far as the documents write them. */

/** The commands of a script, each as its words: quotes and comments are gone, and what is substituted is `x`. */
export function commandsOf(script: string): string[][] {
  return new ShellReader(script.replace(/\\\n\s*/g, ' ')).read('');
}

const KEYWORDS = new Set(['do', 'then', 'else', 'exec', 'time', 'sudo', '!', '{', 'source', 'if', 'while']);

class ShellReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @param close ends what is read: `)` in a substitution, nothing at the top */
  read(close: string): string[][] {
    const commands: string[][] = [];
    let words: string[] = [];
    let word: string | null = null;
    const endWord = (): void => {
      if (word !== null) words.push(word);
      word = null;
    };
    const endCommand = (): void => {
      endWord();
      while (KEYWORDS.has(words[0] ?? '') || /^\w+=/.test(words[0] ?? '')) words.shift();
      if (words.length > 0) commands.push(words);
      words = [];
    };
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at++] ?? '';
      const next = this.#text[this.#at] ?? '';
      if (char === close) break;
      if (char === '#' && word === null) this.#skipTo('\n');
      else if (char === "'") word = (word ?? '') + this.#quoted("'");
      else if (char === '"') word = (word ?? '') + this.#quoted('"', commands);
      else if ((char === '$' || char === '<') && next === '(') {
        this.#at++;
        commands.push(...this.read(')'));
        word = `${word ?? ''}x`;
      } else if (char === '\\') word = (word ?? '') + (this.#text[this.#at++] ?? '');
      else if (char === ' ' || char === '\t') endWord();
      else if (';|&\n()'.includes(char)) endCommand();
      else if (char === '>' || char === '<') {
        // The number in front says which of its streams it is.
        if (/^\d$/.test(word ?? '')) word = null;
        this.#redirect();
      } else word = (word ?? '') + char;
    }
    endCommand();
    return commands;
  }

  #quoted(quote: string, commands: string[][] = []): string {
    let text = '';
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at++] ?? '';
      if (char === quote) break;
      if (quote === '"' && char === '\\') text += this.#text[this.#at++] ?? '';
      else if (quote === '"' && char === '$' && this.#text[this.#at] === '(') {
        this.#at++;
        commands.push(...this.read(')'));
        text += 'x';
      } else text += char;
    }
    return text;
  }

  #redirect(): void {
    const rest = /^[>&]*\s*[^\s;|&)]*/.exec(this.#text.slice(this.#at));
    this.#at += rest?.[0].length ?? 0;
  }

  #skipTo(end: string): void {
    const found = this.#text.indexOf(end, this.#at);
    this.#at = found < 0 ? this.#text.length : found;
  }
}

/** The arguments of `headway` in these words, however it is called; null when another program is. */
export function headwayArguments(words: readonly string[]): readonly string[] | null {
  if (words[0] === 'headway') return words.slice(1);
  if (words[0] === 'node' && words[1] === 'dist/cmd/headway.js') return words.slice(2);
  if (words[0] === 'docker' && words.some((word) => word === 'run' || word === 'exec')) {
    const at = words.lastIndexOf('headway');
    return at < 0 || at === words.length - 1 ? null : words.slice(at + 1);
  }
  return null;
}
