/**
 * Runs where the client runs, in a page or in a worker of Node, and writes down what each handle is told, in the order in
 * which it is told. It judges nothing but what only it can see: that a snapshot stays the same object.
 */
import { createProgressClient } from '../../../sdk/client/index.js';
import type {
  Job,
  Jobs,
  JobsFilter,
  JobsOptions,
  ProgressClient,
  ProgressUpdate,
  TransportName,
  WebSocketClass,
} from '../../../sdk/client/types.js';
import { holdTimers, putForward } from './skewed-clock.js';

/** One thing that a handle was told. */
export interface Told {
  readonly handle: string;
  readonly what:
    | 'update'
    | 'reset'
    | 'skipped'
    | 'end'
    | 'error'
    | 'done'
    | 'rejected'
    | 'loop over'
    | 'fault';
  readonly id?: string;
  readonly seq?: number;
  readonly progress?: number;
  readonly status?: string;
  /** For how many events it stands; left out: for itself. */
  readonly folded?: number;
  /** The reason of a reset, the name of an error, or what is wrong. */
  readonly why?: string;
}

export interface ClientSettings {
  url: string;
  transport?: 'auto' | TransportName;
  /** Which storage of the page. */
  storage?: 'session' | 'local';
  lingerMs?: number;
  maxRate?: number;
  /** Where a token comes from; 401 there: there is none. */
  tokenUrl?: string;
}

export interface FollowSettings {
  after?: string;
  /** By listeners, or by a loop. */
  by?: 'events' | 'loop';
  /** The handler throws at its n-th update, behind writing it down. */
  throwAt?: number;
  /** The handler closes the handle at its n-th update. */
  closeAt?: number;
  /** Only counts, and checks that the numbers rise: for traffic without end. */
  quiet?: boolean;
}

export class Recorder {
  readonly #told: Told[] = [];
  readonly #clients = new Map<string, ProgressClient>();
  readonly #handles = new Map<string, Job | Jobs>();
  readonly #counts = new Map<string, number>();
  #tokens = 0;

  constructor(private readonly webSocket?: WebSocketClass) {
    // Chance decides how long a client waits; here it decides for a moment.
    Math.random = () => 0.05;
  }

