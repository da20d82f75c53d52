import {
  createProgressClient,
  ForbiddenError,
  type JobSnapshot,
  type Jobs,
  type JobsEvents,
  type ProgressClient,
  type ProgressClientOptions,
  UnauthorizedError,
} from '../../sdk/client/index.js';
import { type ConnectionLog, changed, leftOut, newLog, received, upToDate } from '../model/connection-log.js';
import { EventRate, eventsOf } from '../model/event-rate.js';
import { type JobRow, rowOf } from '../model/job-row.js';
import { type Listed, type ListView, listed } from '../model/list-view.js';
import { readClaims, type TokenClaims } from '../model/token.js';
import { StallProbe } from './stall-probe.js';
import { Store } from './store.js';

const TOKEN_KEY = 'headway-dashboard-token';
/** A list that is sorted anew more often cannot be read. */
const SORT_MS = 250;
/** Of each job so many updates a second: nobody reads more. What is left out in between is counted all the same. */
const JOB_RATE = 4;
/** More than anybody looks through. A page that stays open for weeks would keep every job that ever finished. */
const MOST_FINISHED = 10_000;
/** A job that promises nothing may have stalled by the settings of the edge. */
const SILENT_MS = 30_000;
/** So often it is asked which of the stalled jobs are alive again by heartbeats alone, and of so many at once. */
const AGAIN_MS = 15_000;
const MOST_AGAIN = 200;

