import type { StreamInfo } from 'nats';
import { decodeEvent } from '../../../eventlog/decode.js';
import { readStored, type StoredMessage } from '../../../jetstream/read-stored.js';
import type { CliContext } from '../../runtime/cli-context.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { progressOf, readStatus } from '../../runtime/status.js';
import { quantile, type ScanFigures } from './counts.js';

/** What a scan remembers of a job: with a million of them each field counts. */
interface Span {
  readonly firstAt: number;
  messages: number;
  /** When it finished; null: it has not. */
  finishedAt: number | null;
}

/** Reads every message that is stored as of now. */
export async function scan(
  context: CliContext,
  access: StreamAccess,
  info: StreamInfo,
): Promise<ScanFigures> {
  const progress = progressOf(context, 'message');
  const tally = new Scan(info.config.max_msgs_per_subject);
  try {
    const range = { id: null, from: { kind: 'first' }, until: 'head' } as const;
    for await (const batch of readStored(access, range, context.stopped, readStatus(context))) {
      for (const message of batch) tally.add(message);
      progress.show(tally.messages, info.state.messages);
    }
  } finally {
    progress.clear();
  }
  return tally.figures();
}

/** Counts messages, in the order of the stream. */
export class Scan {
  messages = 0;
  readonly #limit: number;
  readonly #invalid = new Map<string, number>();
  readonly #spans = new Map<string, Span>();

  /** @param limit how many messages the stream keeps of a job; -1: all */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add({ subject, data, storedAt }: StoredMessage): void {
    this.messages++;
    const decoded = decodeEvent(subject, data);
    if (!decoded.ok) {
      this.#invalid.set(decoded.reason, (this.#invalid.get(decoded.reason) ?? 0) + 1);
      if (decoded.id === null) return;
    }
    const span = this.#spans.get(subject);
    const finishedAt = decoded.ok && decoded.event.finished ? storedAt : null;
    if (span === undefined) this.#spans.set(subject, { firstAt: storedAt, messages: 1, finishedAt });
    else {
      span.messages++;
      // What is no event neither ends a job nor begins it anew.
      if (decoded.ok) span.finishedAt = finishedAt;
    }
  }

  figures(): ScanFigures {
    const finished = [...this.#spans.values()].filter(({ finishedAt }) => finishedAt !== null);
    const whole = finished.filter(({ messages }) => this.#limit <= 0 || messages < this.#limit);
    const durations = Float64Array.from(
      whole,
      ({ firstAt, finishedAt }) => (finishedAt ?? 0) - firstAt,
    ).sort();
    const invalid = [...this.#invalid.values()].reduce((sum, one) => sum + one, 0);
    return {
      messages: this.messages,
      valid: this.messages - invalid,
      invalid,
      invalid_by_reason: Object.fromEntries(this.#invalid),
      durations: {
        jobs: durations.length,
        cut: finished.length - whole.length,
        p50_ms: quantile(durations, 0.5),
        p95_ms: quantile(durations, 0.95),
        longest_ms: durations.at(-1) ?? null,
      },
    };
  }
}
