import type { ErrorCode } from '../../schemas/close-codes.js';
import type { AnyConnection } from '../session/client-connection.js';
import { frames } from '../session/frames.js';
import type { Transport } from '../session/ports.js';
import { isRetryable } from './http-access.js';
import { type HttpResponseSpec, writeAnswer } from './http-response.js';
import type { RoutingDeps } from './routing.js';
import type { StreamEncoder } from './sse-encoder.js';
import type { HttpResponse } from './uws.js';
import type { WebSocketDeps } from './websocket.js';

/** Between these two a browser waits before it comes back, each for another time: an edge that dies has many. */
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 5_000;
/** The library lost bytes of larger pieces when the socket was full. */
const PIECE_BYTES = 15_000;
/** The most characters that wait for the end of a turn. */
const MAX_UNSENT = 65_536;

const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  // A proxy that compresses would hold events back.
  'cache-control': 'no-store, no-transform',
  // nginx holds a whole page of an answer back unless it is told.
  'x-accel-buffering': 'no',
} as const;

export interface EventStreamDeps extends RoutingDeps, Pick<WebSocketDeps, 'disconnected'> {
  /** From 0 up to 1. */
  readonly random: () => number;
}

const retryField = (random: number): string =>
  `retry: ${Math.round(RETRY_MIN_MS + random * (RETRY_MAX_MS - RETRY_MIN_MS))}\n\n`;

/** The answer to one request while it is made, and then the way of frames to who asked. */
export class EventStream implements Transport {
  readonly #res: HttpResponse;
  readonly #deps: EventStreamDeps;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #isEventSource: boolean;
  readonly #gone: (() => void)[] = [];
  #encoder: StreamEncoder | null = null;
  #connection: AnyConnection | null = null;
  #isGone = false;
  #corks = 0;
  #unsent: string[] = [];
  #unsentLength = 0;
  #isFlushDue = false;
  /** Bytes that were handed over since the socket is full; 0: it is not. */
  #blockedBytes = 0;
  #isBlocked = false;
  #closeCode: number | null = null;

  constructor(
    res: HttpResponse,
    deps: EventStreamDeps,
    headers: Readonly<Record<string, string>>,
    isEventSource: boolean,
  ) {
    this.#res = res;
    this.#deps = deps;
    this.#headers = headers;
    this.#isEventSource = isEventSource;
    res.onAborted(() => this.#leave(1006));
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Calls when the connection is over, however it ends. */
  onGone(call: () => void): void {
    this.#gone.push(call);
  }

  /**
   * Answers and ends; a stream that has begun is cut off instead. Where coming back may help, a browser's EventSource is
   * told so by a stream that holds nothing but the error.
   */
  refuse(answer: HttpResponseSpec, error: { code: ErrorCode; message: string } | null = null): void {
    if (this.#isGone) return;
    if (this.#encoder !== null) {
      // The head of the stream has left: another one would stand in the midst of it.
      this.#res.close();
      return;
    }
    const mayComeBack = this.#isEventSource && isRetryable(answer.status);
    // In a later turn, like every answer: see `send`.
    setImmediate(() => {
      if (this.#isGone) return;
      this.#res.cork(() => {
        if (mayComeBack) {
          this.#writeHead();
          const code = error?.code ?? 'overloaded';
          const text = frames.error(code, error?.message ?? 'connect again in a moment');
          this.#res.end(`${retryField(this.#deps.random())}data: ${text}\n\n`, true);
        } else writeAnswer(this.#res, { ...answer, headers: { ...answer.headers, ...this.#headers } });
      });
      this.#leave(1000);
    });
  }

  /** Begins to stream what the session sends. */
  begin(encoder: StreamEncoder, connect: (transport: Transport) => AnyConnection): void {
    this.#encoder = encoder;
    this.#deps.sockets.streamBegan();
    this.onGone(() => this.#deps.sockets.streamEnded());
    this.#res.onWritable(() => this.#writable());
    this.#res.cork(() => {
      this.#writeHead();
      this.#res.writeHeader('connection', 'close');
      this.#res.write(retryField(this.#deps.random()));
    });
    const connection = connect(this);
    this.#connection = connection;
    connection.open();
  }

  send(text: string): void {
    if (this.#encoder === null) return;
    const event = this.#encoder.encode(text);
    this.#unsent.push(event);
    this.#unsentLength += event.length;
    if (this.#unsentLength > MAX_UNSENT && this.#encoder.isJoint) this.#flush();
    else if (this.#corks === 0) this.#flushInTurn();
  }

  cork(write: () => void): void {
    this.#corks++;
    try {
      write();
    } finally {
      this.#corks--;
      if (this.#corks === 0) this.#flushInTurn();
    }
  }

  buffered(): number {
    return this.#blockedBytes;
  }

  end(code: number): void {
    this.#closeCode ??= code;
    if (this.#corks === 0) this.#flush();
  }

  #writeHead(): void {
    this.#res.writeStatus('200 OK');
    for (const [name, value] of Object.entries({ ...STREAM_HEADERS, ...this.#headers }))
      this.#res.writeHeader(name, value);
  }

  // Where one position counts for several sessions, each of them has its share of the turn first.
  #flushInTurn(): void {
    if (this.#encoder?.isJoint !== true || this.#closeCode !== null) {
      this.#flush();
      return;
    }
    if (this.#isFlushDue || this.#unsent.length === 0) return;
    this.#isFlushDue = true;
    queueMicrotask(() => {
      this.#isFlushDue = false;
      try {
        this.#flush();
      } catch (error) {
        this.#deps.failed(error);
      }
    });
  }

  #flush(): void {
    if (this.#isGone) return;
    // Behind the last frame as well, where that was handed over by itself: who has an end and no id comes back for it.
    if (this.#unsent.length > 0 || this.#closeCode !== null) {
      this.#unsent.push(this.#encoder?.position() ?? '');
      this.#unsentLength = 0;
      const bytes = Buffer.from(this.#unsent.join(''));
      this.#unsent = [];
      for (let from = 0; from < bytes.byteLength; from += PIECE_BYTES) {
        this.#write(bytes.subarray(from, from + PIECE_BYTES));
      }
    }
    if (this.#closeCode === null) return;
    // Told to close, the library would write a header into the middle of the stream; that stands at its head.
    this.#res.cork(() => this.#res.end());
    this.#leave(this.#closeCode);
  }

  #write(piece: Uint8Array): void {
    this.#res.cork(() => {
      const isTaken = this.#res.write(piece);
      // Once it is full the library takes everything, and says nothing until all of it is sent.
      this.#isBlocked ||= !isTaken;
      if (this.#isBlocked) this.#blockedBytes += piece.byteLength;
    });
  }

  #writable(): boolean {
    try {
      this.#isBlocked = false;
      this.#blockedBytes = 0;
      this.#connection?.drained();
    } catch (error) {
      this.#deps.failed(error);
    }
    return true;
  }

  #leave(code: number): void {
    if (this.#isGone) return;
    this.#isGone = true;
    try {
      for (const call of this.#gone) call();
      if (this.#connection === null) return;
      this.#connection.closed();
      this.#deps.disconnected(this.#connection, code);
    } catch (error) {
      this.#deps.failed(error);
    }
  }
}
