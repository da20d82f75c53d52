/** The worker SDK while NATS is killed, cut off, frozen, or not there at all. */
import { describe, expect, test } from 'vitest';
import { checkEvent, type Event } from '../../schemas/event.js';
import { connectReporter, type Job, type Reporter, type ReporterWarning } from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { startNatsCluster } from '../harness/nats-cluster.js';
import { startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, createStream, storedEvents } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const JOBS = 20;

/** Jobs that report all the time, each time with a number of its own, until they are told to end. */
class Load {
  readonly jobs: { readonly id: string; readonly job: Job; told: number }[] = [];
  #timer: NodeJS.Timeout | undefined;

  static async start(reporter: Reporter, jobs = JOBS): Promise<Load> {
    const load = new Load();
    for (let index = 0; index < jobs; index++) {
      const processingId = jobId();
      load.jobs.push({ id: processingId, job: await reporter.start({ processingId }), told: 0 });
    }
    load.#timer = setInterval(() => load.report(), 2);
    return load;
  }

  report(): void {
    for (const one of this.jobs) {
      one.told += 1;
      one.job.report({ progress: one.told / 1_000, fields: { n: one.told } });
    }
  }

  /** No reports any more. */
  pause(): void {
    clearInterval(this.#timer);
  }

  async complete(): Promise<void> {
    this.pause();
    await Promise.all(this.jobs.map(({ job, told }) => job.complete({ told })));
  }

  /** Of each job the first event, the end and everything between them once each, and in order. */
  async check(url: string): Promise<number> {
    await using nc = await connectNats(url);
    const all = await storedEvents(nc, 'PROGRESS');
    for (const { id, told } of this.jobs) {
      const events = all
        .filter(({ subject }) => subject === `progress.${id}`)
        .map(({ json }) => json as Event);
      for (const event of events) expect(checkEvent(event)).toBeNull();
      const numbers = events.map((event) => Number((event as { n?: number }).n ?? 0));
      expect(numbers[0], 'the first event').toBe(0);
      const updates = numbers.slice(0, -1);
      expect(updates, 'each once, in order').toEqual([...new Set(updates)].sort((a, b) => a - b));
      expect(
        events
          .map(({ status }) => status)
          .slice(0, -1)
          .every((status) => status === 'processing'),
      ).toBe(true);
      expect(events.at(-1)).toMatchObject({ status: 'completed', result: { told }, n: told });
      expect(events.every(({ attempt }) => attempt === 1)).toBe(true);
    }
    return all.length;
  }
}

const grown = (reporter: Reporter, by: number): Promise<unknown> => {
  const { acknowledged } = reporter.stats;
  return waitFor(() => reporter.stats.acknowledged >= acknowledged + by, {
    what: `${by} more acknowledgements`,
    timeoutMs: 30_000,
  });
};

describe('nothing is lost and nothing is doubled', () => {
  test('G3 faults: NATS is killed with -9 and restarted in the middle of jobs, again and again', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    const warnings: ReporterWarning[] = [];
    await using reporter = await connectReporter({
      servers: nats.url,
      maxUpdatesPerSecond: 200,
      onWarning: (warning) => void warnings.push(warning),
    });
    const load = await Load.start(reporter);
    for (let kill = 0; kill < 4; kill++) {
      await grown(reporter, 5 * JOBS);
      await nats.restart('kill');
    }
    await grown(reporter, 5 * JOBS);
    await load.complete();
    expect(await load.check(nats.url)).toBe(reporter.stats.acknowledged);
    expect(warnings.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['disconnected', 'reconnected']));
    expect(warnings.map(({ kind }) => kind)).not.toContain('superseded');
  });

