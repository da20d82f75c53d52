/** What the process is told first: addresses in the installed PDF.js, the file, and how much memory it may take. */
export interface PdfStart {
  readonly module: string;
  readonly standardFonts: string;
  readonly cMaps: string;
  readonly bytes: Uint8Array;
  /** Of the whole process. */
  readonly mostBytes: number;
}

/** A page to read. */
export interface PdfRequest {
  readonly page: number;
}

/** The first answer is about opening the file; then there is one for each request, in their order. */
export type PdfAnswer =
  | { readonly kind: 'open'; readonly pageCount: number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'too_much_memory' }
  | { readonly kind: 'failed'; readonly name: string; readonly message: string };

/** The thread that reads. What PDF.js has to say stays in it, and so do the globals that it sets. */
const THREAD = `
  const Module = require('node:module');
  const { parentPort, workerData } = require('node:worker_threads');

  // PDF.js can also draw. It loads a native canvas when one is installed and fails without its DOMMatrix when none
  // is. Nothing is drawn here: empty stand-ins are enough, and keep native code away from the file.
  const load = Module._load;
  Module._load = (request, ...rest) => (request === '@napi-rs/canvas' ? {} : load(request, ...rest));
  for (const name of ['DOMMatrix', 'ImageData', 'Path2D']) globalThis[name] ??= class {};

  // What PDF.js has to say about a file comes back as an answer; its console is only this thread's.
  for (const name of ['log', 'info', 'warn', 'error']) console[name] = () => {};

  const open = async () => {
    const pdfjs = await import(workerData.module);
    const pdf = await pdfjs.getDocument({
      data: workerData.bytes,
      verbosity: pdfjs.VerbosityLevel.ERRORS,
      // Tables for fonts and scripts that a PDF may name without containing them.
      standardFontDataUrl: workerData.standardFonts,
      cMapUrl: workerData.cMaps,
      cMapPacked: true,
      useSystemFonts: false,
      isEvalSupported: false,
      // Otherwise a page that is half damaged is half a page, and nobody learns of it.
      stopAtErrors: true,
    }).promise;
    parentPort.postMessage({ kind: 'open', pageCount: pdf.numPages });
    return pdf;
  };

  const read = async (pdf, number) => {
    const page = await pdf.getPage(number);
    const { items } = await page.getTextContent();
    const text = items.map((item) => (item.hasEOL ? item.str + '\\n' : (item.str ?? ''))).join('');
    page.cleanup();
    parentPort.postMessage({ kind: 'text', text });
  };

  const failed = (error) => {
    parentPort.postMessage({ kind: 'failed', name: String(error?.name), message: String(error?.message) });
  };

  open().then((pdf) => {
    let turn = Promise.resolve();
    parentPort.on('message', ({ page }) => {
      turn = turn.then(() => read(pdf, page)).catch(failed);
    });
  }, failed);
`;

/**
 * The program of the process in which PDF.js reads one file.
 *
 * A process of its own, because a few kilobytes may unpack to gigabytes. The limits of a thread do not hold that: what is
 * unpacked lies outside of the memory that they count. So a second thread reads, and the first one looks how large the process
 * has become. On a damaged file PDF.js may also leave a promise rejected that nobody holds, which ends a process. And whoever
 * sends a file that takes over its reader finds no settings and no credentials there.
 *
 * As text, because a process starts from JavaScript, and the file that this one is compiled to is not there when
 * the source is run without compiling it (as the tests do).
 */
export const PDF_PROGRAM = `
  const { Worker } = require('node:worker_threads');

  // By a signal: a thread that unpacks does not stop to be told.
  const end = () => process.kill(process.pid, 'SIGKILL');
  process.on('disconnect', end);
  // Ctrl-C is for who started it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});

  process.once('message', ({ mostBytes, ...workerData }) => {
    // A copy: what came with the message may share its memory.
    const bytes = new Uint8Array(workerData.bytes);
    const worker = new Worker(${JSON.stringify(THREAD)}, {
      eval: true,
      workerData: { ...workerData, bytes },
      transferList: [bytes.buffer],
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(mostBytes / 2 ** 20) },
    });
    const tell = (answer) => process.send(answer, () => {});
    const last = (answer) => process.send(answer, end);
    worker.on('message', tell);
    worker.on('error', (error) =>
      last(
        error.code === 'ERR_WORKER_OUT_OF_MEMORY'
          ? { kind: 'too_much_memory' }
          : { kind: 'failed', name: String(error?.name), message: String(error?.message) },
      ),
    );
    process.on('message', (request) => worker.postMessage(request));
    setInterval(() => {
      if (process.memoryUsage.rss() > mostBytes) last({ kind: 'too_much_memory' });
    }, 20);
  });
`;
