import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { printable } from '../schemas/text.js';
import { DocumentAccessError, DocumentContentError, openDocument } from './document.js';

/** One document to process. */
export interface Job {
  readonly id: string;
  readonly path: string;
  /** For people: the file's name, or its path where names are the same. */
  readonly label: string;
  /** null: it can be read, but it is no document that can be processed. */
  readonly pages: number | null;
}

const SHIPPED = ['field-guide-to-waiting.pdf', 'station-book.txt'];
/** From dist/demo/ to where the documents are, which are not compiled. */
const SHIPPED_FOLDER = new URL('../../demo/documents/', import.meta.url);

/** The documents that come with the demo. */
export function shippedDocuments(): string[] {
  return SHIPPED.map((name) => fileURLToPath(new URL(name, SHIPPED_FOLDER)));
}

/**
 * Looks into every file, so that what cannot be read at all is known before anything is started. What can be read
 * but is no whole document is left to the worker: to say so is its job, and others may wait to hear it.
 */
export async function survey(paths: readonly string[]): Promise<{ jobs: Job[]; problems: string[] }> {
  const jobs: Job[] = [];
  const problems: string[] = [];
  for (const path of paths) {
    try {
      jobs.push({ id: jobId(path), path, label: labelOf(path, paths), pages: await countPages(path) });
    } catch (error) {
      if (!(error instanceof DocumentAccessError)) throw error;
      problems.push(error.message);
    }
  }
  return { jobs, problems };
}

async function countPages(path: string): Promise<number | null> {
  try {
    await using document = await openDocument(path);
    return document.pageCount;
  } catch (error) {
    if (error instanceof DocumentContentError) return null;
    throw error;
  }
}

/** The file's name in the characters that an id may have, and something that makes every run another one. */
export function jobId(path: string): string {
  const name = basename(path)
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60);
  return `${name || 'document'}-${randomBytes(3).toString('hex')}`;
}

function labelOf(path: string, paths: readonly string[]): string {
  const name = basename(path);
  const isAmbiguous = paths.filter((other) => basename(other) === name).length > 1;
  return printable(isAmbiguous ? path : name);
}
