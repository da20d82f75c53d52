/**
 * A WebSocket client that sees everything: each frame from the very first is queued until a test takes it, waiting is
 * by events, and the ways to be a bad or unlucky client (not reading, dropping the line) are one call each. It holds
 * no timers but those of a wait in progress, so that thousands fit into one process.
 */
import type { IncomingMessage } from 'node:http';
import { type RawData, WebSocket } from 'ws';
import { withTimeout } from './wait.js';

export interface Frame {
  /** Of a frame that is no JSON object with a type: `(unreadable)`, with its content in `raw`. */
  type: string;
  [field: string]: unknown;
}

export interface UpdateFrame extends Frame {
  type: 'progress_update';
  seq: number;
  prev_seq: number | null;
  processing_id: string;
  status: string;
  progress: number;
}

export interface Closed {
  code: number;
  reason: string;
}

export interface WsOptions {
  protocols?: string | string[];
  headers?: Record<string, string>;
  timeoutMs?: number;
  /** The authority, as PEM, that a `wss://` is trusted by. */
  ca?: string;
  /** The address that it comes from, such as 127.0.0.2 (on Linux). */
  from?: string;
  /** false, for load: forgets frames that nobody waits for at the moment; cursor and counters go on. */
  keep?: boolean;
  /** Called with each frame as it arrives. */
  onFrame?: (frame: Frame, client: WsClient) => void;
}

export interface WaitTime {
  timeoutMs?: number;
}

/** The server refused the upgrade with an HTTP answer. */
export class HandshakeRefused extends Error {
  constructor(
    url: string,
    readonly status: number,
    readonly headers: IncomingMessage['headers'],
    readonly body: string,
  ) {
    super(`${url} answered the upgrade with ${status}: ${body}`);
    this.name = 'HandshakeRefused';
  }
}

const UNREADABLE = '(unreadable)';

export class WsClient implements AsyncDisposable {
  /** Every frame so far, taken or not (none with `keep: false`). */
  readonly frames: Frame[] = [];
  /** Resolves when the connection is gone, however that happened; 1006 when there was no close frame. */
  readonly closed: Promise<Closed>;
  /** The highest `seq` of an update or `cursor` of a watermark since the start or the last reset. */
  cursor = 0;
  /** The epoch that `hello`, or a later reset, named. */
  epoch: string | undefined;
  /** How many frames and how many bytes of payload came. */
  received = 0;
  receivedBytes = 0;

  #taken = 0;
  /** What the wait in progress is for: one at a time, so that each frame goes to one place. */
  #wait: string | undefined;
  #wake: (() => void) | undefined;
  #end: Closed | undefined;

