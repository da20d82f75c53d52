import type { ProgressUpdate, ServerFrame } from '../../schemas/frames.generated.js';
import { addressOf, closeOf, headersOf, lost, type Problem, problemOf } from './http-close.js';
import type { FollowedJob, OpenWire, Position, WireClose } from './wire.js';

const VISIBLE_MS = 2_000;
const HIDDEN_MS = 10_000;
const MAX_REQUESTS = 4;
/** What `hello` says of silence: a hidden page asks seldom, and an edge may take 10 s to answer. */
const HEARTBEAT_MS = 30_000;
/** As on a connection to all jobs: those that ended longer ago are not shown at first. */
const FINISHED_MS = 600_000;

interface Page {
  readonly epoch: string;
  readonly events?: readonly ProgressUpdate[];
  readonly jobs?: readonly ProgressUpdate[];
  readonly cursor: number;
  readonly next: string | null;
}

type Answer<T> =
  | { readonly kind: 'ok'; readonly body: T; readonly etag: string }
  | { readonly kind: 'same' }
  | { readonly kind: 'refused'; readonly status: number; readonly problem: Problem };

/** One job, or all of them (`id` is null). */
interface Polled {
  readonly id: string | null;
  position: Position | null;
  isFollowing: boolean;
  /** Up to where the owner was told that it has everything. */
  toldSeq: number;
  etag: string;
}

