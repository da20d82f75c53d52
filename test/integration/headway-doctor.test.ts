/** `headway doctor` against a real nats-server: each disease of the stream and the jobs, made on purpose. */
import { AckPolicy, DiscardPolicy, nanos, StorageType } from 'nats';
import { beforeEach, describe, expect, test } from 'vitest';
import { timeoutEvent } from '../../internal/liveness/timeout-event.js';
import { isAtLeast } from '../../internal/server-version.js';
import type { Event } from '../../schemas/event.js';
import { aliveBody } from '../../schemas/ids.js';
import {
  aboveNotes,
  type DoctorReport,
  detailsOf,
  examine,
  findingOf,
  idsOf,
  unchecked,
} from '../harness/doctor.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import {
  type Ended,
  headway,
  natsEnv,
  noTerminal,
  startHeadway,
  startHeadwayAtTerminal,
} from '../harness/headway-command.js';
import { compareVersions } from '../harness/nats-binary.js';
import { createStream, deleteStreams, event, publish, publishRaw } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const HOUR_MS = 3_600_000;

const shared = sharedNats();
beforeEach(() => deleteStreams(shared.nc, shared.nats));

/** A part of `/connz`. */
interface Connections {
  connections: { name?: string; subscriptions_list?: string[] }[];
}

const doctor = (...args: string[]): Promise<Ended> =>
  headway(['doctor', ...args], { env: natsEnv(shared.nats.url) });

const report = (...args: string[]): Promise<DoctorReport> => examine(natsEnv(shared.nats.url), ...args);
const EXIT = { warnings: 10, errors: 11 };

describe('a healthy system', () => {
  test('has no finding above a note, and ends with 0; nothing is written', async () => {
    await createStream(shared.nc);
    await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
    await edge.ready();
    await publish(shared.nc, 'job-1', { progress: 10, job_type: 'pdf.ocr' });
    await publish(shared.nc, 'job-2', { status: 'completed', progress: 100 });
    const jsm = await shared.nc.jetstreamManager();
    const before = await jsm.streams.info('PROGRESS');

    const healthy = await report();
    expect(aboveNotes(healthy)).toEqual([]);
    expect(healthy).toMatchObject({
      code: 0,
      stream: 'PROGRESS',
      versions: { nats_server: shared.nats.version },
    });
    expect(unchecked(healthy)).toEqual([]);
    const checked = Object.fromEntries(healthy.checked.map(({ check, note }) => [check, note]));
    expect(checked).toMatchObject({
      stream: 'PROGRESS is as Headway makes it',
      consumers: '1 edge at the head of the stream',
      events: expect.stringMatching(/^2 events read, all valid/),
      jobs: '2 jobs: 1 is unfinished, none silent',
      'this-clock': expect.stringMatching(/differ by less than/),
    });
    expect(idsOf(healthy)).not.toContain('no-edge');

    const after = await jsm.streams.info('PROGRESS');
    expect(after.state).toEqual(before.state);
    expect(after.config).toEqual(before.config);
  });

  test('is told as text: what is fine with --verbose only, without colours off a terminal', async () => {
    await createStream(shared.nc);
    const { code, stdout, stderr } = await doctor('--verbose');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^Stream PROGRESS at nats:.*\n\nNOTES\n/);
    expect(stdout).toMatch(/\n {2}sync-interval-unknown\n(?:.*\n)*? {2}Why {2}\S(?:.*\n)*? {2}Do {3}\S/);
    expect(stdout).toMatch(/\nFINE\n\n(?:.*\n)* {2}stream: /);
    expect(stdout).toMatch(
      /\n0 errors, 0 warnings, [23] notes; \d+ things fine(; 1 thing not checked)?\.\n$/,
    );
    expect(stdout).not.toContain('\u001b');
    expect((await doctor()).stdout).not.toMatch(/^FINE$/m);
  });

  test.skipIf(noTerminal)('has colours at a terminal, and none with --no-color or NO_COLOR', async () => {
    await createStream(shared.nc);
    const at = async (args: string[], env = {}): Promise<string> => {
      await using command = startHeadwayAtTerminal(['doctor', ...args], {
        env: natsEnv(shared.nats.url, env),
      });
      const { code, stdout } = await command.ended();
      expect(code).toBe(0);
      return stdout;
    };
    expect(await at([])).toContain('\u001b[1m');
    expect(await at(['--no-color'])).not.toContain('\u001b[');
    expect(await at([], { NO_COLOR: '1' })).not.toContain('\u001b[');
  });
});

