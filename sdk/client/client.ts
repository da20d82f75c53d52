import type { ConnectionDeps } from './connection.js';
import { ClosedError } from './errors.js';
import { JobsHandle } from './jobs-handle.js';
import { realPlatform } from './platform.js';
import { SharedJobs } from './shared-jobs.js';
import { Transports } from './transports.js';
import type {
  HistoryOptions,
  Job,
  JobOptions,
  Jobs,
  JobsFilter,
  JobsOptions,
  ProgressClient,
  ProgressClientOptions,
  ProgressUpdate,
  TransportName,
} from './types.js';
import { openWebSocket } from './websocket-wire.js';
import type { OpenWire, Platform } from './wire.js';

const LINGER_MS = 5_000;

/** What tests give instead of the real one. */
export interface ClientParts {
  readonly platform?: Platform;
  readonly open?: (name: TransportName) => OpenWire;
}

// What a page may not need is loaded when it does.
async function openWire(name: TransportName): Promise<OpenWire> {
  if (name === 'websocket') return openWebSocket;
  const { openSse, openPolling } = await import('./fallback.js');
  return name === 'sse' ? openSse : openPolling;
}

/**
 * A client of one edge. It connects when somebody follows a job.
 * @throws TypeError when an option is not of its kind, or when there is no page whose address stands in for `url`
 */
export function createProgressClient(
  options: ProgressClientOptions = {},
  parts: ClientParts = {},
): ProgressClient {
  return new Client(options, parts);
}

class Client implements ProgressClient {
  readonly #deps: Omit<ConnectionDeps, 'target'>;
  readonly #shared: SharedJobs;
  readonly #several = new Set<JobsHandle>();
  #isClosed = false;

  constructor(options: ProgressClientOptions, parts: ClientParts) {
    const { storage, transport = 'auto', maxRate, lingerMs = LINGER_MS } = options;
    const platform = parts.platform ?? realPlatform(options.WebSocket);
    const base = baseUrl(options.url);
    checkRate(maxRate);
    this.#deps = {
      base,
      maxRate,
      platform,
      transports: new Transports(transport),
      open: parts.open ?? openWire,
      getToken: onceAtATime(options.getToken),
    };
    const saved =
      storage === undefined
        ? Promise.resolve(null)
        : import('./saved.js').then(({ Saved }) => new Saved(base, storage, platform));
    this.#shared = new SharedJobs({
      ...this.#deps,
      lingerMs,
      get: (id) => this.get(id),
      saved: saved.catch(() => null),
    });
  }

  get connection() {
    return this.#shared.connection.state;
  }

  get transport() {
    return this.#shared.connection.transport;
  }

  job(id: string, options: JobOptions = {}): Job {
    this.#check();
    if (!/^[\w-]{1,128}$/.test(id))
      throw new TypeError(`the job is ${JSON.stringify(id)}; expected 1 to 128 of A-Z a-z 0-9 _ -`);
    return this.#shared.open(id, options);
  }

  jobs({ ids, jobTypes }: JobsFilter = {}, options: JobsOptions = {}): Jobs {
    this.#check();
    const { after, maxRate } = options;
    checkRate(maxRate);
    if (ids !== undefined && (jobTypes ?? after ?? maxRate) !== undefined)
      throw new TypeError('with ids neither jobTypes, after nor maxRate can be given');
    const load = async (handle: JobsHandle) => {
      const { AllJobs, NamedJobs } = await import('./jobs.js');
      if (ids === undefined)
        return new AllJobs(handle, {
          ...this.#deps,
          maxRate,
          target: { kind: 'all', jobTypes: jobTypes ?? [] },
        });
      return new NamedJobs(
        handle,
        [...new Set(ids)].map((id) => this.job(id)),
      );
    };
    const several = this.#several;
    const handle = new JobsHandle(
      this.#deps.platform,
      options,
      load,
      () => several.delete(handle),
      ids !== undefined,
    );
    several.add(handle);
    return handle;
  }

  async get(id: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<ProgressUpdate | null> {
    const { http, getJob } = await this.#http();
    return await getJob(http, id, signal);
  }

  async *history(id: string, options: HistoryOptions = {}): AsyncGenerator<ProgressUpdate> {
    const { http, readHistory } = await this.#http();
    yield* readHistory(http, id, options);
  }

  close(): void {
    this.#isClosed = true;
    this.#shared.close();
    for (const jobs of [...this.#several]) jobs.close();
  }

  async #http() {
    this.#check();
    const { base, platform, getToken } = this.#deps;
    const token = await getToken();
    return { ...(await import('./http.js')), http: { base, fetch: platform.fetch, token } };
  }

  #check(): void {
    if (this.#isClosed) throw new ClosedError();
  }
}

/** @throws TypeError when it is no rate */
function checkRate(maxRate = 1): void {
  if (!(maxRate >= 0.1 && maxRate <= 50))
    throw new TypeError(`maxRate is ${maxRate}; expected 0.1 to 50 updates a second`);
}

/** @throws TypeError when it is no address of an edge */
function baseUrl(given: string | URL | undefined): URL {
  const page: string | undefined = globalThis.location?.href;
  const text = given ?? globalThis.location?.origin ?? '';
  const url = URL.canParse(text, page) ? new URL(text, page) : null;
  if (url === null || !/^(http|ws)s?:$/.test(url.protocol))
    throw new TypeError(`url is ${text}; expected an address such as https://edge.example.com`);
  url.protocol = url.protocol.replace('ws', 'http');
  url.search = url.hash = '';
  return url;
}

/** Whoever asks while an answer is awaited gets the same one. */
function onceAtATime(getToken: ProgressClientOptions['getToken']): () => Promise<string | null> {
  let asked: Promise<string | null> | null = null;
  return () => {
    asked ??= (async () => (await getToken?.()) ?? null)().finally(() => {
      asked = null;
    });
    return asked;
  };
}
