/** Many jobs, each with one client: what every event costs on its way from the stream to a socket, and how many go. */
import { Audience } from '../harness/audience.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import { inTurns, openAll } from '../harness/turns.js';
import { startSubject } from '../subjects/index.js';

const JOBS = 1_000;
const TICK_MS = 5;

/**
 * How many events a second get from the stream to a socket when there is always a next one: the server stands still
 * while they are published, and is measured from when it goes on until the last one has come.
 */
async function rate(audience: Audience, events: number): Promise<number> {
  const { pid } = audience.subject;
  process.kill(pid, 'SIGSTOP');
  await audience.publish({ kind: 'flood', events, jobs: JOBS });
  const began = performance.now();
  process.kill(pid, 'SIGCONT');
  await audience.load.untilAllHave(events);
  return (events * 1_000) / (performance.now() - began);
}

async function run({ turns, say, isQuick }: Run): Promise<Measure[]> {
  await using audiences = await openAll(['headway', 'relay'] as const, async (name) => {
    const audience = new Audience(name, await startSubject(name));
    await audience.load.connect(audience.subject.clientOf('{n}'), JOBS);
    return audience;
  });
  const measures: Measure[] = [];
  for (const perSecond of [1_000, 5_000]) {
    say(`${JOBS} jobs, ${perSecond} events a second`);
    // The kernel counts CPU in hundredths of a second: the slower, the longer.
    const seconds = (isQuick ? 1 : 2) * (perSecond < 5_000 ? 2 : 1);
    const pace = { perSecond, seconds, jobs: JOBS, tickMs: TICK_MS };
    measures.push({
      id: `jobs-${perSecond}`,
      what: `1,000 jobs x 1 client, ${perSecond.toLocaleString('en-US')} events a second`,
      unit: 'µs of CPU for each delivered update',
      base: 'relay',
      aim: { atMost: 1.15 },
      samples: await inTurns(audiences.all, turns, (one) => one.costOfPace(pace, 1)),
    });
  }
  say(`${JOBS} jobs, as many events as go`);
  const events = isQuick ? 20_000 : 50_000;
  measures.push({
    id: 'jobs-rate',
    what: '1,000 jobs x 1 client, as many as go',
    unit: 'events a second from the stream to the socket',
    base: 'relay',
    aim: { atLeast: 0.9 },
    samples: await inTurns(audiences.all, turns, (one) => rate(one, events)),
  });
  return measures;
}

export const jobs: Scenario = { name: 'jobs', title: 'Many jobs, one client each', run };
