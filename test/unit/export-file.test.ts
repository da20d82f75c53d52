/** The file of an export, where somebody else writes to it. */
import { appendFile, mkdtemp, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ExportFile } from '../../cmd/headway/export/file.js';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headway-export-file-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each<[what: string, change: (path: string) => Promise<void>, left: string]>([
  ['adds to it', (path) => appendFile(path, 'mine\n'), 'one\ntwo\nmine\n'],
  ['cuts it', (path) => truncate(path, 4), 'one\n'],
])('whoever %s meanwhile is not written over', async (what, change, left) => {
  const path = join(folder, what);
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
