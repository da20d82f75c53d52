import { fileURLToPath } from 'node:url';
import { compare, readStored } from '../demo/check.js';
import { Child, pause, untilAborted } from '../demo/child.js';
import { type Edge, startEdge } from '../demo/edge.js';
import { DemoError, Interrupted, quoted } from '../demo/errors.js';
import { type Job, shippedDocuments, survey } from '../demo/jobs.js';
import { type Nats, openNats } from '../demo/nats.js';
import { type DemoOptions, readOptions, USAGE } from '../demo/options.js';
import { Screen } from '../demo/screen.js';
import { plural } from '../demo/text.js';
import { Watcher } from '../demo/watcher.js';
import { HeadwayError } from '../internal/errors/catalogue.js';

const WORKER = fileURLToPath(new URL('../demo/worker.js', import.meta.url));
/** How long the client stays away after it cut its connection. */
const AWAY_MS = 1_000;
/** How long updates may still be under way when the worker has ended. */
const LAST_UPDATES_WITHIN_MS = 15_000;
const CONNECT_WITHIN_MS = 10_000;

/** Aborted when the demo has to end early: by a person, or because a part of it failed. */
const scope = new AbortController();
const fail = (error: Error): void => scope.abort(error);
const interrupt = (): void => scope.abort(new Interrupted());
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
// The terminal was closed, or the reader of a pipe (head) has seen enough.
process.stdout.on('error', interrupt);

const screen = new Screen(process.stdout, process.env);

async function main(options: DemoOptions, problems: readonly string[]): Promise<number> {
  const { signal } = scope;
  const files = options.files.length > 0 ? options.files : shippedDocuments();
  const { jobs, problems: badFiles } = await untilAborted(survey(files), signal);
  const all = [...problems, ...badFiles];
  if (all.length > 0)
    throw new DemoError(`Nothing was started:\n${all.map((text) => `\n  - ${text}`).join('')}`);

  await using nats = await openNats(options, signal, fail);
  await using edge = await startEdge(
    {
      natsUrl: nats.url,
      natsCreds: nats.credsFile,
      stream: options.stream,
      port: options.port,
      log: options.isVerbose ? process.stdout : undefined,
      fail,
    },
    signal,
  );
  introduce(options, jobs, nats, edge);
  const isFine = await watchAndCheck(options, jobs, nats, edge);
  if (process.stdin.isTTY && process.stdout.isTTY && !options.once) await serveOn(edge);
  return isFine ? 0 : 1;
}

function introduce({ pageMs, stream }: DemoOptions, jobs: readonly Job[], nats: Nats, edge: Edge): void {
  screen.title('Headway: the progress of documents, as a client of an edge gets it');
  screen.line();
  screen.table([
    ['NATS', nats.description],
    ['edge', `${edge.http}, stream ${stream}`],
    [
      'worker',
      pageMs > 0 ? PACED(pageMs) : 'at full speed (PAGE_MS=150 makes a page last long enough to watch)',
    ],
    ...jobs.map(({ label, pages }, index) => {
      const name = index === 0 ? plural(jobs.length, 'document').replace(/^\S+ /, '') : '';
      return [
        name,
        `${label}, ${pages === null ? 'not readable: its job will end as an error' : plural(pages, 'page')}`,
      ] as const;
    }),
  ]);

  screen.title('Watch it from elsewhere (the line for a browser goes into the console of an empty tab)');
  screen.line();
  const url = edge.progressUrl();
  screen.table([
    ['all documents', url],
    ['one document', edge.progressUrl(jobs[0]?.id)],
    ['browser console', `new WebSocket('${url}').onmessage = (e) => console.log(e.data)`],
    ['readiness', `curl ${edge.http}/readyz`],
    ['metrics', `curl ${edge.http}/metrics`],
  ]);
}

const PACED = (pageMs: number): string =>
  `paced to ${pageMs} ms a page so that you can watch; PAGE_MS=0 for full speed`;

/** Has the documents processed, shows what a client gets of it, and compares that with what was stored. */
async function watchAndCheck(
  { pageMs, stream }: DemoOptions,
  jobs: readonly Job[],
  nats: Nats,
  edge: Edge,
): Promise<boolean> {
  const { signal } = scope;
  // A job's first event says that the document is being opened, its last one how it ended.
  const expected = jobs.reduce((sum, { pages }) => sum + 2 + (pages ?? 0), 0);
  screen.title('Live');
  screen.line();
  screen.follow(jobs);
  using watcher = new Watcher({
    url: edge.progressUrl(),
    jobs: new Set(jobs.map(({ id }) => id)),
    cutAfter: Math.ceil(expected / 2),
    awayMs: AWAY_MS,
    events: screen,
    signal,
  });
  await within(watcher.caughtUp, CONNECT_WITHIN_MS, 'The client could not connect to the edge');

  await using worker = await Child.start(
    {
      command: process.execPath,
      args: [WORKER, ...jobs.flatMap(({ id, path }) => [id, path])],
      env: {
        ...process.env,
        PAGE_MS: String(pageMs),
        NATS_URL: nats.url,
        NATS_CREDS: nats.credsFile,
      },
    },
    signal,
  );
  const code = await untilAborted(worker.exited, signal);
  if (code !== 0)
    throw new DemoError(`The worker ended with code ${code}. It said:\n${quoted(worker.lastLines())}`);
  await within(watcher.finished, LAST_UPDATES_WITHIN_MS, '').catch((error: unknown) => {
    // What did not come is for the comparison to say.
    if (!(error instanceof DemoError)) throw error;
  });

  const ids = jobs.map(({ id }) => id);
  const stored = await untilAborted(readStored(nats.connection, stream, ids), signal);
  const { isFine, lines } = compare(stored, watcher.updates, watcher.resets);
  screen.title('Results');
  screen.line();
  screen.results(jobs, watcher.updates);
  screen.line();
  screen.verdict(isFine, lines);
  return isFine;
}

async function serveOn(edge: Edge): Promise<void> {
  screen.line();
  screen.line(`Still serving on ${edge.http}: connect now and get the last states. Ctrl-C ends it.`);
  await untilAborted(new Promise(() => {}), scope.signal).catch((error: unknown) => {
    if (!(error instanceof Interrupted)) throw error;
    screen.line();
  });
}

async function within<T>(promise: Promise<T>, ms: number, otherwise: string): Promise<T> {
  const done = new AbortController();
  const late = pause(ms, AbortSignal.any([scope.signal, done.signal])).then((): never => {
    throw new DemoError(`${otherwise} within ${ms / 1000} s.`);
  });
  try {
    return await untilAborted(Promise.race([promise, late]), scope.signal);
  } finally {
    late.catch(() => {});
    done.abort();
  }
}

/** Tells why the demo ended early, and gives the exit code. */
function explain(error: unknown): number {
  if (error instanceof Interrupted) {
    screen.line();
    return 0;
  }
  if (!(error instanceof HeadwayError)) throw error;
  process.stderr.write(`headway demo: ${error.message}\n`);
  return 1;
}

const asked = readOptions(process.argv.slice(2), process.env);
if (asked.kind === 'help') {
  process.stdout.write(USAGE);
} else {
  const code = await main(asked.options, asked.problems).catch(explain);
  if (scope.signal.aborted) screen.line('Stopped; whatever the demo started has ended.');
  // A document that is still being looked into, in a thread, would hold the process up.
  process.exit(code);
}
