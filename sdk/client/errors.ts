/** What an edge, or something between, said against what was asked of it. */
export class EdgeError extends Error {
  override readonly name: string = 'EdgeError';

  /** @param code the code of the edge's `error` frame or problem; a close code or an HTTP status where there was none */
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** There is no token, or it is not good, and a new one was not better. Sign in, and follow again. */
export class UnauthorizedError extends EdgeError {
  override readonly name = 'UnauthorizedError';
}

/** The token does not open this job or filter, or the edge does not serve this page. */
export class ForbiddenError extends EdgeError {
  override readonly name = 'ForbiddenError';
}

/** `close()` was called, or the signal of the options was aborted. */
export class ClosedError extends Error {
  override readonly name = 'ClosedError';

  constructor() {
    super('closed by the page');
  }
}

/**
 * @param status a close code or an HTTP status
 * @param code of the `error` frame or the problem, where there was one
 */
export function edgeError(status: number, code: string | undefined, message: string): EdgeError {
  const kind = KINDS[status] ?? EdgeError;
  return new kind(code ?? String(status), message);
}

const KINDS: Readonly<Record<number, typeof EdgeError>> = {
  401: UnauthorizedError,
  403: ForbiddenError,
  4401: UnauthorizedError,
  4403: ForbiddenError,
};
