import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DocumentError, MAX_DOCUMENT_BYTES, openDocument } from '../../demo/document.js';
import { CATALOGUE, HELVETICA, makePdf, ONE_PAGE, page, pdfBomb, stream } from '../harness/pdf.js';

const DOCUMENTS = fileURLToPath(new URL('../../demo/documents/', import.meta.url));
const GUIDE = join(DOCUMENTS, 'field-guide-to-waiting.pdf');
const STATION_BOOK = join(DOCUMENTS, 'station-book.txt');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headway-document-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes a file and returns its path. */
async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

/** The error of opening a path, and of reading all its pages when it opens. */
async function failure(path: string): Promise<DocumentError> {
  try {
    await using document = await openDocument(path);
    for (let page = 1; page <= document.pageCount; page += 1) await document.page(page);
  } catch (error) {
    return error as DocumentError;
  }
  throw new Error(`${path} was read without an error`);
}

/** All pages of a document. */
async function pagesOf(path: string) {
  await using document = await openDocument(path);
  const pages = [];
  for (let page = 1; page <= document.pageCount; page += 1) pages.push(await document.page(page));
  return pages;
}

const SIMPLE = [
  CATALOGUE,
  ONE_PAGE,
  page(HELVETICA),
  stream('BT /F 12 Tf 20 200 Td (Three plain words) Tj ET'),
];