test('the server: what is known of its version, and nothing else', async () => {
  await createStream(shared.nc);
  const { code, findings } = await report();
  const told = findings
    .filter(({ id }) => id.startsWith('server-'))
    .map(({ id, severity }) => [id, severity]);
  if (compareVersions(shared.nats.version, '2.10.23') < 0) {
    expect([code, told]).toEqual([EXIT.errors, [['server-data-loss-bug', 'error']]]);
  } else if (compareVersions(shared.nats.version, '2.11.5') < 0) {
    expect([code, told]).toEqual([0, [['server-incomplete-snapshot', 'info']]]);
  } else expect([code, told]).toEqual([0, []]);
});

describe('the stream', () => {
  test('is missing', async () => {
    const missing = await report();
    expect([missing.code, aboveNotes(missing)]).toEqual([EXIT.errors, ['stream-missing']]);
    expect(missing.not_checked).toContainEqual({ check: 'events', why: 'there is no stream' });
  });

  test('has another name', async () => {
    await createStream(shared.nc, 'EVENTS');
    const taken = await report();
    expect([taken.code, aboveNotes(taken)]).toEqual([EXIT.errors, ['stream-subjects-taken']]);
    expect(detailsOf(taken, 'stream-subjects-taken')).toContain('EVENTS');
    expect((await report('--stream', 'EVENTS')).code).toBe(0);
  });

  test('is not as Headway needs it, is in memory, and has a short window', async () => {
    await createStream(shared.nc, 'PROGRESS', {
      storage: StorageType.Memory,
      allow_rollup_hdrs: true,
      allow_direct: false,
      max_msg_size: 4_096,
      duplicate_window: nanos(1_000),
      max_age: nanos(HOUR_MS),
    });
    const ill = await report();
    expect(aboveNotes(ill)).toEqual([
      'stream-drift',
      'stream-in-memory',
      'stream-refuses-large-events',
      'stream-duplicate-window-short',
    ]);
    expect(detailsOf(ill, 'stream-drift')).toMatch(
      /^allow_direct is false; Headway makes it true: .*\nallow_rollup_hdrs is true; Headway makes it false: .*$/,
    );
    expect(detailsOf(ill, 'stream-settings-differ')).toContain('max_age is "1h00m"; Headway makes it "7d0h"');
    expect(ill.code).toBe(EXIT.errors);
    // Memory is not among what can be edited, and has its own finding.
    expect(findingOf(ill, 'stream-drift')?.what_to_do).toContain(
      '`nats stream edit PROGRESS --allow-direct --no-allow-rollup`',
    );
  });

  test('is sealed', async () => {
    await createStream(shared.nc);
    await publish(shared.nc, 'job-1', { status: 'completed', progress: 100 });
    const jsm = await shared.nc.jetstreamManager();
    await jsm.streams.update('PROGRESS', { sealed: true } as never);
    await expect(publish(shared.nc, 'job-2')).rejects.toThrow(/sealed/);
    const sealed = await report();
    // That it now discards new events is no finding of its own: it cannot be edited away.
    expect([sealed.code, aboveNotes(sealed)]).toEqual([EXIT.errors, ['stream-sealed']]);
  });

  test('acknowledges before it has written', async () => {
    // A server before 2.12 does not know it, and takes no notice.
    const isKnown = isAtLeast(shared.nats.version, '2.12.0');
    await createStream(shared.nc, 'PROGRESS', { persist_mode: 'async' } as never);
    const found = await report();
    expect([found.code, aboveNotes(found)]).toEqual(
      isKnown ? [EXIT.warnings, ['writes-not-synced']] : [0, []],
    );
  });

  test('refuses new events when it will be full', async () => {
    await createStream(shared.nc, 'PROGRESS', { max_msgs: 20, discard: DiscardPolicy.New });
    for (let i = 0; i < 18; i++) await publish(shared.nc, `job-${i}`, { status: 'completed', progress: 100 });
    const near = await report();
    expect(findingOf(near, 'stream-nearly-full')).toMatchObject({
      severity: 'warning',
      what: expect.stringContaining('refuses new events'),
      details: ['max_msgs: 18 of 20 (90 %)'],
    });
  });

  test('is nearly full, and has nearly as many consumers as it may have', async () => {
    await createStream(shared.nc, 'PROGRESS', { max_msgs: 10, max_consumers: 5 });
    for (let i = 0; i < 12; i++) await publish(shared.nc, `job-${i}`, { status: 'completed', progress: 100 });
    const jsm = await shared.nc.jetstreamManager();
    for (const durable_name of ['a', 'b', 'c', 'd']) {
      await jsm.consumers.add('PROGRESS', { durable_name, ack_policy: AckPolicy.None });
    }
    const full = await report();
    expect([full.code, aboveNotes(full)]).toEqual([
      EXIT.warnings,
      ['stream-nearly-full', 'stream-consumers-near-limit'],
    ]);
    expect(detailsOf(full, 'stream-nearly-full')).toBe('max_msgs: 10 of 10 (100 %)');
  });

  test('has jobs that have as many events as it keeps, within seconds', async () => {
    await createStream(shared.nc, 'PROGRESS', { max_msgs_per_subject: 5 });
    for (let i = 0; i < 8; i++) await publish(shared.nc, 'job-full', { progress: i });
    await publish(shared.nc, 'job-ok');
    const chatty = await report();
    expect([chatty.code, aboveNotes(chatty)]).toEqual([EXIT.warnings, ['jobs-at-event-limit']]);
    expect(detailsOf(chatty, 'jobs-at-event-limit')).toMatch(
      /^job-full: 5 events, the oldest from \d+(\.\d)? s ago$/,
    );
  });

  test('lets unfinished jobs go that were quiet for too long', async () => {
    await createStream(shared.nc, 'PROGRESS', { max_age: nanos(8_000), duplicate_window: nanos(1_000) });
    const found = await waitFor(
      async () => {
        const now = await report('--ignore', 'stream-duplicate-window-short');
        // It is seen between 80 % and 100 % of its age; a busy machine may miss that.
        if (now.checked.some(({ note }) => note.startsWith('0 jobs'))) await publish(shared.nc, 'job-quiet');
        return aboveNotes(now).length > 0 && now;
      },
      { what: 'the job to be about to leave', timeoutMs: 50_000 },
    );
    expect([found.code, aboveNotes(found)]).toEqual([EXIT.warnings, ['jobs-near-max-age']]);
    expect(detailsOf(found, 'jobs-near-max-age')).toMatch(/^job-quiet: leaves in [01]/);
  });
});

