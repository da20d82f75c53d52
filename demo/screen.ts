import type { ProgressUpdate } from '../schemas/frames.js';
import { printable } from '../schemas/text.js';
import type { Job } from './jobs.js';
import { count, plural, seconds, seqRanges, shorten } from './text.js';
import type { Resumed, WatcherEvents } from './watcher.js';

const COLOURS = { dim: '2', bold: '1', red: '31', green: '32', yellow: '33', cyan: '36' } as const;
type Colour = keyof typeof COLOURS;

const BAR_WIDTH = 10;
const MAX_LABEL = 28;
const ROW_NAME_WIDTH = 13;

/** The result of a job, as the worker of the demo makes it. */
interface DocumentResult {
  readonly pages: number;
  readonly words: number;
  readonly seconds: number;
  readonly paused_seconds: number;
  readonly longest_page: number;
}

/** Shows what happens, a line for each thing: coloured and cut to the width on a terminal, plain elsewhere. */
export class Screen implements WatcherEvents {
  readonly #out: NodeJS.WriteStream;
  readonly #isTerminal: boolean;
  readonly #hasColours: boolean;
  #labels = new Map<string, string>();
  #labelWidth = 0;
  #isAtGap = true;

  constructor(out: NodeJS.WriteStream, env: Readonly<Record<string, string | undefined>>) {
    this.#out = out;
    this.#isTerminal = out.isTTY === true;
    this.#hasColours = this.#isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
  }

  /** The jobs whose updates will be shown. */
  follow(jobs: readonly Job[]): void {
    this.#labels = new Map(jobs.map(({ id, label }) => [id, shorten(label, MAX_LABEL)]));
    this.#labelWidth = Math.max(...[...this.#labels.values()].map((label) => label.length));
  }

  /** A line, or an empty one; never two empty ones in a row, nor one at the beginning. */
  line(text = ''): void {
    if (text === '' && this.#isAtGap) return;
    this.#isAtGap = text === '';
    this.#out.write(`${text}\n`);
  }

  /** A headline, with room above it. */
  title(text: string): void {
    this.line();
    this.line(this.#paint('bold', text));
  }

  /** A name and what it stands for. */
  row(name: string, value: string, width = ROW_NAME_WIDTH): void {
    this.line(`  ${this.#paint('dim', name.padEnd(width))}  ${value}`);
  }

  update(update: ProgressUpdate, isReplayed: boolean): void {
    const { seq, processing_id, progress, status } = update;
    const label = this.#labels.get(processing_id) ?? processing_id;
    const left = `${isReplayed ? '>' : ' '} ${String(seq).padStart(5)}  `;
    const middle = `${String(Math.floor(progress)).padStart(3)}%  ${label.padEnd(this.#labelWidth)}  `;
    // The bar and the space after it.
    const room = this.#width - left.length - middle.length - this.#bar(0).length - 2;
    const words = shorten(messageOf(update), room);
    const colour: Colour = status === 'error' ? 'red' : status === 'completed' ? 'green' : 'cyan';
    this.line(
      this.#paint(isReplayed ? 'yellow' : 'dim', left) +
        this.#paint(colour, this.#bar(progress)) +
        ` ${middle}` +
        (status === 'processing' ? words : this.#paint(colour, words)),
    );
  }

  cut(cursor: number, planned: boolean): void {
    const how = planned
      ? 'The demo cuts its own connection, without a close frame, and stays away for a moment'
      : 'The connection broke by itself';
    this.line();
    this.notice(`--- ${how}. The last it saw is seq ${cursor}.`);
  }

  back(cursor: number, epoch: string): void {
    this.notice(`--- Back with last_seq=${cursor}&epoch=${epoch}; ">" marks what it had missed:`);
    this.line();
  }

  resumed({ from, updates, problems, leftOut }: Resumed): void {
    if (leftOut !== undefined) {
      const got = plural(updates.length, 'update');
      this.notice(
        `--- The edge cannot replay all after seq ${from} and says so: ${leftOut}; instead came ${got}.`,
      );
      this.line();
      return;
    }
    if (problems.length > 0) {
      const list = problems.join('; ');
      this.line(this.#paint('red', `--- Away after seq ${from}, and not all is well: ${list}.`));
      return;
    }
    const missed =
      updates.length === 0
        ? 'missed nothing'
        : `missed ${plural(updates.length, 'update')} (${seqRanges(updates.map(({ seq }) => seq))}), got ` +
          `${updates.length === 1 ? 'it' : `all ${count(updates.length)}, in order, each once`}`;
    this.notice(`--- Connection cut after seq ${from}, back with last_seq=${from}: ${missed}.`);
    this.line();
  }

  /** What came out, from the last update of each document. */
  results(jobs: readonly Job[], updates: readonly ProgressUpdate[]): void {
    const last = new Map(updates.map((update) => [update.processing_id, update]));
    for (const { id, label } of jobs) {
      const end = last.get(id);
      const text = end === undefined ? 'nothing was received' : outcome(end);
      this.row(shorten(label, MAX_LABEL), text, this.#labelWidth);
    }
  }

  summary(isFine: boolean, lines: readonly string[]): void {
    for (const line of lines) this.line(this.#paint(isFine ? 'green' : 'red', line));
  }

  get #width(): number {
    return this.#isTerminal ? Math.max(60, this.#out.columns || 80) : Number.POSITIVE_INFINITY;
  }

  /** Something that happened, and is no update. */
  notice(text: string): void {
    this.line(this.#paint('yellow', text));
  }

  #bar(progress: number): string {
    const done = Math.floor((Math.min(100, progress) * BAR_WIDTH) / 100);
    return this.#hasColours
      ? '━'.repeat(done) + '┄'.repeat(BAR_WIDTH - done)
      : `[${'#'.repeat(done)}${'.'.repeat(BAR_WIDTH - done)}]`;
  }

  #paint(colour: Colour, text: string): string {
    return this.#hasColours ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
  }
}

function messageOf({ error, message, status }: ProgressUpdate): string {
  const text = error === undefined ? message : `${error.code}: ${error.message}`;
  return printable(text ?? status);
}

function outcome({ result, error, status }: ProgressUpdate): string {
  if (status === 'error') return `failed: ${printable(error?.message ?? 'without a reason')}`;
  if (status !== 'completed') return 'did not come to an end';
  const {
    pages,
    words,
    seconds: taken,
    paused_seconds: paused,
    longest_page: longest,
  } = result as DocumentResult;
  const work = paused > 0 ? ` (${seconds(taken - paused)} of work, the rest is the pace)` : '';
  return `${plural(pages, 'page')}, ${plural(words, 'word')}, ${seconds(taken)}${work}; the longest is page ${longest}`;
}
