/** One direction of one proxied connection: bytes from a source to a sink, in order, subject to faults. */
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface DirectionFaults {
  stalled: boolean;
  delayMs: number;
  /** 0: as they come. */
  chunkBytes: number;
  /** 0: as fast as it goes. */
  bytesPerSecond: number;
}

/** What a slow link passes at once. */
const SLOW_CHUNK = 8 * 1024;

/** Beyond this many bytes held back the source is not read, so that the kernel's buffers fill up as on a real link. */
const HELD_LIMIT = 256 * 1024;

export class ProxyDirection {
  /** What was read and not yet written, each with the time it is due. Ends and resets wait in line like bytes. */
  readonly #held: { what: Buffer | 'end' | 'reset'; due: number }[] = [];
  #heldBytes = 0;
  /** When a slow link has passed what it was given. */
  #passedAt = 0;
  #draining: Promise<void> | undefined;
  #wake: (() => void) | undefined;

  constructor(
    private readonly source: Socket,
    private readonly sink: Socket,
    private readonly faults: DirectionFaults,
    /** Told of the bytes that were passed on. */
    private readonly passed: (bytes: number) => void,
  ) {
    source.on('data', (bytes) => this.#hold(bytes));
    source.once('end', () => this.#hold('end'));
    source.once('error', () => this.#hold('reset'));
    sink.once('close', () => {
      this.#held.length = 0;
      source.resume(); // to see its end, too
      this.changed();
    });
  }

  /** The faults are others now. */
  changed(): void {
    this.#wake?.();
  }

  #hold(what: Buffer | 'end' | 'reset'): void {
    if (this.sink.destroyed) return;
    this.#held.push({ what, due: performance.now() + this.faults.delayMs });
    this.#heldBytes += typeof what === 'string' ? 0 : what.length;
    if (this.#heldBytes > HELD_LIMIT) this.source.pause();
    this.#draining ??= this.#drain();
  }

  /** Writes what is held, oldest first. There is only ever one of these at work, so order holds whatever changes. */
  async #drain(): Promise<void> {
    for (;;) {
      const first = this.#held[0];
      if (first === undefined) break;
      if (!(await this.#mayPass(first.due))) continue;
      this.#held.shift();
      if (first.what === 'end') this.sink.end();
      else if (first.what === 'reset') this.sink.resetAndDestroy();
      else {
        await this.#write(first.what);
        this.#heldBytes -= first.what.length;
        if (this.#heldBytes <= HELD_LIMIT) this.source.resume();
      }
    }
    this.#draining = undefined;
  }

  /** True when it is time; otherwise waits for the time or a change of faults, and says false: look again. */
  async #mayPass(due: number): Promise<boolean> {
    const early = due - performance.now();
    if (!this.faults.stalled && early <= 0) return true;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (!this.faults.stalled) timer = setTimeout(resolve, early);
    });
    clearTimeout(timer);
    this.#wake = undefined;
    return false;
  }

  async #write(bytes: Buffer): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && !this.sink.destroyed) {
      const { bytesPerSecond, chunkBytes } = this.faults;
      const size = chunkBytes > 0 ? chunkBytes : bytesPerSecond > 0 ? SLOW_CHUNK : rest.length;
      const piece = rest.subarray(0, size);
      if (bytesPerSecond > 0) await this.#pace(piece.length / bytesPerSecond);
      const room = this.sink.write(piece);
      this.passed(piece.length);
      rest = rest.subarray(size);
      if (!room) await this.#untilRoom();
      if (rest.length > 0) {
        await new Promise((resolve) => setImmediate(resolve));
        while (this.faults.stalled && !this.sink.destroyed) await this.#mayPass(0);
      }
    }
  }

  /** Waits for as long as the link is busy with a piece, on average: timers are coarse. */
  async #pace(seconds: number): Promise<void> {
    const now = performance.now();
    this.#passedAt = Math.max(this.#passedAt, now) + seconds * 1_000;
    const ahead = this.#passedAt - now;
    if (ahead > 2) await delay(ahead);
  }

  async #untilRoom(): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        this.sink.off('drain', done).off('close', done);
        resolve();
      };
      this.sink.once('drain', done).once('close', done);
      if (this.sink.destroyed) done();
    });
  }
}
