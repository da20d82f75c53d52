/**
 * What JetStream holds and held, as the workers were told: every acknowledged publish of every incarnation of the
 * stream, and what was taken away again. It knows nothing of an edge.
 */

/** What a published message says. */
export type Kind = 'processing' | 'completed' | 'retryable' | 'failed' | 'invalid';

const BODY: Record<Exclude<Kind, 'invalid'>, object> = {
  processing: { status: 'processing', progress: 50 },
  completed: { status: 'completed', progress: 100 },
  retryable: { status: 'error', progress: 50, error: { code: 'x', retryable: true } },
  failed: { status: 'error', progress: 50, error: { code: 'x', retryable: false } },
};

/** Every event of a job names the same type, so that a filter is about jobs. */
export const typeOf = (id: string): string => (id < 'job-2' ? 'even' : 'odd');

/** The bytes of a message of this kind; `length` characters of it say nothing. */
export function bodyOf(id: string, kind: Kind, length: number): string {
  if (kind === 'invalid')
    return JSON.stringify({ processing_id: id, status: 'lost', note: 'x'.repeat(length) });
  return JSON.stringify({
    processing_id: id,
    job_type: typeOf(id),
    timestamp: new Date().toISOString(),
    ...BODY[kind],
    note: 'x'.repeat(length),
  });
}

/** One incarnation of the stream. */
export class Truth {
  /** By job: the seq of every valid event there ever was, rising. */
  readonly jobs = new Map<string, number[]>();
  /** The valid events after which a job is finished. */
  readonly finishing = new Set<number>();
  /** When the deletion of a message began, by the clock of `performance.now()`. */
  readonly deletedAt = new Map<number, number>();
  /**
   * What was deleted and is there again: a server that is killed with -9 can forget that it deleted. For the edges
   * what came back never left, and so they cannot know of what was deleted behind it.
   */
  readonly cameBack = new Set<number>();
  /** Every message that is still there, valid or not, in the order of the stream: its job. */
  readonly #kept = new Map<number, string>();
  last = 0;

  constructor(
    readonly epoch: string,
    readonly maxPerSubject: number,
  ) {}

  /** The newest message that is still there; 0: there is none. */
  get lastKept(): number {
    return [...this.#kept.keys()].at(-1) ?? 0;
  }

  get events(): number {
    return [...this.jobs.values()].reduce((sum, seqs) => sum + seqs.length, 0);
  }

  /** A message was stored. Called in the order of the stream. */
  stored(seq: number, id: string, kind: Kind, startedAt: number): void {
    if (seq !== this.last + 1) throw new Error(`the publisher was told ${seq} after ${this.last}`);
    this.last = seq;
    this.#kept.set(seq, id);
    if (kind !== 'invalid') this.jobs.set(id, [...(this.jobs.get(id) ?? []), seq]);
    if (kind === 'completed' || kind === 'failed') this.finishing.add(seq);
    const own = [...this.#kept].filter(([, owner]) => owner === id);
    for (const [old] of own.slice(0, Math.max(0, own.length - this.maxPerSubject))) {
      this.#delete(old, startedAt);
    }
  }

  /** A purge: of everything, of one job, of everything below a seq. */
  purged(what: { id?: string; below?: number }, startedAt: number): void {
    for (const [seq, id] of this.#kept) {
      if (what.id !== undefined && what.id !== id) continue;
      if (what.below !== undefined && seq >= what.below) continue;
      this.#delete(seq, startedAt);
    }
  }

  /** What the stream really holds after the server was killed. */
  found(seqs: Iterable<number>): void {
    for (const seq of seqs) if (this.deletedAt.has(seq)) this.cameBack.add(seq);
  }

  /** Whether an edge could take `seq` for the one before `next`, since all between them is gone. */
  isNeighbour(id: string, seq: number, next: number): boolean {
    const between = (this.jobs.get(id) ?? []).filter((one) => one > seq && one < next);
    return this.cameBack.has(seq) && between.every((one) => this.deletedAt.has(one));
  }

  /** Whether a deletion can be seen: nothing older of its job has come back. */
  isVisiblyDeleted(id: string, seq: number): boolean {
    const hidden = (this.jobs.get(id) ?? []).some((one) => one < seq && this.cameBack.has(one));
    return this.deletedAt.has(seq) && !hidden;
  }

  #delete(seq: number, startedAt: number): void {
    this.#kept.delete(seq);
    this.deletedAt.set(seq, startedAt);
  }
}
