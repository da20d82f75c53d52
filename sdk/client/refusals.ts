import type { ServerFrame } from '../../schemas/frames.generated.js';
import type { Connection } from './connection.js';
import type { JobFeed } from './job-feed.js';
import type { ProgressUpdate } from './types.js';

// What an edge does not go on with. Loaded when it first refuses a job, or says the end of one without its last state.

/**
 * Whether the job is to be asked for again; or the frame stands.
 * @param get the last state of a job, asked for once
 * @throws whatever says that it cannot be known now
 */
export async function isToBeAskedAgain(
  frame: ServerFrame,
  feed: JobFeed,
  get: (id: string) => Promise<ProgressUpdate | null>,
  connection: Connection,
): Promise<boolean> {
  if (frame.type === 'error') {
    // It passes: the edge has no room for the job now, or cannot read its history.
    if (frame.code === 'overloaded' || frame.code === 'internal') throw new Error(frame.message);
    // A page gets jobs that the token in use does not open yet: a newer one may.
    return frame.code === 'forbidden' && (await connection.newerToken(feed.since));
  }
  // The edge had no reason to send the last state.
  const { received } = feed;
  const state = await get(feed.id);
  // Behind a newer one there is more to come. What came meanwhile is of another stream.
  if (received !== feed.received || (state?.seq ?? 0) > (received?.seq ?? 0)) return true;
  feed.state = state;
  return false;
}
