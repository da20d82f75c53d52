import type { ConnectionState } from '../../sdk/client/types.js';
import { count } from './account.js';

const NAMES: Readonly<Record<ConnectionState, string>> = {
  idle: 'Not connected: there is nothing to follow',
  connecting: 'Connecting…',
  open: 'Connected',
  waiting: 'Connection lost; the client waits for a moment',
  closed: 'Closed',
};

/** What the page tells of its one connection. */
export class ConnectionView {
  reconnects = 0;
  #state: ConnectionState = 'idle';
  /** When it was lost, in milliseconds; null: it is not. */
  #lostAt: number | null = null;
  /** Updates since it is back; null: all that was missed has come. */
  #missed: number | null = null;

  constructor(
    private readonly line: HTMLElement,
    private readonly say: (text: string) => unknown,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#draw();
  }

  /** How it is now. May be told as often as one likes. */
  is(state: ConnectionState): void {
    if (state === this.#state) return;
    const before = this.#state;
    this.#state = state;
    if (state === 'idle') this.#lostAt = null;
    if (before === 'open' && state !== 'idle') {
      this.#lostAt = this.now();
      this.#missed = null;
      this.say('The connection is lost.');
    }
    if (state === 'open' && this.#lostAt !== null) {
      this.reconnects += 1;
      this.#missed = 0;
      this.say(`Back after ${((this.now() - this.#lostAt) / 1_000).toFixed(1)} s.`);
      this.#lostAt = null;
    }
    this.#draw();
  }

  updated(): void {
    if (this.#missed !== null) this.#missed += 1;
  }

  /** @param isCurrent everything has come that there was */
  look(isCurrent: boolean): void {
    if (this.#missed === null || !isCurrent) return;
    const missed = this.#missed;
    this.#missed = null;
    if (missed === 0) this.say('Nothing had happened meanwhile.');
    else this.say(`What had happened meanwhile came: ${count(missed)}.`);
  }

  #draw(): void {
    const times = this.reconnects === 1 ? '1 reconnect' : `${this.reconnects} reconnects`;
    this.line.textContent = `${NAMES[this.#state]} · ${times}`;
    this.line.dataset.state = this.#state;
  }
}
