/** Centrifugo with history and recovery. Its binary is made by scripts/centrifugo.sh where Go is. */
import { writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { Child } from '../../test/harness/child.js';
import { freePorts } from '../../test/harness/free-ports.js';
import { waitFor } from '../../test/harness/wait.js';
import { guardedFolder } from '../../test/harness/watchdog.js';
import type { ClientSpec } from '../harness/load.js';
import { eventOf } from '../harness/payload.js';
import type { Subject } from '../harness/subject.js';

/** CENTRIFUGO_BIN and CENTRIFUGO_VERSION; undefined: it is left out. */
export const centrifugoBinary = (): string | undefined => process.env.CENTRIFUGO_BIN || undefined;

const settings = (port: number) => ({
  http_server: { address: '127.0.0.1', port },
  http_api: { insecure: true },
  log: { level: 'warn' },
  // The clients of a measurement answer no pings.
  client: { insecure: true, ping_interval: '600s', pong_timeout: '60s' },
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
  /** One request for all, so that they come together. */
  const publish = (job: string, bodies: readonly string[]): Promise<void> =>
    new Promise((resolve, reject) => {
      const commands = bodies.map((data) => `{"publish":{"channel":"${job}","data":${data}}}`);
      const body = `{"commands":[${commands.join(',')}]}`;
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      request({ port, host: '127.0.0.1', path: '/api/batch', method: 'POST', agent, headers }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`Centrifugo answered ${response.statusCode}`));
        response.resume().once('end', resolve);
      })
        .once('error', reject)
        .end(body);
    });
  await waitFor(() => publish('probe', [eventOf('probe', 0)]).then(() => true), {
    what: 'Centrifugo to answer',
    giveUp: () => child.giveUp(),
  });
  let made = 0;
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
      void publish(
        job,
        Array.from({ length: count }, () => eventOf(job, made++)),
      );
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      await child.kill();
      await folder.remove();
    },
  };
}
