/** The edge as operators run it: the built service in a process of its own, configured by the environment. */
import { epochOf } from '../../internal/jetstream/stream.js';
import { type EdgeOptions, type EdgeProcess, startEdgeProcess } from '../../test/harness/edge-process.js';
import { freePorts } from '../../test/harness/free-ports.js';
import { metric } from '../../test/harness/metrics.js';
import { startNats } from '../../test/harness/nats-server.js';
import { connectNats } from '../../test/harness/publish.js';
import { waitFor } from '../../test/harness/wait.js';
import type { ClientSpec } from '../harness/load.js';
import { eventOf, jobId } from '../harness/payload.js';
import { NODE_FLAGS, type Subject, selection } from '../harness/subject.js';
import { REPOSITORY } from './versions.js';

/** Of an answer to the handshake, what comes last. */
const UPGRADED = '\r\n\r\n';

const BUILT_EDGE = `${REPOSITORY}dist/cmd/edge.js`;

/** Starts the built edge as our image does. */
export function startEdge(options: Omit<EdgeOptions, 'program'>): Promise<EdgeProcess> {
  return startEdgeProcess({ ...options, program: BUILT_EDGE, nodeOptions: NODE_FLAGS });
}

/**
 * With a nats-server of its own.
 * @param processes so many edges that share one port; they are measured together
 * @param settings of the edges
 */
export async function headway(processes = 1, settings: EdgeOptions['env'] = {}): Promise<Subject> {
  const nats = await startNats();
  const [port = 0] = processes > 1 ? await freePorts(1) : [];
  const env = { HEADWAY_REUSE_PORT: String(processes > 1), ...settings };
  const start = (): Promise<EdgeProcess> => startEdge({ natsUrl: nats.url, port, env });
  const edge = await start();
  const others: EdgeProcess[] = [];
  for (let i = 1; i < processes; i++) others.push(await start());
  const nc = await connectNats(nats.url);
  const client = (path: string): ClientSpec => ({
    port: edge.port,
    path: `/ws/upload-progress${path}`,
    ready: '"type":"caught_up"',
  });
  let made = 0;
  return {
    name: 'headway',
    pid: edge.pid,
    otherPids: others.map(({ pid }) => pid),
    natsUrl: nats.url,
    clientOf: (job) => client(`/${job}`),
    clientOfAll: client(''),
    publish(job, count) {
      // They leave in one write.
      for (let i = 0; i < count; i++) nc.publish(`progress.${job}`, eventOf(job, made++));
    },
    async behind(missed) {
      const jobs = Array.from({ length: missed.jobs }, (_, at) => jobId(at));
      const jsm = await nc.jetstreamManager();
      /** One of each job in turn; resolves with the last one's seq when the edge has it. */
      const publishAll = async (times: number): Promise<number> => {
        const { state } = await jsm.streams.info('PROGRESS');
        const last = state.last_seq + times * jobs.length;
        for (let n = 0; n < times; n++) {
          for (const job of jobs) nc.publish(`progress.${job}`, eventOf(job, made++));
          await nc.flush();
        }
        const head = () => metric(edge.http, 'headway_log_head_seq');
        await waitFor(async () => (await head()) === last, { what: 'the edge to have it all' });
        return last;
      };
      const cursor = await publishAll(1);
      await publishAll(missed.events);
      const { created } = await jsm.streams.info('PROGRESS');
      const place = `last_seq=${cursor}&epoch=${epochOf({ created })}`;
      const each =
        missed.of === 1
          ? jobs.map((job) => `/${job}?${place}`)
          : jobs.map((_, at) => {
              const ids = selection(at, missed).map((job) => `&processing_id=${job}`);
              return `?select&${place}${ids.join('')}`;
            });
      return { port: edge.port, path: '/ws/upload-progress{each}', each, ready: UPGRADED };
    },
    async [Symbol.asyncDispose]() {
      await nc.close();
      for (const one of [edge, ...others]) await one.kill();
      await nats[Symbol.asyncDispose]();
    },
  };
}
