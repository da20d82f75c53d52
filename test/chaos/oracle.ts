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
  /** Stored while an edge may have been kept from reading it by somebody who edits consumers: it may be shown or not. */
  readonly unsure = new Set<number>();
  /** Somebody has edited the stream or a consumer: an edge may take for missing what is not. */
  isDistrusted = false;
  /** Every message there ever was, valid or not: its job. */
  readonly #owners = new Map<number, string>();
  /** Every message that is still there, in the order of the stream: its job. */
  #kept = new Map<number, string>();
  last = 0;

  constructor(
    readonly epoch: string,
    readonly maxPerSubject: number,
    /** The most events that an edge replays. */
    readonly maxReplay: number,
  ) {}

  /** Whether the stream holds anything of a job, an event or not. */
  isKept(id: string): boolean {
    return [...this.#kept.values()].includes(id);
  }

  /** Whether the deletion of a message strictly between the two began before `at`. */
  isHole({ after, before }: { readonly after: number; readonly before: number }, at: number): boolean {
    return [...this.deletedAt].some(([seq, since]) => seq > after && seq < before && since < at);
  }

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
    this.#owners.set(seq, id);
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
    for (const seq of seqs) {
      if (!this.deletedAt.has(seq)) continue;
      this.cameBack.add(seq);
      this.#kept.set(seq, this.#owners.get(seq) ?? '');
    }
    this.#kept = new Map([...this.#kept].sort(([one], [other]) => one - other));
  }

  /**
   * Jobs that an edge may show or not: those of which these messages are all no events, and those of which something
   * has come back, after the edge may have found that nothing was left.
   */
  inDoubt(seqs: Iterable<number>): Set<string> {
    const newest = this.newestOf(seqs);
    const owners = [...seqs].map((seq) => this.#owners.get(seq) ?? '');
    const back = [...this.cameBack].map((seq) => this.#owners.get(seq) ?? '');
    return new Set([...owners.filter((id) => !newest.has(id)), ...back]);
  }

  /** Of each job the newest of these messages that is a valid event. */
  newestOf(seqs: Iterable<number>): Map<string, number> {
    const newest = new Map<string, number>();
    for (const seq of seqs) {
      const owner = this.#owners.get(seq) ?? '';
      if (this.jobs.get(owner)?.includes(seq)) newest.set(owner, seq);
    }
    return newest;
  }

  /** Whether an edge could take `seq` for the one before `next`, since all between them is gone, or was kept from it. */
  isNeighbour(id: string, seq: number, next: number): boolean {
    const between = (this.jobs.get(id) ?? []).filter((one) => one > seq && one < next);
    if (between.length > 0 && between.every((one) => this.unsure.has(one))) return true;
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
