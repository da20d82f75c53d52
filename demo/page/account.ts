import type { JobSnapshot, ProgressUpdate } from '../../sdk/client/types.js';

/** What is said of whether anything was missed. */
export interface Verdict {
  /** `good`: nothing was. `told`: something was left out, and the edge said so. `bad`: something is missing. */
  readonly kind: 'open' | 'good' | 'told' | 'bad';
  readonly text: string;
}

/**
 * Keeps account of the updates of one job, without believing the client: by `prev_seq` while they come, and against what is
 * stored when the job has ended.
 */
export class Account {
  readonly #seqs: number[] = [];
  #fault: string | null = null;
  #reset: string | null = null;
  /** What is stored from the first update on that came; null: not known yet. */
  #stored: readonly number[] | null = null;

  get count(): number {
    return this.#seqs.length;
  }

  update({ seq, prev_seq }: Pick<ProgressUpdate, 'seq' | 'prev_seq'>): void {
    const last = this.#seqs.at(-1);
    if (last !== undefined && seq <= last) this.#fault ??= `update ${seq} came again, after ${last}`;
    else if (last !== undefined && prev_seq !== null && prev_seq !== last)
      this.#fault ??= `update ${prev_seq} never came before ${seq}`;
    this.#seqs.push(seq);
  }

  /** What came is void, and the edge said why. */
  reset(reason: string): void {
    this.#reset = reason;
    this.#seqs.length = 0;
  }

  /** @param seqs all that is stored of the job, in order */
  stored(seqs: readonly number[]): void {
    this.#stored = seqs;
  }

  verdict({ continuity, isEnded }: Pick<JobSnapshot, 'continuity' | 'isEnded'>): Verdict {
    const first = this.#seqs[0];
    if (this.#fault !== null) return { kind: 'bad', text: `Not all is well: ${this.#fault}.` };
    if (first === undefined) return { kind: 'open', text: 'No update has come yet.' };
    if (this.#reset !== null)
      return { kind: 'told', text: `The edge left something out and said so (${this.#reset}).` };
    const stored = this.#stored?.filter((seq) => seq >= first);
    if (isEnded && stored !== undefined) {
      const missing = stored.filter((seq) => !this.#seqs.includes(seq));
      if (missing.length > 0) return { kind: 'bad', text: `Missed: update ${missing.join(', ')}.` };
      // Of many updates the stream keeps the newest only.
      if (stored.length === this.#stored?.length && stored[0] === first)
        return {
          kind: 'good',
          text: `Nothing missed: all ${count(stored.length)} came, each once, in order.`,
        };
      if (this.#seqs.length === 1) return { kind: 'open', text: 'It was done before you came.' };
      return {
        kind: 'good',
        text: `Nothing missed since you came: ${count(this.#seqs.length)}, each once, in order.`,
      };
    }
    if (continuity.kind === 'proven')
      return { kind: 'good', text: 'Nothing missed: each update names the one before it (proven).' };
    return { kind: 'open', text: 'No proof yet that nothing was missed.' };
  }
}

/** `1 update`, `2 updates`. */
export function count(updates: number): string {
  return `${updates} ${updates === 1 ? 'update' : 'updates'}`;
}
