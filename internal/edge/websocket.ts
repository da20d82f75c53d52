import { closeCode, ERROR_CODES, type ErrorCode } from '../../schemas/close-codes.js';
import { PROTOCOL } from '../../schemas/ids.js';
import type { AnyConnection } from '../session/client-connection.js';
import { frames } from '../session/frames.js';
import type { ConnectionCredentials, Narrow, RequestedScope, Transport } from '../session/ports.js';
import type {
  AuthResult,
  ConnectionGuard,
  Limit,
  PendingConnection,
  UpgradeRejection,
} from './connection-guard.js';
import { problem, send } from './http-response.js';
import type { ClientRateLimiter } from './limits.js';
import { chooseSubprotocol, type ParsedRequest, parseSocketRequest, readHandshake } from './request.js';
import { guarded, type RequestHead, type RoutingDeps, withoutThrow } from './routing.js';
import type { App, HttpRequest, HttpResponse, UpgradeContext, Uws, WebSocket } from './uws.js';

export const WS_PATH = '/ws/upload-progress';

/**
 * A frame that is so many times as large as it may be is cut off by the library without a word; what is smaller, but
 * too large, is explained. Frames that are not complete cost memory.
 */
const HARD_FRAME_FACTOR = 16;

type Understood = Extract<ParsedRequest<RequestedScope>, { ok: true }>;

export interface WebSocketDeps extends RoutingDeps {
  readonly idleTimeoutSeconds: number;
  /** More than a session ever buffers: its watermark and a page. */
  readonly maxBufferedBytes: number;
  readonly maxClientFrameBytes: number;
  /** The most jobs that one connection may name. */
  readonly maxFollowedJobs: number;
  readonly guard: ConnectionGuard;
  /** What one client may send. */
  readonly clientRate: () => ClientRateLimiter;
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Makes and registers the connection of a client for a request that was understood and let in. */
  readonly connect: (
    request: Pick<Understood, 'scope' | 'resume' | 'maxRate'> & {
      readonly requester: string;
      readonly narrow: Narrow;
    },
    credentials: ConnectionCredentials | null,
    transport: Transport,
  ) => AnyConnection;
  readonly disconnected: (client: AnyConnection, code: number) => void;
  /** A connection that was refused, before the upgrade or with an `error` frame. */
  readonly refused: (refusal: Refused) => void;
}

/** Why somebody was refused, for metrics and the log; never holds a token. */
export interface Refused {
  readonly code: ErrorCode | UpgradeRejection['code'];
  readonly address: string;
  /** What was wrong with the token. */
  readonly defect: string | null;
  /** Which limit was reached. */
  readonly limit: Limit | null;
  /** The origin of the page that may not connect. */
  readonly origin?: string;
}

interface Connection {
  /** null: it was taken up. */
  request: ParsedRequest<RequestedScope> | null;
  readonly pending: PendingConnection;
  /** null: the client has sent nothing yet. */
  rate: ClientRateLimiter | null;
  client: AnyConnection | null;
  isGone: boolean;
  /** The edge has closed it. */
  isClosed: boolean;
}

/** Registers both WebSocket endpoints. PROTOCOL.md, "Connecting". */
export function routeWebSockets(app: App, uws: Uws, deps: WebSocketDeps): void {
  const noThrow = <A extends unknown[]>(handler: (ws: WebSocket<Connection>, ...rest: A) => void) =>
    withoutThrow(handler, deps.failed);
  const route = (pattern: string, idOf: (url: string) => string | null) => {
    const upgraded = guarded<[UpgradeContext]>(deps, (res, req, head, context) =>
      upgrade(res, req, head, context, idOf(req.getUrl()), deps),
    );
    app.ws<Connection>(pattern, {
      compression: uws.DISABLED,
      idleTimeout: deps.idleTimeoutSeconds,
      maxPayloadLength: HARD_FRAME_FACTOR * deps.maxClientFrameBytes,
      // The session stops at its own watermark; a limit here would drop frames in silence.
      maxBackpressure: 0,
      upgrade: upgraded,
      open: noThrow((ws) => open(ws, deps)),
      message: noThrow((ws, message: ArrayBuffer, isBinary: boolean) => {
        const { client } = ws.getUserData();
        if (client !== null && message.byteLength > deps.maxClientFrameBytes) {
          const { byteLength } = message;
          client.fail(
            'invalid_frame',
            `the frame has ${byteLength} bytes; expected at most ${deps.maxClientFrameBytes}`,
          );
          return;
        }
        if (!isWithinRate(ws, message, deps)) return;
        // The bytes belong to the library again as soon as this handler returns.
        client?.receive(isBinary ? null : Buffer.from(message).toString());
      }),
      // The library answers a ping by itself, without a limit: who sends pings and does not read is cut off.
      ping: noThrow((ws, message: ArrayBuffer) => {
        if (isWithinRate(ws, message, deps) && ws.getBufferedAmount() > deps.maxBufferedBytes) ws.close();
      }),
      pong: noThrow((ws, message: ArrayBuffer) => {
        isWithinRate(ws, message, deps);
      }),
      drain: noThrow((ws) => ws.getUserData().client?.drained()),
      close: noThrow((ws, code: number) => {
        const connection = ws.getUserData();
        connection.isGone = true;
        deps.guard.release(connection.pending);
        deps.sockets.left(connection.isClosed);
        if (connection.client === null) return;
        connection.client.closed();
        deps.disconnected(connection.client, code);
      }),
    });
  };

  route(WS_PATH, () => null);
  route(`${WS_PATH}/*`, (url) => url.slice(WS_PATH.length + 1));
}

