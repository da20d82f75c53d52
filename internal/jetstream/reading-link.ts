import type { NatsConnection } from 'nats';
import { type NatsRefusal, watchRefusals } from './connection.js';
import { Link } from './link.js';

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