describe('the documents of the demonstration', () => {
  test('the field guide is a PDF of 14 pages with exactly these words on them', async () => {
    await using document = await openDocument(GUIDE);
    expect(document).toMatchObject({ name: 'field-guide-to-waiting.pdf', kind: 'pdf', pageCount: 14 });

    const pages = await pagesOf(GUIDE);
    expect(pages.map((each) => each.number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    expect(pages.map((each) => each.words)).toEqual([
      143, 289, 292, 303, 291, 299, 293, 313, 300, 289, 299, 301, 304, 288,
    ]);
    expect(pages.reduce((sum, each) => sum + each.characters, 0)).toBe(20_882);
  });

  test('the text of a PDF page comes out as it is read: heading, lines, quotation marks, page number', async () => {
    await using document = await openDocument(GUIDE);
    const { text } = await document.page(6);
    expect(text.split('\n').slice(0, 4)).toEqual([
      '5. The Repeat-Back',
      'Habitat: telegraph counters, ships’ bridges, good restaurants. Markings: a',
      'small tick. Call: your own words, returned.',
      '“Two soups, one without cream, and the trout,” you say. The waiter who',
    ]);
    expect(text).toMatch(/three birds with\s+nearly the same plumage\.\s+6 of 14$/);
  });

  test('the pages of the station book are the whole file, with exactly these words on them', async () => {
    await using document = await openDocument(STATION_BOOK);
    expect(document).toMatchObject({ name: 'station-book.txt', kind: 'text', pageCount: 12 });

    const pages = await pagesOf(STATION_BOOK);
    expect(pages.map((each) => each.words)).toEqual([
      383, 411, 322, 299, 373, 401, 386, 421, 394, 437, 491, 46,
    ]);
    const whole = await readFile(STATION_BOOK, 'utf8');
    expect(pages.map((each) => each.text).join('')).toBe(whole);
    expect(pages.reduce((sum, each) => sum + each.characters, 0)).toBe(22_611);
  });

  test('pages can be read in any order, again and at the same time', async () => {
    await using document = await openDocument(GUIDE);
    const read = await Promise.all([9, 2, 14, 2].map((number) => document.page(number)));
    expect(read.map((each) => [each.number, each.words])).toEqual([
      [9, 300],
      [2, 289],
      [14, 288],
      [2, 289],
    ]);
  });
});

describe('what a document is follows from what is in it', () => {
  test('a PDF under another name is a PDF', async () => {
    await using document = await openDocument(await file('letter.txt', makePdf(SIMPLE)));
    expect(document.kind).toBe('pdf');
    expect(await document.page(1)).toMatchObject({ text: 'Three plain words', words: 3, characters: 17 });
  });

  test('text under any other name is text', async () => {
    await using document = await openDocument(await file('notes.dat', 'Ærlig talt, 日本語 👩‍🚀\n'));
    expect(document).toMatchObject({ kind: 'text', pageCount: 1 });
    // The two words, and Japanese as one word; the astronaut is three characters and no word.
    expect(await document.page(1)).toMatchObject({ words: 3, characters: 20 });
  });

  test('a byte order mark is not part of the text', async () => {
    const [first] = await pagesOf(await file('bom.txt', '\uFEFFHello\n'));
    expect(first?.text).toBe('Hello\n');
  });

  test('Japanese text whose font is named but not contained can be read', async () => {
    const info = '/CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) /Supplement 2 >>';
    const cid = `<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Ryumin-Light ${info} /FontDescriptor 6 0 R >>`;
    const font =
      '<< /Type /Font /Subtype /Type0 /BaseFont /Ryumin-Light /Encoding /90ms-RKSJ-H /DescendantFonts [5 0 R] >>';
    const descriptor =
      '<< /Type /FontDescriptor /FontName /Ryumin-Light /Flags 4 /FontBBox [0 0 1 1] /ItalicAngle 0 /Ascent 1 /Descent 0 /StemV 1 >>';
    const content = stream('BT /F 12 Tf 20 200 Td <93fa967b8cea> Tj ET');
    const pdf = makePdf([CATALOGUE, ONE_PAGE, page(font), content, cid, descriptor]);
    const [first] = await pagesOf(await file('japanese.pdf', pdf));
    expect(first?.text).toBe('日本語');
  });

  test('a PDF page without text has no words and is no error', async () => {
    const blank = makePdf([CATALOGUE, ONE_PAGE, page(HELVETICA), stream('')]);
    const pages = await pagesOf(await file('blank.pdf', blank));
    expect(pages).toEqual([{ number: 1, text: '', words: 0, characters: 0 }]);
  });
});

describe('what cannot be read is refused with one sentence that names the file', () => {
  test('a file that does not exist', async () => {
    const path = join(folder, 'nothing.pdf');
    expect(await failure(path)).toMatchObject({
      name: 'DocumentAccessError',
      code: 'not_found',
      path,
      message: `"${path}" does not exist: expected the path of a PDF or a UTF-8 text file.`,
    });
    expect(await failure(join(await file('plain', 'x'), 'below'))).toMatchObject({ code: 'not_found' });
  });

  test('a folder, a device and a path that no system allows', async () => {
    const path = join(folder, 'folder.pdf');
    await mkdir(path);
    expect(await failure(path)).toMatchObject({
      code: 'is_a_directory',
      message: `"${path}" is a folder: expected a PDF or a UTF-8 text file.`,
    });
    expect(await failure('/dev/zero')).toMatchObject({ code: 'not_a_file' });
    expect(await failure('a\0b')).toMatchObject({ code: 'unreadable' });
  });

  test('an empty file, also when only a byte order mark is in it', async () => {
    const path = await file('empty.pdf', '');
    expect(await failure(path)).toMatchObject({
      name: 'DocumentContentError',
      code: 'empty',
      message: `"${path}" is empty: expected a PDF or a UTF-8 text file.`,
    });
    expect(await failure(await file('mark.txt', '\uFEFF'))).toMatchObject({ code: 'empty' });
  });

  test('a file that is too large, before it is read', async () => {
    const path = await file('large.txt', '');
    await truncate(path, MAX_DOCUMENT_BYTES + 1);
    expect(await failure(path)).toMatchObject({
      code: 'too_large',
      message: expect.stringContaining('67108864'),
    });
  });

  test('a file that is a PDF only by its name', async () => {
    const path = await file('page.PDF', '<html>404 Not Found</html>');
    expect(await failure(path)).toMatchObject({
      code: 'not_a_pdf',
      message: `"${path}" is not a PDF in spite of its name: expected it to begin with %PDF-.`,
    });
  });

  test('a PDF of which the end is missing, wherever it was cut off', async () => {
    const whole = await readFile(GUIDE);
    for (const share of [0.001, 0.3, 0.9, 0.999]) {
      const path = await file('cut.pdf', whole.subarray(0, Math.floor(whole.length * share)));
      expect(await failure(path)).toMatchObject({
        code: 'damaged_pdf',
        message: `"${path}" is a damaged PDF: expected a whole one, but its end is missing (no %%EOF).`,
      });
    }
  });

  test('a PDF without structure or without pages', async () => {
    expect(await failure(await file('noise.pdf', '%PDF-1.7\nnoise\n%%EOF\n'))).toMatchObject({
      code: 'damaged_pdf',
      message: expect.stringContaining('its structure cannot be read'),
    });
    const none = makePdf([CATALOGUE, '<< /Type /Pages /Kids [] /Count 0 >>']);
    expect(await failure(await file('none.pdf', none))).toMatchObject({ code: 'damaged_pdf' });
  });

  test('a damaged page, by its number, while the others can still be read', async () => {
    const bytes = Buffer.from(await readFile(GUIDE));
    const first = bytes.indexOf('/FlateDecode');
    bytes.fill(0xff, first + 60, first + 400);
    await using document = await openDocument(await file('page-damaged.pdf', bytes));
    const results = await Promise.allSettled(
      Array.from({ length: 14 }, (_, index) => document.page(index + 1)),
    );
    const broken = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.message] : []));
    expect(broken).toEqual([
      expect.stringMatching(/damaged PDF: expected a whole one, but page \d+ cannot be read\.$/),
    ]);
  });

  test('a PDF that is changed anywhere is read or refused, and never takes the process down', async () => {
    const whole = await readFile(GUIDE);
    for (let part = 0; part < 8; part += 1) {
      const bytes = Buffer.from(whole);
      // A ninth of the file apart, so that page tree, pages, fonts and the table at the end are all hit.
      for (let at = 20 + part * 997; at < bytes.length; at += Math.floor(bytes.length / 9)) bytes[at] = 0x5b;
      const path = await file('changed.pdf', bytes);
      const outcome = await pagesOf(path).then(
        () => 'read',
        (error: DocumentError) => error.code,
      );
      expect(['read', 'damaged_pdf']).toContain(outcome);
    }
  }, 60_000);

  test('a PDF that unpacks to gigabytes, while others are read', async () => {
    const bytes = pdfBomb();
    expect(bytes.length).toBeLessThan(100_000);
    const path = await file('bomb.pdf', bytes);
    const [refused, read] = await Promise.all([failure(path), pagesOf(GUIDE)]);
    expect(refused).toMatchObject({
      name: 'DocumentContentError',
      code: 'too_much_memory',
      message: `"${path}" takes more than 512 MB of memory to be read: expected a PDF that unpacks to less.`,
    });
    expect(read).toHaveLength(14);
  }, 120_000);

  test('a PDF that a password protects', async () => {
    const key = '00'.repeat(32);
    const lock = `/Encrypt << /Filter /Standard /V 1 /R 2 /O <${key}> /U <${key}> /P -4 >> /ID [<00> <00>]`;
    const path = await file('locked.pdf', makePdf(SIMPLE, lock));
    expect(await failure(path)).toMatchObject({
      code: 'password_protected',
      message: `"${path}" is protected by a password: expected a PDF that opens without one.`,
    });
  });

  test('text in another encoding, and files that are no text', async () => {
    expect(await failure(await file('latin1.txt', Buffer.from('Høvdingvik', 'latin1')))).toMatchObject({
      code: 'not_utf8',
    });
    expect(await failure(await file('utf16.txt', Buffer.from('\uFEFFHi', 'utf16le')))).toMatchObject({
      code: 'not_utf8',
      message: expect.stringContaining('UTF-16'),
    });
    expect(
      await failure(await file('picture.png', Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\r', 'latin1'))),
    ).toMatchObject({
      code: 'unsupported',
    });
  });

  test('a page that the document does not have, and any page after it was closed', async () => {
    for (const path of [GUIDE, STATION_BOOK]) {
      const document = await openDocument(path);
      for (const number of [0, -1, 1.5, Number.NaN, document.pageCount + 1]) {
        await expect(document.page(number)).rejects.toMatchObject({ code: 'no_such_page' });
      }
      const underway = document.page(2).catch((error: DocumentError) => error.code);
      await document.close();
      await document.close();
      await expect(document.page(1)).rejects.toMatchObject({ name: 'DocumentUseError', code: 'closed' });
      // Closed underneath a reader: the page, or a clear word, but never an answer that does not come.
      expect(['closed', expect.objectContaining({ number: 2 })]).toContainEqual(await underway);
    }
  });
});
