/** An edge starts beside a stream of many jobs; and five of them at once, while workers wait for acknowledgements. */
import { setTimeout as delay } from 'node:timers/promises';
import { type NatsServer, startNats } from '../../test/harness/nats-server.js';
import { connectNats, createStream } from '../../test/harness/publish.js';
import { eventOf, jobId } from '../harness/payload.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import { OwnProcess } from '../harness/subject.js';
import { severalInTurns } from '../harness/turns.js';
import { residentBytes } from '../harness/usage.js';
import { startEdge } from '../subjects/headway.js';

const AT_ONCE = 2_000;
const EDGES = 5;
const PUBLISHERS = 100;
/** Between an acknowledgement and the next event: together they publish nearly a thousand events a second. */
const PAUSE_MS = 100;
const PATIENT_MS = 300_000;

interface Started extends AsyncDisposable {
  readonly pid: number;
}

interface Starter {
  readonly name: string;
  /** Resolves when it has the last state of every job. */
  start(): Promise<Started>;
}

function starters(nats: NatsServer): readonly Starter[] {
  return [
    {
      name: 'headway',
      start: () => startEdge({ natsUrl: nats.url, timeoutMs: PATIENT_MS }),
    },
    { name: 'raw', start: () => OwnProcess.start('consumer.js', [nats.url, 'PROGRESS', 'last']) },
  ];
}

async function one({ start }: Starter): Promise<{ time: number; memory: number }> {
  const began = performance.now();
  await using started = await start();
  return { time: (performance.now() - began) / 1_000, memory: residentBytes(started.pid) / 1e6 };
}

/** Five at once. @returns the longest that a worker waited for an acknowledgement meanwhile, in ms */
async function five({ start }: Starter, nats: NatsServer): Promise<{ longest: number; time: number }> {
  await using nc = await connectNats(nats.url);
  const js = nc.jetstream();
  let isOver = false;
  let longest = 0;
  const publisher = async (_: unknown, at: number): Promise<void> => {
    const id = `worker-${at}`;
    for (let n = 0; !isOver; n++) {
      const began = performance.now();
      await js.publish(`progress.${id}`, eventOf(id, n), { timeout: PATIENT_MS });
      longest = Math.max(longest, performance.now() - began);
      await delay(PAUSE_MS);
    }
  };
  const publishing = Array.from({ length: PUBLISHERS }, publisher);
  const began = performance.now();
  const all = await Promise.allSettled(Array.from({ length: EDGES }, start));
  const time = (performance.now() - began) / 1_000;
  isOver = true;
  await Promise.all(publishing);
  const failed = all.find((each) => each.status === 'rejected');
  for (const each of all) if (each.status === 'fulfilled') await each.value[Symbol.asyncDispose]();
  if (failed !== undefined) throw failed.reason;
  return { longest, time };
}

async function run({ isQuick, say }: Run): Promise<Measure[]> {
  const jobs = isQuick ? 50_000 : 500_000;
  const turns = isQuick ? 1 : 2;
  await using nats = await startNats();
  await using nc = await connectNats(nats.url);
  await createStream(nc);
  say(`publishing an event of each of ${jobs} jobs`);
  for (let n = 0; n < jobs; n++) {
    nc.publish(`progress.${jobId(n)}`, eventOf(jobId(n), n));
    if (n % AT_ONCE === 0) await nc.flush();
  }
  await nc.flush();
  const both = starters(nats);
  say('each alone');
  const alone = await severalInTurns(both, turns, one);
  const what = `${jobs.toLocaleString('en-US')} jobs`;
  return [
    {
      id: 'start-time',
      what,
      unit: 'seconds until ready',
      base: 'raw',
      aim: { atMost: 1.3 },
      samples: alone.time,
    },
    {
      id: 'start-memory',
      what,
      unit: 'MB of resident memory when ready',
      base: 'raw',
      samples: alone.memory,
    },
    ...(isQuick ? [] : await together(both, nats, what, say)),
  ];
}

/** Once is enough: there are five of each, and each takes as long as any other. */
async function together(
  both: readonly Starter[],
  nats: NatsServer,
  what: string,
  say: Run['say'],
): Promise<Measure[]> {
  const [time, longest]: [Record<string, number[]>, Record<string, number[]>] = [{}, {}];
  for (const starter of both) {
    say(`${starter.name}: ${EDGES} at once`);
    const figures = await five(starter, nats);
    time[starter.name] = [figures.time];
    longest[starter.name] = [figures.longest];
  }
  return [
    {
      id: 'start-five-time',
      what: `${what}, ${EDGES} at once`,
      unit: 'seconds until all are ready',
      base: 'raw',
      samples: time,
    },
    {
      id: 'start-five-ack',
      what: `${what}, ${EDGES} at once beside ${PUBLISHERS} publishers`,
      unit: 'ms, the longest wait for an acknowledgement',
      // What others make publishers wait is no measure: nobody is to wait for longer than a second.
      base: 'one second',
      aim: { atMost: 1 },
      samples: { 'one second': [1_000], ...longest },
    },
  ];
}

export const start: Scenario = { name: 'start', title: 'An edge starts', run };
