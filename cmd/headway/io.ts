import { HeadwayError } from '../../internal/errors/catalogue.js';

/** All that a command sees of the world around it. */
export interface Io {
  /** What `process.env` is. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** ms since 1970. */
  readonly now: () => number;
  /** Writes data, to stdout: what another program would read. */
  readonly out: (text: string) => void;
  /** Writes what is for people, to stderr. */
  readonly note: (text: string) => void;
}

/** A command that was not called as it can be, or in an environment that it cannot use. One paragraph. */
export class UsageError extends HeadwayError {
  readonly code = 'usage';
  override readonly exitCode = 2;
}
