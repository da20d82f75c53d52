import type { HeartbeatFacts, Observed } from '../../../doctor/facts.js';
import type { Awaited, Listening } from '../../reads/heartbeat-listener.js';
import { known, refusedSubject } from './probe.js';

/** Listens on until each of these jobs was heard, or for so long since the start. */
export async function hear(
  listening: Listening,
  silent: readonly Awaited[],
  listenMs: number,
  stopped: AbortSignal,
): Promise<Observed<HeartbeatFacts>> {
  await listening.wait(listenMs, () => silent.every((job) => listening.has(job)), stopped);
  const { refusal, listenedMs } = listening;
  if (refusal === null) {
    const heard = silent.filter((job) => listening.has(job)).map(({ id }) => id);
    return known({ listenedMs, heard: new Set(heard) });
  }
  const subject = refusedSubject(refusal);
  return subject === null ? { kind: 'failed', reason: refusal.message } : { kind: 'not_permitted', subject };
}
