import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { DocumentContentError } from './document-error.js';
import { PDF_THREAD, type PdfThreadAnswer, type PdfThreadData, type PdfThreadRequest } from './pdf-thread.js';

/** The pages of a PDF as text. */
export interface PdfText {
  readonly pageCount: number;
  text(page: number): Promise<string>;
  close(): Promise<void>;
}

/** A whole PDF ends with this mark; readers look for it in the last 1,024 bytes. */
const END_MARK = '%%EOF';
const END_MARK_WITHIN = 1024;

/** A page that takes longer is made to take for ever, or might as well be. */
const ANSWER_WITHIN_MS = 60_000;
const MEMORY_MB = 512;

/** Opens a PDF from its bytes, which must not be used afterwards; `path` is for messages. */
export async function openPdf(path: string, bytes: Uint8Array<ArrayBuffer>): Promise<PdfText> {
  const end = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(-END_MARK_WITHIN);
  // PDF.js repairs what it can, and a file that was cut off may come out of that with fewer pages and no word
  // about it. A wrong count is worse than a refusal.
  if (!end.includes(END_MARK)) throw damaged(path, `its end is missing (no ${END_MARK})`);

  const thread = new PdfThread(bytes);
  try {
    const answer = await thread.answer();
    if (answer.kind === 'failed' && answer.name === 'PasswordException') throw passwordProtected(path);
    if (answer.kind !== 'open') throw damaged(path, 'its structure cannot be read', answer);
    if (answer.pageCount < 1) throw damaged(path, 'it has no pages');
    return {
      pageCount: answer.pageCount,
      text: async (page) => {
        const read = await thread.answer({ page });
        if (read.kind !== 'text') throw damaged(path, `page ${page} cannot be read`, read);
        return read.text;
      },
      close: () => thread.close(),
    };
  } catch (error) {
    await thread.close();
    throw error;
  }
}

/** The thread that reads one PDF. Whatever happens to it, every question gets an answer. */
class PdfThread {
  readonly #worker: Worker;
  readonly #waiting: ((answer: PdfThreadAnswer) => void)[] = [];
  #end: PdfThreadAnswer | undefined;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    const { resolve } = createRequire(import.meta.url);
    const pdfjs = dirname(resolve('pdfjs-dist/package.json'));
    const workerData: PdfThreadData = {
      module: pathToFileURL(join(pdfjs, 'legacy', 'build', 'pdf.mjs')).href,
      standardFonts: join(pdfjs, 'standard_fonts', sep),
      cMaps: join(pdfjs, 'cmaps', sep),
      bytes,
    };
    this.#worker = new Worker(PDF_THREAD, {
      eval: true,
      workerData,
      transferList: [bytes.buffer],
      // Options of the main program (a loader, an inspector) are not meant for this one.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
    });
    this.#worker.on('message', (answer: PdfThreadAnswer) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#stop(error.name, error.message));
    this.#worker.on('exit', () => this.#stop('Error', 'the reader has ended'));
  }

  /** The answer to a request; without one, the answer about opening the file, which comes unasked. */
  async answer(request?: PdfThreadRequest): Promise<PdfThreadAnswer> {
    if (this.#end) return this.#end;
    const answer = new Promise<PdfThreadAnswer>((resolve) => this.#waiting.push(resolve));
    if (request) this.#worker.postMessage(request);
    const timer = setTimeout(() => {
      this.#stop('TimeoutError', `no answer within ${ANSWER_WITHIN_MS / 1000} seconds`);
      void this.close();
    }, ANSWER_WITHIN_MS);
    // A document that somebody forgot to close should not keep the process alive.
    this.#worker.ref();
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      if (this.#waiting.length === 0) this.#worker.unref();
    }
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(answer: PdfThreadAnswer): void {
    this.#waiting.shift()?.(answer);
  }

  #stop(name: string, message: string): void {
    this.#end ??= { kind: 'failed', name, message };
    while (this.#waiting.length > 0) this.#settle(this.#end);
  }
}

function passwordProtected(path: string): DocumentContentError {
  return new DocumentContentError(
    'password_protected',
    path,
    `"${path}" is protected by a password: expected a PDF that opens without one.`,
  );
}

function damaged(path: string, reason: string, answer?: PdfThreadAnswer): DocumentContentError {
  const message = `"${path}" is a damaged PDF: expected a whole one, but ${reason}.`;
  const cause = answer?.kind === 'failed' ? `${answer.name}: ${answer.message}` : undefined;
  return new DocumentContentError('damaged_pdf', path, message, { cause });
}
