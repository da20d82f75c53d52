/** The dashboard in Chromium: what the tests of it share. */
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, event } from '../harness/publish.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const DESKTOP = { width: 1280, height: 800 } as const;
export const PHONE = { width: 390, height: 844 } as const;

type Fields = Record<string, unknown>;
/** What is published of a job. */
export type Published = readonly [id: string, fields: Fields];

/** NATS, an edge and a browser, for tests of the dashboard. */
export class DashboardSite implements AsyncDisposable {
  private constructor(
    readonly natsUrl: string,
    readonly nc: NatsConnection,
    readonly edge: EdgeProcess,
    readonly browser: Browser,
    private readonly close: () => Promise<void>,
  ) {}

  static async start(): Promise<DashboardSite> {
    const opened: AsyncDisposable[] = [];
    const close = async (): Promise<void> => {
      for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
    };
    const add = <T extends AsyncDisposable>(one: T): T => {
      opened.push(one);
      return one;
    };
    try {
      const browser = await launchChromium();
      add({ [Symbol.asyncDispose]: () => browser.close() });
      const { url } = add(await startNats());
      const nc = add(await connectNats(url));
      const edge = add(await startEdgeProcess({ natsUrl: url }));
      return new DashboardSite(url, nc, edge, browser, close);
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** @param address behind that of the edge, or of another one */
  async open(address = '', options?: BrowserContextOptions): Promise<DashboardTab> {
    return await DashboardTab.open(this.browser, new URL(address, this.edge.http).href, options);
  }

  /** Many at once: it waits for no answer. */
  async publish(...events: readonly Published[]): Promise<void> {
    for (const [id, fields] of events) this.nc.publish(`progress.${id}`, JSON.stringify(event(id, fields)));
    await this.nc.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** One for all tests of a file. */
export function useDashboard(): () => DashboardSite {
  let site: DashboardSite;
  beforeAll(async () => {
    site = await DashboardSite.start();
  });
  afterAll(() => site?.[Symbol.asyncDispose]());
  return () => site;
}

/** A tab with the dashboard in it. What goes wrong in it fails the test, when it is closed. */
export class DashboardTab implements AsyncDisposable {
  readonly problems: string[] = [];
  /** Every address that was asked for. */
  readonly asked: string[] = [];

  private constructor(readonly page: Page) {
    page.on('pageerror', (error) => void this.problems.push(String(error)));
    page.on('console', (message) => {
      const text = message.text();
      // That the edge was away is what some of the tests are about.
      if (
        message.type() === 'error' &&
        !/ERR_CONNECTION|WebSocket connection to|Failed to load resource/.test(text)
      )
        this.problems.push(text);
    });
    page.on('request', (request) => void this.asked.push(request.url()));
    page.on('websocket', (socket) => void this.asked.push(socket.url()));
  }

  static async open(
    browser: Browser,
    url: string,
    options: BrowserContextOptions = {},
  ): Promise<DashboardTab> {
    const context = await browser.newContext({ viewport: DESKTOP, colorScheme: 'light', ...options });
    const tab = new DashboardTab(await context.newPage());
    await tab.page.goto(url);
    return tab;
  }

  /** Keeps a picture where HEADWAY_SCREENSHOTS says, for somebody to look at. */
  async picture(name: string): Promise<void> {
    const folder = process.env.HEADWAY_SCREENSHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`) });
  }

  /** Pictures of the same in the dark, and on a phone. */
  async pictures(name: string): Promise<void> {
    if (!process.env.HEADWAY_SCREENSHOTS) return;
    for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
      await this.page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark'] as const) {
        await this.page.emulateMedia({ colorScheme });
        await this.page.evaluate(
          'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))',
        );
        await this.picture(`${name}-${size}-${colorScheme}`);
      }
    }
    await this.page.setViewportSize(DESKTOP);
    await this.page.emulateMedia({ colorScheme: 'light' });
  }

  /** What axe finds, light and dark. */
  async axe(): Promise<string[]> {
    const found: string[] = [];
    await this.page.evaluate(AXE);
    for (const colorScheme of ['light', 'dark'] as const) {
      await this.page.emulateMedia({ colorScheme });
      const { violations } = (await this.page.evaluate('axe.run()')) as {
        violations: { id: string; nodes: { html: string; failureSummary?: string }[] }[];
      };
      for (const { id, nodes } of violations)
        found.push(
          `${colorScheme} ${id}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).join(' | ')}`,
        );
    }
    await this.page.emulateMedia({ colorScheme: 'light' });
    return found;
  }

  /** Whether something is wider than the window. */
  async isTooWide(): Promise<boolean> {
    return await this.page.evaluate(
      'document.documentElement.scrollWidth > document.documentElement.clientWidth',
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { problems } = this;
    await this.page.context().close();
    expect(problems).toEqual([]);
  }
}

const TYPES = [
  'pdf.words',
  'video.transcode',
  'mail.import',
  'thumbnails',
  'backup.nightly',
  'invoice.run',
  'search.index',
];
const STEPS = ['Reading', 'Parsing pages', 'Counting words', 'Writing the result', 'Checking'];

/** The last states of so many jobs, as a busy system has them: most run or are done, a few need somebody. */
export function busyJobs(count: number, nowMs: number): Published[] {
  return Array.from({ length: count }, (_, index) => {
    const jobType = TYPES[Math.floor(((index * 61) % 101) / 16)] ?? '';
    const kind = (index * 7919) % 100;
    const progress = Math.round(((index * 37) % 1000) / 10);
    const common = {
      job_type: jobType,
      timestamp: new Date(nowMs - ((index * 613) % 240) * 1_000).toISOString(),
      attempt: 1 + (kind % 23 === 0 ? 1 : 0),
    };
    const id = `${jobType.split('.')[0]}-${(48_000 + index).toString(36)}`;
    const name = STEPS[index % STEPS.length];
    const step = { name, index: 1 + (index % STEPS.length), total: STEPS.length };
    if (kind < 3)
      return [
        id,
        {
          ...common,
          status: 'error',
          progress,
          step,
          error: { code: 'disk_full', message: 'No space is left on /var/lib/work' },
        },
      ];
    if (kind < 5)
      return [
        id,
        {
          ...common,
          status: 'error',
          progress,
          step,
          error: { code: 'upstream', message: 'The store answered 503', retryable: true },
        },
      ];
    if (kind < 45)
      return [id, { ...common, status: 'completed', progress: 100, result: { words: 10 * index } }];
    if (kind < 50)
      return [
        id,
        {
          ...common,
          status: 'processing',
          progress: 0,
          indeterminate: true,
          step: { name: 'Waiting for a machine' },
        },
      ];
    const message = `Page ${1 + (index % 200)} of 200`;
    return [
      id,
      { ...common, status: 'processing', progress, step, message, eta_seconds: 30 + (index % 900) },
    ];
  });
}

/** A job that failed, was tried again, was silent for a while, and came to its end. In all 121 events in 20 minutes. */
export function story(id: string, endMs: number): Published[] {
  const events: Published[] = [];
  const beginMs = endMs - 20 * 60_000;
  let ms = beginMs;
  const add = (afterMs: number, fields: Fields): void => {
    ms += afterMs;
    const common = { job_type: 'pdf.words', stall_after_seconds: 60, timeout_seconds: 600 };
    events.push([id, { ...common, timestamp: new Date(ms).toISOString(), ...fields }]);
  };
  const steps = ['Fetching', 'Reading pages', 'Counting words'];
  const run = (attempt: number, most: number, everyMs: number): void => {
    for (let page = 0; page < most; page++) {
      const step = steps[Math.min(2, Math.floor(page / 25))];
      const progress = Math.round((page / 80) * 1000) / 10;
      const silence = attempt === 2 && page === 40 ? 180_000 : 0;
      add(everyMs + silence, {
        attempt,
        progress,
        step: { name: step, index: 1 + steps.indexOf(step ?? ''), total: 3 },
        message: `Page ${page + 1} of 80`,
      });
    }
  };
  run(1, 40, 5_000);
  add(1_000, {
    attempt: 1,
    progress: 50,
    status: 'error',
    error: { code: 'io', message: 'The disk went away', retryable: true },
  });
  run(2, 79, 8_000);
  add(5_000, {
    attempt: 2,
    status: 'completed',
    progress: 100,
    message: 'Done',
    result: { words: 31_337, pages: 80, languages: ['en', 'de'] },
  });
  return events;
}