/** This tab's connection to the edge, and all jobs. */
export class Session extends Store {
  /** Under a path of its own where a proxy has put the edge there. */
  readonly edge = new URL('.', location.href);
  client: ProgressClient;
  log: ConnectionLog = newLog(Date.now());
  readonly rate = new EventRate();
  /** All jobs are no longer followed. */
  error: Error | null = null;
  isCurrent = false;
  /** Older finished jobs are not among the rows. */
  hasForgotten = false;
  /** Rises with each new client: what hangs on the old one begins anew. */
  generation = 0;
  #token: string | null = null;
  #jobs: Jobs;
  #probe: StallProbe;
  #rows = new Map<string, JobRow>();
  #shown = new Map<string, JobSnapshot>();
  /** What is shown is the newest now: which of the silent jobs had stalled before that is not known yet. */
  #mustProbe = false;
  /** Those that were alive again, with the stall that was over. */
  #alive = new Map<string, JobSnapshot['stalled']>();
  /** Of the stalled jobs, the first that is asked about next time. */
  #againFrom = 0;
  #all: ReadonlyMap<string, JobSnapshot> | null = null;
  #listed: {
    readonly view: ListView;
    readonly atMs: number;
    readonly isStale: boolean;
    readonly result: Listed;
  } | null = null;
  #listTimer: ReturnType<typeof setTimeout> | null = null;

  constructor() {
    super();
    this.#token = readToken();
    this.client = this.#connect();
    this.#jobs = this.#follow();
    this.#probe = this.#newProbe();
    setInterval(() => this.#probeStalled(), AGAIN_MS);
  }

  /** What the token says of itself; null: there is none. */
  get claims(): TokenClaims | null {
    return this.#token === null ? null : readClaims(this.#token);
  }

  /** Nothing is shown before somebody signs in. */
  get needsToken(): boolean {
    return this.error instanceof UnauthorizedError;
  }

  /** The token opens some jobs, and not the list. */
  get isListRefused(): boolean {
    return this.error instanceof ForbiddenError;
  }

  get cursor(): string | null {
    return this.#jobs.cursor;
  }

  /** The newest of a job; null: the edge has none. */
  row(id: string): JobRow | null {
    return this.#rows.get(id) ?? null;
  }

  /** It had stalled, and lives by heartbeats alone: whoever follows it is not told. */
  isAliveAgain(id: string): boolean {
    return this.#alive.has(id) && this.#alive.get(id) === this.#shown.get(id)?.stalled;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** The list for a view. The rows may be older than `row` says, by a moment. */
  list(view: ListView): Listed {
    const nowMs = performance.now();
    const last = this.#listed;
    if (last !== null && last.view === view && (!last.isStale || nowMs - last.atMs < SORT_MS)) {
      if (last.isStale) this.#listLater(SORT_MS - (nowMs - last.atMs));
      return last.result;
    }
    const result = listed(this.#rows.values(), view);
    this.#rows = inOrder(result.rows, this.#rows);
    this.#listed = { view, atMs: nowMs, isStale: false, result };
    return result;
  }

  /** The token is kept for this tab, and as long as it. */
  signIn(token: string): void {
    this.#token = token;
    keepToken(token);
    // A connection that stands takes it by itself, when the old one expires.
    if (this.error === null) this.changed();
    else this.#restart();
  }

  signOut(): void {
    this.#token = null;
    keepToken(null);
    this.#restart();
  }

  /** Anew, from the last states. */
  #restart(): void {
    this.#probe.close();
    this.client.close();
    this.generation += 1;
    this.error = null;
    this.isCurrent = this.hasForgotten = false;
    this.#rows = new Map();
    this.#shown = new Map();
    this.#alive = new Map();
    this.#all = null;
    this.#listed = null;
    this.log = newLog(Date.now());
    this.client = this.#connect();
    this.#jobs = this.#follow();
    this.#probe = this.#newProbe();
    this.changed();
  }

  /** One that is over would be refused again and again; without one the page is told at once that it needs another. */
  #freshToken(): string | null {
    const expiresMs = this.claims?.expiresMs ?? Number.POSITIVE_INFINITY;
    return expiresMs > Date.now() ? this.#token : null;
  }

  #connect(options: ProgressClientOptions = {}): ProgressClient {
    return createProgressClient({ url: this.edge, getToken: () => this.#freshToken(), ...options });
  }

  #follow(): Jobs {
    const jobs = this.client.jobs({}, { maxRate: JOB_RATE, maxFinished: MOST_FINISHED });
    // What the one before says is of no interest any more.
    const on = <K extends keyof JobsEvents & string>(type: K, listener: (detail: JobsEvents[K]) => void) => {
      jobs.addEventListener(type, ({ detail }) => {
        if (this.#jobs !== jobs) return;
        listener(detail);
        this.changed();
      });
    };
    on('update', (update) => {
      const events = eventsOf(update);
      if (this.isCurrent) this.rate.add(events, performance.now());
      this.log = received(this.log, events);
    });
    on('connection', (state) => {
      if (state !== 'open') this.isCurrent = false;
      this.log = changed(this.log, state, Date.now());
    });
    on('state', ({ isCurrent }) => {
      this.#mustProbe ||= isCurrent && !this.isCurrent;
      this.isCurrent = isCurrent;
      if (isCurrent) this.log = upToDate(this.log, Date.now());
    });
    on('reset', ({ reason }) => {
      this.log = leftOut(this.log, reason);
    });
    on('skipped', () => {
      this.log = leftOut(this.log, 'skipped');
    });
    on('error', (error) => {
      this.error = error;
      this.isCurrent = false;
    });
    return jobs;
  }

  #newProbe(): StallProbe {
    return new StallProbe(this.#connect({ lingerMs: 0 }), (id, stalled) => {
      const snapshot = this.#shown.get(id);
      const before = this.#rows.get(id) ?? null;
      const row = snapshot && rowOf({ ...snapshot, stalled }, before);
      if (snapshot !== undefined && stalled === null) this.#alive.set(id, snapshot.stalled);
      else this.#alive.delete(id);
      if (row == null || row.condition === before?.condition) return;
      this.#rows.set(id, row);
      if (this.#listed !== null) this.#listed = { ...this.#listed, isStale: true };
      this.changed();
    });
  }

  /** Those that have stalled may be alive again, and nobody tells. */
  #probeStalled(): void {
    if (!this.isCurrent || document.hidden) return;
    const stalled = [...this.#rows.values()].filter(({ condition }) => condition === 'stalled');
    const from = this.#againFrom < stalled.length ? this.#againFrom : 0;
    this.#againFrom = from + MOST_AGAIN;
    this.#probe.ask(stalled.slice(from, this.#againFrom).map(({ id }) => id));
  }

  #probeSilent(): void {
    this.#mustProbe = false;
    const nowMs = Date.now();
    // Those first that have promised to say something.
    const promised: string[] = [];
    const others: string[] = [];
    for (const { id, condition, updatedMs, state } of this.#rows.values()) {
      if (condition !== 'running') continue;
      const silentMs = nowMs - updatedMs;
      if (silentMs > (state.stall_after_seconds ?? Number.POSITIVE_INFINITY) * 1_000) promised.push(id);
      else if (silentMs > SILENT_MS) others.push(id);
    }
    this.#probe.ask([...promised, ...others]);
  }

  protected override update(): void {
    const { jobs, hasForgotten } = this.#jobs.getSnapshot();
    this.hasForgotten = hasForgotten;
    if (jobs !== this.#all) this.#takeIn(jobs);
    // Also where what it says was taken in before it was known to be the newest.
    if (this.#mustProbe) this.#probeSilent();
  }

  #takeIn(jobs: ReadonlyMap<string, JobSnapshot>): void {
    this.#all = jobs;
    let hasChanged = false;
    for (const [id, snapshot] of jobs) {
      const before = this.#shown.get(id);
      if (before === snapshot) continue;
      this.#shown.set(id, snapshot);
      // Of the connection alone: the row is the same.
      if (before?.state === snapshot.state && before.stalled === snapshot.stalled) continue;
      const row = rowOf(snapshot, this.#rows.get(id) ?? null);
      if (row !== null) this.#rows.set(id, row);
      hasChanged = true;
    }
    if (this.#shown.size > jobs.size) {
      hasChanged = true;
      for (const id of this.#shown.keys()) {
        if (jobs.has(id)) continue;
        this.#shown.delete(id);
        this.#alive.delete(id);
        this.#rows.delete(id);
      }
    }
    if (hasChanged && this.#listed !== null) this.#listed = { ...this.#listed, isStale: true };
  }

  #listLater(ms: number): void {
    this.#listTimer ??= setTimeout(() => {
      this.#listTimer = null;
      this.changed();
    }, ms);
  }
}

/** The same jobs, those of the list first: what is sorted almost is sorted anew in no time. */
function inOrder(first: readonly JobRow[], rows: ReadonlyMap<string, JobRow>): Map<string, JobRow> {
  const ordered = new Map<string, JobRow>();
  for (const row of first) ordered.set(row.id, row);
  if (ordered.size < rows.size) for (const [id, row] of rows) if (!ordered.has(id)) ordered.set(id, row);
  return ordered;
}

// A browser that keeps nothing for pages asks for the token again.
function readToken(): string | null {
  try {
    return sessionStorage.getItem(TOKEN_KEY);
  } catch {
    return null;
  }
}

function keepToken(token: string | null): void {
  try {
    if (token === null) sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, token);
  } catch {
    // It is kept as long as the page stays.
  }
}
