import type { ServerFrame } from '../../schemas/frames.generated.js';
import type { Platform, Wire } from './wire.js';

// A newer token for a connection that is open. Loaded when an edge first says that the one in use is about to expire, or
// refuses a job to it.

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

/** What is asked of the connection. */
interface Link {
  /** The attempt does not count any more: the next one asks for a token by itself. */
  isOver(): boolean;
  reconnect(): void;
}

/** Those that ask. */
const renewals = new WeakMap<Attempt, Promise<boolean>>();

/**
 * Asks for another token where the one in use was asked for before `since`. Never twice at once.
 * @param attempt null: there was none when it was wanted
 * @returns true once the edge has taken it; false where there is no newer one
 */
export async function newerToken(
  attempt: Attempt | null,
  since: number,
  deps: Deps,
  link: Link,
): Promise<boolean> {
  if (attempt === null || link.isOver()) return true;
  const known = renewals.get(attempt);
  if (known !== undefined) return known;
  if (attempt.tokenAt >= since) return false;
  const renewal = askAnew(attempt, deps, link).finally(() => renewals.delete(attempt));
  renewals.set(attempt, renewal);
  return renewal;
}

async function askAnew(
  attempt: Attempt,
  { platform, getToken }: Deps,
  { isOver, reconnect }: Link,
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
