import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DocumentContentError } from './document-error.js';
import { PDF_PROGRAM, type PdfAnswer, type PdfRequest, type PdfStart } from './pdf-program.js';

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
/** Of the process that reads: it has about 100 before it has unpacked anything. */
const MEMORY_MB = 512;

/** Opens a PDF from its bytes; `path` is for messages. */
export async function openPdf(path: string, bytes: Buffer): Promise<PdfText> {
  const end = bytes.subarray(-END_MARK_WITHIN);
  // PDF.js repairs what it can, and a file that was cut off may come out of that with fewer pages and no word
  // about it. A wrong count is worse than a refusal.
  if (!end.includes(END_MARK)) throw damaged(path, `its end is missing (no ${END_MARK})`);

  const reader = new PdfReader(bytes);
  try {
    const answer = await reader.answer();
    if (answer.kind === 'failed' && answer.name === 'PasswordException') throw passwordProtected(path);
    if (answer.kind === 'too_much_memory') throw tooMuchMemory(path);
    if (answer.kind !== 'open') throw damaged(path, 'its structure cannot be read', answer);
    if (answer.pageCount < 1) throw damaged(path, 'it has no pages');
    return {
      pageCount: answer.pageCount,
      text: async (page) => {
        const read = await reader.answer({ page });
        if (read.kind === 'too_much_memory') throw tooMuchMemory(path);
        if (read.kind !== 'text') throw damaged(path, `page ${page} cannot be read`, read);
        return read.text;
      },
      close: () => reader.close(),
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The process that reads one PDF. Whatever happens to it, every question gets an answer. */
class PdfReader {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #waiting: ((answer: PdfAnswer) => void)[] = [];
  #end: PdfAnswer | undefined;

  constructor(bytes: Uint8Array) {
    const { resolve } = createRequire(import.meta.url);
    const pdfjs = dirname(resolve('pdfjs-dist/package.json'));
    this.#child = spawn(process.execPath, ['--eval', PDF_PROGRAM], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
      // Nothing of ours is meant for it: no options of the main program, and no credentials.
      env: {},
    });
    this.#child.on('message', (answer: PdfAnswer) =>
      answer.kind === 'too_much_memory' ? this.#stop(answer) : this.#settle(answer),
    );
    this.#child.on('error', ({ name, message }) => this.#stop({ kind: 'failed', name, message }));
    this.#exited = new Promise((done) => {
      this.#child.once('exit', done);
      this.#child.once('error', done);
    });
    void this.#exited.then(() =>
      this.#stop({ kind: 'failed', name: 'Error', message: 'the reader has ended' }),
    );
    this.#tell({
      module: pathToFileURL(join(pdfjs, 'legacy', 'build', 'pdf.mjs')).href,
      standardFonts: join(pdfjs, 'standard_fonts', sep),
      cMaps: join(pdfjs, 'cmaps', sep),
      bytes,
      mostBytes: MEMORY_MB * 2 ** 20,
    });
  }

  /** The answer to a request; without one, the answer about opening the file, which comes unasked. */
  async answer(request?: PdfRequest): Promise<PdfAnswer> {
    if (this.#end) return this.#end;
    const answer = new Promise<PdfAnswer>((resolve) => this.#waiting.push(resolve));
    if (request) this.#tell(request);
    const timer = setTimeout(() => {
      const message = `no answer within ${ANSWER_WITHIN_MS / 1000} seconds`;
      this.#stop({ kind: 'failed', name: 'TimeoutError', message });
    }, ANSWER_WITHIN_MS);
    // A document that somebody forgot to close should not keep the process alive.
    this.#child.ref();
    this.#child.channel?.ref();
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      if (this.#waiting.length === 0) {
        this.#child.unref();
        this.#child.channel?.unref();
      }
    }
  }

  async close(): Promise<void> {
    this.#child.ref();
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #tell(message: PdfStart | PdfRequest): void {
    // One that is not there any more does not take it; that it has ended is told by itself.
    this.#child.send(message, () => {});
  }

  #settle(answer: PdfAnswer): void {
    this.#waiting.shift()?.(answer);
  }

  #stop(end: PdfAnswer): void {
    this.#end ??= end;
    while (this.#waiting.length > 0) this.#settle(this.#end);
    this.#child.kill('SIGKILL');
  }
}

function tooMuchMemory(path: string): DocumentContentError {
  return new DocumentContentError(
    'too_much_memory',
    path,
    `"${path}" takes more than ${MEMORY_MB} MB of memory to be read: expected a PDF that unpacks to less.`,
  );
}

function passwordProtected(path: string): DocumentContentError {
  return new DocumentContentError(
    'password_protected',
    path,
    `"${path}" is protected by a password: expected a PDF that opens without one.`,
  );
}

function damaged(path: string, reason: string, answer?: PdfAnswer): DocumentContentError {
  const message = `"${path}" is a damaged PDF: expected a whole one, but ${reason}.`;
  const cause = answer?.kind === 'failed' ? `${answer.name}: ${answer.message}` : undefined;
  return new DocumentContentError('damaged_pdf', path, message, { cause });
}
