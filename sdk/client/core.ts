import type { ConnectionDeps, createConnection } from './connection.js';
import type { isOtherLog, parseCursor } from './cursor.js';
import type { edgeError } from './errors.js';
import type { isFinished } from './job-feed.js';

/**
 * What the parts that are loaded later have in common with the core. They are given it: where they import it, a bundler cuts
 * the core in pieces, each of them a request of its own.
 */
export interface Core extends Omit<ConnectionDeps, 'target'> {
  readonly createConnection: typeof createConnection;
  readonly parseCursor: typeof parseCursor;
  readonly isOtherLog: typeof isOtherLog;
  readonly isFinished: typeof isFinished;
  readonly edgeError: typeof edgeError;
}
