import type { JetStreamManager, NatsConnection } from 'nats';
import type { InvalidReason } from '../eventlog/decode.js';
import type { EventLog } from '../eventlog/log.js';
import type { LogRecord } from '../eventlog/record.js';
import type { ConnectionMonitor } from './connection-monitor.js';
import type { FailureReason } from './consumer-failure.js';
import type { PullAccess } from './pull-reader.js';
import type { StreamSpec } from './stream.js';

/** What the feed tells of itself; what it reads is told by the log. */
export interface FeedSink {
  /** A stored message is not an event. */
  invalid(seq: number, subject: string, reason: InvalidReason, detail: string): void;
  /** The feed was lost for this reason and is being rebuilt. @param detail for people */
  lost(reason: FailureReason, detail: string): void;
  /** A try to rebuild it failed; the next one follows. */
  failed(error: Error): void;
  /** The feed follows the stream (again), so many milliseconds after it was lost or started. */
  following(ms: number): void;
}

export interface FeedDeps {
  readonly connection: NatsConnection;
  readonly monitor: ConnectionMonitor;
  readonly jsm: JetStreamManager;
  /** The same with a longer timeout: finding the last message of a million subjects takes the server seconds. */
  readonly slowJsm: JetStreamManager;
  /** Calls `refused` for what NATS does not permit the connection. @returns what ends that */
  readonly onRefused: PullAccess['onRefused'];
  readonly stream: StreamSpec;
  readonly natsUrl: string;
  /** Names the consumer; one edge only. */
  readonly edgeId: string;
  /** Names this process among all that ever ran under the edge's id. */
  readonly instance: string;
  /** The most bytes that are on their way from NATS. */
  readonly readBufferBytes: number;
  readonly log: EventLog;
  readonly sink: FeedSink;
  /** The newest valid event of a job whose newest message is not one. */
  readonly lastState: (id: string) => Promise<LogRecord | null>;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
}
