import { secondsLeft } from './eta.js';
import type { JobOptions } from './job-options.js';
import type { JobState } from './state.js';

/** How a job ends: `result` and `error` are JSON already. */
export type Ending =
  | { readonly status: 'completed'; readonly result: string | null }
  | { readonly status: 'error'; readonly error: string };

export type Status = 'processing' | Ending['status'];

/** The members that all events of a job share, as JSON without braces. */
export function sharedMembers(options: JobOptions): string {
  const { jobType, stallAfterSeconds, timeoutSeconds } = options;
  let text = `"processing_id":"${options.processingId}"`;
  if (jobType !== undefined) text += `,"job_type":"${jobType}"`;
  if (stallAfterSeconds !== undefined) text += `,"stall_after_seconds":${stallAfterSeconds}`;
  if (timeoutSeconds !== undefined) text += `,"timeout_seconds":${timeoutSeconds}`;
  return text;
}

/**
 * An event: a job's whole current state as JSON. Written by hand because it is written often, and most of it is known
 * to need no escapes.
 * @param now milliseconds of the clock that the state's times are of
 * @param timestamp RFC 3339
 */
export function encodeEvent(
  shared: string,
  state: JobState,
  ending: Ending | null,
  now: number,
  timestamp: string,
): string {
  const percent = ending?.status === 'completed' ? 100 : state.percent;
  let text =
    `{${shared},"status":"${ending?.status ?? 'processing'}","progress":${percent},` +
    `"timestamp":"${timestamp}","attempt":${state.attempt}`;
  if (state.message !== null) text += `,"message":${JSON.stringify(state.message)}`;
  if (state.step !== null) text += `,"step":${JSON.stringify(state.step)}`;
  if (state.current !== null) text += `,"current":${state.current}`;
  if (state.total !== null) text += `,"total":${state.total}`;
  if (ending === null) text += running(state, now);
  for (const [name, json] of state.own) text += `,${JSON.stringify(name)}:${json}`;
  if (ending?.status === 'completed' && ending.result !== null) text += `,"result":${ending.result}`;
  if (ending?.status === 'error') text += `,"error":${ending.error}`;
  return `${text}}`;
}

function running(state: JobState, now: number): string {
  if (state.indeterminate === true) return ',"indeterminate":true';
  const seconds = state.done === null ? null : secondsLeft(state.rateEstimate, now, state.done);
  const eta = seconds === null ? '' : `,"eta_seconds":${seconds}`;
  return state.indeterminate === false ? `,"indeterminate":false${eta}` : eta;
}