  test('G3 faults: jobs that end while NATS cannot be reached are ended after the reconnect', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    await using reporter = await connectReporter({ servers: nats.url, onWarning: () => {} });
    const load = await Load.start(reporter);
    await grown(reporter, JOBS);
    await nats.kill();
    await waitFor(() => !reporter.stats.connected, { what: 'the loss to be noticed' });
    const ended = load.complete();
    await nats.start();
    await ended;
    await load.check(nats.url);
  });

  test('G3 faults: the link is cut by resets at any moment, in both directions', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    await using proxy = await startTcpProxy(nats.port);
    await using reporter = await connectReporter({
      servers: `nats://${proxy.host}`,
      maxUpdatesPerSecond: 500,
      connection: { reconnectTimeWait: 20, reconnectJitter: 10 },
      onWarning: () => {},
    });
    const load = await Load.start(reporter);
    for (let cut = 0; cut < 8; cut++) {
      await grown(reporter, 2 * JOBS);
      // What was sent may arrive, and its acknowledgement may not.
      proxy.stall('down');
      const { acknowledged } = reporter.stats;
      const before = load.jobs.reduce((sum, { told }) => sum + told, 0);
      await waitFor(() => load.jobs.reduce((sum, { told }) => sum + told, 0) > before + 3 * JOBS, {
        what: 'reports during the silence',
      });
      expect(reporter.stats.acknowledged).toBeGreaterThanOrEqual(acknowledged);
      proxy.cut(cut % 2 === 0 ? 'reset' : 'fin');
      proxy.flow();
    }
    await load.complete();
    expect(reporter.stats.retried).toBeGreaterThan(0);
    await load.check(nats.url);
  });

  test('G3 faults: NATS freezes for longer than an acknowledgement is waited for', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    await using reporter = await connectReporter({
      servers: nats.url,
      maxUpdatesPerSecond: 200,
      ackTimeoutMs: 100,
      onWarning: () => {},
    });
    const load = await Load.start(reporter);
    await grown(reporter, 2 * JOBS);
    await nats.freeze();
    const { retried } = reporter.stats;
    await waitFor(() => reporter.stats.retried >= retried + 2 * JOBS, { what: 'events to be sent again' });
    await nats.thaw();
    await grown(reporter, 2 * JOBS);
    await load.complete();
    await load.check(nats.url);
  });

  test('G3 faults: in a cluster the leader of the stream dies', async () => {
    await using cluster = await startNatsCluster(3);
    await using nc = await connectNats(cluster.urls);
    await createStream(nc, 'PROGRESS', { num_replicas: 3 });
    await using reporter = await connectReporter({
      servers: cluster.urls,
      maxUpdatesPerSecond: 100,
      ackTimeoutMs: 1_000,
      onWarning: () => {},
    });
    const load = await Load.start(reporter);
    for (let kill = 0; kill < 2; kill++) {
      await grown(reporter, 3 * JOBS);
      const leader = await cluster.leaderOf('PROGRESS');
      await leader.kill();
      await grown(reporter, 3 * JOBS);
      await leader.start();
      await cluster.ready();
    }
    await load.complete();
    const url = cluster.running[0]?.url ?? '';
    await load.check(url);
  });
});

describe('the job does not notice', () => {
  test('NATS is not there at the start: the job runs, and what it said last is there as soon as NATS is', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    await nats.stop();
    const warnings: ReporterWarning[] = [];
    await using reporter = await connectReporter({
      servers: nats.url,
      onWarning: (warning) => void warnings.push(warning),
    });
    expect(warnings.map(({ kind }) => kind)).toContain('disconnected');
    const load = await Load.start(reporter, 5);
    for (let n = 0; n < 1_000; n++) load.report();
    load.pause();
    const ended = load.complete();
    expect(reporter.stats).toMatchObject({ connected: false, pendingJobs: 5, acknowledged: 0 });
    expect(reporter.stats.pendingBytes).toBeLessThan(5 * 1_024);
    await nats.start();
    await ended;
    // The first and the end of each; what was between is in the end.
    expect(await load.check(nats.url)).toBe(10);
  });

  test('G9 memory: pending events are bounded, updates are evicted before ends', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    await nats.stop();
    const warnings: ReporterWarning[] = [];
    const maxPendingBytes = 64 * 1024;
    await using reporter = await connectReporter({
      servers: nats.url,
      maxPendingBytes,
      onWarning: (warning) => void warnings.push(warning),
    });
    const load = await Load.start(reporter, 1_000);
    load.pause();
    load.report();
    expect(reporter.stats.pendingBytes).toBeLessThanOrEqual(maxPendingBytes);
    expect(reporter.stats.dropped).toBeGreaterThan(0);
    const ended = load.complete();
    await nats.start();
    await ended;
    expect(warnings.map(({ kind }) => kind)).toContain('dropped');
    await using again = await connectNats(nats.url);
    const events = await storedEvents(again, 'PROGRESS');
    const ends = events.filter(({ json }) => (json as Event).status === 'completed');
    expect(new Set(ends.map(({ subject }) => subject)).size).toBe(1_000);
    expect(ends).toHaveLength(1_000);
  });

  test('a reporter that never reaches NATS can be closed, and leaves nothing behind', async () => {
    await using nats = await startNats();
    await nats.stop();
    const reporter = await connectReporter({ servers: nats.url, closeTimeoutMs: 20, onWarning: () => {} });
    const job = await reporter.start({ processingId: jobId() });
    job.report({ progress: 10 });
    await reporter.close();
    expect(reporter.stats).toMatchObject({ openJobs: 0, pendingJobs: 0, pendingBytes: 0 });
  });
});
