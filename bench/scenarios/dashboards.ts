/** Clients that follow all jobs while many report: every event goes to each of them. */
import { Audience } from '../harness/audience.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import { inTurns, openAll } from '../harness/turns.js';
import { startSubject } from '../subjects/index.js';

const CLIENTS = 50;
const PER_SECOND = 5_000;
const JOBS = 1_000;
/** So often events are published; those that are due come together. */
const TICK_MS = 2;

async function run({ turns, say, isQuick }: Run): Promise<Measure[]> {
  await using audiences = await openAll(['headway', 'limit'] as const, async (name) => {
    const audience = new Audience(name, await startSubject(name));
    const { clientOfAll } = audience.subject;
    if (clientOfAll === undefined) throw new Error(`${name} has no clients of all jobs`);
    await audience.load.connect(clientOfAll, CLIENTS);
    return audience;
  });
  say(`${CLIENTS} clients of all jobs, ${PER_SECOND} events a second`);
  const pace = { perSecond: PER_SECOND, seconds: isQuick ? 1 : 2, jobs: JOBS, tickMs: TICK_MS };
  return [
    {
      id: 'dashboards',
      what: `${CLIENTS} clients of all jobs, ${PER_SECOND.toLocaleString('en-US')} events a second`,
      unit: 'µs of CPU for each delivered update',
      base: 'limit',
      aim: { atMost: 1.25 },
      samples: await inTurns(audiences.all, turns, (one) => one.costOfPace(pace, CLIENTS)),
    },
  ];
}

export const dashboards: Scenario = { name: 'dashboards', title: 'Clients of all jobs', run };
