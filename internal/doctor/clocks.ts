import { plural } from '../formatting.js';
import type { ClockFacts, Facts, JobSkew } from './facts.js';
import { finding, type Outcome, pass, whenKnown } from './findings.js';
import { time } from './format.js';

/** Off by more than this, a clock is worth a word. */
const OFF_MS = 5_000;
/**
 * Events are stored late when NATS was away, so that a clock seems behind: too few of them say nothing, of a job alone
 * or of a type whose other jobs are on time.
 */
const ENOUGH_FOR_BEHIND = 3;
const THIS_OFF_MS = 2_000;
const SAMPLES = 15;
const JOBS = 50_000;

/** The newest skews of each of the newest jobs. Bounded. */
export class JobSkews {
  readonly #jobs = new Map<string, { jobType: string | undefined; skews: number[] }>();

  add(id: string, jobType: string | undefined, skewMs: number): void {
    const known = this.#jobs.get(id);
    if (known === undefined) {
      if (this.#jobs.size >= JOBS) this.#dropOldest();
      this.#jobs.set(id, { jobType, skews: [skewMs] });
      return;
    }
    known.jobType = jobType ?? known.jobType;
    known.skews.push(skewMs);
    if (known.skews.length > SAMPLES) known.skews.shift();
  }

  list(): JobSkew[] {
    return [...this.#jobs].map(([id, { jobType, skews }]) => ({
      id,
      jobType,
      samples: skews.length,
      medianMs: median(skews),
    }));
  }

  #dropOldest(): void {
    const [oldest] = this.#jobs.keys();
    if (oldest !== undefined) this.#jobs.delete(oldest);
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** The clocks of workers, and of this machine, against the server's. */
export function* checkClocks({ events, clock }: Facts): Generator<Outcome> {
  yield* whenKnown('worker-clocks', events, ({ skews }) => judgeWorkers(skews));
  yield* whenKnown('this-clock', clock, judgeThis);
}

function* judgeThis({ offsetMs, uncertaintyMs }: ClockFacts): Generator<Outcome> {
  const off = Math.abs(offsetMs) - uncertaintyMs;
  if (off < THIS_OFF_MS) {
    yield pass(
      'this-clock',
      `this machine's clock and the server's differ by less than ${time(Math.abs(offsetMs) + uncertaintyMs + 100)}`,
    );
    return;
  }
  yield finding('warning', 'local-clock-skew', {
    what: `The clock of this machine is ${time(off)} ${offsetMs > 0 ? 'ahead of' : 'behind'} the server's, or more.`,
    why: 'Times in what `headway` prints are off, tokens that are made here expire too early or too late, and one of the two machines has a wrong clock.',
    remedy:
      'Have both machines use NTP (`timedatectl status`, or `chronyc tracking`, says which one does not).',
  });
}

function* judgeWorkers(skews: readonly JobSkew[]): Generator<Outcome> {
  const late = lateTypes(skews);
  const isBehind = ({ medianMs }: JobSkew): boolean => medianMs <= -OFF_MS;
  const off = skews.filter(
    (skew) =>
      skew.medianMs >= OFF_MS ||
      (isBehind(skew) && (skew.samples >= ENOUGH_FOR_BEHIND || late.has(skew.jobType))),
  );
  if (off.length === 0) {
    const unclear = skews.filter(isBehind).length;
    const onTime = skews.length - unclear;
    const said = [
      onTime > 0 ? `the events of ${plural(onTime, 'job')} were stored when they say` : '',
      unclear > 0 ? `those of ${plural(unclear, 'job')} late, and are too few to tell of a clock` : '',
    ].filter((text) => text !== '');
    yield pass('worker-clocks', skews.length === 0 ? 'no events to compare' : said.join('; '));
    return;
  }
  yield finding('warning', 'worker-clock-skew', {
    what: `The events of ${plural(off.length, 'job')} (of ${plural(skews.length, 'job')} that were looked at) do not have the time at which they were stored.`,
    why: 'The clock of their worker is off, or the server’s is. The order of events is not touched, but the times that people see are wrong.',
    remedy:
      'Have the machines of these workers use NTP. Where events are only behind: their worker may have been without NATS for long, or makes the time of an event long before it publishes it.',
    details: byType(off),
  });
}

/** The types most of whose jobs seem behind. Jobs that only begin and end have too few events each. */
function lateTypes(skews: readonly JobSkew[]): ReadonlySet<string | undefined> {
  const types = new Map<string | undefined, { samples: number; medians: number[] }>();
  for (const { jobType, samples, medianMs } of skews) {
    const type = types.get(jobType) ?? { samples: 0, medians: [] };
    types.set(jobType, type);
    type.samples += samples;
    type.medians.push(medianMs);
  }
  const isLate = ([, { samples, medians }]: [unknown, { samples: number; medians: number[] }]): boolean =>
    samples >= ENOUGH_FOR_BEHIND && median(medians) <= -OFF_MS;
  return new Set([...types].filter(isLate).map(([jobType]) => jobType));
}

function byType(off: readonly JobSkew[]): string[] {
  const groups = new Map<string, JobSkew[]>();
  for (const skew of off) {
    const name = `${skew.jobType ?? 'no job_type'}, ${skew.medianMs > 0 ? 'ahead' : 'behind'}`;
    const group = groups.get(name) ?? [];
    groups.set(name, group);
    group.push(skew);
  }
  return [...groups]
    .sort(([, one], [, other]) => other.length - one.length)
    .map(([name, jobs]) => {
      const middle = median(jobs.map(({ medianMs }) => medianMs));
      const some = jobs.slice(0, 3).map(({ id }) => id);
      const more = jobs.length > some.length ? ', …' : '';
      return `${name} by ${time(middle)}: ${plural(jobs.length, 'job')} (${some.join(', ')}${more})`;
    });
}
