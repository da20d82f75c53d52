/** Whether an update costs the same when an edge knows a hundred times as many jobs, or has a hundred times as many clients. */
import { Audience } from '../harness/audience.js';
import { jobId } from '../harness/payload.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import { inTurns, openAll } from '../harness/turns.js';
import { startSubject } from '../subjects/index.js';

const JOB = jobId(0);
const CLIENTS = 1_000;
const FLAT = { atMost: 1.15 };
const UNIT = 'µs of CPU for each delivered update';
const words = (count: number, what: string): string => `${count.toLocaleString('en-US')} ${what}`;

/** An edge that knows so many jobs. */
async function knowing(jobs: number): Promise<Audience> {
  const audience = new Audience(words(jobs, 'jobs'), await startSubject('headway'));
  await audience.publish({ kind: 'flood', events: jobs, jobs });
  return audience;
}

async function ofJobs({ turns, say, isQuick }: Run, few: number, many: number): Promise<Measure[]> {
  await using audiences = await openAll([few, many], async (jobs) => {
    say(`an edge with ${jobs} jobs`);
    const audience = await knowing(jobs);
    await audience.load.connect(audience.subject.clientOf('{n}'), CLIENTS);
    return audience;
  });
  const of = { base: words(few, 'jobs'), subject: words(many, 'jobs'), unit: UNIT, aim: FLAT };
  const pace = { perSecond: 2_000, seconds: isQuick ? 1 : 2, jobs: CLIENTS, tickMs: 5 };
  const each = await inTurns(audiences.all, turns, (one) => one.costOfPace(pace, 1));
  for (const { load, subject } of audiences.all) {
    await load.cut();
    await load.connect(subject.clientOf(JOB), CLIENTS);
  }
  const one = await inTurns(audiences.all, turns, (audience) =>
    audience.costOfTurns(JOB, 1, isQuick ? 200_000 : 400_000),
  );
  return [
    {
      ...of,
      id: 'growth-jobs-each',
      what: '1 client each of 1,000 jobs, 2,000 events a second, by the jobs known',
      samples: each,
    },
    {
      ...of,
      id: 'growth-jobs-one',
      what: '1,000 clients of one job, 1 event a turn, by the jobs known',
      samples: one,
    },
  ];
}

/** How many times as much an update costs with many clients as with few; the limit beside it has the same sockets. */
async function ofClients({ turns, say }: Run, few: number, many: number): Promise<Measure> {
  const pairs = ['headway', 'limit'] as const;
  await using opened = await openAll(
    pairs.flatMap((name) => [few, many].map((clients) => ({ name, clients }))),
    async ({ name, clients }) => {
      say(`${name} with ${clients} clients`);
      const audience = new Audience(name, await startSubject(name));
      await audience.load.connect(audience.subject.clientOf(JOB), clients);
      return audience;
    },
  );
  const costs = pairs.map((name) => {
    const both = opened.all.filter((audience) => audience.name === name);
    return {
      name,
      async grown(): Promise<number> {
        const each: number[] = [];
        for (const one of both) each.push(await one.costOfTurns(JOB, 1, 400_000));
        return (each[1] ?? Number.NaN) / (each[0] ?? Number.NaN);
      },
    };
  });
  return {
    id: 'growth-clients',
    what: `${many.toLocaleString('en-US')} clients of one job rather than ${few}`,
    unit: 'times the CPU for each delivered update',
    // What the kernel does for more sockets costs the limit more as well.
    base: 'limit',
    aim: FLAT,
    samples: await inTurns(costs, turns, ({ grown }) => grown()),
  };
}

export const growth: Scenario = {
  name: 'growth',
  title: 'A hundred times as much',
  run: async (run) =>
    run.isQuick
      ? await ofJobs(run, 1_000, 20_000)
      : [...(await ofJobs(run, 1_000, 100_000)), await ofClients(run, 100, 10_000)],
};
