import type { NatsConnection } from 'nats';
import { metric } from './metrics.js';
import { waitFor } from './wait.js';

/**
 * Resolves when the edge has read everything that the stream holds at the time of the call. An acknowledged event
 * reaches an edge a moment later; a test of what a client gets at its connect has to wait for that moment.
 * @param http the edge's base URL
 */
export async function edgeHasRead(http: string, nc: NatsConnection, stream = 'PROGRESS'): Promise<void> {
  const jsm = await nc.jetstreamManager({ checkAPI: false });
  const { last_seq: last } = (await jsm.streams.info(stream)).state;
  await waitFor(async () => (await metric(http, 'headway_log_head_seq', -1)) >= last, {
    what: `the edge has read up to ${last}`,
  });
}
