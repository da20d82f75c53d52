/**
 * The workers' reporter beside `js.publish` awaited in batches, and beside what the server takes from a bare socket. All
 * publish the same events of the same jobs, with ids and expected sequences, and have each acknowledged.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type JetStreamClient, type NatsConnection } from 'nats';
import { createReporter } from '../../sdk/worker/index.js';
import { startNats } from '../../test/harness/nats-server.js';
import { createStream } from '../../test/harness/publish.js';
import { bare } from '../harness/bare-publisher.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import { severalInTurns } from '../harness/turns.js';

const JOBS = 1_000;

interface Figures {
  readonly perSecond: number;
  /** Of this process, for each event. */
  readonly cpu: number;
}

interface Publisher {
  readonly name: string;
  /** @param prefix of the ids of its jobs, which nobody has used */
  publish(prefix: string): Promise<Figures>;
}

async function measure(events: number, work: () => Promise<void>): Promise<Figures> {
  const [before, began] = [process.cpuUsage(), performance.now()];
  await work();
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(before);
  return { perSecond: events / seconds, cpu: (user + system) / events };
}

const idsOf = (prefix: string): string[] => Array.from({ length: JOBS }, (_, at) => `${prefix}-${at}`);

const eventOf = (id: string, number: number, of: number) => ({
  processing_id: id,
  job_type: 'bench',
  status: 'processing',
  progress: Math.round((1_000 * number) / of) / 10,
  timestamp: new Date().toISOString(),
  attempt: 1,
  message: `page ${number} of ${of}`,
  current: number,
  total: of,
});

/** One round is one event of each job; a round begins when all of the one before are acknowledged. */
async function published(js: JetStreamClient, prefix: string, rounds: number): Promise<Figures> {
  const jobs = idsOf(prefix).map((id) => ({ id, seq: 0 }));
  const round = async (number: number): Promise<void> => {
    await Promise.all(
      jobs.map(async (job) => {
        const ack = await js.publish(`progress.${job.id}`, JSON.stringify(eventOf(job.id, number, rounds)), {
          msgID: `${job.id}.${number}`,
          expect: { lastSubjectSequence: job.seq },
          timeout: 30_000,
        });
        job.seq = ack.seq;
      }),
    );
  };
  await round(0);
  return await measure(JOBS * rounds, async () => {
    for (let number = 1; number <= rounds; number++) await round(number);
  });
}

async function reported(nc: NatsConnection, prefix: string, rounds: number): Promise<Figures> {
  await using reporter = createReporter(nc, {
    maxUpdatesPerSecond: Number.POSITIVE_INFINITY,
    closeTimeoutMs: 60_000,
  });
  const jobs = await Promise.all(
    idsOf(prefix).map((processingId) => reporter.start({ processingId, jobType: 'bench', total: rounds })),
  );
  const events = JOBS * rounds;
  return await measure(events, async () => {
    // Each job has one event on its way and one that waits, as in a job that reports all the time.
    for (let told = 0; ; ) {
      const { acknowledged, coalesced } = reporter.stats;
      if (acknowledged >= events + JOBS) return;
      const most = acknowledged - JOBS + coalesced + 2 * JOBS;
      for (; told < most; told++) {
        const number = Math.floor(told / JOBS) + 1;
        const message = `page ${number} of ${rounds}`;
        jobs[told % JOBS]?.report({ current: number, total: 2 * rounds, message });
      }
      await delay(1);
    }
  });
}

async function run({ isQuick, say, turns }: Run): Promise<Measure[]> {
  const rounds = isQuick ? 20 : 40;
  await using nats = await startNats();
  const connection = async <T>(
    noAsyncTraces: boolean,
    use: (nc: NatsConnection) => Promise<T>,
  ): Promise<T> => {
    const nc = await connect({ servers: nats.url, noAsyncTraces });
    try {
      return await use(nc);
    } finally {
      await nc.close();
    }
  };
  await connection(true, (nc) => createStream(nc));
  const bodies = (id: string): string[] =>
    Array.from({ length: rounds }, (_, at) => JSON.stringify(eventOf(id, at + 1, rounds)));
  const publishers: readonly Publisher[] = [
    {
      name: 'js.publish',
      publish: (prefix) => connection(false, (nc) => published(nc.jetstream(), prefix, rounds)),
    },
    {
      name: 'lean',
      publish: (prefix) => connection(true, (nc) => published(nc.jetstream(), prefix, rounds)),
    },
    { name: 'headway', publish: (prefix) => connection(true, (nc) => reported(nc, prefix, rounds)) },
    {
      name: 'bare socket',
      publish: async (prefix) => await measure(JOBS * rounds, await bare(nats.url, idsOf(prefix), bodies)),
    },
  ];
  let made = 0;
  const samples = await severalInTurns(
    publishers,
    isQuick ? 2 : Math.min(turns, 5),
    async ({ name, publish }) => {
      const figures = await publish(`turn${made++}`);
      if (name === 'bare socket') {
        say(`a turn of ${JOBS} jobs with ${rounds} events each`);
        await connection(true, async (nc) => (await nc.jetstreamManager()).streams.purge('PROGRESS'));
      }
      return { ...figures };
    },
  );
  const what = `${JOBS.toLocaleString('en-US')} jobs report as fast as they can`;
  return [
    {
      id: 'worker-rate',
      what,
      unit: 'acknowledged events a second',
      base: 'js.publish',
      aim: { atLeast: 4 },
      samples: samples.perSecond,
    },
    {
      id: 'worker-cpu',
      what,
      unit: 'µs of CPU for each acknowledged event',
      base: 'js.publish',
      aim: { atMost: 0.2 },
      samples: samples.cpu,
    },
  ];
}

export const worker: Scenario = { name: 'worker', title: 'The SDK of the workers', run };
