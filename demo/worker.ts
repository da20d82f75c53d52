/**
 * A worker, in a process of its own as in production: processes documents one after the other, and publishes where
 * it is with nothing but a NATS client.
 *
 *     NATS_URL=… PAGE_MS=150 node worker.js <processing_id> <path> <name> [<processing_id> <path> <name> …]
 *
 * With RESUME=1 it takes the place of one that was killed, and goes on behind the last event of each job.
 */
import type { NatsError } from 'nats';
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
const isResuming = process.env.RESUME === '1';
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

const NOTHING: Earlier = { published: 0, page: 0, isOver: false };

/** How far a worker before this one has come: what is stored of it. */
interface Earlier {
  /** Events, which are the opening, a page each, and the end. */
  readonly published: number;
  readonly page: number;
  readonly isOver: boolean;
}

async function earlierWork(id: string): Promise<Earlier> {
  const manager = await connection.jetstreamManager();
  const last = await manager.streams
    .getMessage(process.env.HEADWAY_STREAM ?? 'PROGRESS', { last_by_subj: subjectOf(id) })
    .catch((error: NatsError) => {
      if (error.api_error?.code === 404) return undefined;
      throw error;
    });
  if (last === undefined) return NOTHING;
  const { status, step } = last.json<Event>();
  const page = step?.index ?? 0;
  return { published: page + 1, page, isOver: status !== 'processing' };
}

function publisher(id: string, before: number): Publish {
  let published = before;
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

async function work(
  path: string,
  name: string,
  { published, page: done }: Earlier,
  publish: Publish,
): Promise<void> {
  let progress = 0;
  let next = 1;
  let place: Pick<State, 'page' | 'pages'> = {};
  let pausedMs = 0;
  if (published === 0) await publish({ status: 'processing', progress, message: 'opening' });
  try {
    await using document = await openDocument(path);
    const summary = await processDocument(document, {
      minPageMs: PAGE_MS,
      sleep: async (ms) => {
        // What was done before is read once more for the sums, and reported no more.
        if (next <= done) return;
        const began = performance.now();
        await new Promise((resolve) => setTimeout(resolve, ms));
        pausedMs += performance.now() - began;
      },
      onPage: async ({ page, pages, words, heading }) => {
        // The last page is read, but the result is not out: 100 is the end's alone.
        progress = Math.round((1_000 * page) / (pages + 1)) / 10;
        place = { page, pages };
        next = page + 1;
        if (page <= done) return;
        const message = `page ${page} of ${pages}: ${heading}`;
        await publish({ status: 'processing', progress, message, ...place, words });
      },
    });
    const result = { ...summary, paused_seconds: Math.round(pausedMs) / 1000 };
    await publish({ status: 'completed', progress: 100, message: 'done', ...place, result });
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    const { code } = error;
    // Where it lies here is nobody's business.
    const message = shorten(
      error.message.replaceAll(path, () => name),
      MAX_MESSAGE,
    );
    await publish({ status: 'error', progress, ...place, error: { code, message, retryable: false } });
  }
}

try {
  const args = process.argv.slice(2);
  for (let index = 0; index + 2 < args.length; index += 3) {
    const [id = '', path = '', name = ''] = args.slice(index);
    const earlier = isResuming ? await earlierWork(id) : NOTHING;
    if (!earlier.isOver) await work(path, name, earlier, publisher(id, earlier.published));
  }
  await connection.close();
} catch (error) {
  process.stderr.write(
    `The worker cannot go on: ${error instanceof Error ? error.message : String(error)}\n`,
  );
  process.exit(1);
}
