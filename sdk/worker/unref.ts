import { DebugEvents, Events, type NatsConnection } from 'nats';

/** What of the `nats` package's inside is looked at: it has no call for this. */
interface Inside {
  readonly protocol?: {
    readonly transport?: { readonly socket?: { unref?: () => unknown } };
    readonly heartbeats?: { readonly timer?: { unref?: () => unknown } };
  };
}

/**
 * Lets the process end although this connection stands: its socket and its pings do not keep it. Whoever waits for
 * something keeps the process by other means. Where the package looks different inside, the process is kept.
 */
export function unrefConnection(connection: NatsConnection): void {
  const unref = (): void => {
    const { protocol } = connection as Inside;
    protocol?.transport?.socket?.unref?.();
    protocol?.heartbeats?.timer?.unref?.();
  };
  unref();
  void (async () => {
    // A connection that is made again has another socket, and each ping another timer.
    for await (const { type } of connection.status()) {
      if (type === Events.Reconnect || type === DebugEvents.PingTimer) unref();
    }
  })();
}
