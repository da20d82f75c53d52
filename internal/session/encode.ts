import type { ErrorCode } from '../../schemas/close-codes.js';
import type { ResetReason, ServerFrame, SkipReason } from '../../schemas/frames.js';
import { PROTOCOL } from '../../schemas/ids.js';

const encode = (frame: Exclude<ServerFrame, { type: 'progress_update' }>): string => JSON.stringify(frame);

/** Each frame but `progress_update` (the log makes that one), as text. PROTOCOL.md, "Frames from the edge". */
export const frames = {
  hello: (epoch: string, session: string, heartbeatMs: number, scope: string): string =>
    encode({ type: 'hello', protocol: PROTOCOL, epoch, session, heartbeat_ms: heartbeatMs, scope }),
  reset: (reason: ResetReason, epoch: string, firstSeq: number, lastSeq: number): string =>
    encode({ type: 'reset', reason, epoch, first_seq: firstSeq, last_seq: lastSeq }),
  skipped: (reason: SkipReason, after: number, before: number): string =>
    encode({ type: 'skipped', reason, after, before }),
  caughtUp: (cursor: number): string => encode({ type: 'caught_up', cursor }),
  heartbeat: (cursor: number, feed: 'ok' | 'away'): string => encode({ type: 'heartbeat', cursor, feed }),
  stalled: (id: string, silentMs: number): string =>
    encode({ type: 'stalled', processing_id: id, silent_ms: silentMs }),
  gone: (id: string): string => encode({ type: 'gone', processing_id: id }),
  tokenExpiring: (expiresAt: string): string => encode({ type: 'token_expiring', expires_at: expiresAt }),
  authOk: (expiresAt: string, scope: string): string =>
    encode({ type: 'auth_ok', expires_at: expiresAt, scope }),
  draining: (withinMs: number): string => encode({ type: 'draining', reconnect_within_ms: withinMs }),
  end: (): string => encode({ type: 'end' }),
  error: (code: ErrorCode, message: string): string => encode({ type: 'error', code, message }),
  pong: (): string => encode({ type: 'pong' }),
};
