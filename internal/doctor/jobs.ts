import { plural } from '../formatting.js';
import type { Facts, InvalidEvent, JobsFacts, UnfinishedJob } from './facts.js';
import { finding, type Outcome, pass, skip, whenKnown, whySkipped } from './findings.js';
import { time } from './format.js';

/** Of how many jobs more than their number is kept. */
const KEPT = 50_000;
const UNREADABLE = 100;
/** A last event that is older than this share of `max_age` is about to leave. */
const LEAVING = 0.8;

/** Goes through the last states of all jobs, and keeps what a finding may name. Bounded, whatever the number of jobs. */
export class JobTally {
  readonly #silent: Longest;
  readonly #leaving: Longest;
  readonly #rules: { readonly now: number; readonly stallAfterMs: number; readonly maxAgeMs: number | null };
  #jobs = 0;
  #unfinished = 0;
  #unreadable: InvalidEvent[] = [];

  /**
   * @param rules `now`, by the server's clock; how long a job may be silent that says nothing itself; the stream's
   * `max_age`
   */
  constructor(
    rules: { readonly now: number; readonly stallAfterMs: number; readonly maxAgeMs: number | null },
    kept = KEPT,
  ) {
    this.#rules = rules;
    this.#silent = new Longest(kept);
    this.#leaving = new Longest(kept);
  }

  finished(id: string): void {
    this.#saw(id);
  }

  /** The newest message of a job is not an event. In the order of the stream. */
  unreadable(event: InvalidEvent): void {
    this.#unreadable.push(event);
    if (this.#unreadable.length >= UNREADABLE * 2) this.#unreadable = this.#unreadable.slice(-UNREADABLE);
  }

  unfinished(job: UnfinishedJob): void {
    this.#saw(job.id);
    this.#unfinished++;
    const { now, stallAfterMs, maxAgeMs } = this.#rules;
    if (now - heardAt(job) >= allowedMs(job, stallAfterMs)) this.#silent.add(job);
    if (maxAgeMs !== null && now - job.storedAt >= maxAgeMs * LEAVING) this.#leaving.add(job);
  }

  /** @param cutShort why not all jobs were gone through; null when they were */
  facts(cutShort: string | null): JobsFacts {
    return {
      jobs: this.#jobs,
      unfinished: this.#unfinished,
      unreadable: this.#unreadable.slice(-UNREADABLE),
      cutShort,
      silent: this.#silent.list(),
      silentInAll: this.#silent.count,
      leaving: this.#leaving.list(),
      leavingInAll: this.#leaving.count,
    };
  }

  // A job comes a second time when it has moved on meanwhile: only the newer state counts.
  #saw(id: string): void {
    this.#jobs++;
    this.#silent.drop(id);
    this.#leaving.drop(id);
  }
}

/** The jobs whose workers were heard longest ago, at most so many of them. */
class Longest {
  readonly #kept: number;
  #jobs = new Map<string, UnfinishedJob>();
  count = 0;

  constructor(kept: number) {
    this.#kept = kept;
  }

  add(job: UnfinishedJob): void {
    this.count++;
    this.#jobs.set(job.id, job);
    if (this.#jobs.size >= this.#kept * 2) this.#jobs = new Map(this.list().map((one) => [one.id, one]));
  }

  drop(id: string): void {
    if (this.#jobs.delete(id)) this.count--;
  }

  list(): readonly UnfinishedJob[] {
    return [...this.#jobs.values()].sort((one, other) => heardAt(one) - heardAt(other)).slice(0, this.#kept);
  }
}

const heardAt = (job: UnfinishedJob): number => job.heardAt ?? job.storedAt;

/** How long a job may be silent: by its own word, else `byDefault`. */
function allowedMs({ stallAfterMs, timeoutMs }: UnfinishedJob, byDefault: number): number {
  if (stallAfterMs === null && timeoutMs === null) return byDefault;
  return Math.min(stallAfterMs ?? Number.POSITIVE_INFINITY, timeoutMs ?? Number.POSITIVE_INFINITY);
}

/** Jobs that are not finished and give no sign of life. */
export function* checkJobs({ jobs, heartbeats, now }: Facts): Generator<Outcome> {
  if (heartbeats.kind !== 'known' && heartbeats.kind !== 'skipped') {
    yield skip('heartbeats', `${whySkipped(heartbeats)}; jobs that only send heartbeats look silent`);
  }
  yield* whenKnown('jobs', jobs, (facts) => judge(facts));

  function* judge(facts: JobsFacts): Generator<Outcome> {
    const heard = heartbeats.kind === 'known' ? heartbeats.value.heard : new Set<string>();
    const silent = facts.silent.filter(({ id }) => !heard.has(id));
    const inAll = facts.silentInAll - (facts.silent.length - silent.length);
    if (inAll > 0) yield silentJobs(silent, inAll, now, listened());
    else {
      const unfinished =
        facts.unfinished === 0
          ? 'none unfinished'
          : `${plural(facts.unfinished, 'is', 'are')} unfinished, none silent`;
      yield pass('jobs', `${plural(facts.jobs, 'job')}: ${unfinished}`);
    }
    if (facts.cutShort !== null) yield skip('jobs', facts.cutShort);
  }

  function listened(): string {
    if (heartbeats.kind !== 'known') return 'heartbeats were not heard';
    return `no heartbeat in ${time(heartbeats.value.listenedMs)}`;
  }
}

function silentJobs(silent: readonly UnfinishedJob[], inAll: number, now: number, listened: string): Outcome {
  return finding('warning', 'jobs-stalled', {
    what: `${plural(inAll, 'unfinished job has', 'unfinished jobs have')} given no sign of life for longer than allowed (${listened}).`,
    why: 'Whoever waits for them waits in vain: most often the worker died before it could say so.',
    remedy:
      'See whether their workers run. If not: start the jobs again, or end them: `headway fail JOB --reason …`. Jobs that work for long without a word should send heartbeats, or say how long they may be silent (stall_after_seconds).',
    details: silent.map((job) => {
      const silentMs = now - heardAt(job);
      const type = job.jobType === undefined ? '' : ` (${job.jobType})`;
      return `${job.id}${type}: silent for ${time(silentMs)}${word(job, silentMs)}`;
    }),
    inAll,
  });
}

function word({ stallAfterMs, timeoutMs }: UnfinishedJob, silentMs: number): string {
  if (timeoutMs !== null && silentMs >= timeoutMs) return `, past its timeout_seconds (${time(timeoutMs)})`;
  if (stallAfterMs !== null) return `, its stall_after_seconds is ${time(stallAfterMs)}`;
  return '';
}
