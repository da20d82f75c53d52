/**
 * The reporter against `js.publish` awaited in batches, and against what the server takes from a bare socket:
 * acknowledged events a second, and CPU for each event, of this process and of the server. All publish the same events
 * of the same jobs, with ids and expected sequences, in short turns that follow each other, and medians are told: on a
 * shared machine one run says little.
 */
import { readFileSync } from 'node:fs';
import { connect, type JetStreamClient, type NatsConnection } from 'nats';
import { test } from 'vitest';
import { createReporter } from '../sdk/worker/index.js';
import { type NatsServer, startNats } from '../test/harness/nats-server.js';
import { createStream } from '../test/harness/publish.js';
import { bare } from './bare-publisher.js';

const JOBS = Number(process.env.JOBS ?? 1_000);
const ROUNDS = Number(process.env.ROUNDS ?? 40);
const CYCLES = Number(process.env.CYCLES ?? 12);

interface Measure {
  readonly perSecond: number;
  readonly cpuMicros: number;
  /** NaN where there is no /proc. */
  readonly serverMicros: number;
}

async function measure(events: number, server: number, work: () => Promise<void>): Promise<Measure> {
  const [cpu, serverCpu] = [process.cpuUsage(), cpuOf(server)];
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    perSecond: events / seconds,
    cpuMicros: (user + system) / events,
    serverMicros: (cpuOf(server) - serverCpu) / events,
  };
}

/** Microseconds of CPU that a process has had, as proc(5) tells it, in hundredths of a second. */
function cpuOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  } catch {
    return Number.NaN;
  }
}

const idsOf = (prefix: string): string[] => Array.from({ length: JOBS }, (_, index) => `${prefix}-${index}`);

const eventOf = (id: string, number: number) => ({
  processing_id: id,
  job_type: 'bench',
  status: 'processing',
  progress: Math.round((1_000 * number) / ROUNDS) / 10,
  timestamp: new Date().toISOString(),
  attempt: 1,
  message: `page ${number} of ${ROUNDS}`,
  current: number,
  total: ROUNDS,
});

/** One round is one event of each job; a round begins when all of the one before are acknowledged. */
async function published(js: JetStreamClient, prefix: string, server: number): Promise<Measure> {
  const jobs = idsOf(prefix).map((id) => ({ id, seq: 0 }));
  const round = async (number: number): Promise<void> => {
    await Promise.all(
      jobs.map(async (job) => {
        const ack = await js.publish(`progress.${job.id}`, JSON.stringify(eventOf(job.id, number)), {
          msgID: `${job.id}.${number}`,
          expect: { lastSubjectSequence: job.seq },
          timeout: 30_000,
        });
        job.seq = ack.seq;
      }),
    );
  };
  await round(0);
  return await measure(JOBS * ROUNDS, server, async () => {
    for (let number = 1; number <= ROUNDS; number++) await round(number);
  });
}

async function reported(nc: NatsConnection, prefix: string, server: number): Promise<Measure> {
  await using reporter = createReporter(nc, {
    maxUpdatesPerSecond: Number.POSITIVE_INFINITY,
    closeTimeoutMs: 60_000,
  });
  const jobs = await Promise.all(
    idsOf(prefix).map((processingId) => reporter.start({ processingId, jobType: 'bench', total: ROUNDS })),
  );
  const events = JOBS * ROUNDS;
  return await measure(events, server, async () => {
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

/** What each of them took, in one cycle. */
async function cycle(nats: NatsServer, prefix: string): Promise<Record<string, Measure>> {
  const server = nats.pid ?? 0;
  const open = (noAsyncTraces: boolean): Promise<NatsConnection> =>
    connect({ servers: nats.url, noAsyncTraces });
  const [plain, lean, own] = [await open(false), await open(true), await open(true)];
  const bodies = (id: string) =>
    Array.from({ length: ROUNDS }, (_, at) => JSON.stringify(eventOf(id, at + 1)));
  const send = await bare(nats.url, idsOf(`${prefix}-bare`), bodies);
  const measures = {
    'js.publish': await published(plain.jetstream(), `${prefix}-plain`, server),
    'js.publish, noAsyncTraces': await published(lean.jetstream(), `${prefix}-lean`, server),
    reporter: await reported(own, `${prefix}-sdk`, server),
    'a bare socket': await measure(JOBS * ROUNDS, server, send),
  };
  for (const nc of [plain, lean, own]) await nc.close();
  return measures;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

test(`${JOBS} jobs, ${ROUNDS} events each, acknowledged, ${CYCLES} times`, async () => {
  await using nats = await startNats();
  const nc = await connect({ servers: nats.url });
  await createStream(nc);
  const jsm = await nc.jetstreamManager();
  const cycles: Record<string, Measure>[] = [];
  // The first one warms up.
  for (let number = 0; number <= CYCLES; number++) {
    const measures = await cycle(nats, `cycle${number}`);
    if (number > 0) cycles.push(measures);
    await jsm.streams.purge('PROGRESS');
  }
  await nc.close();
  for (const what of Object.keys(cycles[0] ?? {})) {
    const of = (pick: (one: Measure, base: Measure) => number): number =>
      median(cycles.map((all) => pick(all[what] as Measure, all['js.publish'] as Measure)));
    process.stdout.write(
      `  ${what.padEnd(26)} ${of(({ perSecond }) => perSecond)
        .toFixed(0)
        .padStart(6)}/s,` +
        ` ${of((one, base) => one.perSecond / base.perSecond).toFixed(2)}x;  CPU an event` +
        ` ${of(({ cpuMicros }) => cpuMicros)
          .toFixed(1)
          .padStart(5)} µs,` +
        ` ${of((one, base) => one.cpuMicros / base.cpuMicros).toFixed(2)}x,` +
        ` and of the server ${of(({ serverMicros }) => serverMicros)
          .toFixed(1)
          .padStart(5)} µs\n`,
    );
  }
}, 600_000);
