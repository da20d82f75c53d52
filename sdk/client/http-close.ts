import type { ResetReason } from './types.js';
import type { Platform, WireClose } from './wire.js';

/** Why a request was not served, as an edge writes it; a proxy's answer has none of it. */
export interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly reason?: ResetReason;
  readonly epoch?: string;
  readonly first_seq?: number;
  readonly last_seq?: number;
}

/** No header of ours asks for more, and a mistake in one must not silence a page for a day. */
const MAX_RETRY_AFTER_MS = 3_600_000;

/** The request failed, or its answer broke off. */
export const lost = (message: string): WireClose => ({ next: 'retry', code: 0, message, retryAfterMs: 0 });

/** What is to be done after an answer that is none. PROTOCOL.md, "Connecting" and "Over HTTP". */
export function closeOf(answer: Response, problem: Problem, platform: Pick<Platform, 'now'>): WireClose {
  const { status } = answer;
  return {
    next: status === 401 ? 'new_token' : isRetryable(status) ? 'retry' : 'stop',
    code: status,
    message: problem.detail ?? `the edge answered ${status}`,
    retryAfterMs: retryAfterMs(answer.headers.get('retry-after'), platform.now()),
  };
}

/** @returns what the answer says against the request; empty where it is not an edge's */
export async function problemOf(answer: Response): Promise<Problem> {
  const body: unknown = await answer.json().catch(() => null);
  return typeof body === 'object' && body !== null ? body : {};
}

export const headersOf = (token: string | null): Record<string, string> =>
  token === null ? {} : { authorization: `Bearer ${token}` };

/** The address of an endpoint under the edge's base. */
export const addressOf = (base: string, path: string): string => `${base}/${path}`;

const isRetryable = (status: number): boolean => status === 408 || status === 429 || status >= 500;

// Whole seconds, or a date. RFC 9110, 10.2.3.
function retryAfterMs(text: string | null, now: number): number {
  if (text === null) return 0;
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now;
  return ms > 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : 0;
}