  client(name: string, { url, transport, storage, lingerMs, maxRate, tokenUrl }: ClientSettings): void {
    const getToken = async (): Promise<string | null> => {
      this.#tokens += 1;
      const answer = await fetch(tokenUrl as string);
      if (answer.status === 401) return null;
      if (!answer.ok) throw new Error(`no token: ${answer.status}`);
      return await answer.text();
    };
    this.#clients.set(
      name,
      createProgressClient({
        url,
        ...(transport && { transport }),
        ...(storage && { storage: storage === 'session' ? sessionStorage : localStorage }),
        ...(lingerMs !== undefined && { lingerMs }),
        ...(maxRate !== undefined && { maxRate }),
        ...(tokenUrl && { getToken }),
        ...(this.webSocket && { WebSocket: this.webSocket }),
      }),
    );
  }

  follow(handle: string, client: string, id: string, settings: FollowSettings = {}): void {
    const job = this.#client(client).job(id, settings.after === undefined ? {} : { after: settings.after });
    this.#handles.set(handle, job);
    const tell = (told: Omit<Told, 'handle'>) => void this.#told.push({ handle, id, ...told });
    let last: number | null = null;
    let updates = 0;
    const take = (update: ProgressUpdate): void => {
      updates += 1;
      this.#counts.set(handle, updates);
      if (settings.quiet && last !== null && update.prev_seq !== last)
        tell({ what: 'fault', why: `${update.prev_seq} is not behind ${last}` });
      last = update.seq;
      if (!settings.quiet) tell({ what: 'update', ...short(update) });
      if (updates === settings.closeAt) job.close();
      if (updates === settings.throwAt) throw new Error('this handler throws');
    };
    job.addEventListener('reset', ({ detail }) => {
      last = null;
      tell({ what: 'reset', why: detail.reason });
    });
    job.addEventListener('end', ({ detail }) => tell({ what: 'end', ...(detail && short(detail)) }));
    job.addEventListener('error', ({ detail }) => tell({ what: 'error', why: detail.name }));
    job.done.then(
      (update) => tell({ what: 'done', ...short(update) }),
      (error: Error) => tell({ what: 'rejected', why: error.name }),
    );
    if (settings.by === 'loop') {
      void (async () => {
        try {
          for await (const update of job) take(update);
          tell({ what: 'loop over' });
        } catch (error) {
          tell({ what: 'loop over', why: (error as Error).name });
        }
      })();
      return;
    }
    job.addEventListener('update', ({ detail }) => take(detail));
    job.addEventListener('state', ({ detail }) => {
      const snapshot = job.getSnapshot();
      if (snapshot !== job.getSnapshot()) tell({ what: 'fault', why: 'two looks, two snapshots' });
      if (detail !== snapshot) tell({ what: 'fault', why: 'the event has another snapshot' });
      if (last !== null && snapshot.state?.seq !== last)
        tell({ what: 'fault', why: `the snapshot has ${snapshot.state?.seq}, and ${last} was taken` });
    });
  }

  followMany(handle: string, client: string, filter: JobsFilter, options: JobsOptions = {}): void {
    const jobs = this.#client(client).jobs(filter, options);
    this.#handles.set(handle, jobs);
    const tell = (told: Omit<Told, 'handle'>) => void this.#told.push({ handle, ...told });
    jobs.addEventListener('update', ({ detail }) =>
      tell({ what: 'update', id: detail.processing_id, ...short(detail) }),
    );
    jobs.addEventListener('reset', ({ detail: { reason, id } }) =>
      tell({ what: 'reset', why: reason, ...(id !== undefined && { id }) }),
    );
    jobs.addEventListener('skipped', () => tell({ what: 'skipped' }));
    jobs.addEventListener('error', ({ detail }) => tell({ what: 'error', why: detail.name }));
  }

  close(handle: string): void {
    this.#handle(handle).close();
  }

  closeClient(name: string): void {
    this.#client(name).close();
  }

  told(): Told[] {
    return this.#told;
  }

  /** How many updates each handle took. */
  counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  cursor(handle: string): string | null {
    return this.#handle(handle).cursor;
  }

  /** What a page would draw, as plain text and numbers. */
  snapshot(handle: string): Record<string, unknown> {
    const snapshot = this.#handle(handle).getSnapshot();
    const { connection, isCurrent, continuity, error } = snapshot;
    const job = 'state' in snapshot ? { seq: snapshot.state?.seq, isEnded: snapshot.isEnded } : {};
    return { connection, isCurrent, continuity, error: error?.name ?? null, ...job };
  }

  connection(name: string): { connection: string; transport: string | null } {
    const { connection, transport } = this.#client(name);
    return { connection, transport };
  }

  tokens(): number {
    return this.#tokens;
  }

  async get(client: string, id: string): Promise<number | null> {
    return (await this.#client(client).get(id))?.seq ?? null;
  }

  async history(client: string, id: string): Promise<number[]> {
    const seqs: number[] = [];
    for await (const { seq } of this.#client(client).history(id)) seqs.push(seq);
    return seqs;
  }

  putForward(ms: number): void {
    putForward(ms);
  }

  /** While they are held, the client's timers do not fire. */
  holdTimers(hold: boolean): void {
    holdTimers(hold);
  }

  #client(name: string): ProgressClient {
    const client = this.#clients.get(name);
    if (client === undefined) throw new Error(`no client ${name}`);
    return client;
  }

  #handle(name: string): Job | Jobs {
    const handle = this.#handles.get(name);
    if (handle === undefined) throw new Error(`no handle ${name}`);
    return handle;
  }
}

const short = ({ seq, progress, status, folded }: ProgressUpdate) => ({
  ...{ seq, progress, status },
  ...(folded !== undefined && { folded }),
});
