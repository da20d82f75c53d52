import type { ServerFrame } from '../../schemas/frames.generated.js';
import { eventStreamParser } from './event-stream-parser.js';
import { addressOf, closeOf, headersOf, lost, problemOf } from './http-close.js';
import type { FollowedJob, OpenWire, Position, WireClose } from './wire.js';

/** A stream that says nothing for so long is held back by something between. */
const HELLO_MS = 10_000;
/** Jobs that come together are asked for together. */
const REOPEN_MS = 50;
/** With a token and a browser's own headers it stays below what an edge and common proxies take. */
const MAX_ADDRESS = 6_000;
/** A browser opens six connections to one host, and the page needs some itself. */
const MAX_STREAMS = 3;
/** Without a stream nothing comes, and nothing is wrong. */
const IDLE_MS = 2_000;

/** Server-sent events, read with `fetch`: EventSource sends no header and shows no heartbeat. */
export const openSse: OpenWire = (options, owner, platform) => {
  const { base, target, token } = options;
  const rate = target.maxRate === undefined ? '' : `max_rate=${target.maxRate}`;
  const path = addressOf(base, `sse/upload-progress?${rate}`);
  /** By job: the scope of the cursor that was sent; '': none was. */
  const open = new Map<string, string>();
  /** By job: where the streams were asked to go on. */
  let asked: ReadonlyMap<string, Position | null> = new Map();
  /** What still comes of these is no answer to what is asked now. */
  const muted = new Set<string>();
  let streams: (() => void)[] = [];
  let isClosed = false;
  let epoch: string | null = null;
  let stopWaiting = (): void => {};

  const closeStreams = (): void => {
    for (const stop of streams.splice(0)) stop();
  };
  const close = (): void => {
    isClosed = true;
    stopWaiting();
    closeStreams();
  };
  const closed = (why: WireClose): void => {
    if (isClosed) return;
    close();
    owner.closed(why);
  };
  const idle = (): void => {
    stopWaiting();
    stopWaiting = platform.later(IDLE_MS, () => {
      owner.alive();
      // Nobody asks for what is wanted while the edge has not greeted, and it does not where it refuses all of them. And
      // the last stream may have ended right behind a wish.
      if (owner.followed().some(({ id }) => !open.has(id))) openStreams();
      else idle();
    });
  };
  const frame = (given: ServerFrame): void => {
    if (!isClosed) owner.frame(given);
  };
  const refuse = (id: string, code: 'forbidden' | 'too_many_jobs', message: string): void => {
    open.delete(id);
    frame({ type: 'error', code, message, processing_id: id });
  };

  function stream(address: string, ids: readonly string[]): () => void {
    const abort = new AbortController();
    let isOver = false;
    let close = lost('the stream ended');
    let silenceMs = HELLO_MS;
    let isGreeted = false;
    let stopWatch = (): void => {};
    /** Jobs of which this stream has not said yet that they are followed. */
    const awaited = new Set(ids);
    const stop = (): void => {
      isOver = true;
      stopWatch();
      abort.abort();
    };
    const watch = (): void => {
      stopWatch();
      stopWatch = platform.later(silenceMs, () => closed(lost(`nothing came for ${silenceMs} ms`)));
    };
    const done = (): void => {
      stop();
      streams = streams.filter((one) => one !== stop);
      if (streams.length === 0) idle();
    };
    const take = (given: ServerFrame): void => {
      if (isOver) return;
      if (given.type === 'hello') {
        isGreeted = true;
        silenceMs = 2 * given.heartbeat_ms;
        watch();
        const isFirst = epoch === null;
        if (!isFirst && epoch !== given.epoch) closed(lost('the stream of events is another one now'));
        epoch = given.epoch;
        if (!isFirst) return;
        // Until it is greeted nobody asks it for what is wanted meanwhile.
        const late = owner.followed().filter(({ id, position }) => asked.get(id) !== position);
        frame(given);
        if (late.length > 0) follow(late);
        return;
      }
      if (given.type === 'heartbeat') {
        // It covers the jobs of one stream, and those alone that are followed on it.
        if (awaited.size > 0 || streams.length > 1) owner.alive();
        else frame(given);
        return;
      }
      const id = 'processing_id' in given ? given.processing_id : undefined;
      if (id === undefined || target.kind === 'all') {
        if (given.type === 'error') close = closeOfError(given);
        if (given.type === 'draining') close = { ...close, code: 1012, message: 'the edge is going away' };
        frame(given);
        return;
      }
      if (muted.has(id)) {
        owner.alive();
        return;
      }
      if (given.type === 'end' || given.type === 'error') open.delete(id);
      if (given.type !== 'progress_update' && given.type !== 'stalled') awaited.delete(id);
      if (given.type === 'reset') {
        awaited.add(id);
        open.set(id, '');
      }
      if (given.type === 'following') {
        const before = open.get(id);
        if (before && before !== given.scope) {
          // The cursor was of another scope, which has no place in the address where there are several jobs.
          muted.add(id);
          frame({
            type: 'reset',
            reason: 'scope',
            epoch: epoch ?? '',
            first_seq: 0,
            last_seq: 0,
            processing_id: id,
          });
          reopen();
          return;
        }
      }
      frame(given);
    };
    const read = async (): Promise<void> => {
      const answer = await (platform.fetch ?? fetch)(address, {
        headers: headersOf(token),
        signal: abort.signal,
        cache: 'no-store',
      });
      if (isOver) return;
      if (answer.status === 204) {
        done();
        for (const id of ids) {
          open.delete(id);
          frame({ type: 'end', processing_id: id });
        }
        return;
      }
      const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream');
      if (answer.status !== 200 || !isStream || answer.body === null) {
        const problem = await problemOf(answer);
        if (isOver) return;
        if (problem.code === 'forbidden' && ids.length > 0) {
          done();
          for (const id of ids) refuse(id, 'forbidden', problem.detail ?? 'the token does not open this job');
        } else if (answer.status === 200) closed(lost('the answer is no stream of events'));
        else closed(closeOf(answer, problem, platform));
        return;
      }
      const parse = eventStreamParser(
        (data) => take(JSON.parse(data) as ServerFrame),
        (comment) => {
          const text = comment.trim();
          if (text.startsWith('{')) take(JSON.parse(text) as ServerFrame);
        },
      );
      const reader = answer.body.getReader();
      for (;;) {
        const { done: isEnd, value } = await reader.read();
        if (isOver) return;
        if (isEnd) break;
        if (isGreeted) watch();
        owner.alive();
        parse(value);
      }
      if (ids.length > 0 && ids.every((id) => !open.has(id))) done();
      else closed(close);
    };
    watch();
    read().catch((error: unknown) => {
      if (!isOver) closed(lost(`the stream broke: ${error instanceof Error ? error.message : 'unknown'}`));
    });
    return stop;
  }

  function openStreams(): void {
    closeStreams();
    stopWaiting();
    muted.clear();
    open.clear();
    asked = new Map(owner.followed().map(({ id, position }) => [id, position]));
    if (target.kind === 'all') {
      const position = owner.position();
      const types = target.jobTypes.map((type) => `&job_type=${encodeURIComponent(type)}`).join('');
      const from = position === null ? '' : `&last_seq=${position.seq}&epoch=${position.epoch}`;
      const scope = position === null || position.scope === '' ? '' : `&scope=${position.scope}`;
      streams.push(stream(`${path}${types}${from}${scope}`, []));
      return;
    }
    const plans = planOf(owner.followed(), MAX_ADDRESS - path.length);
    for (const { query, jobs } of plans.slice(0, MAX_STREAMS)) {
      for (const { id, position } of jobs) open.set(id, position?.scope ?? '');
      streams.push(
        stream(
          `${path}${query}`,
          jobs.map(({ id }) => id),
        ),
      );
    }
    for (const { id } of plans.slice(MAX_STREAMS).flatMap(({ jobs }) => jobs))
      refuse(id, 'too_many_jobs', 'more jobs than three streams can name; follow fewer, or over WebSocket');
    if (streams.length === 0) idle();
  }

  function reopen(): void {
    if (isClosed || target.kind === 'all') return;
    stopWaiting();
    stopWaiting = platform.later(REOPEN_MS, openStreams);
  }

  function follow(jobs: readonly FollowedJob[]): void {
    for (const { id } of jobs) muted.add(id);
    reopen();
  }

  openStreams();
  return {
    transport: 'sse',
    follow,
    unfollow(ids) {
      // One that has ended or was refused is followed no longer by itself.
      if (!ids.some((id) => open.has(id))) return;
      for (const id of ids) muted.add(id);
      reopen();
    },
    renew: () => false,
    // A stream carries nothing back. A new one is answered at once.
    ping() {
      if (streams.length > 0) reopen();
    },
    close,
  };
};

