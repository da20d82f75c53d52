/** Chromium without a window, and pages that run the code of docs/guides/page-by-hand.md, from an address of their own. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium, type Page } from 'playwright-core';
import { waitFor } from './wait.js';

/** Nothing that Chromium does by itself: no updates, no accounts, no other network. Each launch has a new profile. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const GUIDE = readFileSync(new URL('../../docs/guides/page-by-hand.md', import.meta.url), 'utf8');
/** The page's code, as it stands there. */
const FOLLOW = /^```js\n(function follow[\s\S]*?)^```$/m.exec(GUIDE)?.[1] ?? '';

/** What a test looks at: the sequences that each job was shown with, and how often the page was taken down. */
const WATCH = `
const shown = {};
const counts = { resets: 0, tokens: 0 };
// A part of the page for one job, or the whole page for all.
const callbacksFor = (job) => ({
  show: ({ processing_id: id, seq }) => (shown[id] ??= []).push(seq),
  reset: () => {
    counts.resets++;
    for (const id of job === null ? Object.keys(shown) : [job]) delete shown[id];
  },
  gone: (id) => delete shown[id],
});
const getToken = async () => {
  counts.tokens++;
  const answer = await fetch('/token');
  if (!answer.ok) throw new Error('the token server is away');
  return await answer.text();
};
const stops = [];
// Chance decides how long a page waits; here it decides for a moment.
Math.random = () => 0.05;
`;

/** @param devToolsPort opens the DevTools protocol there as well, and leaves the back-forward cache on */
export async function launchChromium(devToolsPort?: number): Promise<Browser> {
  const executablePath = process.env.CHROMIUM_BIN;
  if (!executablePath) throw new Error('CHROMIUM_BIN is not set: run `make test-browser`');
  if (devToolsPort === undefined) return await chromium.launch({ executablePath, args: FLAGS });
  return await chromium.launch({
    executablePath,
    args: [...FLAGS, `--remote-debugging-port=${devToolsPort}`],
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  });
}

/** A server that gives out the page, and tokens. */
export class PageServer implements AsyncDisposable {
  /** What `/token` answers; null: 503. */
  token: () => Promise<string | null> = async () => null;

  private constructor(private readonly server: Server) {
    server.on('request', async ({ url }, response) => {
      if (url !== '/token') {
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end(`<!doctype html><title>Jobs</title><script>${FOLLOW}\n${WATCH}</script>`);
        return;
      }
      const token = await this.token();
      response.writeHead(token === null ? 503 : 200, { 'content-type': 'text/plain' }).end(token ?? 'away');
    });
  }

  static async start(): Promise<PageServer> {
    if (FOLLOW === '') throw new Error('docs/guides/page-by-hand.md holds no function follow');
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return new PageServer(server);
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** One open page. */
export class JobsPage implements AsyncDisposable {
  readonly errors: string[] = [];

  private constructor(private readonly page: Page) {
    page.on('pageerror', (error) => this.errors.push(String(error)));
  }

  static async open(browser: Browser, origin: string): Promise<JobsPage> {
    const page = new JobsPage(await browser.newPage());
    await page.page.goto(origin);
    return page;
  }

  /**
   * Calls `follow`.
   * @param job the one that the address names; null: all
   * @param withToken the page's server is asked for one
   */
  async follow(edge: string, job: string | null, withToken = false): Promise<void> {
    const url = `${edge}/ws/upload-progress${job === null ? '' : `/${job}`}`;
    const options = `{ ...callbacksFor(${JSON.stringify(job)})${withToken ? ', getToken' : ''} }`;
    await this.page.evaluate(`void stops.push(follow(${JSON.stringify(url)}, ${options}))`);
  }

  /** Calls what each `follow` has returned. */
  async stop(): Promise<void> {
    await this.page.evaluate('stops.forEach((stop) => stop())');
  }

  async shown(): Promise<Record<string, number[]>> {
    return await this.page.evaluate('shown');
  }

  async counts(): Promise<{ resets: number; tokens: number }> {
    return await this.page.evaluate('counts');
  }

  /** Waits until what is shown is right. */
  async until(isRight: (shown: Record<string, number[]>) => boolean, what: string): Promise<void> {
    await waitFor(async () => isRight(await this.shown()), { what, timeoutMs: 20_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.close();
  }
}
