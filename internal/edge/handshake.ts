import { addressText, headerLines } from './client-address.js';
import type { Knock } from './connection-guard.js';
import type { HttpRequest, HttpResponse } from './uws.js';

/** What a request says of who makes it. Only while the library's handler runs. */
export function knockOf(res: HttpResponse, req: HttpRequest): Knock {
  const header = headerLines(req);
  return {
    peer: addressText(res.getRemoteAddress()),
    origin: header('origin'),
    host: req.getHeader('host'),
    forwardedFor: header('x-forwarded-for'),
    forwardedProto: header('x-forwarded-proto'),
    authorization: header('authorization'),
    subprotocols: header('sec-websocket-protocol'),
    // Two are none that anybody could check.
    queryToken: new URLSearchParams(req.getQuery()).getAll('token').join(',') || null,
  };
}
