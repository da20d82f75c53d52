import { plural } from '../formatting.js';
import { JobSkews } from './clocks.js';
import type { EventFacts, Facts, InvalidEvent } from './facts.js';
import { finding, type Outcome, pass, skip, whySkipped } from './findings.js';

/** So many of the newest invalid events are kept. */
const KEPT = 100;

/** Goes through stored messages in their order, and keeps what a finding may name. Bounded. */
export class EventTally {
  readonly #skews = new JobSkews();
  readonly #byReason = new Map<InvalidEvent['reason'], number>();
  #newest: InvalidEvent[] = [];
  #scanned = 0;
  #invalid = 0;
  #fromSeq = 0;
  #toSeq = 0;

  /** An event. @param skewMs its own time minus the time it was stored; null when it is not known */
  event(seq: number, id: string, jobType: string | undefined, skewMs: number | null): void {
    this.#saw(seq);
    if (skewMs !== null) this.#skews.add(id, jobType, skewMs);
  }

  invalid(event: InvalidEvent): void {
    this.#saw(event.seq);
    this.#invalid++;
    this.#byReason.set(event.reason, (this.#byReason.get(event.reason) ?? 0) + 1);
    this.#newest.push(event);
    if (this.#newest.length >= KEPT * 2) this.#newest = this.#newest.slice(-KEPT);
  }

  /** @param cutShort why not everything was gone through that was to be; null when it was */
  facts(cutShort: string | null): EventFacts {
    return {
      scanned: this.#scanned,
      fromSeq: this.#fromSeq,
      toSeq: this.#toSeq,
      cutShort,
      invalid: this.#invalid,
      invalidByReason: this.#byReason,
      newestInvalid: this.#newest.slice(-KEPT).reverse(),
      skews: this.#skews.list(),
    };
  }

  #saw(seq: number): void {
    if (this.#scanned === 0) this.#fromSeq = seq;
    this.#scanned++;
    this.#toSeq = seq;
  }
}

/** Stored messages that are not events: those that were read, and the last ones of jobs that are older. */
export function* checkEvents({ events, jobs, streamName }: Facts): Generator<Outcome> {
  const read = events.kind === 'known' ? events.value : null;
  const isOlder = ({ seq }: InvalidEvent): boolean =>
    read === null || read.scanned === 0 || seq < read.fromSeq;
  const older = jobs.kind === 'known' ? jobs.value.unreadable.filter(isOlder) : [];
  if ((read?.invalid ?? 0) + older.length > 0) yield invalidEvents(read, older, streamName);
  else if (read !== null) {
    yield pass('events', `${plural(read.scanned, 'event')} read, all valid${range(read)}`);
  }
  if (events.kind !== 'known') yield skip('events', whySkipped(events));
  else if (events.value.cutShort !== null) yield skip('events', events.value.cutShort);
}

const range = ({ scanned, fromSeq, toSeq }: EventFacts): string =>
  scanned === 0 ? '' : ` (seq ${fromSeq} to ${toSeq})`;

function invalidEvents(read: EventFacts | null, older: readonly InvalidEvent[], stream: string): Outcome {
  const sentences: string[] = [];
  if (read !== null && read.invalid > 0) {
    const reasons = [...read.invalidByReason]
      .sort(([, one], [, other]) => other - one)
      .map(([reason, times]) => `${reason} ${times}`);
    const are = read.invalid === 1 ? 'is not an event' : 'are not events';
    sentences.push(
      `${read.invalid} of the ${plural(read.scanned, 'message')} that were read${range(read)} ${are} (${reasons.join(', ')}).`,
    );
  }
  if (older.length > 0) {
    sentences.push(`The last message of ${plural(older.length, 'older job')} is not an event.`);
  }
  return finding('warning', 'invalid-events', {
    what: sentences.join(' '),
    why: 'They are never shown to anybody: who waits for such a job does not see how it goes, perhaps not its end.',
    remedy: `Correct the worker that publishes them; PROTOCOL.md, "Events", says what fits. To see one: \`nats stream get ${stream} SEQ\`.`,
    details: [...(read?.newestInvalid ?? []), ...[...older].reverse()].map(
      ({ seq, id, subject, reason, detail }) => `seq ${seq}, ${id ?? subject}: ${reason}: ${detail}`,
    ),
    inAll: (read?.invalid ?? 0) + older.length,
  });
}
