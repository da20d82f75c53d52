/** The servers of bench/servers/. */
import { startNats } from '../../test/harness/nats-server.js';
import { connectNats, createStream } from '../../test/harness/publish.js';
import type { ClientSpec } from '../harness/load.js';
import { eventOf, jobId } from '../harness/payload.js';
import { OwnProcess, type Subject } from '../harness/subject.js';

const client = (port: number, path: string, ready = '\r\n\r\n'): ClientSpec => ({ port, path, ready });

/** What makes its updates by itself, when it is told to. */
async function told(
  name: 'limit' | 'ws' | 'socket-io',
  clientOf: (port: number, job: string) => ClientSpec,
): Promise<Subject> {
  const server = await OwnProcess.start(`${name}.js`);
  return {
    name,
    pid: server.pid,
    clientOf: (job) => clientOf(server.port, job),
    ...(name === 'limit' && {
      clientOfAll: clientOf(server.port, 'all'),
      pace: (pace) => server.tell({ kind: 'pace', ...pace }),
      async behind({ jobs, events, of }) {
        // As many different answers as there are jobs; a client of several jobs gets theirs one behind the other.
        const each = Array.from({ length: jobs }, (_, at) => jobId(at));
        for (const job of each) server.tell({ kind: 'keep', job, count: events * of });
        return { ...client(server.port, '/{each}'), each };
      },
    }),
    publish: (job, count) => server.tell({ kind: 'publish', job, count }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export const limit = (): Promise<Subject> => told('limit', (port, job) => client(port, `/${job}`));

export const ws = (): Promise<Subject> => told('ws', (port, job) => client(port, `/${job}`));

export const socketIo = (): Promise<Subject> =>
  told('socket-io', (port, job) => ({
    ...client(port, `/socket.io/?EIO=4&transport=websocket&job=${job}`, '40{'),
    say: ['40'],
  }));

/** The relay, with a nats-server of its own. */
export async function relay(): Promise<Subject> {
  const nats = await startNats();
  const nc = await connectNats(nats.url);
  await createStream(nc);
  const server = await OwnProcess.start('relay.js', [nats.url, 'PROGRESS']);
  let made = 0;
  return {
    name: 'relay',
    pid: server.pid,
    natsUrl: nats.url,
    clientOf: (job) => client(server.port, `/${job}`),
    publish(job, count) {
      for (let i = 0; i < count; i++) nc.publish(`progress.${job}`, eventOf(job, made++));
    },
    async [Symbol.asyncDispose]() {
      await nc.close();
      await server[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
    },
  };
}
