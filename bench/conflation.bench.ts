/**
 * What clients of all jobs cost an edge while jobs report fast, with a `max_rate` and without: CPU of the edge, bytes and updates.
 * The clients only count bytes, so that the edge is what is measured.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { test } from 'vitest';
import { startEdgeProcess } from '../test/harness/edge-process.js';
import { metric } from '../test/harness/metrics.js';
import { startNats } from '../test/harness/nats-server.js';
import { connectNats, createStream, event } from '../test/harness/publish.js';
import { handshake } from '../test/harness/raw-socket.js';
import { waitFor } from '../test/harness/wait.js';

const CLIENTS = Number(process.env.CLIENTS ?? 100);
const PER_SECOND = Number(process.env.PER_SECOND ?? 2_000);
const JOBS = Number(process.env.JOBS ?? 20);
const SECONDS = Number(process.env.SECONDS ?? 8);
const QUERIES = (process.env.QUERIES ?? ',?max_rate=4').split(',');

/** Seconds of CPU that a process has had, as proc(5) tells it. */
function cpuOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Publishes at the given rate, by the clock. Resolves when all is sent. */
async function publishFor(nc: Awaited<ReturnType<typeof connectNats>>, seconds: number): Promise<number> {
  const began = performance.now();
  let sent = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(seconds * 1_000, performance.now() - began) * (PER_SECOND / 1_000);
      for (; sent < due; sent++) {
        const fields = {
          progress: (sent / JOBS) % 100,
          message: `page ${sent % 90} of 90`,
          job_type: 'document',
        };
        nc.publish(`progress.job-${sent % JOBS}`, JSON.stringify(event(`job-${sent % JOBS}`, fields)));
      }
      if (performance.now() - began < seconds * 1_000) return;
      clearInterval(timer);
      resolve();
    }, 10);
  });
  await nc.flush();
  return sent;
}

for (const query of QUERIES) {
  test(`${CLIENTS} clients on all jobs, ${PER_SECOND} events a second, ${query || 'every event'}`, async () => {
    await using nats = await startNats();
    await using edge = await startEdgeProcess({
      natsUrl: nats.url,
      env: { HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: String(CLIENTS + 10) },
    });
    const nc = await connectNats(nats.url);
    await createStream(nc, 'PROGRESS').catch(() => undefined);
    let bytes = 0;
    const sockets: Socket[] = [];
    for (let i = 0; i < CLIENTS; i++) {
      const socket = connect(edge.port, '127.0.0.1');
      socket.on('data', (chunk) => {
        bytes += chunk.length;
      });
      socket.on('error', () => undefined);
      socket.write(handshake(`/ws/upload-progress${query}`));
      sockets.push(socket);
    }
    const connected = () => metric(edge.http, 'headway_connections_opened_total', 0);
    await waitFor(async () => (await connected()) === CLIENTS, { what: 'the clients' });
    await publishFor(nc, 2);
    const [cpu, received, updates] = [
      cpuOf(edge.pid),
      bytes,
      await metric(edge.http, 'headway_updates_sent_total'),
    ];
    const began = performance.now();
    const sent = await publishFor(nc, SECONDS);
    const seconds = (performance.now() - began) / 1_000;
    const used = (cpuOf(edge.pid) - cpu) / seconds;
    const toEach = ((await metric(edge.http, 'headway_updates_sent_total')) - updates) / CLIENTS / seconds;
    process.stdout.write(
      `    measured: ${query || 'every event'}: ${Math.round(sent / seconds)} events a second; edge CPU ${(used * 100).toFixed(1)} % of a core, ` +
        `${Math.round(toEach)} updates a second to each client, ${((bytes - received) / seconds / 1024 / 1024).toFixed(1)} MiB/s in all\n`,
    );
    for (const socket of sockets) socket.destroy();
    await nc.close();
  }, 120_000);
}
