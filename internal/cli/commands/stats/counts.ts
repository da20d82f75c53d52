import { isFinished } from '../../../../schemas/event.js';
import { type JobEvent, statusWord } from '../../reads/job-event.js';

/** What `headway stats -o json` writes. */
export interface Stats {
  readonly stream: StreamFigures;
  readonly jobs: JobFigures;
  /** Events stored each minute, on average over the last so many; null: not known. */
  readonly events_per_minute: Rates;
  readonly scan?: ScanFigures;
}

export interface StreamFigures {
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  readonly messages: number;
  readonly bytes: number;
  readonly first_seq: number;
  readonly last_seq: number;
  /** RFC 3339; null: it is empty. */
  readonly first_stored_at: string | null;
  readonly last_stored_at: string | null;
  /** Messages between the first and the last that are gone. */
  readonly deleted: number;
  readonly consumers: number;
  readonly replicas: number;
}

export interface JobFigures {
  readonly total: number;
  readonly finished: number;
  readonly unfinished: number;
  /** `retrying`: an error that another attempt may follow. */
  readonly by_status: Readonly<Record<string, number>>;
  /** The most frequent first; null: jobs that name none. */
  readonly by_type: readonly TypeFigures[];
}

export interface TypeFigures {
  readonly job_type: string | null;
  readonly total: number;
  readonly processing: number;
  readonly completed: number;
  readonly error: number;
  readonly retrying: number;
}

export interface Rates {
  readonly last_1: number;
  readonly last_5: number;
  readonly last_15: number;
  readonly last_60: number;
}

export interface ScanFigures {
  readonly messages: number;
  readonly valid: number;
  readonly invalid: number;
  readonly invalid_by_reason: Readonly<Record<string, number>>;
  readonly durations: Durations;
}

/** Of finished jobs, from the first event that is kept to the last; null: there is none. */
export interface Durations {
  readonly jobs: number;
  /** Finished jobs that are not counted in: their first events are not kept any more. */
  readonly cut: number;
  readonly p50_ms: number | null;
  readonly p95_ms: number | null;
  readonly longest_ms: number | null;
}

type Tally = { [Status in 'processing' | 'completed' | 'error' | 'retrying']: number };
const none = (): Tally => ({ processing: 0, completed: 0, error: 0, retrying: 0 });

/** Counts jobs by their last events. */
export class JobCounts {
  readonly #all = none();
  readonly #types = new Map<string | null, Tally>();
  #finished = 0;

  add(job: JobEvent): void {
    const type = job.event.job_type ?? null;
    const own = this.#types.get(type) ?? none();
    this.#types.set(type, own);
    const status = statusWord(job.event) as keyof Tally;
    this.#all[status]++;
    own[status]++;
    if (isFinished(job.event)) this.#finished++;
  }

  figures(): JobFigures {
    const total = sum(this.#all);
    const by_type = [...this.#types].map(([job_type, tally]) => ({ job_type, total: sum(tally), ...tally }));
    return {
      total,
      finished: this.#finished,
      unfinished: total - this.#finished,
      by_status: this.#all,
      by_type: by_type.sort((one, other) => other.total - one.total),
    };
  }
}

const sum = ({ processing, completed, error, retrying }: Tally): number =>
  processing + completed + error + retrying;

/** The value below which `share` of them lie, by the nearest rank; null of none. @param sorted rising */
export function quantile(sorted: ArrayLike<number>, share: number): number | null {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}
