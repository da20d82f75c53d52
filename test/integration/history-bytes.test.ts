/** A page of history costs NATS what it brings, whatever the size of the events. */
import { expect, test } from 'vitest';
import type { Scope } from '../../internal/eventlog/record.js';
import { connectNats as openConnection } from '../../internal/jetstream/connection.js';
import { monitorOf, onPermissionError } from '../../internal/jetstream/connection-monitor.js';
import { type HistoryAccess, readPage } from '../../internal/jetstream/history-page.js';
import { epochOf } from '../../internal/jetstream/stream.js';
import { startTcpProxy } from '../harness/proxy.js';
import { event, publishAll } from '../harness/publish.js';
import { connectedNats } from '../harness/shared-nats.js';

const STREAM = 'PROGRESS';
const KIB = 1024;
const ALL: Scope = { kind: 'all', jobTypes: null };
const JOB: Scope = { kind: 'job', id: 'job', jobTypes: null };

/** Reads everything after the first event, page after page. @returns bytes that came, and bytes of events in them */
async function readAll(scope: Scope, count: number, bytes: number) {
  await using world = await connectedNats({ stream: { max_msgs_per_subject: -1 } });
  const padding = 'x'.repeat(bytes);
  await publishAll(
    world.nc,
    Array.from({ length: count }, () => event('job', { padding })),
    Math.max(20, Math.floor((8 * KIB * KIB) / bytes)),
  );
  await using monitor = await startTcpProxy(world.nats.port);
  const connection = await openConnection({ url: `nats://127.0.0.1:${monitor.port}`, name: 'pages' });
  try {
    const jsm = await connection.jetstreamManager({ checkAPI: false });
    const epoch = epochOf(await jsm.streams.info(STREAM));
    const access: HistoryAccess = {
      connection,
      jsm,
      stream: STREAM,
      monitor: monitorOf(connection),
      onRefused: (refused) => onPermissionError(connection, refused),
      epoch: () => epoch,
    };
    const before = monitor.passed('down');
    let wanted = 0;
    let pages = 0;
    for (let after = 1; after < count; pages++) {
      const page = await readPage(access, scope, after);
      if (page.kind === 'refused') throw new Error(page.reason);
      expect(page.records[0]?.seq).toBe(after + 1);
      expect(page.pending).toBe(count - after);
      for (const { frame } of page.records) wanted += frame.length;
      after = page.cursor;
    }
    await connection.flush();
    const sent = monitor.passed('down') - before;
    const ratio = sent / wanted;
    process.stdout.write(
      `    measured: ${count} events of ${bytes} bytes in ${pages} pages of ${scope.kind}: ${ratio.toFixed(2)} bytes for each\n`,
    );
    return ratio;
  } finally {
    await connection.close();
  }
}

test.each<[Scope, number, number]>([
  [ALL, 300, 60 * KIB],
  [ALL, 1_000, 20 * KIB],
  [ALL, 3_000, 2_000],
])(
  'G9 memory: pages of %o, %d events of %d bytes, cost at most a fifth more than they bring',
  async (scope, count, bytes) => {
    expect(await readAll(scope, count, bytes)).toBeLessThan(1.2);
  },
);

// Of one job the event at the cursor is read along, and the leader shows its oldest one: what proves that nothing is
// missing. With events as large as a page that is as much again, and a third more.
test.each<[number, number, number]>([
  [300, 60 * KIB, 3.5],
  [1_000, 20 * KIB, 2.4],
  [3_000, 2_000, 1.2],
])(
  'G9 memory: pages of one job, %d events of %d bytes, cost at most %d times what they bring',
  async (count, bytes, most) => {
    expect(await readAll(JOB, count, bytes)).toBeLessThan(most);
  },
);
