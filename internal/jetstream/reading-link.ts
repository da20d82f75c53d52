import type { NatsConnection } from 'nats';
import { type NatsRefusal, watchRefusals } from './connection.js';
import { Link, LinkLostError } from './connection-monitor.js';
import type { ReadObserver } from './read-options.js';

type Refused = (refusal: NatsRefusal) => void;

// Each watches the connection until it is closed, so there is one of each.
const links = new WeakMap<NatsConnection, Link>();
const refusals = new WeakMap<NatsConnection, Set<Refused>>();

/** The one `Link` of a connection. */
export function linkOf(connection: NatsConnection): Link {
  const link = links.get(connection) ?? new Link(connection);
  links.set(connection, link);
  return link;
}

/** Calls `refused` for what NATS does not permit the connection. @returns what ends that */
export function onRefused(connection: NatsConnection, refused: Refused): () => void {
  let listeners = refusals.get(connection);
  if (listeners === undefined) {
    const all = new Set<Refused>();
    watchRefusals(connection, (refusal) => {
      for (const listener of [...all]) listener(refusal);
    });
    refusals.set(connection, all);
    listeners = all;
  }
  const own = listeners.add(refused);
  return () => own.delete(refused);
}

/**
 * What `request` answers. It is made again each time the connection is lost before, when that is back.
 * @param signal ends the waiting
 */
export async function untilAnswered<T>(
  connection: NatsConnection,
  signal: AbortSignal,
  observer: Pick<ReadObserver, 'lost' | 'resumed'>,
  request: () => Promise<T>,
): Promise<T> {
  for (let isLost = false; ; isLost = true) {
    try {
      const answer = await linkOf(connection).during(signal, request);
      if (isLost) observer.resumed?.();
      return answer;
    } catch (error) {
      if (!(error instanceof LinkLostError)) throw error;
      if (!isLost) observer.lost?.(error.message);
    }
  }
}
