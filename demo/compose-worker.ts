/**
 * The worker of docker-compose.yml: makes up documents and reports their progress for ever, a few at a time, so that
 * there is something to watch. Each document's id is written to stdout when it starts and when it ends.
 *
 *     NATS_URL=… [NATS_CREDS=…] [PAGE_MS=400] node compose-worker.js
 */
import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { connectReporter, type Reporter } from '../sdk/worker/index.js';
import { JOB_TYPE } from './options.js';

/** Documents that are worked on at the same time. */
const CONCURRENT_JOBS = 3;
const PAGES = { min: 5, max: 20 };
/** One document in so many turns out to be damaged. */
const DAMAGED_ONE_IN = 8;
const PAGE_MS = Number(process.env.PAGE_MS || 400);

/** What ends a document early; `code` and `retryable` are published with it. */
class Unfinished extends Error {
  constructor(
    readonly code: 'damaged' | 'stopped',
    readonly retryable: boolean,
    message: string,
  ) {
    super(message);
  }
}

const stopping = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopping.abort());

const reporter = await connectReporter({
  ...(process.env.NATS_URL && { servers: process.env.NATS_URL }),
  ...(process.env.NATS_CREDS && { credsFile: process.env.NATS_CREDS }),
  name: 'headway-compose-worker',
  onWarning: ({ kind, message }) => say(`${kind}: ${message}`),
});
await Promise.all(Array.from({ length: CONCURRENT_JOBS }, () => runJobs(reporter)));
await reporter.close();

async function runJobs(reporter: Reporter): Promise<void> {
  while (!stopping.signal.aborted) await workOn(reporter);
}

async function workOn(reporter: Reporter): Promise<void> {
  const id = randomUUID();
  const pages = randomInt(PAGES.min, PAGES.max + 1);
  const damagedAt = randomInt(DAMAGED_ONE_IN) === 0 ? randomInt(1, pages + 1) : undefined;
  say(`${id} starts: ${pages} pages`);
  try {
    await reporter.run({ processingId: id, jobType: JOB_TYPE, total: pages }, async (job) => {
      let words = 0;
      for (let page = 1; page <= pages; page += 1) {
        await pause(PAGE_MS * (0.5 + Math.random()), undefined, { signal: stopping.signal }).catch(() => {
          throw new Unfinished('stopped', true, 'the worker was stopped');
        });
        if (page === damagedAt) throw new Unfinished('damaged', false, `page ${page} cannot be read`);
        words += randomInt(80, 400);
        job.report({ current: page, message: `page ${page} of ${pages}`, fields: { words } });
      }
      return { pages, words };
    });
    say(`${id} ends: completed`);
  } catch (error) {
    say(`${id} ends: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
