/**
 * What the examples in the documents speak of and do not define: the reader's own. Each name is here because an example
 * needs it; one that no example names any more may go.
 */

/** A worker's own: the id of a job, what it reads, and its reporter. */
declare const id: string;
declare const pages: readonly string[];
declare function read(page: string, options?: { signal?: AbortSignal }): Promise<string>;
declare const reporter: import('../../../sdk/worker/index.js').Reporter;
