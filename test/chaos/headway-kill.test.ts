/** `headway` killed with -9 at any moment: a durable replay and an export go on and leave nothing out. */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { headway, natsEnv, startHeadway } from '../harness/headway-command.js';
import { uniqueId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, event, publishAll } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

let nats: NatsServer;
let nc: NatsConnection;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headway-kill-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  nats = await startNats();
  nc = await connectNats(nats.url);
  await createStream(nc);
  return async () => {
    await nc.close();
    await nats[Symbol.asyncDispose]();
  };
});

async function fill(count: number): Promise<number[]> {
  return await publishAll(
    nc,
    Array.from({ length: count }, (_, i) => event(`job-${i % 100}`, { message: 'x'.repeat(100) })),
    5_000,
  );
}

/** The sequences on whole lines: what a reader has of a writer that was killed. */
const seqsOf = (text: string): number[] =>
  text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { seq: number }).seq);

const isContiguous = (seqs: readonly number[]): boolean =>
  seqs.every((seq, at) => at === 0 || seq === (seqs[at - 1] ?? 0) + 1);

describe('a durable replay', () => {
  test.each([
    ['as fast as it can', 'max', 3_000],
    ['at a pace', '5x', 3_000],
  ])('%s, killed again and again: in order, nothing left out, little twice', async (_how, speed, atMost) => {
    const all = await fill(12_000);
    const name = uniqueId('checkpoint');
    const args = ['replay', '--durable', name, '--speed', speed, '-o', 'ndjson'];
    let shown = 0;
    let twice = 0;
    for (let life = 0; life < 6; life++) {
      await using command = startHeadway(args, { env: natsEnv(nats.url) });
      const wanted = 1 + life * 150;
      await waitFor(
        () => (command.stdout.match(/\n/g) ?? []).length >= wanted || command.stderr.includes('at its end'),
        {
          what: 'some of it to be shown',
          timeoutMs: 30_000,
        },
      );
      command.signal('SIGKILL');
      const seqs = seqsOf((await command.ended()).stdout);
      if (seqs.length === 0) continue;
      const first = seqs[0] ?? 0;
      expect(isContiguous(seqs)).toBe(true);
      // A checkpoint that was removed at the end begins anew.
      if (shown === all.at(-1)) {
        shown = 0;
        expect(first).toBe(1);
      }
      expect(first).toBeLessThanOrEqual(shown + 1);
      twice = Math.max(twice, shown + 1 - first);
      shown = Math.max(shown, seqs.at(-1) ?? 0);
    }
    const rest = await headway(['replay', '--durable', name, '--speed', 'max', '-o', 'ndjson'], {
      env: natsEnv(nats.url),
      timeoutMs: 60_000,
    });
    expect(rest.code).toBe(0);
    const seqs = seqsOf(rest.stdout);
    if (shown < (all.at(-1) ?? 0)) {
      expect(seqs[0]).toBeLessThanOrEqual(shown + 1);
      expect(isContiguous(seqs)).toBe(true);
      expect(seqs.at(-1)).toBe(all.at(-1));
    }
    expect(twice).toBeLessThanOrEqual(atMost);
    process.stdout.write(`measured: at most ${twice} events came twice at ${speed}\n`);
  });

  test('goes on when NATS was killed under it', async () => {
    const all = await fill(4_000);
    // Slow enough that most of it is still to come when the server is killed.
    const args = ['replay', '--durable', 'night', '--speed', '0.05x', '-o', 'ndjson'];
    await using command = startHeadway(args, { env: natsEnv(nats.url) });
    await command.shows('"seq":200,');
    await nats.restart('kill');
    await command.shows(`"seq":${all.at(-1)},`, 'stdout', 60_000);
    const { code, stdout } = await command.ended();
    expect(code).toBe(0);
    expect(seqsOf(stdout)).toEqual(all);
  });
});

test('an export that is killed at any moment is gone on with to the same file as one that never was', async () => {
  const all = await fill(40_000);
  const once = join(folder, 'once.ndjson');
  const env = natsEnv(nats.url);
  expect((await headway(['export', '--to', once], { env })).code).toBe(0);
  const path = join(folder, 'killed.ndjson');
  let size = 0;
  for (let life = 0; life < 6; life++) {
    await using command = startHeadway(['export', '--to', path, '--resume'], { env });
    await waitFor(async () => ((await stat(path).catch(() => null))?.size ?? 0) > size, {
      what: 'the file to grow',
      everyMs: 1,
      giveUp: () => (command.stderr.includes('exported') ? 'it is done' : undefined),
    }).catch(() => undefined);
    command.signal('SIGKILL');
    await command.ended();
    size = (await stat(path)).size;
  }
  expect((await headway(['export', '--to', path, '--resume'], { env })).code).toBe(0);
  const text = await readFile(path, 'utf8');
  expect(seqsOf(text)).toEqual(all);
  expect(text === (await readFile(once, 'utf8'))).toBe(true);
});
