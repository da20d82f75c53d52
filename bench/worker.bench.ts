/**
 * The reporter against `js.publish` awaited in batches, in one run: acknowledged events a second, and CPU of this process
 * for each event. Both publish the same events of the same jobs, with ids and expected sequences.
 */
import { connect, type JetStreamClient, type NatsConnection } from 'nats';
import { test } from 'vitest';
import { createReporter } from '../sdk/worker/index.js';
import { type NatsServer, startNats } from '../test/harness/nats-server.js';
import { createStream } from '../test/harness/publish.js';

const JOBS = Number(process.env.JOBS ?? 1_000);
const ROUNDS = Number(process.env.ROUNDS ?? 100);
const RUNS = Number(process.env.RUNS ?? 3);

interface Measure {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

async function measure(events: number, work: () => Promise<void>): Promise<Measure> {
  const cpu = process.cpuUsage();
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: events / seconds, cpuMicros: (user + system) / events };
}

const idsOf = (prefix: string): string[] => Array.from({ length: JOBS }, (_, index) => `${prefix}-${index}`);

/** One round is one event of each job; a round begins when all of the one before are acknowledged. */
async function published(js: JetStreamClient, prefix: string): Promise<Measure> {
  const jobs = idsOf(prefix).map((id) => ({ id, seq: 0 }));
  const round = async (number: number): Promise<void> => {
    await Promise.all(
      jobs.map(async (job) => {
        const event = {
          processing_id: job.id,
          job_type: 'bench',
          status: 'processing',
          progress: Math.round((1_000 * number) / ROUNDS) / 10,
          timestamp: new Date().toISOString(),
          attempt: 1,
          message: `page ${number} of ${ROUNDS}`,
          current: number,
          total: ROUNDS,
        };
        const ack = await js.publish(`progress.${job.id}`, JSON.stringify(event), {
          msgID: `${job.id}.${number}`,
          expect: { lastSubjectSequence: job.seq },
          timeout: 30_000,
        });
        job.seq = ack.seq;
      }),
    );
  };
  await round(0);
  return await measure(JOBS * ROUNDS, async () => {
    for (let number = 1; number <= ROUNDS; number++) await round(number);
  });
}

async function reported(nc: NatsConnection, prefix: string): Promise<Measure> {
  await using reporter = createReporter(nc, {
    maxUpdatesPerSecond: Number.POSITIVE_INFINITY,
    closeTimeoutMs: 60_000,
  });
  const jobs = await Promise.all(
    idsOf(prefix).map((processingId) => reporter.start({ processingId, jobType: 'bench', total: ROUNDS })),
  );
  const events = JOBS * ROUNDS;
  return await measure(events, async () => {
    // Each job has one event on its way and one that waits, as in a job that reports all the time.
    for (let told = 0; ; ) {
      const { acknowledged, coalesced } = reporter.stats;
      if (acknowledged >= events + JOBS) return;
      const most = acknowledged - JOBS + coalesced + 2 * JOBS;
      for (; told < most; told++) {
        const number = Math.floor(told / JOBS) + 1;
        jobs[told % JOBS]?.report({
          current: number,
          total: 2 * ROUNDS,
          message: `page ${number} of ${ROUNDS}`,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });
}

async function run(nats: NatsServer, name: string): Promise<void> {
  const open = (noAsyncTraces: boolean): Promise<NatsConnection> =>
    connect({ servers: nats.url, noAsyncTraces });
  const [plain, lean, own] = [await open(false), await open(true), await open(true)];
  const one = await published(plain.jetstream(), `${name}-plain`);
  const two = await published(lean.jetstream(), `${name}-lean`);
  const sdk = await reported(own, `${name}-sdk`);
  for (const nc of [plain, lean, own]) await nc.close();
  const line = (what: string, { perSecond, cpuMicros }: Measure): string =>
    `    ${what.padEnd(34)} ${Math.round(perSecond).toString().padStart(7)}/s  ${cpuMicros.toFixed(1).padStart(6)} µs CPU an event` +
    `  reporter: ${(sdk.perSecond / perSecond).toFixed(1)}x the events, ${(sdk.cpuMicros / cpuMicros).toFixed(2)}x the CPU\n`;
  process.stdout.write(
    line('js.publish', one) + line('js.publish, noAsyncTraces', two) + line('reporter', sdk),
  );
}

test(`${JOBS} jobs, ${ROUNDS} events each, acknowledged`, async () => {
  await using nats = await startNats();
  const nc = await connect({ servers: nats.url });
  await createStream(nc);
  await nc.close();
  for (let number = 0; number <= RUNS; number++) {
    process.stdout.write(number === 0 ? '  warm-up\n' : `  run ${number}\n`);
    await run(nats, `run${number}`);
  }
}, 600_000);
