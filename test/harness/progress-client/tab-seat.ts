/** The client in a tab that can be hidden, frozen, and kept in the back-forward cache. */
import type { DevTools, Tab } from '../devtools.js';
import type { ClientHost } from './client-host.js';
import { Seat } from './seat.js';

const IS_READY = 'globalThis.recorder !== undefined';

export class TabSeat extends Seat {
  private constructor(readonly tab: Tab) {
    super(
      (method, args) => tab.evaluate(`recorder[${JSON.stringify(method)}](...${JSON.stringify(args)})`),
      tab.errors,
      () => tab.close(),
    );
  }

  static async take(tools: DevTools, window: string, host: ClientHost): Promise<TabSeat> {
    const tab = await tools.newTab(window, host.origin);
    await tab.until(IS_READY);
    return new TabSeat(tab);
  }

  /** Another document of the same address; what was told is kept. */
  async reload(): Promise<void> {
    await this.tab.evaluate('globalThis.isOld = true');
    await this.tab.send('Page.reload');
    await this.tab.until(`globalThis.isOld === undefined && ${IS_READY}`);
  }

  async leave(): Promise<void> {
    await this.tab.evaluate(`location.href = '/elsewhere'`);
    await this.tab.until(`document.title === 'Elsewhere'`);
  }

  /** @returns whether the page came out of the back-forward cache, by its own word */
  async comeBack(): Promise<boolean> {
    await this.tab.evaluate('history.back()');
    await this.tab.until(`document.title === 'Jobs' && ${IS_READY} && shows.length > 0`);
    return (await this.tab.evaluate('shows.at(-1)')) === true;
  }
}
