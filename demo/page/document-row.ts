import { HeadwayProgress } from '../../sdk/client/element.js';
import type { Job, ProgressClient } from '../../sdk/client/types.js';
import { Account, count } from './account.js';
import { make } from './dom.js';

/** What the server says of a document. */
export interface ShownDocument {
  readonly id: string;
  readonly label: string;
  /** null: it cannot be read. */
  readonly pages: number | null;
}

/** What a row tells the page. */
export interface RowOwner {
  /** Something of the job has changed. */
  changed(): void;
  updated(): void;
}

/** The result of a job, as the demo's worker makes it. */
interface Result {
  readonly words?: number;
  readonly seconds?: number;
}

const HISTORY_TRIES = 8;
const HISTORY_EVERY_MS = 1_000;

/** One document: its bar, where it is, and whether anything was missed. */
export class DocumentRow {
  readonly item = make('li', 'job');
  readonly #job: Job;
  readonly #account = new Account();
  readonly #facts = make('p', 'facts');
  readonly #verdict = make('p', 'verdict');

  constructor(
    private readonly client: ProgressClient,
    readonly document: ShownDocument,
    private readonly owner: RowOwner,
  ) {
    const { id, label } = document;
    const bar = new HeadwayProgress();
    bar.client = client;
    bar.setAttribute('job', id);
    bar.setAttribute('label', label);
    this.item.dataset.job = id;
    this.item.append(bar, this.#facts, this.#verdict);
    const job = client.job(id);
    this.#job = job;
    job.addEventListener('update', ({ detail }) => {
      this.#account.update(detail);
      owner.updated();
    });
    job.addEventListener('reset', ({ detail }) => this.#account.reset(detail.reason));
    job.addEventListener('connection', () => owner.changed());
    job.addEventListener('end', () => void this.#compare());
    job.subscribe(() => this.#draw());
    this.#draw();
  }

  /** Whether it has ended, or everything has come that there was. */
  get isCurrent(): boolean {
    const { isCurrent, isEnded, error } = this.#job.getSnapshot();
    return isCurrent || isEnded || error !== null;
  }

  #draw(): void {
    const snapshot = this.#job.getSnapshot();
    const { state } = snapshot;
    const { pages } = this.document;
    const parts = [
      state?.step?.index === undefined
        ? `${pages ?? 0} ${pages === 1 ? 'page' : 'pages'}`
        : `page ${state.step.index} of ${state.step.total ?? pages}`,
      state?.status ?? 'waiting for a worker',
      count(this.#account.count),
    ];
    const { words, seconds } = (state?.result ?? {}) as Result;
    if (words !== undefined)
      parts.push(
        `${words.toLocaleString('en')} ${words === 1 ? 'word' : 'words'} in ${seconds?.toFixed(1)} s`,
      );
    this.#facts.textContent = parts.join(' · ');
    const { kind, text } = this.#account.verdict(snapshot);
    this.#verdict.textContent = text;
    this.#verdict.dataset.kind = kind;
    this.owner.changed();
  }

  /** Holds what came against what is stored; the edge may be away just then. */
  async #compare(): Promise<void> {
    for (let tries = HISTORY_TRIES; tries > 0; tries -= 1) {
      try {
        const seqs: number[] = [];
        for await (const { seq } of this.client.history(this.document.id)) seqs.push(seq);
        this.#account.stored(seqs);
        this.#draw();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, HISTORY_EVERY_MS));
      }
    }
  }
}
