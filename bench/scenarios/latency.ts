/** How old an update is when it comes, from the worker through NATS to the client's socket. */
import { Audience } from '../harness/audience.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import type { Pace } from '../harness/subject.js';
import { openAll, severalInTurns } from '../harness/turns.js';
import { startSubject } from '../subjects/index.js';

/** Each has one client. */
const JOBS = 1_000;
const RATES = [1_000, 5_000];
const TICK_MS = 1;

/** Publishes, and waits until all has come. @returns percentiles in ms */
async function send(audience: Audience, pace: Pace): Promise<{ p50: number; p99: number; p999: number }> {
  await audience.publish({ kind: 'pace', ...pace });
  await audience.load.untilEachHas((pace.perSecond * pace.seconds) / JOBS);
  const { p50, p99, p999 } = (await audience.load.figures()).latencies;
  return { p50, p99, p999 };
}

async function run({ isQuick, say }: Run): Promise<Measure[]> {
  await using audiences = await openAll(['headway', 'relay'] as const, async (name) => {
    say(`${name} with ${JOBS} jobs, a client each`);
    const audience = new Audience(name, await startSubject(name));
    await audience.load.connect(audience.subject.clientOf('{n}'), JOBS);
    return audience;
  });
  const measures: Measure[] = [];
  for (const perSecond of RATES) {
    say(`${perSecond} events a second`);
    const pace: Pace = { perSecond, seconds: isQuick ? 1 : 4, jobs: JOBS, tickMs: TICK_MS };
    const samples = await severalInTurns(audiences.all, isQuick ? 2 : 5, (one) => send(one, pace));
    for (const [figure, of] of [
      ['p50', 'half come within'],
      ['p99', '99 % come within'],
      ['p999', '99.9 % come within'],
    ] as const) {
      measures.push({
        id: `latency-${perSecond}-${figure}`,
        what: `${perSecond.toLocaleString('en-US')} events a second, ${of}`,
        unit: 'ms',
        base: 'relay',
        aim: { atMost: 1.1 },
        samples: samples[figure],
      });
    }
  }
  return measures;
}

export const latency: Scenario = { name: 'latency', title: 'How old an update is when it comes', run };
