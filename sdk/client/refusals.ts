import type { ServerFrame } from '../../schemas/frames.generated.js';
import type { JobFeed } from './job-feed.js';
import type { ProgressUpdate } from './types.js';
import type { Platform, Wire } from './wire.js';

// What an edge refuses, or warns of. Loaded when it first says that the token is about to expire, refuses a job, or says the
// end of one without its last state.

/** One attempt to connect, and the connection that it leads to. */
export interface Attempt {
  token: string | null;
  /** When the token was asked for; Infinity: it is not there yet. */
  tokenAt: number;
  wire?: Wire;
  /** Hears each frame. */
  onFrame?: ((frame: ServerFrame) => void) | undefined;
}

interface Deps {
  readonly platform: Platform;
  readonly getToken: () => Promise<string | null>;
}

/** Those that ask. */
const renewals = new WeakMap<Attempt, Promise<boolean>>();

/**
 * Asks for another token where the one in use was asked for before `since`. Never twice at once.
 * @param attempt null: there was none when it was wanted
 * @param isOver it does not count any more: the next one asks for a token by itself
 * @returns true once the edge has taken it; false where there is no newer one
 */
export async function newerToken(
  attempt: Attempt | null,
  since: number,
  deps: Deps,
  isOver: () => boolean,
  reconnect: () => void,
): Promise<boolean> {
  if (attempt === null || isOver()) return true;
  const known = renewals.get(attempt);
  if (known !== undefined) return known;
  if (attempt.tokenAt >= since) return false;
  const renewal = askAnew(attempt, deps, isOver, reconnect).finally(() => renewals.delete(attempt));
  renewals.set(attempt, renewal);
  return renewal;
}

async function askAnew(
  attempt: Attempt,
  { platform, getToken }: Deps,
  isOver: () => boolean,
  reconnect: () => void,
): Promise<boolean> {
  const tokenAt = platform.now();
  const token = await getToken();
  if (isOver()) return true;
  // The same one again would be warned of again.
  if (token === null || token === attempt.token) return false;
  Object.assign(attempt, { token, tokenAt });
  if (!attempt.wire?.renew(token)) {
    reconnect();
    return true;
  }
  return new Promise((resolve) => {
    attempt.onFrame = ({ type }) => {
      // An edge that could not check it has said nothing, and takes it again.
      if (type === 'heartbeat') attempt.wire?.renew(token);
      if (type !== 'auth_ok') return;
      attempt.onFrame = undefined;
      resolve(true);
    };
  });
}

/**
 * Whether the job is to be asked for again; or the frame stands.
 * @param get the last state of a job, asked for once
 * @throws whatever says that it cannot be known now
 */
export async function isToBeAskedAgain(
  frame: ServerFrame,
  feed: JobFeed,
  get: (id: string) => Promise<ProgressUpdate | null>,
  newerToken: (since: number) => Promise<boolean>,
): Promise<boolean> {
  if (frame.type === 'error') {
    // It passes: the edge has no room for the job now, or cannot read its history.
    if (frame.code === 'overloaded' || frame.code === 'internal') throw new Error(frame.message);
    // A page gets jobs that the token in use does not open yet: a newer one may.
    return frame.code === 'forbidden' && (await newerToken(feed.since));
  }
  // The edge had no reason to send the last state.
  const { position } = feed;
  const state = await get(feed.id);
  // Behind a newer one there is more to come. What came meanwhile is of another stream.
  if (position !== feed.position || (state?.seq ?? 0) > (position?.seq ?? 0)) return true;
  feed.state = state;
  return false;
}
