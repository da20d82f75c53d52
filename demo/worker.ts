/**
 * A worker, in a process of its own as in production: processes documents one after the other, and publishes where
 * it is with nothing but a NATS client.
 *
 *     NATS_URL=… PAGE_MS=150 node worker.js <processing_id> <path> [<processing_id> <path> …]
 */
import pRetry from 'p-retry';
import { HeadwayError } from '../internal/errors.js';
import { connectNats } from '../internal/jetstream/connection.js';
import type { Event } from '../schemas/event.js';
import { subjectOf } from '../schemas/ids.js';
import { DocumentError, openDocument } from './document.js';
import { JOB_TYPE } from './options.js';
import { processDocument } from './process.js';
import { shorten } from './text.js';

type State = Omit<Event, 'processing_id' | 'timestamp' | 'job_type' | 'step'> & {
  page?: number;
  pages?: number;
  /** Of the page just done. Fields that the protocol does not know are passed on. */
  words?: number;
};

/** Appends an event to a job: its whole current state. */
type Publish = (state: State) => Promise<void>;

const PAGE_MS = Number(process.env.PAGE_MS ?? 0);
const MAX_MESSAGE = 1_000;

const connection = await connectNats({
  url: process.env.NATS_URL ?? 'nats://127.0.0.1:4222',
  credsFile: process.env.NATS_CREDS,
  name: 'headway-demo-worker',
}).catch((error: unknown) => {
  if (!(error instanceof HeadwayError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(error.exitCode);
});
const jetstream = connection.jetstream();

function publisher(id: string): Publish {
  let published = 0;
  return async ({ page, pages, ...state }) => {
    published += 1;
    const event: Event = {
      processing_id: id,
      job_type: JOB_TYPE,
      timestamp: new Date().toISOString(),
      ...state,
      ...(pages !== undefined && { step: { name: 'page', index: page ?? 0, total: pages } }),
    };
    // Only what JetStream has acknowledged is safe. When no answer comes it is sent again under the same id, by
    // which JetStream knows it in case it had it after all.
    const msgID = `${id}:${published}`;
    await pRetry(() => jetstream.publish(subjectOf(id), JSON.stringify(event), { msgID }), { retries: 4 });
  };
}

async function work(path: string, publish: Publish): Promise<void> {
  let progress = 0;
  let place: Pick<State, 'page' | 'pages'> = {};
  let pausedMs = 0;
  await publish({ status: 'processing', progress, message: 'opening' });
  try {
    await using document = await openDocument(path);
    const summary = await processDocument(document, {
      minPageMs: PAGE_MS,
      sleep: async (ms) => {
        const began = performance.now();
        await new Promise((resolve) => setTimeout(resolve, ms));
        pausedMs += performance.now() - began;
      },
      onPage: async ({ page, pages, words, heading }) => {
        // The last page is read, but the result is not out: 100 is the end's alone.
        progress = Math.round((1_000 * page) / (pages + 1)) / 10;
        place = { page, pages };
        const message = `page ${page} of ${pages}: ${heading}`;
        await publish({ status: 'processing', progress, message, ...place, words });
      },
    });
    const result = { ...summary, paused_seconds: Math.round(pausedMs) / 1000 };
    await publish({ status: 'completed', progress: 100, message: 'done', ...place, result });
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    const { code } = error;
    const message = shorten(error.message, MAX_MESSAGE);
    await publish({ status: 'error', progress, ...place, error: { code, message, retryable: false } });
  }
}

try {
  const args = process.argv.slice(2);
  for (let index = 0; index + 1 < args.length; index += 2) {
    await work(args[index + 1] ?? '', publisher(args[index] ?? ''));
  }
  await connection.close();
} catch (error) {
  process.stderr.write(
    `The worker cannot go on: ${error instanceof Error ? error.message : String(error)}\n`,
  );
  process.exit(1);
}
