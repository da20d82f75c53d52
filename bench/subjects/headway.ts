/** The edge as operators run it: the built service in a process of its own, configured by the environment. */
import { startEdgeProcess } from '../../test/harness/edge-process.js';
import { startNats } from '../../test/harness/nats-server.js';
import { connectNats } from '../../test/harness/publish.js';
import type { ClientSpec } from '../harness/load.js';
import { eventOf } from '../harness/payload.js';
import type { Subject } from '../harness/subject.js';
import { REPOSITORY } from './versions.js';

export const BUILT_EDGE = `${REPOSITORY}dist/cmd/edge.js`;

/** With a nats-server of its own. */
export async function headway(): Promise<Subject> {
  const nats = await startNats();
  const edge = await startEdgeProcess({ natsUrl: nats.url, program: BUILT_EDGE });
  const nc = await connectNats(nats.url);
  const client = (path: string): ClientSpec => ({
    port: edge.port,
    path: `/ws/upload-progress${path}`,
    ready: '"type":"caught_up"',
  });
  let made = 0;
  return {
    name: 'headway',
    version: 'Headway of this commit',
    pid: edge.pid,
    natsUrl: nats.url,
    clientOf: (job) => client(`/${job}`),
    clientOfAll: client(''),
    publish(job, count) {
      // They leave in one write.
      for (let i = 0; i < count; i++) nc.publish(`progress.${job}`, eventOf(job, made++));
    },
    async [Symbol.asyncDispose]() {
      await nc.close();
      await edge.kill();
      await nats[Symbol.asyncDispose]();
    },
  };
}
