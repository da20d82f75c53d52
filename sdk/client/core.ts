import type { ConnectionDeps, createConnection } from './connection.js';
import type { isOtherLog, parseCursor } from './cursor.js';
import type { edgeError } from './errors.js';
import type { HandleOwner } from './handle.js';

/**
 * What the parts that are loaded later have in common with the core. They are given it: where they import it, a bundler cuts
 * the core in pieces, each of them a request of its own.
 */
export interface Core extends Omit<ConnectionDeps, 'target'> {
  readonly createConnection: typeof createConnection;
  readonly parseCursor: typeof parseCursor;
  readonly isOtherLog: typeof isOtherLog;
  /** All that hold something, of a job or of several. */
  readonly handles: HandleOwner<unknown>['handles'];
  readonly edgeError: typeof edgeError;
}
