import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ExportFile, ExportStopped, jobsIn } from '../../internal/cli/commands/export/file.js';
import { UsageError } from '../../internal/cli/runtime/cli-context.js';

const line = (seq: number, more = ''): string =>
  `{"seq":${seq},"epoch":"e1","stored_at":"2026-03-01T03:00:00.000Z","event":{"processing_id":"a${more}"}}\n`;

let folder: string;
let count = 0;
const fresh = (): string => join(folder, `${count++}.ndjson`);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headway-export-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('going on with a file', () => {
  test('that was torn at any byte cuts the torn line, says so, and adds behind the last whole one', async () => {
    const whole = line(1) + line(20) + line(300);
    const ends = [0, line(1).length, (line(1) + line(20)).length, whole.length];
    for (let at = 0; at <= whole.length; at++) {
      const path = fresh();
      await writeFile(path, whole.slice(0, at));
      const file = await ExportFile.open(path, 'resume');
      const lines = ends.findLastIndex((end) => end <= at);
      expect(file.place?.seq ?? null).toBe([null, 1, 20, 300][lines]);
      expect(file.partialBytes).toBe(at - (ends[lines] ?? 0));
      await file.write(line(4_000), 4_000);
      expect(file.lastSeq).toBe(4_000);
      await file.finish();
      expect(await readFile(path, 'utf8')).toBe(whole.slice(0, ends[lines]) + line(4_000));
    }
  });

  test('whose last line is longer than what is read at once', async () => {
    const path = fresh();
    await writeFile(path, line(1) + line(2, 'x'.repeat(200_000)) + line(3, 'y'.repeat(130_000)).slice(0, -5));
    const file = await ExportFile.open(path, 'resume');
    expect(file.place).toMatchObject({ seq: 2, epoch: 'e1' });
    await file.finish();
    expect(await readFile(path, 'utf8')).toBe(line(1) + line(2, 'x'.repeat(200_000)));
  });

  test('that is not there, or is empty, begins it', async () => {
    for (const content of [null, '']) {
      const path = fresh();
      if (content !== null) await writeFile(path, content);
      const file = await ExportFile.open(path, 'resume');
      expect(file.place).toBe(null);
      await file.write(line(1), 1);
      await file.finish();
      expect(await readFile(path, 'utf8')).toBe(line(1));
    }
  });

  test.each(['some notes', 'a,b\n1,2\n', '{"seq":1}\n{"seq', `${line(1)}notes\n`, '\n\n'])(
    'that is no export touches nothing: %j',
    async (content) => {
      const path = fresh();
      await writeFile(path, content);
      await expect(ExportFile.open(path, 'resume')).rejects.toThrow(/is not an export of headway/);
      expect(await readFile(path, 'utf8')).toBe(content);
    },
  );
});

test('a file that is there already is neither added to nor emptied unless that is asked for', async () => {
  const path = fresh();
  await writeFile(path, line(1));
  await expect(ExportFile.open(path, 'new')).rejects.toThrow(UsageError);
  expect(await readFile(path, 'utf8')).toBe(line(1));
  const file = await ExportFile.open(path, 'overwrite');
  await file.write(line(2), 2);
  await file.finish();
  expect(await readFile(path, 'utf8')).toBe(line(2));
});

test.each([
  ['a folder that is not there', 'no/such/file'],
  ['a folder', ''],
])('%s is told with exit code 5', async (_what, name) => {
  await expect(ExportFile.open(join(folder, name), 'new')).rejects.toMatchObject({ exitCode: 5 });
});

const isLinux = existsSync('/dev/full');

test.skipIf(!isLinux)('a device that takes nothing is told as a full disk', async () => {
  const file = await ExportFile.open('/dev/full', 'new');
  await expect(file.write(line(1), 1)).rejects.toThrow(/the disk is full \(ENOSPC\)\. Nothing is in it yet/);
  await file.finish();
});

/** A file system of 64 KiB, where this process may mount one. */
async function smallDisk(): Promise<string | null> {
  const path = join(folder, 'disk');
  await mkdir(path, { recursive: true });
  try {
    await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path]);
    return path;
  } catch {
    return null;
  }
}

test('a full disk leaves a file of whole lines, says up to where, and it can be gone on with', async ({
  skip,
}) => {
  const disk = await smallDisk();
  if (disk === null) return skip('this process may not mount a file system');
  try {
    const ballast = join(disk, 'ballast');
    await writeFile(ballast, 'x'.repeat(40_000));
    const path = join(disk, 'export.ndjson');
    const all = Array.from({ length: 180 }, (_, i) => line(i + 1, 'z'.repeat(100 + i)));
    const file = await ExportFile.open(path, 'new');
    await file.write(all.slice(0, 10).join(''), 10);
    const error = await file.write(all.slice(10).join(''), 180).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ExportStopped);
    expect(error).toMatchObject({ exitCode: 5 });
    await file.finish();
    const lines = (await readFile(path, 'utf8')).split(/(?<=\n)/);
    expect(lines.length).toBeGreaterThan(10);
    expect(lines).toEqual(all.slice(0, lines.length));
    expect((error as Error).message).toContain(`whole up to its last line, seq ${lines.length}:`);
    await rm(ballast);
    const again = await ExportFile.open(path, 'resume');
    expect(again.partialBytes).toBe(0);
    expect(again.place?.seq).toBe(lines.length);
    await again.write(all.slice(lines.length).join(''), 180);
    await again.finish();
    expect(await readFile(path, 'utf8')).toBe(all.join(''));
  } finally {
    // Lazily: a test that failed has the file open still.
    await promisify(execFile)('umount', ['-l', disk]);
  }
});

test.each<[what: string, change: (path: string) => Promise<void>, left: string]>([
  ['adds to it', (path) => appendFile(path, 'mine\n'), 'one\ntwo\nmine\n'],
  ['cuts it', (path) => truncate(path, 4), 'one\n'],
])('whoever %s meanwhile is not written over', async (_what, change, left) => {
  const path = fresh();
  const file = await ExportFile.open(path, 'new');
  await file.write('one\n', 1);
  await file.write('two\n', 2);
  await change(path);
  await expect(file.write('three\n', 3)).rejects.toThrow(
    `${path} was changed by another program while it was written`,
  );
  await file.finish();
  expect(await readFile(path, 'utf8')).toBe(left);
});

describe('of which jobs a file is', () => {
  const of = (seq: number, id: string): string => line(seq).replace('"a"', `"${id}"`);

  test.each([
    ['of one', of(3, 'a') + of(9, 'a'), { only: 'a', firstSeq: 3 }],
    ['of two', of(3, 'a') + of(9, 'b') + of(10, 'a'), { only: null, firstSeq: 3 }],
    ['empty', '', { only: null, firstSeq: 0 }],
  ])('%s', async (_what, text, jobs) => {
    const path = fresh();
    await writeFile(path, text);
    expect(await jobsIn(path, text.length)).toEqual(jobs);
  });

  test('one that cannot be read is an error, and ends no process', async () => {
    await expect(jobsIn(folder, 10)).rejects.toThrow('EISDIR');
  });
});