describe('events and jobs', () => {
  test('messages that are not events, with job, sequence and reason', async () => {
    await createStream(shared.nc);
    await publish(shared.nc, 'job-1');
    const bad = await publishRaw(shared.nc, 'progress.job-2', '{"processing_id":');
    const other = await publishRaw(shared.nc, 'progress.job-3', JSON.stringify(event('job-4')));
    const evil = await publishRaw(
      shared.nc,
      'progress.job-5',
      JSON.stringify(event('job-5', { status: '\u001b[2J' })),
    );
    await publish(shared.nc, 'job-1');
    const invalid = await report();
    expect([invalid.code, aboveNotes(invalid)]).toEqual([EXIT.warnings, ['invalid-events']]);
    expect(detailsOf(invalid, 'invalid-events')).toMatch(
      new RegExp(
        `^seq ${evil}, job-5: schema: .*\\nseq ${other}, job-3: subject_mismatch: .*job-4.*\\nseq ${bad}, job-2: not_json: `,
      ),
    );
    expect((await doctor()).stdout).not.toContain('\u001b');
    // Out of the newest that are looked at: what is left is the last messages of jobs.
    await publish(shared.nc, 'job-5');
    const last = await report('--scan', '1');
    expect(detailsOf(last, 'invalid-events')).toMatch(
      new RegExp(`^seq ${other}, job-3: .*\\nseq ${bad}, job-2: .*$`),
    );
    expect(aboveNotes(await report('--scan', 'all'))).toEqual(['invalid-events']);
  });

  test('unfinished jobs that fell silent, and not those that send heartbeats', async () => {
    await createStream(shared.nc);
    await publish(shared.nc, 'job-dead', { stall_after_seconds: 0.1, job_type: 'pdf.ocr', attempt: 2 });
    await publish(shared.nc, 'job-gone', { timeout_seconds: 0.1 });
    await publish(shared.nc, 'job-alive', { stall_after_seconds: 0.1 });
    await publish(shared.nc, 'job-patient', { stall_after_seconds: 600 });
    await publish(shared.nc, 'job-retried', {
      status: 'error',
      error: { retryable: true },
      stall_after_seconds: 0.1,
    });
    await publish(shared.nc, 'job-done', { status: 'completed', progress: 100, stall_after_seconds: 0.1 });
    await publish(shared.nc, 'job-plain');
    const beating = setInterval(() => {
      shared.nc.publish('alive.progress.job-alive');
      // A worker that lost its job and does not know it.
      shared.nc.publish('alive.progress.job-dead', aliveBody(1));
    }, 100);
    try {
      const silent = await report('--listen', '2s');
      expect([silent.code, aboveNotes(silent)]).toEqual([EXIT.warnings, ['jobs-stalled']]);
      expect(silent.findings.find(({ id }) => id === 'jobs-stalled')?.what).toMatch(
        /^3 unfinished jobs .*\(no heartbeat in 2 s\)/,
      );
      expect(detailsOf(silent, 'jobs-stalled')).toMatch(
        /^job-dead \(pdf\.ocr\): silent for .*, its stall_after_seconds is 0\.1 s\njob-gone: .*, past its timeout_seconds \(0\.1 s\)\njob-retried: /,
      );
      const byDefault = await report('--listen', '1s', '--stall-after', '1ms');
      expect(detailsOf(byDefault, 'jobs-stalled')).toContain('job-plain: ');
    } finally {
      clearInterval(beating);
    }
  });

  test("a job that an edge has timed out just now is as silent as before: the timeout is not its worker's", async () => {
    await createStream(shared.nc);
    await publish(shared.nc, 'job-dead', { progress: 40 });
    const last = event('job-dead', { progress: 40 }) as Event;
    await publishRaw(
      shared.nc,
      'progress.job-dead',
      timeoutEvent(last, 2 * HOUR_MS, new Date().toISOString()),
    );
    const found = await report('--listen', '1s');
    expect(aboveNotes(found)).toEqual(['jobs-stalled']);
    expect(detailsOf(found, 'jobs-stalled')).toMatch(/^job-dead: silent for 2 h/);
  });

  test('a finding that is known and decided about can be left out', async () => {
    await createStream(shared.nc);
    await publishRaw(shared.nc, 'progress.job-1', 'no');
    const { code, findings } = await report('--ignore', 'invalid-events');
    expect(code).toBe(0);
    expect(findings.map(({ id }) => id)).not.toContain('invalid-events');
  });
});

