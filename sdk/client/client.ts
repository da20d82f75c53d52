import { createConnection, HELLO_MS } from './connection.js';
import type { Core } from './core.js';
import { isOtherLog, parseCursor } from './cursor.js';
import { ClosedError, edgeError } from './errors.js';
import { Handle, type HandleOwner } from './handle.js';
import type { JobsHandle } from './jobs.js';
import { realPlatform } from './platform.js';
import type { Saved } from './saved.js';
import { createSharedJobs } from './shared-jobs.js';
import { createTransports } from './transports.js';
import type { JobsSnapshot, ProgressClient, ProgressClientOptions, TransportName } from './types.js';
import type { OpenWire, Platform } from './wire.js';

const LINGER_MS = 5_000;

/** What tests give instead of the real one. */
export interface ClientParts {
  readonly platform?: Platform;
  readonly open?: (name: TransportName) => OpenWire;
}

/**
 * A client of one edge. It connects when somebody follows a job. What a page may not need is loaded when it does.
 * @throws TypeError when an option is not of its kind, or when there is no page whose address stands in for `url`
 */
export function createProgressClient(
  {
    url,
    getToken: ask,
    transport = 'auto',
    storage,
    maxRate,
    lingerMs = LINGER_MS,
    WebSocket,
  }: ProgressClientOptions = {},
  { platform = realPlatform(WebSocket), open }: ClientParts = {},
): ProgressClient {
  const base = baseOf(url);
  checkRate(maxRate);
  const core: Core = {
    base,
    platform,
    getToken: onceAtATime(ask, platform),
    transports: createTransports(transport, platform, open),
    createConnection,
    parseCursor,
    isOtherLog,
    edgeError,
    handles: new Set(),
  };
  let isClosed = false;
  /** @throws TypeError when no job can have such a name; ClosedError */
  const check = (...ids: readonly string[]): void => {
    if (isClosed) throw new ClosedError();
    for (const id of ids)
      if (!/^[\w-]{1,128}$/.test(id))
        throw new TypeError(`the job is "${id}"; expected 1 to 128 of A-Z a-z 0-9 _ -`);
  };
  const get: ProgressClient['get'] = async (id, options) => {
    check(id);
    return await (await import('./http.js')).getJob(core, id, options);
  };
  let saved: Saved | undefined;
  const loadSaved = async () => {
    try {
      if (storage && !saved) {
        const { Saved } = await import('./saved.js');
        saved ??= new Saved(core, storage);
      }
    } catch {
      // Nothing is kept until the next job is followed.
    }
    return saved;
  };
  const shared = createSharedJobs({ ...core, maxRate, lingerMs, get, loadSaved });
  const job: ProgressClient['job'] = (id, options = {}) => {
    check(id);
    return shared.open(id, options);
  };
  return {
    get connection() {
      return shared.connection.state;
    },
    get transport() {
      return shared.connection.wire?.transport ?? null;
    },
    job,
    jobs(filter = {}, options = {}) {
      const { ids, jobTypes } = filter;
      const { after, maxRate: rate } = options;
      check(...(ids ?? []));
      checkRate(rate);
      if (ids !== undefined && (jobTypes ?? after ?? rate) !== undefined)
        throw new TypeError('ids are given with jobTypes, after or maxRate; expected ids alone');
      const owner: HandleOwner<JobsSnapshot> = { ...core };
      const handle: JobsHandle = new Handle(owner, options, { jobs: new Map(), hasForgotten: false });
      const load = async () => (await import('./jobs.js')).feedJobs(core, handle, filter, options, job);
      owner.loading = load().catch((error) => handle.fail(error));
      return handle;
    },
    get,
    async *history(id, options) {
      check(id);
      yield* (await import('./http.js')).readHistory(core, id, options);
    },
    close() {
      isClosed = true;
      for (const handle of [...core.handles]) handle.close();
      shared.close();
    },
  };
}

/** @throws TypeError when it is no rate */
function checkRate(maxRate = 1): void {
  if (!(maxRate >= 0.1 && maxRate <= 50))
    throw new TypeError(`maxRate is ${maxRate}; expected 0.1 to 50 updates a second`);
}

/** @throws TypeError when it is no address of an edge */
function baseOf(given: string | URL | undefined): string {
  const { origin = '', href: page }: Partial<Location> = globalThis.location ?? {};
  const text = given ?? origin;
  const href = URL.canParse(text, page) ? new URL(text, page).href : '';
  if (!/^(http|ws)s?:/.test(href))
    throw new TypeError(`url is ${text}; expected one such as https://edge.example.com`);
  return href.replace(/^ws/, 'http').replace(/\/?([?#].*)?$/, '');
}

/** Whoever asks while an answer is awaited gets the same one; but for one that takes longer than an attempt may. */
function onceAtATime(getToken: ProgressClientOptions['getToken'], { now }: Platform): Core['getToken'] {
  let asked: ReturnType<Core['getToken']>;
  let isOldAt = 0;
  return () => {
    if (now() >= isOldAt) {
      isOldAt = now() + HELLO_MS;
      const own = (async () => (await getToken?.()) ?? null)().finally(() => {
        if (asked === own) isOldAt = 0;
      });
      asked = own;
    }
    return asked;
  };
}