  private constructor(
    readonly url: string,
    private readonly socket: WebSocket,
    private readonly options: WsOptions,
  ) {
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    socket.on('error', () => {}); // 'close' follows and tells it
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        this.#end = { code, reason: reason.toString() };
        resolve(this.#end);
        this.#wake?.();
      });
    });
  }

  /** Connects; rejects with `HandshakeRefused` when the server answers with HTTP instead. */
  static async connect(url: string, options: WsOptions = {}): Promise<WsClient> {
    const { protocols = [], headers = {}, timeoutMs = 10_000, ca, from } = options;
    const socket = new WebSocket(url, protocols, {
      headers,
      perMessageDeflate: false,
      ...(ca !== undefined && { ca }),
      ...(from !== undefined && { localAddress: from }),
    });
    const client = new WsClient(url, socket, options);
    const open = new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
      socket.once('unexpected-response', (_request, response: IncomingMessage) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text) => {
          body += text;
        });
        response.once('close', () =>
          reject(new HandshakeRefused(url, response.statusCode ?? 0, response.headers, body)),
        );
      });
    });
    try {
      await withTimeout(open, timeoutMs, `connecting to ${url}`);
      return client;
    } catch (error) {
      socket.terminate();
      throw error;
    }
  }

  /** The subprotocol that the server chose; '' for none. */
  get protocol(): string {
    return this.socket.protocol;
  }

  /** The updates so far, of one job or of all. */
  seen(processingId?: string): UpdateFrame[] {
    return this.frames.filter(isUpdate).filter((one) => !processingId || one.processing_id === processingId);
  }

  /** Waits for the next frame and takes it. It must be of this type, if one is given. */
  async next(type?: string, time: WaitTime = {}): Promise<Frame> {
    const wanted = type ?? 'a frame';
    const frame = (await this.#take(`next ${wanted}`, time, () => true))[0];
    if (frame === undefined || (type !== undefined && frame.type !== type)) {
      throw this.#failure(`wanted ${wanted} next, but got ${JSON.stringify(frame)}`);
    }
    return frame;
  }

  /** Takes frames up to and including the first for which `predicate` holds, and returns them (with `keep: false` the last). */
  async until(predicate: (frame: Frame) => boolean, time: WaitTime = {}): Promise<Frame[]> {
    return await this.#take('a frame for which the predicate holds', time, predicate);
  }

  /** Takes frames until there are `count` updates, and returns these. Others are passed over (see `frames`). */
  async updates(count: number, time: WaitTime = {}): Promise<UpdateFrame[]> {
    const updates: UpdateFrame[] = [];
    if (count === 0) return updates;
    await this.#take(`${count} updates`, time, (frame) => {
      if (isUpdate(frame)) updates.push(frame);
      return updates.length === count;
    });
    return updates;
  }

  /** Sends text, bytes, or an object as JSON. */
  send(message: object | string | Buffer): void {
    const plain = typeof message === 'string' || Buffer.isBuffer(message);
    this.socket.send(plain ? message : JSON.stringify(message));
  }

  /**
   * Stops reading from the TCP socket, so that the kernel's buffers fill. Node still reads up to one stream buffer
   * (64 KiB). While paused the end of the connection goes unnoticed too, as with any client that hangs.
   */
  pauseReading(): void {
    this.socket.pause();
  }

  resumeReading(): void {
    this.socket.resume();
  }

  /** Destroys the TCP socket without a close frame. */
  drop(): void {
    this.socket.terminate();
  }

  /** How the connection was closed, when it is within `timeoutMs`. */
  async ended(timeoutMs = 10_000): Promise<Closed> {
    return await withTimeout(this.closed, timeoutMs, 'the close');
  }

  /** Says goodbye and waits for the end; a server that does not answer in time is dropped. */
  async close(code = 1000, reason = '', timeoutMs = 5_000): Promise<Closed> {
    this.resumeReading();
    this.socket.close(code, reason);
    try {
      return await withTimeout(this.closed, timeoutMs, 'the closing handshake');
    } catch {
      this.drop();
      return await this.closed;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.drop();
    await this.closed;
  }

  /** Takes frames until `last` holds for one, waiting for more as long as the connection and the time last. */
  async #take(
    what: string,
    { timeoutMs = 10_000 }: WaitTime,
    last: (frame: Frame) => boolean,
  ): Promise<Frame[]> {
    if (this.#wait) throw new Error(`already waiting for ${this.#wait} on this WsClient`);
    this.#wait = what;
    const keep = this.options.keep !== false;
    const got: Frame[] = [];
    let timer: NodeJS.Timeout | undefined;
    let late = false;
    try {
      for (;;) {
        while (this.#taken < this.frames.length) {
          const frame = this.frames[this.#taken] as Frame;
          this.#taken += 1;
          const found = last(frame);
          if (keep || found) got.push(frame);
          if (found) return got;
        }
        if (!keep) this.#forget();
        if (this.#end)
          throw this.#failure(`closed with ${JSON.stringify(this.#end)} while waiting for ${what}`);
        if (late) throw this.#failure(`waited ${timeoutMs} ms for ${what}`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          timer ??= setTimeout(() => {
            late = true;
            this.#wake?.();
          }, timeoutMs);
        });
      }
    } finally {
      clearTimeout(timer);
      this.#wake = undefined;
      this.#wait = undefined;
      if (!keep) this.#forget();
    }
  }

  #forget(): void {
    this.frames.length = 0;
    this.#taken = 0;
  }

  #receive(data: RawData, isBinary: boolean): void {
    const bytes = data as Buffer; // the default binaryType gives nothing else
    const frame = isBinary ? { type: UNREADABLE, raw: bytes } : parse(bytes.toString());
    this.received += 1;
    this.receivedBytes += bytes.length;
    this.#follow(frame);
    if (this.options.keep !== false || this.#wait) this.frames.push(frame);
    this.options.onFrame?.(frame, this);
    this.#wake?.();
  }

  #follow(frame: Frame): void {
    if (frame.type === 'reset') this.cursor = 0;
    if (frame.type === 'hello' || frame.type === 'reset') {
      if (typeof frame.epoch === 'string') this.epoch = frame.epoch;
    } else if (isUpdate(frame)) {
      this.cursor = Math.max(this.cursor, frame.seq);
    } else if (
      (frame.type === 'caught_up' || frame.type === 'heartbeat') &&
      typeof frame.cursor === 'number'
    ) {
      this.cursor = Math.max(this.cursor, frame.cursor);
    }
  }

  #failure(problem: string): Error {
    const shown = this.frames.slice(-50).map((frame) => `  ${shorten(JSON.stringify(frame))}`);
    const left = this.frames.length - shown.length;
    const intro = left > 0 ? `the last 50 frames, after ${left} others:` : 'all frames so far:';
    return new Error(`${this.url}: ${problem}\n${intro}\n${shown.join('\n') || '  (none)'}`);
  }
}

function isUpdate(frame: Frame): frame is UpdateFrame {
  return frame.type === 'progress_update' && typeof frame.seq === 'number';
}

function parse(text: string): Frame {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string') {
      return value as Frame;
    }
  } catch {
    // told by the type below
  }
  return { type: UNREADABLE, raw: text };
}

function shorten(text: string): string {
  return text.length > 400 ? `${text.slice(0, 400)}... (${text.length} characters)` : text;
}
