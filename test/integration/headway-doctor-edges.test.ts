/** `headway doctor` on who follows the stream, edges and replays, and on the clocks of workers and of this machine. */
import { AckPolicy } from 'nats';
import { beforeEach, describe, expect, test } from 'vitest';
import { collect } from '../../internal/cli/commands/doctor/collect.js';
import { runChecks } from '../../internal/doctor/checks.js';
import type { Finding } from '../../internal/doctor/findings.js';
import {
  aboveNotes,
  afterAnswer,
  type DoctorReport,
  detailsOf,
  examine,
  findingOf,
  idsOf,
} from '../harness/doctor.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { fakeCliContext } from '../harness/fake-cli-context.js';
import { natsEnv, startHeadway } from '../harness/headway-command.js';
import { uniqueId } from '../harness/ids.js';
import { createStream, deleteStreams, event, publish, publishAll } from '../harness/publish.js';
import { sharedNats, streamAccess } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const HOUR_MS = 3_600_000;
const WARNINGS = 10;
const LIST = '$JS.API.CONSUMER.LIST.PROGRESS';
const DONE = { status: 'completed', progress: 100 };

const shared = sharedNats();
beforeEach(() => deleteStreams(shared.nc, shared.nats));

const report = (...args: string[]): Promise<DoctorReport> => examine(natsEnv(shared.nats.url), ...args);

describe('edges', () => {
  test('one that was killed, and one whose pull was only not there at the first look', async () => {
    await createStream(shared.nc);
    const id = uniqueId('dead');
    await using edge = await startEdgeProcess({ natsUrl: shared.nats.url, env: { HEADWAY_EDGE_ID: id } });
    await edge.ready();
    expect((await report()).code).toBe(0);
    await edge.kill();
    const jsm = await shared.nc.jetstreamManager();
    await jsm.consumers.add('PROGRESS', { durable_name: 'edge-between', ack_policy: AckPolicy.None });
    // A pull that the edge left behind lasts a few seconds, and a consumer that is new has as long for its first.
    const found = await waitFor(
      async () => {
        const now = await report();
        const idle = detailsOf(now, 'edge-consumer-idle');
        return idle.includes(`edge-${id}: `) && idle.includes('edge-between: ') && now;
      },
      { what: 'both edges to be noticed', timeoutMs: 30_000 },
    );
    expect(found.code).toBe(WARNINGS);
    expect(idsOf(found)).toContain('no-edge');

    const between = await shared.nc.jetstream().consumers.get('PROGRESS', 'edge-between');
    const pulls: ReturnType<typeof between.consume>[] = [];
    await afterAnswer(shared.nc, LIST, () => pulls.push(between.consume({ callback: () => undefined })));
    const looked = await report();
    for (const pull of pulls) await (await pull).close();
    expect(pulls).toHaveLength(1);
    expect(detailsOf(looked, 'edge-consumer-idle')).toMatch(new RegExp(`^edge-${id}: [^\\n]*$`));
    expect(idsOf(looked)).not.toContain('no-edge');
  });

  test('one that does not keep up, and does', async () => {
    await createStream(shared.nc);
    const jsm = await shared.nc.jetstreamManager();
    await jsm.consumers.add('PROGRESS', { durable_name: 'edge-slow', ack_policy: AckPolicy.None });
    const finished = (from: number, events: number): ReturnType<typeof event>[] =>
      Array.from({ length: events }, (_, i) => event(`job-${from + i}`, DONE));
    await publishAll(shared.nc, finished(0, 1_200));
    const consumer = await shared.nc.jetstream().consumers.get('PROGRESS', 'edge-slow');
    const take = async (events: number): Promise<void> => {
      for await (const _message of await consumer.fetch({ max_messages: events, expires: 5_000 }));
    };
    await take(1);

    // It gets one event while ten others come, and none of its pulls waits.
    const meanwhile: Promise<unknown>[] = [];
    await afterAnswer(shared.nc, LIST, () => {
      meanwhile.push(take(1), publishAll(shared.nc, finished(1_200, 10)));
    });
    const behind = await report();
    await Promise.all(meanwhile);
    expect([behind.code, aboveNotes(behind)]).toEqual([WARNINGS, ['edge-behind']]);
    expect(detailsOf(behind, 'edge-behind')).toMatch(/^edge-slow: 1,208 events behind$/);

    // As far behind at the first look, and it catches up from then on.
    await afterAnswer(shared.nc, LIST, () => meanwhile.push(take(1_000)));
    const catchingUp = await report();
    await Promise.all(meanwhile);
    expect([catchingUp.code, aboveNotes(catchingUp)]).toEqual([0, []]);
    expect(catchingUp.checked).toContainEqual({
      check: 'consumers',
      note: '1 edge that follows the stream; edge-slow is 208 events behind, and catching up',
    });
  });
});

