/** What can be wrong with a document; stable names for programs, where the message is for people. */
export type DocumentErrorCode =
  | 'not_found'
  | 'unreadable'
  | 'is_a_directory'
  | 'not_a_file'
  | 'empty'
  | 'too_large'
  | 'not_a_pdf'
  | 'damaged_pdf'
  | 'too_much_memory'
  | 'password_protected'
  | 'not_utf8'
  | 'unsupported'
  | 'no_such_page'
  | 'closed';

/** Base of every error of this library: one sentence that names the file, and a `code`. */
export class DocumentError extends Error {
  override readonly name: string = 'DocumentError';

  constructor(
    readonly code: DocumentErrorCode,
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The file cannot be opened or read at all. */
export class DocumentAccessError extends DocumentError {
  override readonly name = 'DocumentAccessError';
}

/** The file was read, but what it holds is not a document that can be processed. */
export class DocumentContentError extends DocumentError {
  override readonly name = 'DocumentContentError';
}

/** The document is fine; what was asked of it is not (a page that it does not have, or after `close`). */
export class DocumentUseError extends DocumentError {
  override readonly name = 'DocumentUseError';
}

/** `page(n)` for a document that was closed. */
export function closedError(path: string): DocumentUseError {
  return new DocumentUseError('closed', path, `"${path}" is closed: open it again to read its pages.`);
}

/** `page(n)` with a number that is no page of the document. */
export function noSuchPageError(path: string, page: number, pageCount: number): DocumentUseError {
  return new DocumentUseError(
    'no_such_page',
    path,
    `"${path}" has no page ${page}: expected a whole number from 1 to ${pageCount}.`,
  );
}
