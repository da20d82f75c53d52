import type { ErrorCode } from '../../schemas/close-codes.js';
import { within } from '../async.js';
import type { Scope } from '../eventlog/record.js';
import type { AnyConnection } from '../session/client-connection.js';
import { frames } from '../session/frames.js';
import type { Resume, Transport } from '../session/ports.js';
import type { UpgradeDecision } from './connection-guard.js';
import {
  authorizeHttp,
  isRetryable,
  originHeaders,
  preflight,
  problemOf,
  readHttpHandshake,
  rejection,
  routeOtherMethods,
} from './http-access.js';
import { type HttpResponseSpec, send, writeAnswer } from './http-response.js';
import type { JobReads } from './job-routes.js';
import { type ParsedRequest, parseStreamRequest, scopeIdOf } from './request.js';
import { guarded, type RoutingDeps } from './routing.js';
import { SseEncoder } from './sse-encoder.js';
import type { App, HttpRequest, HttpResponse } from './uws.js';
import { type Refused, refusedAs, type WebSocketDeps } from './websocket.js';

export const SSE_PATH = '/sse/upload-progress';

/** Between these two a browser waits before it comes back, each for another time: an edge that dies has many. */
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 5_000;
/** The library lost bytes of larger pieces when the socket was full. */
const PIECE_BYTES = 15_000;
/**
 * For so long it is asked whether the job has ended; then the stream begins, and waits as every session does. A proxy that
 * waited longer would answer by itself, and a browser never comes back after that.
 */
const END_LOOK_MS = 2_000;

const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  // A proxy that compresses would hold events back.
  'cache-control': 'no-store, no-transform',
  // nginx holds a whole page of an answer back unless it is told.
  'x-accel-buffering': 'no',
} as const;

export interface SseDeps extends RoutingDeps, Pick<WebSocketDeps, 'guard' | 'connect' | 'disconnected'> {
  readonly reads: Pick<JobReads, 'hasSeenEnd'>;
  readonly refused: (refusal: Refused) => void;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** Registers both endpoints of server-sent events: the same sessions as those of WebSockets. PROTOCOL.md, "Server-sent events". */
export function routeSse(app: App, deps: SseDeps): void {
  const route = (path: string, idOf: (req: HttpRequest) => string | null): void => {
    app.options(
      path,
      guarded(deps, (res, req) => send(res, preflight(deps.guard, readHttpHandshake(res, req)))),
    );
    app.get(
      path,
      guarded(deps, (res, req) => begin(res, req, idOf(req), deps)),
    );
    routeOtherMethods(app, deps, path, 'GET, OPTIONS');
  };
  route(SSE_PATH, () => null);
  route(`${SSE_PATH}/:id`, (req) => req.getParameter(0) ?? '');
}

function begin(res: HttpResponse, req: HttpRequest, id: string | null, deps: SseDeps): void {
  const handshake = readHttpHandshake(res, req);
  const request = parseStreamRequest(id, req.getQuery() ?? '', req.getHeader('last-event-id'));
  // What a browser's EventSource asks for: it never comes back after any other status than 200.
  const isEventSource = req.getHeader('accept').toLowerCase().includes('text/event-stream');
  const entry = deps.guard.checkUpgrade(handshake);
  const stream = new EventStream(res, deps, originHeaders(entry, handshake.origin), isEventSource);
  void serve(stream, request, entry, deps).catch((error: unknown) => {
    // What nobody waits for any more is not read: that is no failure.
    if (stream.isGone) return;
    deps.failed(error);
    stream.refuse(problemOf('internal', 'this request failed; it was logged'));
  });
}

async function serve(
  stream: EventStream,
  request: ParsedRequest,
  entry: UpgradeDecision,
  deps: SseDeps,
): Promise<void> {
  if (entry.kind === 'rejected') {
    deps.refused(refusedAs(entry));
    const { code, detail: message } = entry;
    stream.refuse(rejection(entry), code === 'overloaded' ? { code, message } : null);
    return;
  }
  const { pending } = entry;
  stream.onGone(() => deps.guard.release(pending));
  const refuse = (
    code: ErrorCode,
    message: string,
    why: Pick<Refused, 'defect' | 'limit'> = NOTHING,
  ): void => {
    deps.refused({ code, address: pending.address, ...why });
    stream.refuse(problemOf(code, message), { code, message });
  };
  if (!request.ok) {
    refuse(request.code, request.message);
    return;
  }
  const admitted = await authorizeHttp(deps.guard, pending, request.scope);
  if (stream.isGone) return;
  if (!admitted.ok) {
    refuse(admitted.code, admitted.message, admitted);
    return;
  }
  const { scope, narrow, credentials, requester } = admitted;
  const { resume } = request;
  if (scope.kind === 'job' && resume !== null && isOfScope(resume, scope)) {
    let isLate = false;
    const isWanted = () => !stream.isGone && !isLate;
    const hasSeenEnd = await within(
      deps.reads.hasSeenEnd(scope, resume, requester, isWanted),
      END_LOOK_MS,
      () => {
        isLate = true;
        return false;
      },
    );
    // Without this answer a browser would come back for ever.
    if (hasSeenEnd) {
      stream.refuse(NO_CONTENT);
      return;
    }
  }
  if (stream.isGone) return;
  stream.begin(new SseEncoder(resume), (transport) =>
    deps.connect({ ...request, scope, requester, narrow }, credentials, transport),
  );
}

/** Whether a cursor is of what is asked for, by what it says itself. */
const isOfScope = (resume: Resume, scope: Scope): boolean =>
  (resume.scope ?? null) === null || resume.scope === scopeIdOf(scope);

const retryField = (random: number): string =>
  `retry: ${Math.round(RETRY_MIN_MS + random * (RETRY_MAX_MS - RETRY_MIN_MS))}\n\n`;

const NOTHING = { defect: null, limit: null } as const;
const NO_CONTENT: HttpResponseSpec = { status: 204, contentType: 'text/plain', body: '' };

/** The answer to one request while it is made, and then the way of frames to who asked. */
class EventStream implements Transport {
  readonly #res: HttpResponse;
  readonly #deps: SseDeps;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #isEventSource: boolean;
  readonly #gone: (() => void)[] = [];
  #encoder: SseEncoder | null = null;
  #connection: AnyConnection | null = null;
  #isGone = false;
  #corks = 0;
  #unsent: string[] = [];
  /** Bytes that were handed over since the socket is full; 0: it is not. */
  #blockedBytes = 0;
  #isBlocked = false;
  #closeCode: number | null = null;

  constructor(
    res: HttpResponse,
    deps: SseDeps,
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
  begin(encoder: SseEncoder, connect: (transport: Transport) => AnyConnection): void {
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
    this.#unsent.push(this.#encoder.encode(text));
    if (this.#corks === 0) this.#flush();
  }

  cork(write: () => void): void {
    this.#corks++;
    try {
      write();
    } finally {
      this.#corks--;
      if (this.#corks === 0) this.#flush();
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

  #flush(): void {
    if (this.#isGone) return;
    if (this.#unsent.length > 0) {
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
