import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { Document } from '../../demo/document.js';
import { type PageProgress, processDocument } from '../../demo/process.js';
import { paginate } from '../../demo/text-pages.js';
import { countCharacters, countWords, headingOf } from '../../demo/text-stats.js';

/** A document of these pages; reading one takes `readMs` on the clock. */
function documentOf(texts: string[], clock?: { ms: number }, readMs = 0): Document {
  const close = async () => undefined;
  return {
    name: 'test.txt',
    kind: 'text',
    pageCount: texts.length,
    page: async (number) => {
      if (clock) clock.ms += readMs;
      const text = texts[number - 1] ?? '';
      return { number, text, words: countWords(text), characters: countCharacters(text) };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A clock that only moves when somebody sleeps. */
function fakeTime() {
  const clock = { ms: 1_000 };
  const sleep = vi.fn(async (ms: number) => {
    clock.ms += ms;
  });
  return { clock, now: () => clock.ms, sleep };
}

describe('processing', () => {
  test('reports every page in order and sums them up', async () => {
    const seen: PageProgress[] = [];
    const texts = ['One\ntwo three', '\n  Four five six seven \n', 'eight'];
    const summary = await processDocument(documentOf(texts), {
      onPage: (progress) => void seen.push(progress),
      now: () => 0,
    });
    expect(seen).toEqual([
      { page: 1, pages: 3, words: 3, wordsSoFar: 3, heading: 'One' },
      { page: 2, pages: 3, words: 4, wordsSoFar: 7, heading: 'Four five six seven' },
      { page: 3, pages: 3, words: 1, wordsSoFar: 8, heading: 'eight' },
    ]);
    expect(summary).toEqual({ pages: 3, words: 8, characters: 42, seconds: 0, longest_page: 2 });
  });

  test('waits for each report before it goes on, and fails when a report fails', async () => {
    const order: string[] = [];
    const document = documentOf(['a', 'b', 'c']);
    const onPage = async ({ page }: PageProgress) => {
      order.push(`begin ${page}`);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`end ${page}`);
      if (page === 2) throw new Error('not published');
    };
    await expect(processDocument(document, { onPage })).rejects.toThrow('not published');
    expect(order).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2']);
  });

  test('gives each page its time before it is reported, less the time that reading took', async () => {
    const { clock, now, sleep } = fakeTime();
    const reportedAt: number[] = [];
    const summary = await processDocument(documentOf(['a', 'b', 'c'], clock, 30), {
      onPage: () => void reportedAt.push(clock.ms - 1_000),
      minPageMs: 250,
      now,
      sleep,
    });
    expect(reportedAt).toEqual([250, 500, 750]);
    expect(sleep.mock.calls.map(([ms]) => ms)).toEqual([220, 220, 220]);
    expect(summary.seconds).toBe(0.75);
  });

  test('does not pause when reading alone took long enough', async () => {
    const { clock, now, sleep } = fakeTime();
    await processDocument(documentOf(['a', 'b'], clock, 300), {
      onPage: () => {},
      minPageMs: 250,
      now,
      sleep,
    });
    expect(sleep).not.toHaveBeenCalled();
  });

  test('refuses a pace that is no time', async () => {
    for (const minPageMs of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(processDocument(documentOf(['a']), { onPage: () => {}, minPageMs })).rejects.toThrow(
        RangeError,
      );
    }
  });

  test('stops with the reason of the signal: before it begins, between pages, after the last, in a pause', async () => {
    const reason = new Error('told to stop');
    const onPage = vi.fn();
    const begun = processDocument(documentOf(['a']), { onPage, signal: AbortSignal.abort(reason) });
    await expect(begun).rejects.toBe(reason);
    expect(onPage).not.toHaveBeenCalled();

    for (const last of [1, 2]) {
      const stop = new AbortController();
      const seen: number[] = [];
      const stopAt = ({ page }: PageProgress) => {
        seen.push(page);
        if (page === last) stop.abort(reason);
      };
      const stopped = processDocument(documentOf(['a', 'b']), { onPage: stopAt, signal: stop.signal });
      await expect(stopped).rejects.toBe(reason);
      expect(seen).toHaveLength(last);
    }

    // A pause of an hour on the real clock: the test ends only because the pause is cut short.
    const stop = new AbortController();
    setImmediate(() => stop.abort(reason));
    const paused = processDocument(documentOf(['a']), { onPage, minPageMs: 3_600_000, signal: stop.signal });
    await expect(paused).rejects.toBe(reason);
    expect(onPage).not.toHaveBeenCalled();
  });
});

describe('words, characters and headings', () => {
  test('words are counted by Unicode’s rules', () => {
    expect(countWords('')).toBe(0);
    expect(countWords(' … — “!?” \n')).toBe(0);
    expect(countWords('Don’t stop: 3.14 naïve cafés, 20\u00a0°C')).toBe(7);
    expect(countWords('Καλημέρα Ζωή. Доброе утро! שלום עולם')).toBe(6);
    // Thai is written without spaces; this says "Hello world".
    expect(countWords('สวัสดีชาวโลก')).toBeGreaterThan(1);
  });

  test('characters are code points, and half a character counts as one', () => {
    expect(countCharacters('aé日👍\n')).toBe(5);
    expect(countCharacters('\ud83d')).toBe(1);
  });

  test('a heading is the first line that says something, cleaned, and at most 80 characters', () => {
    expect(headingOf('\n \t\r\n  IV.\tThe  Slow Hand \r\nmore')).toBe('IV. The Slow Hand');
    expect(headingOf(`bell\u0007 half \ud83d`)).toBe('bell half \ufffd');
    expect(headingOf('😀'.repeat(80))).toBe('😀'.repeat(80));
    expect(headingOf('😀'.repeat(81))).toBe(`${'😀'.repeat(79)}…`);
    expect(Array.from(headingOf('long '.repeat(1_000_000)))).toHaveLength(80);
    expect(headingOf('\u0007\n below')).toBe('below');
    expect(headingOf(' \n\f')).toBe('(no text on this page)');
  });
});

describe('pages of a text', () => {
  const numbered = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}\n`).join('');

  test('have 50 lines when there is no better place to end them', () => {
    expect(paginate(numbered(1, 120))).toEqual([numbered(1, 50), numbered(51, 100), numbered(101, 120)]);
    expect(paginate(numbered(1, 50))).toHaveLength(1);
  });

  test('end after a paragraph or before a new part when one is near', () => {
    const paragraph = `${numbered(1, 44)}\n`;
    expect(paginate(paragraph + numbered(45, 60))[0]).toBe(paragraph);
    const part = `${numbered(1, 33)}\n\n`;
    expect(paginate(`${part}II. Title\n\n${numbered(34, 60)}`)[0]).toBe(part);
  });

  test('end at form feeds, and only there, in a text that has any', () => {
    expect(paginate(`${numbered(1, 58)}\f${numbered(59, 60)}\f`)).toEqual([
      numbered(1, 58),
      numbered(59, 60),
    ]);
    expect(paginate('\f')).toEqual(['']);
  });

  test('are not made of blank lines at the end of the file', () => {
    expect(paginate(`${numbered(1, 50)}\n\n`)).toEqual([`${numbered(1, 50)}\n\n`]);
  });

  test('stay small in a text of one line, without a word or a character cut in two', () => {
    const pages = paginate('longword '.repeat(10_000));
    expect(pages.length).toBeGreaterThan(4);
    expect(pages.reduce((sum, text) => sum + countWords(text), 0)).toBe(10_000);
    const faces = paginate(`x${'😀'.repeat(30_000)}`);
    expect(faces.length).toBeGreaterThan(3);
    expect(faces.some((text) => /\p{Cs}/u.test(text))).toBe(false);
  });

  test('are together always the text, whatever it is', () => {
    const pieces = ['a word ', 'é', '👍', ' ', '\t', '\n', '\n', '\r', '\r\n', '\n\n\n', 'x'.repeat(25_000)];
    const text = fc.array(fc.constantFrom(...pieces), { maxLength: 400 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (whole) => {
        const pages = paginate(whole);
        expect(pages.join('')).toBe(whole);
        expect(pages.every((each) => each.length <= 20_000 + 400)).toBe(true);
      }),
    );
    fc.assert(
      fc.property(fc.array(text, { maxLength: 3 }), (parts) => {
        expect(paginate(parts.join('\f')).join('')).toBe(parts.join(''));
      }),
    );
  });
});
