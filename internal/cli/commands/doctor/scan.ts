import type { Event } from '../../../../schemas/event.js';
import { idOf } from '../../../../schemas/ids.js';
import { EventTally } from '../../../doctor/events.js';
import type { EventFacts, JobsFacts, Observed, StreamFacts } from '../../../doctor/facts.js';
import { time } from '../../../doctor/format.js';
import { JobTally } from '../../../doctor/jobs.js';
import { decodeEvent, type InvalidReason } from '../../../eventlog/decode.js';
import { count } from '../../../formatting.js';
import { readLastStates } from '../../../jetstream/last-states.js';
import { type ReadRange, readStored } from '../../../jetstream/read-stored.js';
import { lastHeardAt } from '../../reads/job-status.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { explainFailure, known } from './probe.js';

/** How many of the newest messages are read, or all of them. */
export type Scan = number | 'all';

export interface ScanLimits {
  /** A read that takes longer is ended, and what it has read counts. null: no limit. */
  readonly limitMs: number | null;
  readonly stopped: AbortSignal;
}

/** Reads stored messages for those that are no events, and for the clocks of workers. */
export async function scanEvents(
  access: StreamAccess,
  { firstSeq, lastSeq }: StreamFacts,
  scan: Scan,
  limits: ScanLimits,
): Promise<Observed<EventFacts>> {
  const tally = new EventTally();
  const from = scan === 'all' ? firstSeq : Math.max(firstSeq, lastSeq - scan + 1);
  const range: ReadRange = { id: null, from: { kind: 'seq', seq: Math.max(1, from) }, until: 'head' };
  const begin = (signal: AbortSignal) => readStored(access, range, signal);
  const read = await readAll(begin, limits, (message) => {
    const decoded = decodeEvent(message.subject, message.data);
    if (!decoded.ok) {
      const { id, reason, detail } = decoded;
      tally.invalid({ seq: message.seq, subject: message.subject, id, reason, detail });
      return;
    }
    const { id, jobType, json } = decoded.event;
    tally.event(message.seq, id, jobType, skewOf(json, message.storedAt));
  });
  if (read.kind !== 'known') return read;
  return known(
    tally.facts(read.value === null ? null : `${read.value}; the newer events were not looked at`),
  );
}

/** The event's own time minus the time at which it was stored, in ms. */
function skewOf(json: string, storedAt: number): number | null {
  const at = Date.parse((JSON.parse(json) as Event).timestamp);
  return Number.isNaN(at) ? null : at - storedAt;
}

export interface JobRules {
  /** By the server's clock. */
  readonly now: number;
  readonly stallAfterMs: number;
  readonly maxAgeMs: number | null;
}

/** Reads the last event of each job. */
export async function scanJobs(
  access: StreamAccess,
  rules: JobRules,
  limits: ScanLimits,
): Promise<Observed<JobsFacts>> {
  const tally = new JobTally(rules);
  const invalid = (seq: number, subject: string, reason: InvalidReason, detail: string): void =>
    tally.unreadable({ seq, subject, id: idOf(subject), reason, detail });
  const begin = (signal: AbortSignal) => readLastStates(access, signal, { invalid });
  const read = await readAll(begin, limits, ({ seq, storedAt, event }) => {
    const { id, jobType, finished, json } = event;
    if (finished) {
      tally.finished(id);
      return;
    }
    const last = JSON.parse(json) as Event;
    const { attempt, stall_after_seconds, timeout_seconds } = last;
    tally.unfinished({
      id,
      jobType,
      seq,
      attempt,
      storedAt,
      heardAt: lastHeardAt({ event: last, storedAt }),
      stallAfterMs: inMs(stall_after_seconds),
      timeoutMs: inMs(timeout_seconds),
    });
  });
  if (read.kind !== 'known') return read;
  return known(tally.facts(read.value === null ? null : `${read.value}; the other jobs were not looked at`));
}

const inMs = (seconds: number | undefined): number | null => (seconds === undefined ? null : seconds * 1_000);

type Begin<T> = (signal: AbortSignal) => AsyncGenerator<readonly T[], unknown, undefined>;

/** How long the first message of a read is waited for. Of what a dead server owes `readStored` asks another. */
const PATIENCE_MS = 20_000;

/** Known: why the read was ended before its end; null when it was not. */
async function readAll<T>(
  begin: Begin<T>,
  { limitMs, stopped }: ScanLimits,
  use: (one: T) => void,
): Promise<Observed<string | null>> {
  const silence = new AbortController();
  const policy = setTimeout(() => silence.abort(), PATIENCE_MS);
  const limit = limitMs === null ? null : AbortSignal.timeout(limitMs);
  const signals = [stopped, silence.signal, ...(limit === null ? [] : [limit])];
  let messages = 0;
  try {
    for await (const batch of begin(AbortSignal.any(signals))) {
      clearTimeout(policy);
      for (const one of batch) use(one);
      messages += batch.length;
    }
    return known(null);
  } catch (error) {
    stopped.throwIfAborted();
    if (silence.signal.aborted) {
      const reason = 'no message came when the stream was read: a server that has to answer is away';
      return { kind: 'failed', reason };
    }
    if (limit?.aborted)
      return known(`after ${time(limitMs ?? 0)} only ${count(messages)} messages had been read`);
    return explainFailure(error);
  } finally {
    clearTimeout(policy);
  }
}