interface Plan {
  readonly query: string;
  readonly jobs: readonly FollowedJob[];
}

/** Which jobs share a stream: those whose cursors are of one epoch, as many as an address holds. */
function planOf(followed: readonly FollowedJob[], room: number): Plan[] {
  const epochs = new Set(followed.flatMap(({ position }) => (position === null ? [] : [position.epoch])));
  // A cursor of another stream of events than the others is void: which of them is, the edge says.
  const [epoch] = epochs.size === 1 ? epochs : [];
  const plans: { query: string; jobs: FollowedJob[] }[] = [];
  const add = (job: FollowedJob, own: string | undefined): void => {
    const { id, position } = job;
    const text = `&processing_id=${id}${position === null ? '' : `&after=${id}:${position.seq}`}`;
    const head = own === undefined ? '' : `&epoch=${own}`;
    const last = plans.at(-1);
    if (last?.query.startsWith(head) && last.query.length + text.length <= room) {
      last.query += text;
      last.jobs.push(job);
    } else plans.push({ query: head + text, jobs: [job] });
  };
  if (epochs.size <= 1) for (const job of followed) add(job, epoch);
  else
    for (const one of epochs)
      for (const job of followed) if ((job.position?.epoch ?? [...epochs][0]) === one) add(job, one);
  return plans;
}

const NEXT: Readonly<Record<string, readonly [WireClose['next'], number]>> = {
  unauthorized: ['new_token', 4401],
  token_expired: ['new_token', 4401],
  forbidden: ['stop', 4403],
  too_many_connections: ['retry', 4429],
  overloaded: ['retry', 1013],
  internal: ['retry', 1013],
};

function closeOfError({ code, message }: Extract<ServerFrame, { type: 'error' }>): WireClose {
  const [next, number] = NEXT[code] ?? (['stop', 4400] as const);
  return { next, code: number, message, retryAfterMs: 0 };
}
