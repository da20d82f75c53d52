/** Centrifugo with history and recovery. Its binary is made by scripts/centrifugo.sh where Go is. */
import { writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { Child } from '../../test/harness/child.js';
import { freePorts } from '../../test/harness/free-ports.js';
import { waitFor } from '../../test/harness/wait.js';
import { guardedFolder } from '../../test/harness/watchdog.js';
import type { ClientSpec } from '../harness/load.js';
import { eventOf, jobId } from '../harness/payload.js';
import { type Subject, selection } from '../harness/subject.js';

/** CENTRIFUGO_BIN and CENTRIFUGO_VERSION; undefined: it is left out. */
export const centrifugoBinary = (): string | undefined => process.env.CENTRIFUGO_BIN || undefined;

const settings = (port: number) => ({
  http_server: { address: '127.0.0.1', port },
  http_api: { insecure: true },
  log: { level: 'warn' },
  // The clients of a measurement answer no pings; and on a busy machine nobody is to be cut off for being slow.
  client: { insecure: true, ping_interval: '600s', pong_timeout: '60s', stale_close_delay: '60s' },
  websocket: { write_timeout: '60s' },
  channel: {
    without_namespace: {
      allow_subscribe_for_anonymous: true,
      allow_subscribe_for_client: true,
      history_size: 300,
      history_ttl: '600s',
      force_recovery: true,
    },
  },
});

export async function centrifugo(): Promise<Subject> {
  const binary = centrifugoBinary();
  if (binary === undefined) throw new Error('CENTRIFUGO_BIN is not set');
  const folder = await guardedFolder('headway-bench-centrifugo');
  const [port = 0] = await freePorts(1);
  const file = join(folder.path, 'config.json');
  await writeFile(file, JSON.stringify(settings(port)));
  const child = await Child.spawn('centrifugo', binary, ['-c', file]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const post = (path: string, body: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      request({ port, host: '127.0.0.1', path, method: 'POST', agent, headers }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`Centrifugo answered ${response.statusCode}`));
        let text = '';
        response
          .setEncoding('utf8')
          .on('data', (piece: string) => {
            text += piece;
          })
          .once('end', () => resolve(text));
      })
        .once('error', reject)
        .end(body);
    });
  /** One request for all, so that they come together. */
  const publish = async (job: string, bodies: readonly string[]): Promise<void> => {
    const commands = bodies.map((data) => `{"publish":{"channel":"${job}","data":${data}}}`);
    await post('/api/batch', `{"commands":[${commands.join(',')}]}`);
  };
  const eventsOf = (job: string, count: number): string[] =>
    Array.from({ length: count }, () => eventOf(job, made++));
  let made = 0;
  await waitFor(() => publish('probe', [eventOf('probe', 0)]).then(() => true), {
    what: 'Centrifugo to answer',
    giveUp: () => child.giveUp(),
  });
  return {
    name: 'centrifugo',
    pid: child.pid,
    clientOf: (job): ClientSpec => ({
      port,
      path: '/connection/websocket',
      say: ['{"id":1,"connect":{}}', `{"id":2,"subscribe":{"channel":"${job}"}}`],
      ready: '"subscribe":{',
    }),
    publish(job, count) {
      void publish(job, eventsOf(job, count));
    },
    async behind(missed) {
      const each: string[] = [];
      const subscribe = new Map<string, string>();
      for (let at = 0; at < missed.jobs; at++) {
        const job = jobId(at);
        await publish(job, eventsOf(job, 1 + missed.events));
        const { result } = JSON.parse(await post('/api/history', `{"channel":"${job}"}`)) as {
          result: { offset: number; epoch: string };
        };
        const place = `"recover":true,"offset":${result.offset - missed.events},"epoch":"${result.epoch}"`;
        subscribe.set(job, `{"id":${at + 2},"subscribe":{"channel":"${job}",${place}}}`);
      }
      for (let at = 0; at < missed.jobs; at++) {
        // Several commands may stand in one frame, a line each.
        each.push(
          selection(at, missed)
            .map((job) => subscribe.get(job) ?? '')
            .join('\n'),
        );
      }
      return {
        port,
        path: '/connection/websocket',
        say: ['{"id":1,"connect":{}}\n{each}'],
        each,
        ready: '\r\n\r\n',
      };
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      await child.kill();
      await folder.remove();
    },
  };
}