/** Asks again and again over HTTP, and speaks as a connection does. For where nothing can be kept open. */
export const openPolling: OpenWire = (options, owner, platform) => {
  const { base, target, token } = options;
  const jobs = new Map<string | null, Polled>();
  const abort = new AbortController();
  let epoch: string | null = null;
  let isClosed = false;
  let isBusy = false;
  let isDue = false;
  let stopWaiting = (): void => {};

  const close = (): void => {
    isClosed = true;
    stopWaiting();
    stopListening();
    abort.abort();
  };
  const closed = (why: WireClose): void => {
    if (isClosed) return;
    close();
    owner.closed(why);
  };
  const frame = (given: ServerFrame): void => {
    if (!isClosed) owner.frame(given);
  };
  const isGone = (job: Polled): boolean => isClosed || jobs.get(job.id) !== job;

  function greet(of: string): void {
    if (epoch !== null) return;
    epoch = of;
    // Until it has greeted nobody asks it for what is wanted meanwhile.
    const late = owner.followed().filter(({ id, position }) => jobs.get(id)?.position !== position);
    const scope = owner.position()?.scope ?? '';
    frame({
      type: 'hello',
      protocol: 'progress.v1',
      epoch,
      session: 'polling',
      heartbeat_ms: HEARTBEAT_MS,
      scope,
    });
    if (late.length > 0) follow(late);
  }

  async function ask<T>(path: string, etag = ''): Promise<Answer<T> | null> {
    const answer = await (platform.fetch ?? fetch)(addressOf(base, path), {
      headers: { ...headersOf(token), ...(etag !== '' && { 'if-none-match': etag }) },
      signal: abort.signal,
      // The browser's own store would answer a 304 by what it holds, and hide it.
      cache: 'no-store',
    });
    if (isClosed) return null;
    owner.alive();
    if (answer.status === 304) return { kind: 'same' };
    if (answer.status === 200)
      return { kind: 'ok', body: (await answer.json()) as T, etag: answer.headers.get('etag') ?? '' };
    const problem = await problemOf(answer);
    const { status } = answer;
    // What concerns one job, or its cursor, and was said by the edge.
    if (
      problem.code !== undefined &&
      (status === 410 || (target.kind === 'selected' && isOfJob(status, problem)))
    )
      return { kind: 'refused', status, problem };
    closed(closeOf(answer, problem, platform));
    return null;
  }

  function reset(job: Polled, { reason = 'epoch', ...problem }: Problem): void {
    const { epoch: of = epoch ?? '', first_seq = 0, last_seq = 0 } = problem;
    greet(of);
    Object.assign(job, { position: null, isFollowing: false, etag: '' });
    const ofJob = job.id !== null && { processing_id: job.id };
    frame({ type: 'reset', reason, epoch: of, first_seq, last_seq, ...ofJob });
  }

  function refuse(id: string, { code, detail = 'the edge refused it' }: Problem): void {
    jobs.delete(id);
    frame({ type: 'error', code: code as 'forbidden', message: detail, processing_id: id });
  }

  /** @returns whether the job has to be asked for again at once */
  async function pollJob(job: Polled, id: string): Promise<boolean> {
    const state = await ask<ProgressUpdate>(`v1/jobs/${id}`, job.etag);
    if (state === null || isGone(job) || state.kind === 'same') return false;
    if (state.kind === 'refused' && state.status !== 404) {
      if (state.status !== 410) refuse(id, state.problem);
      return false;
    }
    const last = state.kind === 'ok' ? state.body : null;
    const from = job.position?.seq ?? last?.seq ?? 0;
    // Waits for its first event, and the edge has said so before.
    if (job.position === null && last === null && job.isFollowing) return false;
    const of = job.position?.epoch ?? epoch;
    let after = from;
    let newest = last;
    let isFirst = true;
    for (let hasMore = true; hasMore; ) {
      const query = `after=${after}&limit=1000${of === null ? '' : `&epoch=${of}`}`;
      const page = await ask<Page>(`v1/jobs/${id}/events?${query}`);
      if (page === null || isGone(job) || page.kind === 'same') return false;
      if (page.kind === 'refused') {
        if (page.status !== 410) {
          refuse(id, page.problem);
          return false;
        }
        // Nothing was lost of a job that had no event: all that the edge cannot show is that there was none before.
        if (job.position === null && last === null && page.problem.reason === 'retention') {
          greet(page.problem.epoch ?? '');
          break;
        }
        reset(job, page.problem);
        return true;
      }
      const { epoch: told, events = [], cursor, next } = page.body;
      greet(told);
      if (isFirst && job.position === null && last !== null) frame(last);
      isFirst = false;
      for (const event of events) frame(event);
      if (isGone(job)) return false;
      newest = events.at(-1) ?? newest;
      after = cursor;
      hasMore = next !== null;
      job.position = { seq: cursor, epoch: told, scope: job.position?.scope ?? '' };
    }
    if (isGone(job)) return false;
    // An edge that is behind the one that told the state has its events later.
    const isBehind = last !== null && last.seq > after;
    job.etag = state.kind === 'ok' && !isBehind ? state.etag : '';
    const isNews = !job.isFollowing || after !== job.toldSeq;
    job.toldSeq = after;
    job.isFollowing = true;
    if (isNews)
      frame({ type: 'following', processing_id: id, cursor: after, scope: job.position?.scope ?? '' });
    if (newest !== null && !isBehind && isFinished(newest) && !isGone(job)) {
      jobs.delete(id);
      frame({ type: 'end', processing_id: id });
    }
    return false;
  }

  /** @returns whether it has to be asked again at once */
  async function pollAll(job: Polled, jobTypes: readonly string[]): Promise<boolean> {
    const types = jobTypes.map((type) => `&job_type=${encodeURIComponent(type)}`).join('');
    for (;;) {
      const { position } = job;
      const query = position === null ? '' : `&after=${position.seq}&epoch=${position.epoch}`;
      const page = await ask<Page>(`v1/jobs?limit=1000${types}${query}`, job.etag);
      if (page === null || isGone(job) || page.kind === 'same') return false;
      if (page.kind === 'refused') {
        reset(job, page.problem);
        return true;
      }
      const { epoch: told, jobs: states = [], cursor, next } = page.body;
      greet(told);
      const from = position?.seq ?? 0;
      // Each comes with its newest state alone.
      if (job.isFollowing || position !== null) {
        if (states.some(({ prev_seq }) => prev_seq === null || prev_seq > from))
          frame({ type: 'skipped', reason: 'limit', after: from, before: cursor + 1 });
      }
      for (const state of states) if (job.isFollowing || position !== null || isShown(state)) frame(state);
      job.position = { seq: cursor, epoch: told, scope: position?.scope ?? '' };
      job.etag = next === null && cursor === from ? page.etag : '';
      if (next !== null) continue;
      job.isFollowing = true;
      frame({ type: 'caught_up', cursor });
      return false;
    }
  }

  const isShown = (state: ProgressUpdate): boolean =>
    !isFinished(state) || !(Date.parse(state.timestamp) < platform.now() - FINISHED_MS);

  async function round(): Promise<void> {
    const due = [...jobs.values()];
    const next = async (): Promise<void> => {
      for (let job = due.shift(); job !== undefined && !isClosed; job = due.shift()) {
        const isAgain =
          job.id !== null
            ? await pollJob(job, job.id)
            : target.kind === 'all' && (await pollAll(job, target.jobTypes));
        if (isAgain && !isGone(job)) due.push(job);
      }
    };
    await Promise.all(Array.from({ length: MAX_REQUESTS }, next));
  }

  function run(): void {
    if (isClosed) return;
    stopWaiting();
    if (isBusy) {
      isDue = true;
      return;
    }
    isBusy = true;
    isDue = false;
    // An edge that has refused all of them has not greeted: nobody asks for what is wanted meanwhile.
    if (epoch === null && target.kind === 'selected')
      for (const job of owner.followed()) if (!jobs.has(job.id)) add(job);
    round().then(
      () => {
        isBusy = false;
        if (isClosed) return;
        owner.alive();
        const wait = (platform.isVisible?.() ?? !globalThis.document?.hidden) ? VISIBLE_MS : HIDDEN_MS;
        stopWaiting = platform.later(isDue ? 0 : wait, run);
      },
      (error: unknown) => closed(lost(error instanceof Error ? error.message : 'the request failed')),
    );
  }

  const add = ({ id, position }: FollowedJob): void => {
    jobs.set(id, { id, position, isFollowing: false, toldSeq: 0, etag: '' });
  };
  function follow(more: readonly FollowedJob[]): void {
    more.forEach(add);
    run();
  }
  const stopListening = platform.onPage(run, () => {});
  if (target.kind === 'all')
    jobs.set(null, { id: null, position: owner.position(), isFollowing: false, toldSeq: 0, etag: '' });
  run();
  return {
    transport: 'polling',
    follow,
    unfollow(ids) {
      for (const id of ids) jobs.delete(id);
    },
    // Nothing would say that it counts.
    renew: () => false,
    ping: run,
    close,
  };
};

const isOfJob = (status: number, { code }: Problem): boolean =>
  status === 404 || status === 400 || (status === 403 && code === 'forbidden');

/** PROTOCOL.md, "Words". */
const isFinished = ({ status, error }: ProgressUpdate): boolean =>
  status === 'completed' || (status === 'error' && error?.retryable !== true);
