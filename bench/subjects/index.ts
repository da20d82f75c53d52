/** The servers under test, each started by its name. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { startEdgeProcess } from '../../test/harness/edge-process.js';
import { startNats } from '../../test/harness/nats-server.js';
import { connectNats } from '../../test/harness/publish.js';
import type { ClientSpec } from '../harness/load.js';
import { eventOf } from '../harness/payload.js';
import { OwnProcess, type Subject, type SubjectName } from '../harness/subject.js';

/** From .tools/bench/build/bench/subjects/ the repository is five folders up. */
export const REPOSITORY = fileURLToPath(new URL('../../../../../', import.meta.url));
const EDGE = `${REPOSITORY}dist/cmd/edge.js`;
const require = createRequire(import.meta.url);

/** "ws 8.23.0" */
function packageVersion(name: string): string {
  const folder = require.resolve.paths(name)?.map((path) => `${path}/${name}/package.json`) ?? [];
  for (const file of folder) {
    try {
      const { name: real, version } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
      return `${real} ${version}`;
    } catch {
      // Not in this one of the folders.
    }
  }
  return name;
}

/** Starts one. Those that read from a stream have a nats-server of their own. */
export async function startSubject(name: SubjectName): Promise<Subject> {
  switch (name) {
    case 'headway':
      return await headway();
    case 'limit':
      return await own('limit', packageVersion('uWebSockets.js'));
    case 'ws':
      return await own('ws', packageVersion('ws'));
    case 'relay':
    case 'socket-io':
    case 'centrifugo':
      throw new Error(`${name} is not there yet`);
    default:
      return name satisfies never;
  }
}

/** The edge as operators run it: the built service, configured by the environment. */
async function headway(): Promise<Subject> {
  const nats = await startNats();
  const edge = await startEdgeProcess({ natsUrl: nats.url, program: EDGE });
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

/** A server of bench/subjects/ that makes its updates by itself. */
async function own(name: 'limit' | 'ws', version: string): Promise<Subject> {
  const process = await OwnProcess.start(`${name}.js`);
  const client = (job: string): ClientSpec => ({ port: process.port, path: `/${job}`, ready: '\r\n\r\n' });
  return {
    name,
    version,
    pid: process.pid,
    clientOf: client,
    clientOfAll: client('all'),
    publish: (job, count) => process.tell({ kind: 'publish', job, count }),
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}
