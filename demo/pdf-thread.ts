/** What the thread is started with: addresses in the installed PDF.js, and the file. */
export interface PdfThreadData {
  readonly module: string;
  readonly standardFonts: string;
  readonly cMaps: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A page to read. */
export interface PdfThreadRequest {
  readonly page: number;
}

/** The first answer is about opening the file; then there is one for each request, in their order. */
export type PdfThreadAnswer =
  | { readonly kind: 'open'; readonly pageCount: number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'failed'; readonly name: string; readonly message: string };

/**
 * The program of the thread in which PDF.js reads one file.
 *
 * A thread of its own, because on a damaged file PDF.js may leave a promise rejected that nobody holds, which ends
 * the whole process, and because parsing a large page would hold up everything else. What PDF.js prints is
 * kept quiet there without touching anyone else's console, and the globals that it sets stay there too.
 *
 * As text, because a thread starts from JavaScript, and the file that this one is compiled to is not there when
 * the source is run without compiling it (as the tests do).
 */
export const PDF_THREAD = `
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
