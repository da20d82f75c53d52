import type { ConnectionState, ResetReason } from '../../sdk/client/index.js';

/** What the last reconnection brought. */
export interface Reconnection {
  readonly awayMs: number;
  /** Events that came after the connection was back and before the page was up to date. */
  readonly missed: number;
  /** Whether more may come. */
  readonly isOver: boolean;
  /** Something was left out, and what is shown was brought up to date without it; null: nothing was. */
  readonly leftOut: ResetReason | 'skipped' | null;
}

/** What a page knows of its connection. Replaced, never changed. */
export interface ConnectionLog {
  readonly state: ConnectionState;
  /** Since when it is in this state, and when it was last up to date, in milliseconds since 1970. */
  readonly sinceMs: number;
  readonly currentMs: number | null;
  /** It was open before: the next time is a reconnection. */
  readonly lostMs: number | null;
  readonly reconnections: number;
  readonly last: Reconnection | null;
}

export const newLog = (nowMs: number): ConnectionLog => ({
  state: 'idle',
  sinceMs: nowMs,
  currentMs: null,
  lostMs: null,
  reconnections: 0,
  last: null,
});

export function changed(log: ConnectionLog, state: ConnectionState, nowMs: number): ConnectionLog {
  if (state === log.state) return log;
  const next = { ...log, state, sinceMs: nowMs };
  if (log.state === 'open') return { ...next, lostMs: nowMs };
  if (state !== 'open' || log.lostMs === null) return next;
  const last = { awayMs: nowMs - log.lostMs, missed: 0, isOver: false, leftOut: null };
  return { ...next, lostMs: null, reconnections: log.reconnections + 1, last };
}

/** So many events came, or were stood for. */
export function received(log: ConnectionLog, events: number): ConnectionLog {
  const { last } = log;
  return last === null || last.isOver ? log : { ...log, last: { ...last, missed: last.missed + events } };
}

/** The edge left something out. */
export function leftOut(log: ConnectionLog, reason: ResetReason | 'skipped'): ConnectionLog {
  const { last } = log;
  return last === null || last.isOver ? log : { ...log, last: { ...last, leftOut: reason } };
}

/** Everything that there is has come. */
export function upToDate(log: ConnectionLog, nowMs: number): ConnectionLog {
  const { last } = log;
  const isNews = last !== null && !last.isOver;
  return { ...log, currentMs: nowMs, last: isNews ? { ...last, isOver: true } : last };
}
