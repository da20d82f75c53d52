import { open, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { printable } from '../schemas/text.js';
import { DocumentContentError, DocumentError, openDocument } from './document.js';
import { Problem } from './problem.js';

/** The largest document that the page takes. */
export const MAX_UPLOAD_BYTES = 32 * 1024 * 1024;
/** Each page is an event, and takes its time: a text of form feeds would have millions of them. */
export const MAX_UPLOAD_PAGES = 5_000;
const FORM_FEED = 0x0c;
const MAX_NAME = 120;

/** The name of a document as its sender says, made fit to be shown: without folders and signs that nobody sees. */
export function documentName(header: string | string[] | undefined): string {
  let name: string;
  try {
    name = decodeURIComponent(String(header ?? ''));
  } catch {
    throw new Problem(400, 'bad_name', 'X-File-Name is no name: expected one that is percent-encoded UTF-8.');
  }
  const last = printable(name.split(/[/\\]/).at(-1) ?? '').trim();
  const shown = Array.from(last);
  const cut = shown.length > MAX_NAME ? `${shown.slice(0, MAX_NAME - 1).join('')}…` : last;
  return cut === '' || cut === '.' || cut === '..' ? 'document' : cut;
}

/**
 * Writes what is sent to a file, and looks whether it is a document.
 * @param path where there is nothing yet; there is nothing after a failure either
 * @param name for messages
 * @returns how many pages it has
 * @throws Problem, when it is too large, empty, no document or damaged, or has too many pages
 */
export async function receiveDocument(request: IncomingMessage, path: string, name: string): Promise<number> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_UPLOAD_BYTES) throw tooLarge(name);
  // Opened before anything can be refused: a file that a stream opens by itself may come to be behind its removal.
  const file = await open(path, 'wx', 0o600);
  try {
    // The request stays open when this fails: its sender is owed an answer.
    const source = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    await pipeline(inspect(source, name), file.createWriteStream());
    return await countPages(path, name);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/** Lets through what may be a document, and no more than is allowed. */
async function* inspect(source: AsyncIterable<Buffer>, name: string): AsyncGenerator<Buffer> {
  let size = 0;
  let formFeeds = 0;
  let isText = false;
  for await (const chunk of source) {
    // Most of what is no document says so at once. The rest is looked at when it is complete.
    if (size === 0) isText = chunk.length >= 5 && !isPdf(chunk);
    if (isText && size === 0 && chunk.includes(0)) throw noDocument(name);
    size += chunk.length;
    if (size > MAX_UPLOAD_BYTES) throw tooLarge(name);
    // Before it is taken apart, which would hold up everything else.
    if (isText) formFeeds += countFormFeeds(chunk);
    if (formFeeds >= MAX_UPLOAD_PAGES) throw tooManyPages(name);
    yield chunk;
  }
}

function isPdf(beginning: Buffer): boolean {
  return beginning.subarray(0, 5).toString('latin1') === '%PDF-';
}

function countFormFeeds(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(FORM_FEED); at >= 0; at = chunk.indexOf(FORM_FEED, at + 1)) count += 1;
  return count;
}

async function countPages(path: string, name: string): Promise<number> {
  try {
    await using document = await openDocument(path);
    if (document.pageCount > MAX_UPLOAD_PAGES) throw tooManyPages(name);
    return document.pageCount;
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    // Where it lies here is nobody's business.
    const detail = error.message.replaceAll(path, () => name);
    if (!(error instanceof DocumentContentError)) throw new Problem(500, error.code, detail);
    if (error.code === 'unsupported') throw noDocument(name);
    throw new Problem(error.code === 'not_utf8' ? 415 : 422, error.code, detail);
  }
}

function tooLarge(name: string): Problem {
  const limit = `${MAX_UPLOAD_BYTES / 1024 / 1024} MiB`;
  return new Problem(413, 'too_large', `"${name}" is too large: expected at most ${limit}.`);
}

function tooManyPages(name: string): Problem {
  const limit = MAX_UPLOAD_PAGES.toLocaleString('en');
  return new Problem(413, 'too_many_pages', `"${name}" has too many pages: expected at most ${limit}.`);
}

function noDocument(name: string): Problem {
  return new Problem(
    415,
    'unsupported',
    `"${name}" is neither a PDF nor text: expected a PDF, HTML, or a UTF-8 text file.`,
  );
}
