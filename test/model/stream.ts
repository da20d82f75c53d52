import { type DecodedEvent, decodeEvent } from '../../internal/eventlog/decode.js';

export interface ModelMessage {
  readonly seq: number;
  readonly storedAt: number;
  readonly id: string;
  /** null: a message that is not a valid event. */
  readonly event: DecodedEvent | null;
}

/** What a published message says. */
export type Kind = 'processing' | 'reading' | 'again' | 'completed' | 'retryable' | 'failed' | 'invalid';

const STATUS: Record<Exclude<Kind, 'invalid'>, object> = {
  processing: { status: 'processing', progress: 50 },
  reading: { status: 'processing', progress: 50, step: { name: 'read' } },
  again: { status: 'processing', progress: 50, attempt: 2 },
  completed: { status: 'completed', progress: 100 },
  retryable: { status: 'error', progress: 50, error: { code: 'x', retryable: true } },
  failed: { status: 'error', progress: 50, error: { code: 'x', retryable: false } },
};

export const typeOf = (id: string): string => (id < 'job-2' ? 'even' : 'odd');

export interface Truth {
  /** Every valid seq ever, by job. */
  readonly jobs: Map<string, number[]>;
  /** When each finishing event was stored. */
  readonly finishedAt: Map<number, number>;
  /** Every seq that was deleted, by a limit or a purge. */
  readonly lost: Set<number>;
  /** What each valid event says that may not change unseen. */
  readonly phases: Map<number, string>;
}

/**
 * JetStream's stream as a model: sequences, a limit per subject, removal at the front, purge, and another incarnation.
 * It remembers every event of the incarnation, as the truth that clients are held against.
 */
export class ModelStream {
  /** Milliseconds since 1970. */
  clock = 1_000_000_000;
  incarnation = 1;
  last = 0;
  kept = new Map<number, ModelMessage>();
  readonly #truths = new Map<string, Truth>();

  constructor(readonly maxPerSubject: number) {}

  /** What an incarnation held: by default, this one. */
  truthOf(epoch = this.epoch): Truth {
    let truth = this.#truths.get(epoch);
    if (truth === undefined) {
      truth = { jobs: new Map(), finishedAt: new Map(), lost: new Set(), phases: new Map() };
      this.#truths.set(epoch, truth);
    }
    return truth;
  }

  get epoch(): string {
    return `epoch-${this.incarnation}`;
  }

  /** Of every incarnation that held anything. */
  get epochs(): string[] {
    return [...this.#truths.keys()];
  }

  get first(): number {
    return this.kept.keys().next().value ?? this.last + 1;
  }

  publish(id: string, kind: Kind): void {
    const seq = ++this.last;
    let event: DecodedEvent | null = null;
    if (kind !== 'invalid') {
      const body = {
        processing_id: id,
        job_type: typeOf(id),
        timestamp: '2026-01-01T00:00:00Z',
        ...STATUS[kind],
        message: `event ${seq}`,
      };
      const decoded = decodeEvent(`progress.${id}`, new TextEncoder().encode(JSON.stringify(body)));
      if (!decoded.ok) throw new Error(`the model's own event is not valid: ${decoded.detail}`);
      event = decoded.event;
      const { jobs, phases } = this.truthOf();
      phases.set(seq, kind);
      jobs.set(id, [...(jobs.get(id) ?? []), seq]);
      if (event.finished) this.truthOf().finishedAt.set(seq, this.clock);
    }
    this.kept.set(seq, { seq, storedAt: this.clock, id, event });
    const own = this.ofJob(id);
    for (const old of own.slice(0, Math.max(0, own.length - this.maxPerSubject))) this.#delete(old.seq);
  }

  ofJob(id: string): ModelMessage[] {
    return [...this.kept.values()].filter((message) => message.id === id);
  }

  removeOldest(count: number): void {
    for (const seq of [...this.kept.keys()].slice(0, count)) this.#delete(seq);
  }

  /** All of one job's messages are deleted. */
  purgeJob(id: string): void {
    for (const { seq } of this.ofJob(id)) this.#delete(seq);
  }

  purge(): void {
    this.removeOldest(this.kept.size);
  }

  recreate(): void {
    this.incarnation++;
    this.last = 0;
    this.kept = new Map();
  }

  #delete(seq: number): void {
    this.kept.delete(seq);
    this.truthOf().lost.add(seq);
  }
}
