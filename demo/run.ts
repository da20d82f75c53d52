import { deferred, untilAborted, within } from '../internal/async.js';
import { openBrowser } from './browser.js';
import { type Edge, MortalEdge } from './edge.js';
import { DemoError, Interrupted, said } from './errors.js';
import { type Job, shippedDocuments, survey } from './jobs.js';
import { type Nats, openNats } from './nats.js';
import type { DemoOptions } from './options.js';
import type { Screen } from './screen.js';
import { Site } from './site.js';
import { plural } from './text.js';
import { compare, readStored } from './verify.js';
import { Watcher } from './watcher.js';
import { Workers } from './workers.js';

/** What the demo runs with. */
export interface DemoParts {
  readonly options: DemoOptions;
  /** What was wrong with the options; it is told together with what is wrong with the files. */
  readonly problems: readonly string[];
  readonly screen: Screen;
  /** Aborted by whoever wants the demo to end, and by the demo when a part of it fails. */
  readonly scope: AbortController;
  /** Whether to stay up when the documents are done, so that somebody can connect and look. */
  readonly isTerminal: boolean;
}

/** More are counted only. */
const SHOWN_DOCUMENTS = 12;
/** How long the client stays away after it cut its connection. */
const AWAY_MS = 1_000;
const CONNECT_WITHIN_MS = 10_000;
/** How long updates may still be under way when the worker has ended. */
const LAST_UPDATES_WITHIN_MS = 15_000;

/**
 * The whole demo. However it ends, it has ended whatever it started.
 * @returns whether the client received what was stored
 * @throws HeadwayError, or the scope's reason
 */
export async function runDemo(parts: DemoParts): Promise<boolean> {
  const { options, screen, scope, isTerminal } = parts;
  const { signal } = scope;
  const fail = (error: Error): void => scope.abort(error);

  const files = options.files.length > 0 ? options.files : shippedDocuments();
  const { jobs, problems } = await untilAborted(survey(files), signal);
  const all = [...parts.problems, ...problems];
  if (all.length > 0) {
    throw new DemoError(`Nothing was started:${all.map((text) => `\n  - ${text}`).join('')}`);
  }

  screen.title('Headway: the progress of documents, as a client of an edge gets it');
  screen.line();
  tellDocuments(screen, jobs);
  await using nats = await openNats(options, signal, fail);
  screen.row('NATS', nats.description);
  const isStaying = options.stay || (isTerminal && !options.once);
  await using edge = await MortalEdge.start(
    {
      natsUrl: nats.url,
      natsCreds: nats.credsFile,
      stream: options.stream,
      port: options.port,
      isMortal: isStaying,
      log: options.isVerbose ? process.stdout : undefined,
      fail,
    },
    signal,
  );
  screen.row('edge', `${edge.http}, stream ${options.stream}`);
  screen.row('worker', paceOf(options));
  const workers = new Workers({
    natsUrl: nats.url,
    natsCreds: nats.credsFile,
    stream: options.stream,
    signal,
  });
  await using site = isStaying
    ? await Site.open({ options, nats, edge, workers, screen, signal })
    : undefined;
  if (site !== undefined) {
    site.show(jobs);
    screen.row('page', `${site.url} takes documents: drop some on it, and break things`);
    if (isTerminal && options.opensBrowser && options.files.length === 0) openBrowser(site.url, process.env);
  }
  tellHowToWatch(screen, jobs, edge);

  const isFine = await watchAndCheck(parts, jobs, nats, edge, workers);
  if (isStaying) await serveOn(parts, edge, site, isFine);
  return isFine;
}

/** Has the documents processed, shows what a client gets of it, and compares that with what was stored. */
async function watchAndCheck(
  { options, screen, scope }: DemoParts,
  jobs: readonly Job[],
  nats: Nats,
  edge: Edge,
  workers: Workers,
): Promise<boolean> {
  const { signal } = scope;
  // A job's first event says that the document is being opened, its last one how it ended.
  const expected = jobs.reduce((sum, { pages }) => sum + 2 + (pages ?? 0), 0);
  screen.title('Live');
  screen.line();
  screen.follow(jobs);
  using watcher = new Watcher({
    url: edge.http,
    jobs: new Set(jobs.map(({ id }) => id)),
    cutAfter: Math.ceil(expected / 2),
    awayMs: AWAY_MS,
    events: screen,
    signal,
  });
  const isConnected = await inTime(watcher.caughtUp, CONNECT_WITHIN_MS, signal);
  if (!isConnected) throw new DemoError(`The client could not follow ${edge.progressUrl()} within 10 s.`);

  const { code, lines: lastWords } = await workers.run(jobs, options.pageMs);
  if (code !== 0) throw new DemoError(`The worker ended with code ${code}.${said(lastWords)}`);
  // What has not come by then is for the comparison to tell.
  await inTime(watcher.finished, LAST_UPDATES_WITHIN_MS, signal);

  const ids = jobs.map(({ id }) => id);
  const stored = await untilAborted(readStored(nats.connection, options.stream, ids), signal);
  const { isFine, lines } = compare(stored, watcher.updates, watcher.leftOut);
  screen.title('Results');
  screen.line();
  screen.results(jobs, watcher.updates);
  screen.line();
  screen.summary(isFine, lines);
  return isFine;
}

function paceOf({ pageMs }: DemoOptions): string {
  return pageMs > 0
    ? `paced to ${pageMs} ms a page so that you can watch; PAGE_MS=0 for full speed`
    : 'at full speed; PAGE_MS=150 makes pages last long enough to watch';
}

function tellDocuments(screen: Screen, jobs: readonly Job[]): void {
  for (const [index, { label, pages }] of jobs.slice(0, SHOWN_DOCUMENTS).entries()) {
    const state = pages === null ? 'cannot be processed, as its last event will tell' : plural(pages, 'page');
    screen.row(index === 0 ? 'documents' : '', `${label}, ${state}`);
  }
  if (jobs.length > SHOWN_DOCUMENTS) screen.row('', `and ${jobs.length - SHOWN_DOCUMENTS} more`);
}

function tellHowToWatch(screen: Screen, jobs: readonly Job[], edge: Edge): void {
  const url = edge.progressUrl();
  screen.title('Watch it from elsewhere (the line for a browser goes into the console of an empty tab)');
  screen.line();
  screen.row('all documents', url);
  screen.row('one document', edge.progressUrl(jobs[0]?.id));
  screen.row('browser', `new WebSocket('${url}').onmessage = (e) => console.log(e.data)`);
  screen.row('readiness', `curl ${edge.http}/readyz`);
  screen.row('metrics', `curl ${edge.http}/metrics`);
}

async function serveOn(
  { screen, scope }: DemoParts,
  edge: Edge,
  site: Site | undefined,
  isFine: boolean,
): Promise<void> {
  screen.line();
  screen.line(`Still serving on ${edge.http}: connect now to get the last states. Ctrl-C ends it.`);
  if (site !== undefined) screen.line(`The page goes on as well: ${site.url}`);
  await untilAborted(deferred().promise, scope.signal).catch((error: unknown) => {
    // It did what it is for, so its exit code tells how that went.
    if (isFine || !(error instanceof Interrupted)) throw error;
    screen.line();
  });
}

/** Whether the promise was fulfilled in time. */
function inTime(promise: Promise<void>, ms: number, signal: AbortSignal): Promise<boolean> {
  const done = promise.then(() => true);
  return within(done, ms, () => false, signal);
}
