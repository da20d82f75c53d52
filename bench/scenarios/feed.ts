/** The stream into the log of an edge, with one client of a job that reports last, beside a durable consumer that does nothing with what it gets. */
import { WsClient } from '../../test/harness/client.js';
import { startNats } from '../../test/harness/nats-server.js';
import { connectNats, createStream } from '../../test/harness/publish.js';
import { ask } from '../harness/ask.js';
import { eventOf } from '../harness/payload.js';
import type { PublisherCommand } from '../harness/publisher.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import { OwnProcess } from '../harness/subject.js';
import { openAll, severalInTurns } from '../harness/turns.js';
import { cpuMicros } from '../harness/usage.js';
import { startEdge } from '../subjects/headway.js';

const JOBS = 1_000;
/** The job of the last event of each turn: who has that has all before it. */
const LAST = 'the-last-one';
const PATIENT_MS = 60_000;

interface Reader extends AsyncDisposable {
  readonly name: 'headway' | 'raw';
  /** Takes in so many that wait for it. @returns events a second, and µs of its CPU for each */
  take(events: number): Promise<{ rate: number; cpu: number }>;
}

/** With a nats-server of its own. */
async function reader(name: Reader['name']): Promise<Reader> {
  const nats = await startNats();
  const nc = await connectNats(nats.url);
  await createStream(nc);
  const start = {
    async headway() {
      const edge = await startEdge({ natsUrl: nats.url });
      // Told, not asked for: each answer to where it is would cost the edge a millisecond.
      const client = await WsClient.connect(`${edge.ws}/ws/upload-progress/${LAST}`);
      const has = async (): Promise<void> => {
        await client.updates(1, { timeoutMs: PATIENT_MS });
      };
      return {
        pid: edge.pid,
        has,
        close: async () => {
          await client[Symbol.asyncDispose]();
          await edge.kill();
        },
      };
    },
    async raw() {
      const consumer = await OwnProcess.start('consumer.js', [nats.url, 'PROGRESS', 'new']);
      const has = async (total: number): Promise<void> => {
        await ask(consumer.child, { until: total });
      };
      return { pid: consumer.pid, has, close: () => consumer[Symbol.asyncDispose]() };
    },
  };
  const { pid, has, close } = await start[name]();
  const publisher = await OwnProcess.start('../harness/publisher.js', [nats.url]);
  let total = 0;
  return {
    name,
    async take(events) {
      // It stands still for less than a second, so that its consumer is not taken for lost, and finds all of them waiting.
      process.kill(pid, 'SIGSTOP');
      await ask(publisher.child, { kind: 'flood', events, jobs: JOBS } satisfies PublisherCommand);
      nc.publish(`progress.${LAST}`, eventOf(LAST, total));
      await nc.flush();
      total += events + 1;
      const [before, began] = [cpuMicros(pid), performance.now()];
      const all = has(total);
      process.kill(pid, 'SIGCONT');
      await all;
      const seconds = (performance.now() - began) / 1_000;
      return { rate: events / seconds, cpu: (cpuMicros(pid) - before) / events };
    },
    async [Symbol.asyncDispose]() {
      await close();
      await publisher[Symbol.asyncDispose]();
      await nc.close();
      await nats[Symbol.asyncDispose]();
    },
  };
}

async function run({ isQuick, say, turns }: Run): Promise<Measure[]> {
  await using readers = await openAll(['headway', 'raw'] as const, async (name) => {
    say(`${name} follows a stream`);
    return await reader(name);
  });
  const events = 60_000;
  const samples = await severalInTurns(readers.all, isQuick ? 2 : turns, (one) => one.take(events));
  const what = `${events.toLocaleString('en-US')} events of ${JOBS.toLocaleString('en-US')} jobs that wait`;
  return [
    {
      id: 'feed-rate',
      what,
      unit: 'events a second',
      base: 'raw',
      aim: { atLeast: 0.85 },
      samples: samples.rate,
    },
    { id: 'feed-cpu', what, unit: 'µs of CPU for each event', base: 'raw', samples: samples.cpu },
  ];
}

export const feed: Scenario = { name: 'feed', title: 'From the stream into the log', run };
