import type { ErrorCode } from '../../schemas/close-codes.js';
import { explain, show } from '../../schemas/explain.js';
import type { ResetReason, ServerFrame, SkipReason } from '../../schemas/frames.js';
import { CLIENT_FRAMES, type ClientFrame, clientFrameChecks } from '../../schemas/frames.js';
import { PROTOCOL } from '../../schemas/ids.js';
import { isTooDeep, MAX_LEVELS } from '../../schemas/nesting.js';

const encode = (frame: Exclude<ServerFrame, { type: 'progress_update' }>): string => JSON.stringify(frame);

const ofJob = (id: string | undefined) => (id === undefined ? {} : { processing_id: id });

/** Each frame but `progress_update` (the log makes that one), as text. PROTOCOL.md, "Frames from the edge". */
export const frames = {
  hello: (epoch: string, session: string, heartbeatMs: number, scope: string, maxRate?: number): string =>
    encode({
      type: 'hello',
      protocol: PROTOCOL,
      epoch,
      session,
      heartbeat_ms: heartbeatMs,
      scope,
      ...(maxRate !== undefined && { max_rate: maxRate }),
    }),
  reset: (reason: ResetReason, epoch: string, firstSeq: number, lastSeq: number, id?: string): string =>
    encode({ type: 'reset', reason, epoch, first_seq: firstSeq, last_seq: lastSeq, ...ofJob(id) }),
  skipped: (reason: SkipReason, after: number, before: number): string =>
    encode({ type: 'skipped', reason, after, before }),
  // These two are said most often. Neither ids nor names of scopes have a sign that JSON writes in another way.
  caughtUp: (cursor: number): string => `{"type":"caught_up","cursor":${cursor}}`,
  following: (id: string, cursor: number, scope: string): string =>
    `{"type":"following","processing_id":"${id}","cursor":${cursor},"scope":"${scope}"}`,
  followOk: (): string => encode({ type: 'follow_ok' }),
  heartbeat: (cursor: number, feed: 'ok' | 'away'): string => encode({ type: 'heartbeat', cursor, feed }),
  stalled: (id: string, silentMs: number): string =>
    encode({ type: 'stalled', processing_id: id, silent_ms: silentMs }),
  gone: (id: string): string => encode({ type: 'gone', processing_id: id }),
  tokenExpiring: (expiresAt: string): string => encode({ type: 'token_expiring', expires_at: expiresAt }),
  authOk: (expiresAt: string, scope: string): string =>
    encode({ type: 'auth_ok', expires_at: expiresAt, scope }),
  draining: (withinMs: number): string => encode({ type: 'draining', reconnect_within_ms: withinMs }),
  end: (id?: string): string => encode({ type: 'end', ...ofJob(id) }),
  error: (code: ErrorCode, message: string, id?: string): string =>
    encode({ type: 'error', code, message, ...ofJob(id) }),
  pong: (): string => encode({ type: 'pong' }),
};

export type ParsedClientFrame =
  | { readonly ok: true; readonly frame: ClientFrame }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

const KNOWN = Object.keys(CLIENT_FRAMES).join(', ');

/**
 * Reads one frame from a client. Never throws; the message never repeats a token. PROTOCOL.md, "Frames from the client".
 * @param text null: a binary frame
 * @param maxCharacters the longest that is taken
 */
export function parseClientFrame(text: string | null, maxCharacters: number): ParsedClientFrame {
  if (text === null) return bad('invalid_frame', 'a binary frame; expected JSON in a text frame');
  if (text.length > maxCharacters) {
    return bad('invalid_frame', `the frame has ${text.length} characters; expected at most ${maxCharacters}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad('invalid_frame', 'the frame is not JSON');
  }
  if (isTooDeep(text)) {
    return bad('invalid_frame', `the frame is nested more than ${MAX_LEVELS} levels deep`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return bad('invalid_frame', 'the frame is not a JSON object');
  }
  const type = (value as { type?: unknown }).type;
  switch (type) {
    case 'auth':
    case 'ping':
    case 'follow':
    case 'unfollow': {
      const check = clientFrameChecks[type];
      if (check.Check(value)) return { ok: true, frame: value };
      const wrong = explain(check, value);
      const problem = wrong.path === '/token' ? 'is not text of 1 to 8192 characters' : wrong.problem;
      return bad('invalid_frame', `${type}: ${wrong.path || 'the frame'} ${problem}`);
    }
  }
  return bad('unknown_frame', `type is ${show(type)}; expected one of: ${KNOWN}`);
}

function bad(code: ErrorCode, message: string): ParsedClientFrame {
  return { ok: false, code, message };
}
