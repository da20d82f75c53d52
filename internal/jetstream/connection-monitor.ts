import { Events, type NatsConnection } from 'nats';
import { deferred, unlessFailed, untilAborted } from '../async.js';
import type { ReadObserver } from './read-options.js';

/** The connection to NATS was lost before the answer came. */
export class ConnectionLostError extends Error {
  constructor() {
    super('the connection to NATS was lost');
  }
}

/**
 * Whether the connection to NATS stands. The package `nats` reconnects by itself, but drops in silence what is
 * published while it does, and leaves requests that a lost server owed to run into their timeouts. So requests are
 * made only while the link is up, and are given up the moment it is lost.
 */
export class ConnectionMonitor {
  #state: 'up' | 'down' = 'up';
  readonly #onLost = new Set<() => void>();
  readonly #onUp = new Set<() => void>();

  constructor(connection: NatsConnection) {
    void this.#watch(connection);
  }

  get isConnected(): boolean {
    return this.#state === 'up';
  }

  /** Calls `listener` at the next loss. @returns a function that takes the listener back */
  onLost(listener: () => void): () => void {
    this.#onLost.add(listener);
    return () => this.#onLost.delete(listener);
  }

  /** Resolves when the link is up; at once when it is. Rejects with the signal's reason when that is aborted first. */
  async up(signal: AbortSignal): Promise<void> {
    if (this.isConnected) return;
    const { promise, resolve } = deferred();
    this.#onUp.add(resolve);
    try {
      await untilAborted(promise, signal);
    } finally {
      this.#onUp.delete(resolve);
    }
  }

  /**
   * What `request` answers, or ConnectionLostError as soon as the link is lost.
   * @param signal stops waiting for the link
   */
  async runWhileConnected<T>(signal: AbortSignal, request: () => Promise<T>): Promise<T> {
    await this.up(signal);
    return unlessFailed(request(), (fail) => this.onLost(() => fail(new ConnectionLostError())));
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === Events.Disconnect) {
        this.#state = 'down';
        for (const listener of [...this.#onLost]) listener();
      } else if (type === Events.Reconnect) {
        this.#state = 'up';
        for (const listener of [...this.#onUp]) listener();
      }
    }
  }
}

type Refused = (refusal: PermissionViolation) => void;

// Each watches the connection until it is closed, so there is one of each.
const links = new WeakMap<NatsConnection, ConnectionMonitor>();
const refusals = new WeakMap<NatsConnection, Set<Refused>>();

/** The one `Link` of a connection. */
export function monitorOf(connection: NatsConnection): ConnectionMonitor {
  const monitor = links.get(connection) ?? new ConnectionMonitor(connection);
  links.set(connection, monitor);
  return monitor;
}

/** Calls `refused` for what NATS does not permit the connection. @returns what ends that */
export function onPermissionError(connection: NatsConnection, refused: Refused): () => void {
  let listeners = refusals.get(connection);
  if (listeners === undefined) {
    const all = new Set<Refused>();
    watchPermissionErrors(connection, (refusal) => {
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
      const answer = await monitorOf(connection).runWhileConnected(signal, request);
      if (isLost) observer.resumed?.();
      return answer;
    } catch (error) {
      if (!(error instanceof ConnectionLostError)) throw error;
      if (!isLost) observer.lost?.(error.message);
    }
  }
}

/** What NATS did not permit: `publish` or `subscription`, and the subject. */
export interface PermissionViolation {
  readonly operation: string;
  readonly subject: string;
}

/**
 * Calls `refused` for each thing that NATS does not permit this connection, as long as it is open. A request that is
 * refused fails by itself; what is sent without waiting, such as a pull, is only told here.
 */
export function watchPermissionErrors(
  connection: NatsConnection,
  refused: (refusal: PermissionViolation) => void,
): void {
  const watch = async (): Promise<void> => {
    for await (const { type, permissionContext } of connection.status()) {
      if (type === Events.Error && permissionContext !== undefined) refused(permissionContext);
    }
  };
  void watch();
}