function upgrade(
  res: HttpResponse,
  req: HttpRequest,
  head: RequestHead,
  context: UpgradeContext,
  id: string | null,
  deps: WebSocketDeps,
): void {
  const handshake = readHandshake(head, req);
  const entry = deps.guard.checkUpgrade(handshake);
  if (entry.kind === 'rejected') {
    deps.refused(refusedAs(entry));
    rejectUpgrade(res, entry);
    return;
  }
  const { pending } = entry;
  try {
    const connection: Connection = {
      request: parseSocketRequest(id, req.getQuery()),
      pending,
      rate: null,
      client: null,
      isGone: false,
      isClosed: false,
    };
    res.upgrade(
      connection,
      req.getHeader('sec-websocket-key'),
      chooseSubprotocol(handshake.subprotocols, PROTOCOL),
      req.getHeader('sec-websocket-extensions'),
      context,
    );
    deps.sockets.upgraded();
  } catch (error) {
    deps.guard.release(pending);
    throw error;
  }
}

/** What is told of an upgrade, or a request, that was turned away. */
export function refusedAs({ code, address, limit, origin }: UpgradeRejection): Refused {
  return { code, address, defect: null, limit, ...(origin !== null && { origin }) };
}

function rejectUpgrade(
  res: HttpResponse,
  { status, code, detail, retryAfterSeconds }: UpgradeRejection,
): void {
  send(res, problem(status, code, detail, retryAfterSeconds));
}

// A request that makes no sense is upgraded all the same: a browser shows its page a close code, never a status.
function open(ws: WebSocket<Connection>, deps: WebSocketDeps): void {
  const connection = ws.getUserData();
  const { request, pending } = connection;
  if (request === null) return;
  connection.request = null;
  if (!request.ok) {
    refuse(ws, deps, request.code, request.message);
    return;
  }
  const enter = (admitted: AuthResult<RequestedScope>): void => {
    // After its end the library's socket must not be touched.
    if (connection.isGone) return;
    if (!admitted.ok) {
      refuse(ws, deps, admitted.code, admitted.message, admitted);
      return;
    }
    const { scope, narrow, credentials, requester } = admitted;
    connection.client = deps.connect(
      { ...request, scope, requester, narrow },
      credentials,
      new WebSocketTransport(ws),
    );
    connection.client.open();
  };
  const admitted = deps.guard.authorize(pending, request.scope);
  if ('ok' in admitted) enter(admitted);
  // Nothing is sent before the token was checked.
  else admitted.then(enter).catch(deps.failed);
}

function refuse(
  ws: WebSocket<Connection>,
  deps: WebSocketDeps,
  code: ErrorCode,
  message: string,
  { defect, limit }: Pick<Refused, 'defect' | 'limit'> = { defect: null, limit: null },
): void {
  deps.refused({ code, address: ws.getUserData().pending.address, defect, limit });
  const transport = new WebSocketTransport(ws);
  transport.cork(() => {
    transport.send(frames.error(code, message));
    transport.end(closeCode(ERROR_CODES[code]), code);
  });
}

// Control frames count as well: each costs the edge a turn, and the others wait.
function isWithinRate(ws: WebSocket<Connection>, message: ArrayBuffer, deps: WebSocketDeps): boolean {
  const connection = ws.getUserData();
  const { client, pending } = connection;
  connection.rate ??= deps.clientRate();
  const limit = connection.rate.take(message.byteLength, deps.now());
  if (limit === null) return true;
  const code = 'too_many_frames';
  if (client === null) {
    refuse(ws, deps, code, TOO_MANY_FRAMES, { defect: null, limit });
  } else {
    deps.refused({ code, address: pending.address, defect: null, limit });
    client.fail(code, TOO_MANY_FRAMES);
  }
  return false;
}

const TOO_MANY_FRAMES = 'too many frames, or too many bytes, in one second; a client needs few';

class WebSocketTransport implements Transport {
  readonly #ws: WebSocket<Connection>;
  #corks = 0;
  #closing: { readonly code: number; readonly reason: string } | null = null;

  constructor(ws: WebSocket<Connection>) {
    this.#ws = ws;
  }

  send(text: string, bytes: Uint8Array | null = null): void {
    this.#ws.send(bytes ?? text);
  }

  cork(write: () => void): void {
    this.#corks++;
    try {
      this.#ws.cork(write);
    } finally {
      this.#corks--;
      this.#closeNow();
    }
  }

  buffered(): number {
    return this.#ws.getBufferedAmount();
  }

  end(code: number, reason: string): void {
    this.#closing ??= { code, reason };
    this.#closeNow();
  }

  // Within a cork of ours the library would send the close frame, but would end TCP only when a timer of its own runs
  // out. Outside of one it ends TCP behind the frame, at once or when the socket has drained.
  #closeNow(): void {
    if (this.#closing === null || this.#corks > 0) return;
    this.#ws.getUserData().isClosed = true;
    this.#ws.end(this.#closing.code, this.#closing.reason);
  }
}
