/** A WebSocket client by hand that never closes: not after a close frame, and not after the end of TCP. */
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { OPCODE, type RawBytes, serverFrames } from './raw-socket.js';
import { withTimeout } from './wait.js';

export interface Ending {
  /** Of the close frame. */
  readonly code: number;
  readonly reason: string;
  /** From the last byte of the close frame to the FIN. */
  readonly ms: number;
}

/** TCP, or TLS over it; what is measured is TCP in both. */
export class HalfOpenSocket implements AsyncDisposable {
  readonly #tcp: Socket;
  readonly #top: Duplex;
  readonly #chunks: Buffer[] = [];
  /** Resolves when the server has sent its FIN. */
  readonly finished: Promise<void>;
  #lastByteAt = 0;
  #finishedAt = 0;

  private constructor(port: number, ca: string | undefined) {
    this.#tcp = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    this.#tcp.on('error', () => {}); // a reset is no FIN
    this.finished = new Promise((resolve) => {
      this.#tcp.once('end', () => {
        this.#finishedAt = performance.now();
        resolve();
      });
    });
    this.#top = ca === undefined ? this.#tcp : tlsOver(this.#tcp, ca);
    this.#top.on('error', () => {});
    this.#top.on('data', (chunk: Buffer) => {
      this.#lastByteAt = performance.now();
      this.#chunks.push(chunk);
    });
  }

  /**
   * Connects to this port of this machine, and sends `bytes`.
   * @param ca what is trusted, in PEM; left out: no TLS
   */
  static async open(port: number, bytes: RawBytes, ca?: string): Promise<HalfOpenSocket> {
    const socket = new HalfOpenSocket(port, ca);
    socket.send(bytes);
    return socket;
  }

  send(bytes: RawBytes): void {
    this.#top.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Everything that came so far. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString('latin1');
  }

  /** Reads nothing until `read` is called, so that what is sent waits on the other side. */
  pause(): void {
    this.#tcp.pause();
  }

  read(): void {
    this.#tcp.resume();
  }

  /** Waits until what came matches. */
  async until(pattern: RegExp): Promise<void> {
    const found = this.#hears(() => pattern.test(this.text));
    await withTimeout(found, 10_000, `${pattern} (so far: ${this.#start})`);
  }

  get #start(): string {
    return JSON.stringify(this.text.slice(0, 300));
  }

  get #closeFrame(): Buffer | null {
    const last = serverFrames(Buffer.concat(this.#chunks)).at(-1);
    return last?.opcode === OPCODE.close ? last.payload : null;
  }

  async #hears(isTrue: () => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!isTrue()) return;
        this.#top.off('data', look);
        resolve();
      };
      this.#top.on('data', look);
      look();
    });
  }

  /**
   * Waits for a close frame, and then for the end of TCP behind it.
   * @param timeoutMs for the close frame. The end of TCP may take much less than the timers of the library
   */
  async ending(timeoutMs = 20_000): Promise<Ending> {
    const closing = this.#hears(() => this.#closeFrame !== null);
    await withTimeout(closing, timeoutMs, `a close frame (so far: ${this.#start})`);
    await withTimeout(this.finished, 5_000, 'the end of TCP behind the close frame');
    const payload = this.#closeFrame ?? Buffer.alloc(2);
    return {
      code: payload.readUInt16BE(0),
      reason: payload.toString('utf8', 2),
      ms: this.#finishedAt - this.#lastByteAt,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#top.destroy();
    this.#tcp.destroy();
  }
}

// TLS takes the handle of a socket that it is given for itself, and then nobody sees the FIN: so it gets a stream.
function tlsOver(tcp: Socket, ca: string): Duplex {
  const between = new Duplex({
    read: () => {},
    write: (chunk, _encoding, done) => void tcp.write(chunk, done),
    final: (done) => done(),
  });
  tcp.on('data', (chunk) => between.push(chunk));
  return connectTls({ socket: between, ca, host: 'localhost', servername: 'localhost' });
}
