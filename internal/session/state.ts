import type { Snapshot } from '../eventlog/snapshot.js';

/**
 * Where a session stands. One of these at a time:
 *
 * - `waiting`: the edge's log is still loading;
 * - `asking`: an answer from JetStream is under way (a last state, a page of history, the stream's head);
 * - `answered`: the answer is here, and waits for this session's share of a turn;
 * - `snapshot`: the last states of all jobs, or of those that changed after the cursor, are being sent;
 * - `behind`: the cursor stands before the head, `replaying` after a connect or reset, `lagging` after a full socket;
 * - `live`: everything up to the log's `settled` was sent;
 * - `ended`: closed from either side.
 */
export type SessionState =
  | { readonly name: 'loading' }
  | { readonly name: 'fetching'; readonly ticket: symbol }
  | { readonly name: 'fetched'; readonly take: () => void }
  | { readonly name: 'snapshot'; readonly snapshot: Snapshot; readonly phase: Phase }
  | { readonly name: 'catching_up'; readonly phase: Phase }
  | { readonly name: 'live' }
  | { readonly name: 'ended' };

/** Whether `caught_up` is still owed when the head is reached. */
export type Phase = 'replaying' | 'lagging';
