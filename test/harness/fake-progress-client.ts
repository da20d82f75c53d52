/** A client without an edge: it shows what a test says, and counts what is opened. For what stands on the client alone. */
import type {
  Job,
  JobEvents,
  JobSnapshot,
  Jobs,
  JobsEvents,
  JobsFilter,
  JobsOptions,
  JobsSnapshot,
  ProgressClient,
  ProgressUpdate,
  TypedEventTarget,
} from '../../sdk/client/types.js';

class FakeHandle<Snapshot, Events> extends EventTarget {
  declare addEventListener: TypedEventTarget<Events>['addEventListener'];
  declare removeEventListener: TypedEventTarget<Events>['removeEventListener'];
  readonly cursor = null;
  isClosed = false;
  readonly #watchers = new Set<() => void>();

  constructor(protected snapshot: Snapshot) {
    super();
  }

  subscribe(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  getSnapshot(): Snapshot {
    return this.snapshot;
  }

  set(changes: Partial<Snapshot>): void {
    if (this.isClosed) return;
    this.snapshot = { ...this.snapshot, ...changes };
    for (const watcher of this.#watchers) watcher();
  }

  close(): void {
    this.isClosed = true;
  }

  [Symbol.asyncIterator](): AsyncIterator<ProgressUpdate> {
    throw new Error('the fake has no iterator');
  }
}

export const NEW_JOB: JobSnapshot = {
  id: '',
  state: null,
  connection: 'connecting',
  isCurrent: false,
  continuity: { kind: 'unknown' },
  stalled: null,
  isEnded: false,
  error: null,
};

class FakeJob extends FakeHandle<JobSnapshot, JobEvents> implements Job {
  readonly done: Promise<ProgressUpdate> = new Promise(() => {});

  constructor(readonly id: string) {
    super({ ...NEW_JOB, id });
  }

  update(fields: Partial<ProgressUpdate>): void {
    const state = updateOf(this.id, fields);
    this.set({ state, connection: 'open', isCurrent: true, stalled: null });
    this.dispatchEvent(new CustomEvent('update', { detail: state }));
  }
}

class FakeJobs extends FakeHandle<JobsSnapshot, JobsEvents> implements Jobs {
  constructor(
    readonly filter: JobsFilter,
    readonly options: JobsOptions,
  ) {
    super({
      jobs: new Map(),
      connection: 'open',
      isCurrent: true,
      hasForgotten: false,
      continuity: { kind: 'unknown' },
      error: null,
    });
  }
}

/** An update of a job, with what it has to have. */
export const updateOf = (id: string, fields: Partial<ProgressUpdate> = {}): ProgressUpdate => ({
  type: 'progress_update',
  processing_id: id,
  status: 'processing',
  progress: 0,
  timestamp: '2026-01-01T00:00:00Z',
  seq: 1,
  prev_seq: 0,
  ...fields,
});

export class FakeProgressClient implements ProgressClient {
  readonly connection = 'open';
  readonly transport = 'websocket';
  /** All that were ever opened, in order. */
  readonly handles: FakeJob[] = [];
  readonly lists: FakeJobs[] = [];

  job(id: string): FakeJob {
    const job = new FakeJob(id);
    this.handles.push(job);
    return job;
  }

  jobs(filter: JobsFilter = {}, options: JobsOptions = {}): FakeJobs {
    const jobs = new FakeJobs(filter, options);
    this.lists.push(jobs);
    return jobs;
  }

  /** To all that follow this job. */
  update(id: string, fields: Partial<ProgressUpdate>): void {
    for (const job of this.handles) if (job.id === id) job.update(fields);
  }

  set(id: string, changes: Partial<JobSnapshot>): void {
    for (const job of this.handles) if (job.id === id) job.set(changes);
  }

  /** The jobs that are followed now. */
  get open(): string[] {
    return this.handles.filter((job) => !job.isClosed).map(({ id }) => id);
  }

  async get(): Promise<null> {
    return null;
  }

  history(): AsyncIterable<ProgressUpdate> {
    throw new Error('the fake has no history');
  }

  close(): void {}
}
