import { setTimeout as delay } from 'node:timers/promises';
import type { Document } from './document.js';
import { headingOf } from './text-stats.js';

/** How far the work is after a page. */
export interface PageProgress {
  /** The page just done, from 1. */
  readonly page: number;
  readonly pages: number;
  /** The words on this page. */
  readonly words: number;
  readonly wordsSoFar: number;
  /** The first line of the page, at most 80 characters. */
  readonly heading: string;
}

/** What came out; the names are those of the event that carries it. */
export interface DocumentSummary {
  readonly pages: number;
  readonly words: number;
  readonly characters: number;
  /** How long it took, to the millisecond. */
  readonly seconds: number;
  /** The number of the page with the most words; the first such page. */
  readonly longest_page: number;
}

/** How to process a document; time is passed in so that nothing has to wait for it in tests. */
export interface ProcessOptions {
  /** Called and awaited after every page; when it fails, so does the processing. */
  readonly onPage: (progress: PageProgress) => void | Promise<void>;
  /** Stops the work: the promise is rejected with the signal's reason, also in the middle of a pause. */
  readonly signal?: AbortSignal | undefined;
  /** Each page takes at least this long, so that a person can watch. Default: no pause. */
  readonly minPageMs?: number | undefined;
  /** A clock in milliseconds. */
  readonly now?: (() => number) | undefined;
  readonly sleep?: ((ms: number, signal: AbortSignal | undefined) => Promise<unknown>) | undefined;
}

/** Goes through a document page by page. The document stays open. */
export async function processDocument(document: Document, options: ProcessOptions): Promise<DocumentSummary> {
  const { onPage, signal, minPageMs = 0, now = () => performance.now(), sleep = defaultSleep } = options;
  if (!Number.isFinite(minPageMs) || minPageMs < 0) {
    throw new RangeError(`minPageMs is ${minPageMs}: expected a number of milliseconds from 0.`);
  }
  const pages = document.pageCount;
  const began = now();
  let words = 0;
  let characters = 0;
  let longest = { number: 1, words: -1 };

  for (let number = 1; number <= pages; number += 1) {
    signal?.throwIfAborted();
    const pageBegan = now();
    const page = await document.page(number);
    words += page.words;
    characters += page.characters;
    if (page.words > longest.words) longest = page;

    // The pause comes before the report: a page that is reported is done, and so the last page, which ends the
    // job, is not followed by a pause that nobody can explain.
    const rest = minPageMs - (now() - pageBegan);
    if (rest > 0) await pause(rest, signal, sleep);
    signal?.throwIfAborted();
    await onPage({
      page: number,
      pages,
      words: page.words,
      wordsSoFar: words,
      heading: headingOf(page.text),
    });
  }
  signal?.throwIfAborted();
  const seconds = Math.round(now() - began) / 1000;
  return { pages, words, characters, seconds, longest_page: longest.number };
}

async function pause(ms: number, signal: AbortSignal | undefined, sleep: typeof defaultSleep): Promise<void> {
  try {
    await sleep(ms, signal);
  } catch (error) {
    // A timer that was stopped rejects with an error of its own; who asked for the stop knows only the reason.
    signal?.throwIfAborted();
    throw error;
  }
}

function defaultSleep(ms: number, signal: AbortSignal | undefined): Promise<unknown> {
  return delay(ms, undefined, signal ? { signal } : {});
}