test('Ctrl-C ends it while it listens', async () => {
  await createStream(shared.nc);
  await publish(shared.nc, 'job-dead', { stall_after_seconds: 0.1 });
  await using command = startHeadway(['doctor', '--listen', '1h', '--stall-after', '1ms'], {
    env: natsEnv(shared.nats.url),
  });
  const jsm = await shared.nc.jetstreamManager();
  const isListening = async (): Promise<boolean> => {
    const { connections } = (await shared.nats.monitor('/connz?subs=1')) as Connections;
    const own = connections.find(({ name }) => name === 'headway doctor');
    return own?.subscriptions_list?.includes('alive.progress.*') ?? false;
  };
  await waitFor(isListening, { what: 'it to listen' });
  command.signal('SIGINT');
  expect(await command.ended(10_000)).toMatchObject({ code: 130, stdout: '' });
  expect((await jsm.streams.info('PROGRESS')).state.messages).toBe(1);
});

describe('a mistake in the arguments is told, with code 2', () => {
  test.each<[string[], RegExp]>([
    [['--scan', '0'], /Expected an integer from 1, or all/],
    [['--for', 'boss'], /Allowed choices are edge, worker, operator/],
    [['--ignore', 'nothing'], /Expected the name of a finding/],
    [['--listen', '5'], /Expected a number with s, m, h or d/],
    [['-o', 'ndjson'], /Allowed choices are table, json/],
    [['job-1'], /too many arguments/],
  ])('%j', async (args, told) => {
    const { code, stdout, stderr } = await doctor(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(told);
  });
});
