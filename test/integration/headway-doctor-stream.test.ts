/** `headway doctor` on a stream that was changed under running edges, and on messages that are no job's. */
import type { StreamConfig } from 'nats';
import { beforeEach, describe, expect, test } from 'vitest';
import { isAtLeast } from '../../internal/server-version.js';

import { aboveNotes, type DoctorReport, detailsOf, examine, findingOf } from '../harness/doctor.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { natsEnv } from '../harness/headway-command.js';
import { createStream, deleteStreams, publish, publishRaw } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const ERRORS = 11;
const WARNINGS = 10;
const DONE = { status: 'completed', progress: 100 };

const shared = sharedNats();
beforeEach(() => deleteStreams(shared.nc, shared.nats));

const report = (): Promise<DoctorReport> => examine(natsEnv(shared.nats.url));

/** Changes the stream as `nats stream edit` does; the package's types do not know every field. */
async function edit(changes: Record<string, unknown>): Promise<StreamConfig & Record<string, unknown>> {
  const { config } = await shared.jsm.streams.update('PROGRESS', changes as never);
  return config as never;
}

type Since = string;
const ALWAYS: Since = '2.10.0';

describe('a stream that was edited under a running edge', () => {
  test.each<[string, Since, Record<string, unknown>, RegExp, string]>([
    [
      'subject_transform',
      ALWAYS,
      { subject_transform: { src: 'progress.*', dest: 'moved.{{wildcard(1)}}' } },
      /^subject_transform is \{"src":"progress\.\*",.*stored under other subjects: edges show none of them/,
      '`nats stream edit PROGRESS --no-transform`',
    ],
    [
      'allow_rollup_hdrs',
      ALWAYS,
      { allow_rollup_hdrs: true },
      /^allow_rollup_hdrs is true; .*any worker can purge/,
      '`nats stream edit PROGRESS --no-allow-rollup`',
    ],
    [
      'allow_msg_ttl',
      '2.11.0',
      { allow_msg_ttl: true },
      /^allow_msg_ttl is true; .*loses events from its middle/,
      'allow_msg_ttl cannot be edited',
    ],
    [
      'subject_delete_marker_ttl',
      '2.11.0',
      { subject_delete_marker_ttl: 60e9 },
      /^subject_delete_marker_ttl is "1m00s"; .*a message in its place that is no event$/m,
      'allow_msg_ttl cannot be edited',
    ],
    [
      'allow_msg_schedules',
      '2.12.0',
      { allow_msg_schedules: true },
      /^allow_msg_schedules is true; .*stored later, and again and again/m,
      'cannot be edited',
    ],
    [
      'sources',
      ALWAYS,
      { sources: [{ name: 'OTHER' }] },
      /^sources is \[\{"name":"OTHER"\}\]; .*messages of other streams/,
      '`nats stream edit PROGRESS --config stream.json`',
    ],
  ])('%s (nats-server from %j)', async (field, since, changes, told, cure) => {
    await createStream(shared.nc);
    await createStream(shared.nc, 'OTHER', { subjects: ['other.*'] });
    await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
    await edge.ready();
    expect((await report()).code).toBe(0);
    const config = await edit(changes);
    if (!isAtLeast(shared.nats.version, since)) {
      // An older server takes no notice of it.
      expect(config[field]).toBeUndefined();
      return;
    }
    await publish(shared.nc, 'job-1', DONE);
    const changed = await report();
    const moved = field === 'subject_transform' ? ['invalid-events', 'subjects-without-job'] : [];
    expect([changed.code, aboveNotes(changed)]).toEqual([ERRORS, ['stream-drift', ...moved]]);
    expect(detailsOf(changed, 'stream-drift')).toMatch(told);
    expect(findingOf(changed, 'stream-drift')?.what_to_do).toContain(cure);
    expect(findingOf(changed, 'stream-settings-differ')).toBeNull();
  });
});

describe('a stream that was made otherwise', () => {
  test('as a counter: it refuses every event', async () => {
    await createStream(shared.nc, 'PROGRESS', { allow_msg_counter: true } as never);
    const counter = await report();
    if (!isAtLeast(shared.nats.version, '2.12.0')) {
      expect([counter.code, aboveNotes(counter)]).toEqual([0, []]);
      return;
    }
    await expect(publish(shared.nc, 'job-1', DONE)).rejects.toThrow();
    expect([counter.code, aboveNotes(counter)]).toEqual([ERRORS, ['stream-drift', 'events-refused']]);
    expect(detailsOf(counter, 'stream-drift')).toMatch(
      /^allow_msg_counter is true; .*every event is refused/,
    );
    expect(findingOf(counter, 'events-refused')?.what).toContain('message counter increment is missing');
  });

  test('with limits for consumers that no edge fits', async () => {
    await createStream(shared.nc, 'PROGRESS', { consumer_limits: { inactive_threshold: 1e9 } });
    const limited = await report();
    expect([limited.code, aboveNotes(limited)]).toEqual([ERRORS, ['stream-drift']]);
    expect(detailsOf(limited, 'stream-drift')).toMatch(
      /^consumer_limits is \{"inactive_threshold":1000000000\}; .*edges cannot make their consumers/,
    );
    expect(findingOf(limited, 'stream-drift')?.what_to_do).toContain(
      "`nats stream info PROGRESS --json | jq '.config | del(.consumer_limits)' > stream.json`",
    );
    await shared.jsm.streams.update('PROGRESS', { consumer_limits: { inactive_threshold: 600e9 } });
    expect((await report()).code).toBe(0);
  });

  test('as a mirror: it takes no event', async () => {
    await createStream(shared.nc, 'OTHER', { subjects: ['other.*'] });
    await shared.jsm.streams.add({ name: 'PROGRESS', mirror: { name: 'OTHER' } });
    const mirror = await report();
    expect(mirror.code).toBe(ERRORS);
    expect(detailsOf(mirror, 'stream-drift')).toMatch(
      /^mirror is \{"name":"OTHER"\}; .*nothing that workers publish$/m,
    );
    expect(findingOf(mirror, 'stream-drift')?.what_to_do).toContain(
      isAtLeast(shared.nats.version, '2.12.0') ? '--no-mirror' : 'mirror cannot be edited',
    );
  });

  test('sources: what comes from the other stream is no job’s', async () => {
    await createStream(shared.nc, 'OTHER', { subjects: ['other.*'] });
    await publishRaw(shared.nc, 'other.one', '{}');
    await createStream(shared.nc, 'PROGRESS', { sources: [{ name: 'OTHER' }] });
    await waitFor(async () => (await shared.jsm.streams.info('PROGRESS')).state.messages === 1, {
      what: 'the message of the other stream',
    });
    const found = await report();
    expect([found.code, aboveNotes(found)]).toEqual([
      ERRORS,
      ['stream-drift', 'invalid-events', 'subjects-without-job'],
    ]);
    expect(detailsOf(found, 'subjects-without-job')).toBe('other.one: 1 message');
  });
});

test('subjects that name no job, and literal wildcards among them, however old they are', async () => {
  await createStream(shared.nc);
  await publish(shared.nc, 'job-1', DONE);
  expect((await report()).checked).toContainEqual({ check: 'subjects', note: 'each names a job' });
  await publishRaw(shared.nc, 'progress.job=2', '{}');
  for (const subject of ['progress.>', 'progress.*', 'progress.>']) {
    await shared.nc.request(subject, '{}');
  }
  await publish(shared.nc, 'job-3', DONE);
  const found = await examine(natsEnv(shared.nats.url), '--scan', '1');
  expect(found.code).toBe(WARNINGS);
  const { what, what_to_do } = findingOf(found, 'subjects-without-job') ?? {};
  expect(what).toBe('4 messages are stored on 3 subjects that name no job.');
  expect(what_to_do).toContain('`nats stream rmm PROGRESS SEQ`');
  expect(detailsOf(found, 'subjects-without-job').split('\n').sort()).toEqual([
    'progress.*: 1 message',
    'progress.>: 2 messages',
    'progress.job=2: 1 message',
  ]);
});
