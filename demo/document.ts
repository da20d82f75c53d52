import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { closedError, DocumentAccessError, DocumentContentError, noSuchPageError } from './document-error.js';
import { htmlText, isHtml } from './html-text.js';
import { openPdf } from './pdf.js';
import { paginate } from './text-pages.js';
import { countCharacters, countWords } from './text-stats.js';

export {
  DocumentAccessError,
  DocumentContentError,
  DocumentError,
} from './document-error.js';

/** One page of a document; `number` counts from 1. */
export interface Page {
  readonly number: number;
  readonly text: string;
  readonly words: number;
  readonly characters: number;
}

/** An open document. Close it, or declare it with `await using`. */
export interface Document extends AsyncDisposable {
  /** The name of the file, without its folder. */
  readonly name: string;
  readonly kind: 'pdf' | 'text';
  readonly pageCount: number;
  /** Reads one page, from 1 to `pageCount`. */
  page(number: number): Promise<Page>;
  /** Lets go of the memory. May be called more than once. */
  close(): Promise<void>;
}

/** The largest file that is opened: a document is held in memory while it is open. */
export const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;

const EXPECTED = 'a PDF or a UTF-8 text file';
const PDF_MAGIC = '%PDF-';

/**
 * Opens a PDF or a text file, of HTML what people read. Which of them it is follows from what is in it and not from its name.
 * @throws {DocumentAccessError} the file cannot be read: missing, a folder, a device, too large
 * @throws {DocumentContentError} it holds no document: empty, damaged, protected, not UTF-8, of another kind
 */
export async function openDocument(path: string): Promise<Document> {
  const bytes = await readBytes(path);
  if (bytes.length === 0) {
    throw new DocumentContentError('empty', path, `"${path}" is empty: expected ${EXPECTED}.`);
  }
  if (bytes.subarray(0, PDF_MAGIC.length).toString('latin1') === PDF_MAGIC) {
    const pdf = await openPdf(path, bytes);
    return makeDocument(path, 'pdf', pdf);
  }
  if (path.toLowerCase().endsWith('.pdf')) {
    throw new DocumentContentError(
      'not_a_pdf',
      path,
      `"${path}" is not a PDF in spite of its name: expected it to begin with ${PDF_MAGIC}.`,
    );
  }
  const text = decodeText(path, bytes);
  let pages = paginate(isHtml(text) ? htmlText(text) : text);
  return makeDocument(path, 'text', {
    pageCount: pages.length,
    text: async (number) => pages[number - 1] ?? '',
    close: async () => {
      pages = [];
    },
  });
}

interface Source {
  readonly pageCount: number;
  text(page: number): Promise<string>;
  close(): Promise<void>;
}

function makeDocument(path: string, kind: Document['kind'], source: Source): Document {
  const { pageCount } = source;
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await source.close();
  };
  return {
    name: basename(path),
    kind,
    pageCount,
    async page(number) {
      if (!Number.isInteger(number) || number < 1 || number > pageCount) {
        throw noSuchPageError(path, number, pageCount);
      }
      const text = closed
        ? undefined
        : await source.text(number).catch((error: unknown) => {
            // Reading fails oddly when the document is closed underneath it; what happened is simpler.
            if (!closed) throw error;
          });
      if (text === undefined) throw closedError(path);
      return { number, text, words: countWords(text), characters: countCharacters(text) };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    // Before it is opened: merely opening a named pipe would wait for ever.
    const info = await stat(path);
    if (info.isDirectory()) {
      throw new DocumentAccessError('is_a_directory', path, `"${path}" is a folder: expected ${EXPECTED}.`);
    }
    if (!info.isFile()) {
      throw new DocumentAccessError(
        'not_a_file',
        path,
        `"${path}" is not a regular file: expected ${EXPECTED}.`,
      );
    }
    if (info.size > MAX_DOCUMENT_BYTES) {
      throw new DocumentAccessError(
        'too_large',
        path,
        `"${path}" has ${info.size} bytes: expected at most ${MAX_DOCUMENT_BYTES}.`,
      );
    }
    return await readFile(path);
  } catch (error) {
    if (error instanceof DocumentAccessError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new DocumentAccessError(
        'not_found',
        path,
        `"${path}" does not exist: expected the path of ${EXPECTED}.`,
        { cause: error },
      );
    }
    throw new DocumentAccessError(
      'unreadable',
      path,
      `"${path}" cannot be read (${code ?? String(error)}): expected ${EXPECTED} that may be read.`,
      { cause: error },
    );
  }
}

function decodeText(path: string, bytes: Buffer): string {
  const isUtf16 = bytes.length >= 2 && [0xfeff, 0xfffe].includes(bytes.readUInt16BE(0));
  if (isUtf16) {
    throw new DocumentContentError(
      'not_utf8',
      path,
      `"${path}" is UTF-16 text: expected UTF-8, so save it as that.`,
    );
  }
  if (bytes.includes(0)) {
    throw new DocumentContentError(
      'unsupported',
      path,
      `"${path}" is neither a PDF nor text: expected ${EXPECTED}.`,
    );
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new DocumentContentError(
      'not_utf8',
      path,
      `"${path}" is not UTF-8 text: expected a PDF, or text that is encoded as UTF-8 throughout.`,
      { cause: error },
    );
  }
  // What is left when the file held only a byte order mark.
  if (text === '') throw new DocumentContentError('empty', path, `"${path}" is empty: expected ${EXPECTED}.`);
  return text;
}