test('a durable replay that nobody went on with for a day', async () => {
  await createStream(shared.nc);
  await publish(shared.nc, 'job-1', DONE);
  const jsm = await shared.nc.jetstreamManager();
  await using replay = startHeadway(['replay', '--paused', '--durable', 'night'], {
    env: natsEnv(shared.nats.url),
  });
  const isPlaced = async (): Promise<boolean> =>
    (await jsm.consumers.list('PROGRESS').next()).some(({ name }) => name === 'replay-night');
  await waitFor(isPlaced, { what: 'the place of the replay' });
  replay.signal('SIGINT');
  await replay.ended();

  // The server's consumer, as the doctor reads it; only what time it is is made up.
  const facts = await gatherFacts();
  const told = (laterMs: number): readonly Finding[] =>
    runChecks({ ...facts, now: facts.now + laterMs }).findings.filter(
      (one) => one.id === 'replay-consumer-stale',
    );
  expect([told(0), told(23 * HOUR_MS)]).toEqual([[], []]);
  expect(told(25 * HOUR_MS)).toEqual([
    expect.objectContaining({
      severity: 'info',
      details: ['replay-night: unused for 1 d 1 h'],
      remedy: expect.stringContaining('`nats consumer rm PROGRESS replay-night`'),
    }),
  ]);
});

describe('clocks', () => {
  test('workers whose clocks are off', async () => {
    await createStream(shared.nc);
    const at = (offsetMs: number): string => new Date(Date.now() + offsetMs).toISOString();
    for (let i = 0; i < 3; i++) {
      await publish(shared.nc, 'job-ahead', { timestamp: at(90_000), job_type: 'pdf.ocr' });
      await publish(shared.nc, 'job-behind', { timestamp: at(-HOUR_MS), job_type: 'pdf.ocr' });
      await publish(shared.nc, 'job-right');
    }
    await publish(shared.nc, 'job-late', { timestamp: at(-HOUR_MS) });
    const off = await report();
    expect([off.code, aboveNotes(off)]).toEqual([WARNINGS, ['worker-clock-skew']]);
    expect(detailsOf(off, 'worker-clock-skew')).toMatch(
      /^pdf\.ocr, ahead by 1 min \d+ s: 1 job \(job-ahead\)\npdf\.ocr, behind by (1 h|59 min .*): 1 job \(job-behind\)$/,
    );
  });

  test.each([
    [25.5, 'ahead of'],
    [-25.5, 'behind'],
  ])(
    'the clock of this machine is %d h off, and everything else is judged by the server’s',
    async (hours, off) => {
      await createStream(shared.nc);
      await publish(shared.nc, 'job-quiet');
      await publish(shared.nc, 'job-silent', { stall_after_seconds: 0.001 });
      const jsm = await shared.nc.jetstreamManager();
      await jsm.consumers.add('PROGRESS', { durable_name: 'replay-today', ack_policy: AckPolicy.None });
      const found = await examine(
        natsEnv(shared.nats.url, shiftedClock(hours * HOUR_MS)),
        '--listen',
        '100ms',
      );
      expect([found.code, aboveNotes(found)]).toEqual([WARNINGS, ['jobs-stalled', 'local-clock-skew']]);
      expect(findingOf(found, 'local-clock-skew')?.what).toMatch(
        new RegExp(`^The clock of this machine is 1 d 1 h ${off} the server's`),
      );
      expect(detailsOf(found, 'jobs-stalled')).toMatch(/^job-silent: silent for \d+(\.\d)? s, [^\n]*$/);
      expect(idsOf(found)).not.toContain('replay-consumer-stale');
    },
  );
});

/** What makes a process see another time, by so many ms. */
function shiftedClock(ms: number): Record<string, string> {
  const code = `const Real = Date;
    globalThis.Date = class extends Real {
      constructor(...args) { super(...(args.length === 0 ? [Date.now()] : args)); }
      static now() { return Real.now() + ${ms}; }
    };`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
}

/** The facts that the command judges. */
async function gatherFacts(): Promise<Awaited<ReturnType<typeof collect>>> {
  const options = { scan: 100, listenMs: 100, stallAfterMs: HOUR_MS, meantFor: null, limitMs: 30_000 };
  return await collect(streamAccess(shared), options, fakeCliContext());
}
