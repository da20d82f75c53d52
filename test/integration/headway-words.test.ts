/** What hands type that know kubectl, docker and shells: other words, other places of options, and words that are nearly right. */
import { beforeAll, describe, expect, test } from 'vitest';
import { headway, natsEnv } from '../harness/headway-command.js';
import { publish } from '../harness/publish.js';
import { freshStream, sharedNats } from '../harness/shared-nats.js';

const shared = sharedNats();
beforeAll(async () => {
  await freshStream(shared);
  await publish(shared.nc, 'upload-1', { job_type: 'upload', progress: 10 });
  await publish(shared.nc, 'upload-1', { job_type: 'upload', progress: 20 });
  await publish(shared.nc, 'scan-1', { job_type: 'pdf.ocr', status: 'completed', progress: 100 });
  await publish(shared.nc, 'again', { status: 'error', error: { code: 'E_DISK', retryable: true } });
  await publish(shared.nc, 'dead', { status: 'error', error: { code: 'E' } });
  await publish(shared.nc, 'quiet', { stall_after_seconds: 0.001 });
});

const run = (...args: string[]) => headway(args, { env: natsEnv(shared.nats.url) });
const ids = (stdout: string): string[] =>
  (JSON.parse(stdout) as { processing_id: string }[]).map(({ processing_id }) => processing_id);

describe('another word for a command', () => {
  test.each([
    [
      ['ls', '-o', 'json'],
      ['list', '-o', 'json'],
    ],
    [
      ['describe', 'scan-1', '-o', 'json'],
      ['get', 'scan-1', '-o', 'json'],
    ],
    [
      ['logs', 'upload-1', '-o', 'json'],
      ['history', 'upload-1', '-o', 'json'],
    ],
    [
      ['events', '-o', 'json'],
      ['tail', '-o', 'json'],
    ],
  ])('%j is %j', async (other, word) => {
    const [one, same] = await Promise.all([run(...other), run(...word)]);
    expect(one).toEqual(same);
    expect(one.code).toBe(0);
  });
});

describe('options that every command has may stand before its name', () => {
  const nowhere = { env: natsEnv('nats://127.0.0.1:1') };

  test('they win over the environment, and what stands behind the name wins over them', async () => {
    const { url } = shared.nats;
    const before = await headway(['--server', url, '--stream', 'PROGRESS', 'list', '-o', 'json'], nowhere);
    expect({ code: before.code, jobs: ids(before.stdout).length }).toEqual({ code: 0, jobs: 5 });
    expect((await headway(['-s', url, 'ls', '-s', 'nats://127.0.0.1:1'], nowhere)).code).toBe(4);
    expect((await headway(['-s', 'nats://127.0.0.1:1', 'ls', '-s', url], nowhere)).code).toBe(0);
    expect((await run('--stream=NONE', 'describe', 'scan-1')).stderr).toMatch(/There is no stream NONE/);
    expect((await run('--creds', '/nowhere', 'list')).stderr).toMatch(/^headway: --creds is "\/nowhere"/);
  });

  test.each([
    [['--server'], /^headway: option '-s, --server <url>' argument missing\./],
    [['--sever', 'x', 'list'], /^headway: unknown option '--sever' \(Did you mean --server\?\)/],
    [['--status', 'error', 'list'], /^headway: unknown option '--status'/],
  ])('%j is a mistake', async (args, told) => {
    const { code, stdout, stderr } = await headway(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(told);
  });
});

describe('other names of options', () => {
  test.each([
    [
      ['tail', '--last', '2'],
      ['tail', '-n', '2'],
    ],
    [
      ['tail', '--last', '2'],
      ['tail', '--tail', '2'],
    ],
    [
      ['history', 'upload-1', '--last', '1'],
      ['logs', 'upload-1', '--tail=1'],
    ],
    [
      ['list', '--limit', '2'],
      ['ls', '-n', '2'],
    ],
    [
      ['list', '--job-type', 'upload'],
      ['ls', '--type', 'upload'],
    ],
    [
      ['tail', '--job-type', 'upload', '--job-type', 'pdf.ocr'],
      ['tail', '--type', 'upload,pdf.ocr'],
    ],
    [
      ['tail', '--job-type', 'upload', '--job-type', 'pdf.ocr'],
      ['tail', '--job-type', 'upload', '--type', 'pdf.ocr'],
    ],
  ])('%j, %j', async (one, other) => {
    const [first, second] = await Promise.all([run(...one, '-o', 'json'), run(...other, '-o', 'json')]);
    expect(JSON.parse(first.stdout)).not.toEqual([]);
    expect(second).toEqual(first);
  });

  test.each(['list', 'tail'])('%s -w and --watch follow', async (command) => {
    for (const option of ['-w', '--watch']) {
      const { code, stderr } = await run(command, option, '-o', 'json');
      expect(code).toBe(2);
      expect(stderr).toMatch(/--follow has no end/);
    }
  });
});

describe('--status', () => {
  test.each([
    [['--status', 'completed,dead'], null],
    [
      ['--status', 'completed,retrying'],
      ['again', 'scan-1'],
    ],
    [
      ['--status', 'completed', '--status', 'retrying'],
      ['again', 'scan-1'],
    ],
    [['--status', 'retrying'], ['again']],
    [
      ['--status', 'error'],
      ['dead', 'again'],
    ],
    [['--status', 'stalled'], ['quiet']],
    [
      ['--status', 'stalled,error', '--limit', '2'],
      ['quiet', 'dead'],
    ],
  ])('list %j: %j', async (args, found) => {
    const { code, stdout } = await run('list', ...args, '-o', 'json');
    if (found === null) expect(code).toBe(2);
    else expect(ids(stdout)).toEqual(found);
  });

  test('events are retrying, and never stalled: that is for jobs', async () => {
    expect(ids((await run('tail', '--status', 'retrying', '-o', 'json')).stdout)).toEqual(['again']);
    expect(ids((await run('tail', '--status', 'retrying,completed', '-o', 'json')).stdout)).toEqual([
      'scan-1',
      'again',
    ]);
    expect((await run('tail', '--status', 'stalled')).code).toBe(2);
    expect((await run('export', '--status', 'retrying')).stdout).toContain('"again"');
  });
});

describe('a word that is nearly right is told the right one', () => {
  test.each<[string[], string]>([
    [['lst'], 'one of list, ls'],
    [['doctr'], 'doctor'],
    [['list', '--stauts', 'error'], '--status'],
    [['list', '--status', 'complted'], 'completed'],
    [['list', '--status', 'error,unfinishd'], 'unfinished'],
    [['tail', '--status', 'retryng'], 'retrying'],
    [['list', '-o', 'jsno'], 'json'],
    [['doctor', '--for', 'operater'], 'operator'],
  ])('%j: %s', async (args, meant) => {
    const { code, stderr } = await headway(args);
    expect(code).toBe(2);
    expect(stderr).toContain(`(Did you mean ${meant}?)`);
    expect(stderr).toMatch(/^headway: .*\n$/);
  });

  test('and nothing where nothing comes near', async () => {
    const { code, stderr } = await headway(['list', '--status', '$(reboot)']);
    expect(code).toBe(2);
    expect(stderr).not.toContain('Did you mean');
  });
});
