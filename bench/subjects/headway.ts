/** The edge as operators run it: the built service in a process of its own, configured by the environment. */
import { type EdgeProcess, startEdgeProcess } from '../../test/harness/edge-process.js';
import { freePorts } from '../../test/harness/free-ports.js';
import { startNats } from '../../test/harness/nats-server.js';
import { connectNats } from '../../test/harness/publish.js';
import type { ClientSpec } from '../harness/load.js';
import { eventOf } from '../harness/payload.js';
import type { Subject } from '../harness/subject.js';
import { REPOSITORY } from './versions.js';

export const BUILT_EDGE = `${REPOSITORY}dist/cmd/edge.js`;

/**
 * With a nats-server of its own.
 * @param processes so many edges that share one port; they are measured together
 */
export async function headway(processes = 1): Promise<Subject> {
  const nats = await startNats();
  const [port = 0] = processes > 1 ? await freePorts(1) : [];
  const env = { HEADWAY_REUSE_PORT: String(processes > 1) };
  const start = (): Promise<EdgeProcess> =>
    startEdgeProcess({ natsUrl: nats.url, program: BUILT_EDGE, port, env });
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
    async [Symbol.asyncDispose]() {
      await nc.close();
      for (const one of [edge, ...others]) await one.kill();
      await nats[Symbol.asyncDispose]();
    },
  };
}
