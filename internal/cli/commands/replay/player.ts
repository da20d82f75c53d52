import type { DecodedEvent } from '../../../eventlog/decode.js';
import type { StoredMessage } from '../../../jetstream/read-stored.js';
import { showDuration } from '../../flags/durations.js';
import type { CliContext } from '../../runtime/cli-context.js';
import type { StatusLine } from '../../runtime/status.js';
import { commandOf, KEYS_HINT, keysOf, type ReplayCommand } from './keys.js';
import { faster, type Pacer, showSpeed, slower } from './pacer.js';

/** A timer is asked for no longer than this, in ms: what it waits for may be years away, and the line shows the rest. */
const LONGEST_WAIT_MS = 1_000;

/** Waits until events are due, and does what keys say meanwhile. */
export class Player {
  readonly #context: CliContext;
  readonly #pacer: Pacer;
  readonly #status: StatusLine;
  readonly #endKeys: () => void;
  #wake: () => void = () => undefined;
  #hasQuit = false;
  /** Where it is, for the line on the terminal. */
  #at = '';

  constructor(context: CliContext, pacer: Pacer, status: StatusLine) {
    this.#context = context;
    this.#pacer = pacer;
    this.#status = status;
    this.#endKeys = context.keys((data) => {
      for (const key of keysOf(data)) {
        const command = commandOf(key);
        if (command !== null) this.do(command);
      }
    });
  }

  /** Whether somebody pressed the key that ends it. */
  get hasQuit(): boolean {
    return this.#hasQuit;
  }

  do(command: ReplayCommand): void {
    const pacer = this.#pacer;
    const now = performance.now();
    switch (command) {
      case 'pause':
        if (pacer.isPaused) pacer.resume(now);
        else pacer.pause(now);
        break;
      case 'step':
        pacer.step();
        break;
      case 'faster':
        pacer.setSpeed(faster(pacer.speed), now);
        break;
      case 'slower':
        pacer.setSpeed(slower(pacer.speed), now);
        break;
      case 'quit':
        this.#hasQuit = true;
        break;
    }
    this.#draw(pacer.wait(now));
    this.#wake();
  }

  /** The next event is here. @returns whether it is due already */
  offer(seq: number, storedAt: number): boolean {
    this.#pacer.offer(storedAt);
    this.#at = `${new Date(storedAt).toISOString().slice(0, 19)}Z seq ${seq}`;
    return !this.#hasQuit && this.#pacer.wait(performance.now()) === 0;
  }

  /**
   * Waits until the offered event is due.
   * @returns false: somebody quit before
   * @throws the reason of `io.stopped`
   */
  async due(): Promise<boolean> {
    for (;;) {
      this.#context.stopped.throwIfAborted();
      if (this.#hasQuit) return false;
      const wait = this.#pacer.wait(performance.now());
      if (wait === 0) return true;
      this.#draw(wait);
      await this.#sleep(Math.min(wait ?? LONGEST_WAIT_MS, LONGEST_WAIT_MS));
    }
  }

  /** The offered event is shown. */
  shown(): void {
    this.#pacer.shown(performance.now());
  }

  /** Waits until somebody quits. @throws the reason of `io.stopped` */
  async quit(): Promise<void> {
    while (!this.#hasQuit) {
      this.#context.stopped.throwIfAborted();
      await this.#sleep(LONGEST_WAIT_MS);
    }
  }

  /** Waits until `isSo`, which is looked at again and again, or somebody quits. @throws the reason of `io.stopped` */
  async until(isSo: () => boolean, everyMs: number): Promise<void> {
    while (!this.#hasQuit && !isSo()) {
      this.#context.stopped.throwIfAborted();
      await this.#sleep(everyMs);
    }
  }

  /** Takes its line off the terminal. */
  clear(): void {
    this.#status.clear();
  }

  /** No key is listened to any more. */
  close(): void {
    this.#endKeys();
    this.#status.clear();
  }

  async #sleep(ms: number): Promise<void> {
    const { stopped } = this.#context;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        stopped.removeEventListener('abort', end);
        resolve();
      };
      // Rounded up: a timer that rang early would only be set again.
      const timer = setTimeout(end, Math.ceil(ms));
      stopped.addEventListener('abort', end);
      this.#wake = end;
    });
    this.#wake = () => undefined;
  }

  #draw(wait: number | null): void {
    const { isPaused, speed } = this.#pacer;
    const next = wait === null || wait < 1_000 ? '' : `, next in ${showDuration(wait)}`;
    const state = isPaused ? `paused (${showSpeed(speed)})` : showSpeed(speed);
    this.#status.draw(`[${state}] ${this.#at}${next}  ${KEYS_HINT}`, performance.now());
  }
}

/** Where a replay goes. */
export interface ReplaySink {
  /** The next message of the stream, when it is due; `event` is null when it is not to be shown. */
  show(message: StoredMessage, event: DecodedEvent | null): void;
  /** Whether so much is waiting that `flush` should be called now. */
  readonly isFull: boolean;
  /** Waits until everything is out of this process, and more may follow. */
  flush(): Promise<void>;
}
