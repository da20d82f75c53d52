/** The client in a page of Chromium. */
import type { BrowserContext, ConsoleMessage, Page } from 'playwright-core';
import type { ClientHost } from './client-host.js';
import { Seat } from './seat.js';

/** What Chromium itself says of a network that fails: the client cannot keep it from doing so. */
const OF_THE_NETWORK = /^(WebSocket connection to|Failed to load resource|Access to fetch at)/;

export class PageSeat extends Seat {
  private constructor(
    readonly page: Page,
    errors: readonly string[],
  ) {
    super(
      // A text, since functions of this side know nothing of the page.
      (method, args) => page.evaluate(`recorder[${JSON.stringify(method)}](...${JSON.stringify(args)})`),
      errors,
      () => page.close(),
    );
  }

  static async take(context: BrowserContext, host: ClientHost): Promise<PageSeat> {
    const page = await context.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message: ConsoleMessage) => {
      const text = message.text();
      if (['error', 'warning'].includes(message.type()) && !OF_THE_NETWORK.test(text)) errors.push(text);
    });
    await page.goto(host.origin);
    await PageSeat.#ready(page);
    return new PageSeat(page, errors);
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await PageSeat.#ready(this.page);
  }

  static async #ready(page: Page): Promise<void> {
    await page.waitForFunction('globalThis.recorder !== undefined');
  }
}
