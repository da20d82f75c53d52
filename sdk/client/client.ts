import type { ConnectionDeps } from './connection.js';
import { ClosedError } from './errors.js';
import { getJob, readHistory } from './http.js';
import { AllJobs, NamedJobs } from './jobs.js';
import { realPlatform } from './platform.js';
import { Saved } from './saved.js';
import { SharedJobs } from './shared-jobs.js';
import { Transports } from './transports.js';
import type {
  HistoryOptions,
  Job,
  JobOptions,
  Jobs,
  JobsFilter,
  ProgressClient,
  ProgressClientOptions,
  ProgressUpdate,
  TransportName,
} from './types.js';
import { openWebSocket } from './websocket-wire.js';
import type { OpenWire, OpenWires, Platform } from './wire.js';

const LINGER_MS = 5_000;

/** What tests give instead of the real one. */
export interface ClientParts {
  readonly platform?: Platform;
  readonly wires?: Partial<OpenWires>;
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
  readonly #deps: ConnectionDeps;
  readonly #shared: SharedJobs;
  readonly #others = new Set<AllJobs>();
  readonly #saved: Saved;
  #isClosed = false;

  constructor(
    options: ProgressClientOptions,
    { platform = realPlatform(options.WebSocket), wires = {} }: ClientParts,
  ) {
    const base = baseUrl(options.url);
    const open = async (name: TransportName): Promise<OpenWire> => {
      if (wires[name] !== undefined) return wires[name];
      if (name === 'websocket') return openWebSocket;
      const fallback = await import('./fallback.js');
      return name === 'sse' ? fallback.openSse : fallback.openPolling;
    };
    this.#saved = new Saved(base, options.storage, platform);
    this.#deps = {
      base,
      target: { kind: 'selected' },
      maxRate: options.maxRate ?? null,
      platform,
      transports: new Transports(options.transport ?? 'auto'),
      open,
      getToken: onceAtATime(options.getToken),
    };
    this.#shared = new SharedJobs({
      ...this.#deps,
      lingerMs: options.lingerMs ?? LINGER_MS,
      get: (id) => this.get(id),
      saved: this.#saved,
    });
  }

  get connection() {
    return this.#shared.state;
  }

  get transport() {
    return this.#shared.transport;
  }

  job(id: string, options: JobOptions = {}): Job {
    this.#check();
    if (!/^[\w-]{1,128}$/.test(id))
      throw new TypeError(`the job is ${JSON.stringify(id)}; expected 1 to 128 of A-Z a-z 0-9 _ -`);
    return this.#shared.open(id, options);
  }

  jobs(filter: JobsFilter = {}, options: JobOptions = {}): Jobs {
    this.#check();
    const { ids, jobTypes } = filter;
    if (ids !== undefined) {
      if (jobTypes !== undefined)
        throw new TypeError('ids and jobTypes are both given; expected one of them');
      return new NamedJobs(
        [...new Set(ids)].map((id) => this.job(id)),
        this.#deps.platform,
        options,
      );
    }
    const deps = { ...this.#deps, target: { kind: 'all', jobTypes: jobTypes ?? [] } } as const;
    const jobs = new AllJobs(deps, options, () => this.#others.delete(jobs));
    this.#others.add(jobs);
    return jobs;
  }

  async get(id: string, options: { readonly signal?: AbortSignal } = {}): Promise<ProgressUpdate | null> {
    this.#check();
    return getJob(await this.#http(), id, options.signal);
  }

  async *history(id: string, options: HistoryOptions = {}): AsyncGenerator<ProgressUpdate> {
    this.#check();
    yield* readHistory(await this.#http(), id, options);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#shared.close();
    for (const jobs of [...this.#others]) jobs.close();
    this.#saved.close();
    this.#isClosed = true;
  }

  async #http() {
    const { base, platform, getToken } = this.#deps;
    return { base, fetch: platform.fetch, token: await getToken() };
  }

  #check(): void {
    if (this.#isClosed) throw new ClosedError();
  }
}

/** @throws TypeError when it is no address of an edge */
function baseUrl(given: string | URL | undefined): URL {
  const page: string | undefined = globalThis.location?.href;
  const text = given ?? globalThis.location?.origin;
  const url = text === undefined || !URL.canParse(text, page) ? null : new URL(text, page);
  if (url === null || !/^(http|ws)s?:$/.test(url.protocol))
    throw new TypeError(
      `url is ${String(given)}; expected the address of an edge, such as https://edge.example.com`,
    );
  url.protocol = url.protocol.replace('ws', 'http');
  url.search = url.hash = '';
  return url;
}

/** Whoever asks while an answer is awaited gets the same one. */
function onceAtATime(getToken: ProgressClientOptions['getToken']): () => Promise<string | null> {
  let asked: Promise<string | null> | null = null;
  return () => {
    asked ??= Promise.resolve()
      .then(() => getToken?.() ?? null)
      .finally(() => {
        asked = null;
      });
    return asked;
  };
}
