import type { EventLog } from '../eventlog/log.js';
import type { FeedSink } from '../jetstream/feed-handlers.js';
import { type Logger, LogRateLimiter } from '../telemetry/logger.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Liveness } from './liveness.js';

export interface FeedSinkDeps {
  readonly logger: Logger;
  readonly log: EventLog;
  readonly liveness: Liveness;
  readonly metrics: Metrics;
}

/** What the feed tells of itself, for the watch for silent jobs, the metrics and the lines of the log. */
export function feedSink({ logger, log, liveness, metrics }: FeedSinkDeps): FeedSink {
  const invalidLines = new LogRateLimiter(10, 10_000, () => performance.now());
  const failureLines = new LogRateLimiter(3, 10_000, () => performance.now());
  const lostLines = new LogRateLimiter(5, 10_000, () => performance.now());
  return {
    invalid: (seq, subject, reason, detail) => {
      metrics.eventsInvalid.inc({ reason });
      const turn = invalidLines.acquire();
      if (turn !== null)
        logger.warn({ seq, subject, reason, detail, ...turn }, 'a stored message is not an event');
    },
    lost: (reason, detail) => {
      liveness.lost();
      metrics.feedLost.inc({ reason });
      if (reason === 'stream_changed') {
        logger.error(
          { detail, head: log.head },
          'the stream was changed, nothing is followed until it is put right',
        );
        return;
      }
      const turn = lostLines.acquire();
      if (turn !== null)
        logger.warn({ reason, detail, head: log.head, ...turn }, 'the feed was lost, rebuilding it');
    },
    failed: (error) => {
      const turn = failureLines.acquire();
      if (turn !== null)
        logger.warn({ reason: error.message, ...turn }, 'the feed cannot be built yet, trying again');
    },
    following: (ms) => {
      liveness.following();
      metrics.feedRecovery.observe(ms / 1000);
      logger.info({ head: log.head, jobs: log.stats.jobs, ms: Math.round(ms) }, 'following the stream');
    },
  };
}
