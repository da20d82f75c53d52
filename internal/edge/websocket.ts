import { closeCode, ERROR_CODES } from '../../schemas/close-codes.js';
import { PROTOCOL } from '../../schemas/ids.js';
import { frames } from '../session/encode.js';
import type { Outlet } from '../session/ports.js';
import type { Session } from '../session/session.js';
import { chooseSubprotocol, type ParsedRequest, parseRequest } from './request.js';
import type { App, HttpRequest, HttpResponse, UpgradeContext, Uws, WebSocket } from './uws.js';

export const WS_PATH = '/ws/upload-progress';

/** Above this the library cuts the connection without a word; what is smaller, but too large, is explained. */
const MAX_CLIENT_FRAME_BYTES = 1024 * 1024;

export interface WebSocketParts {
  readonly idleTimeoutSeconds: number;
  /** More than a session ever buffers: its watermark and a page. */
  readonly maxBufferedBytes: number;
  /** Makes and registers a session for a request that was understood. */
  readonly connect: (request: Extract<ParsedRequest, { ok: true }>, outlet: Outlet) => Session;
  /** Whether there is room for one more now; a client that is refused comes back in a while. */
  readonly hasRoom: () => boolean;
  readonly disconnected: (session: Session, code: number) => void;
  /** A request that was not understood; it is explained and closed. */
  readonly refused: (code: string) => void;
  readonly failed: (error: unknown) => void;
}

interface Connection {
  readonly request: ParsedRequest;
  session: Session | null;
}

/** Registers both WebSocket endpoints. PROTOCOL.md, "Connecting". */
export function routeWebSockets(app: App, uws: Uws, parts: WebSocketParts): void {
  const route = (pattern: string, idOf: (url: string) => string | null) =>
    app.ws<Connection>(pattern, {
      compression: uws.DISABLED,
      idleTimeout: parts.idleTimeoutSeconds,
      maxPayloadLength: MAX_CLIENT_FRAME_BYTES,
      // The session stops at its own watermark; a limit here would drop frames in silence.
      maxBackpressure: 0,
      upgrade: (res, req, context) => {
        if (parts.hasRoom()) upgrade(res, req, context, idOf(req.getUrl()));
        else refuse(res);
      },
      open: guarded((ws) => open(ws, parts)),
      message: guarded((ws, message: ArrayBuffer, isBinary: boolean) => {
        // The bytes belong to the library again as soon as this handler returns.
        ws.getUserData().session?.receive(isBinary ? null : Buffer.from(message).toString());
      }),
      // The library answers a ping by itself, without a limit: who sends pings and does not read is cut off.
      ping: guarded((ws) => {
        if (ws.getBufferedAmount() > parts.maxBufferedBytes) ws.close();
      }),
      drain: guarded((ws) => ws.getUserData().session?.pump()),
      close: guarded((ws, code: number) => {
        const { session } = ws.getUserData();
        if (session === null) return;
        session.closed();
        parts.disconnected(session, code);
      }),
    });

  // The library ends the whole process when a handler throws.
  function guarded<A extends unknown[]>(handler: (ws: WebSocket<Connection>, ...rest: A) => void) {
    return (ws: WebSocket<Connection>, ...rest: A): void => {
      try {
        handler(ws, ...rest);
      } catch (error) {
        parts.failed(error);
      }
    };
  }

  route(WS_PATH, () => null);
  route(`${WS_PATH}/*`, (url) => url.slice(WS_PATH.length + 1));
}

function upgrade(res: HttpResponse, req: HttpRequest, context: UpgradeContext, id: string | null): void {
  const connection: Connection = { request: parseRequest(id, req.getQuery()), session: null };
  res.upgrade(
    connection,
    req.getHeader('sec-websocket-key'),
    chooseSubprotocol(req.getHeader('sec-websocket-protocol'), PROTOCOL),
    req.getHeader('sec-websocket-extensions'),
    context,
  );
}

function refuse(res: HttpResponse): void {
  const body = { type: 'about:blank', title: 'Service Unavailable', status: 503, code: 'overloaded' };
  res
    .writeStatus('503 Service Unavailable')
    .writeHeader('retry-after', '1')
    .writeHeader('content-type', 'application/problem+json')
    .end(`${JSON.stringify({ ...body, detail: 'this edge has no room now; connect again in a moment' })}\n`);
}

// A request that makes no sense is upgraded all the same: a browser shows its page a close code, never a status.
function open(ws: WebSocket<Connection>, parts: WebSocketParts): void {
  const connection = ws.getUserData();
  const { request } = connection;
  const outlet = new WebSocketOutlet(ws);
  if (!request.ok) {
    parts.refused(request.code);
    outlet.send(frames.error(request.code, request.message));
    outlet.end(closeCode(ERROR_CODES[request.code]), request.code);
    return;
  }
  connection.session = parts.connect(request, outlet);
  connection.session.open();
}

class WebSocketOutlet implements Outlet {
  readonly #ws: WebSocket<Connection>;

  constructor(ws: WebSocket<Connection>) {
    this.#ws = ws;
  }

  send(text: string): void {
    this.#ws.send(text);
  }

  cork(write: () => void): void {
    this.#ws.cork(write);
  }

  buffered(): number {
    return this.#ws.getBufferedAmount();
  }

  end(code: number, reason: string): void {
    this.#ws.end(code, reason);
  }
}
