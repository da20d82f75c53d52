/** What hands type that know kubectl, docker and shells: other words, other places of options, and words that are nearly right. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { headway, natsEnv, startHeadway } from '../harness/headway-command.js';
import { publish } from '../harness/publish.js';
import { freshStream, sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

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

describe('several jobs, by id and by pattern', () => {
  test.each<[string[], string[]]>([
    [
      ['scan-1', 'dead'],
      ['scan-1', 'dead'],
    ],
    [['*-1'], ['scan-1', 'upload-1']],
    [
      ['dead', '*-1', 'scan-*'],
      ['dead', 'scan-1', 'upload-1'],
    ],
    [['[qd]*'], ['dead', 'quiet']],
    [['[!a-q]can-?'], ['scan-1']],
  ])('get %j: %j', async (jobs, found) => {
    const { code, stdout } = await run('get', ...jobs, '-o', 'json');
    expect({ code, found: ids(stdout) }).toEqual({ code: 0, found });
    const lines = (await run('get', ...jobs, '-o', 'ndjson')).stdout.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).processing_id)).toEqual(found);
  });

  test('one id is one document, as ever; one that a pattern found is in an array', async () => {
    expect(JSON.parse((await run('get', 'dead', '-o', 'json')).stdout).processing_id).toBe('dead');
    expect(ids((await run('get', 'dea?', '-o', 'json')).stdout)).toEqual(['dead']);
    const { stdout } = await run('describe', 'dead', 'quiet');
    expect(stdout.match(/(?<=^Job +)\S+$/gm)).toEqual(['dead', 'quiet']);
  });

  test('what is not there is told, and the others are shown', async () => {
    const { code, stdout, stderr } = await run('get', 'nobody', 'dead', '-o', 'json');
    expect({ code, found: ids(stdout) }).toEqual({ code: 3, found: ['dead'] });
    expect(stderr).toMatch(/^headway: The stream PROGRESS keeps nothing of the job nobody: .*\n$/);
    const none = await run('get', 'x*');
    expect(none).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringContaining('no job that matches x*'),
    });
  });

  test('tail takes patterns, and follows jobs that begin later', async () => {
    expect(ids((await run('tail', '*-1', '-n', '9', '-o', 'json')).stdout)).toEqual([
      'upload-1',
      'upload-1',
      'scan-1',
    ]);
    expect((await run('tail', 'x*')).code).toBe(3);
    await using tail = startHeadway(['tail', '-f', 'late-*', '-o', 'ndjson'], {
      env: natsEnv(shared.nats.url),
    });
    await waitFor(async () => JSON.stringify(await shared.nats.monitor('/connz')).includes('headway tail'), {
      what: 'tail to be connected',
    });
    await publish(shared.nc, 'other', {});
    await publish(shared.nc, 'late-1', {});
    await tail.shows('"processing_id":"late-1"');
    expect(tail.stdout).not.toContain('"other"');
    tail.signal('SIGINT');
    await tail.ended();
    await shared.jsm.streams.purge('PROGRESS', { filter: 'progress.other' });
    await shared.jsm.streams.purge('PROGRESS', { filter: 'progress.late-1' });
  });
});

describe('logs -f', () => {
  test('shows all, then what comes, and ends with the job', async () => {
    await publish(shared.nc, 'film', { progress: 1 });
    await using logs = startHeadway(['logs', '-f', 'film', '-o', 'ndjson'], {
      env: natsEnv(shared.nats.url),
    });
    await logs.shows('"progress":1,');
    await publish(shared.nc, 'film', { status: 'error', progress: 2, error: { retryable: true } });
    await logs.shows('"progress":2,');
    await publish(shared.nc, 'film', { status: 'completed', progress: 100 });
    const { code, stdout } = await logs.ended();
    expect(code).toBe(0);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ progress }) => progress)).toEqual([1, 2, 100]);
    expect(lines[2].prev_seq).toBe(lines[1].seq);
    // Of an ended job nothing more comes.
    expect((await run('logs', '-f', 'film', '-n', '0')).stdout).toBe('');
    expect((await run('history', '--watch', 'film', '-n', '1', '-o', 'ndjson')).stdout).toContain(
      '"completed"',
    );
    await shared.jsm.streams.purge('PROGRESS', { filter: 'progress.film' });
  });

  test.each([
    [['-o', 'json'], /--follow has no end/],
    [['--until', '1m'], /--until is an end, and --follow goes on/],
  ])('and not with %j', async (args, told) => {
    const { code, stderr } = await run('logs', '-f', 'scan-1', ...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(told);
  });
});

describe('version', () => {
  test('of this program, of Node, and of the server', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    const server = shared.nc.info?.version;
    const { stdout } = await run('version');
    expect(stdout).toMatch(
      new RegExp(`^headway ${version}\nnode \\S+\nnats-server ${server} at nats://127\\.0\\.0\\.1:\\d+\n$`),
    );
    expect(JSON.parse((await run('version', '-o', 'json')).stdout)).toEqual({
      headway: version,
      node: process.versions.node,
      nats_server: server,
    });
    expect((await run('version', '--client')).stdout).toBe(
      `headway ${version}\nnode ${process.versions.node}\n`,
    );
    const away = await headway(['-s', 'nats://u:hunter2@127.0.0.1:1', 'version', '-o', 'json']);
    expect({ code: away.code, ...JSON.parse(away.stdout) }).toMatchObject({
      code: 0,
      nats_server: null,
      error: expect.stringMatching(/^Cannot reach NATS at nats:\/\/127\.0\.0\.1:1 /),
    });
    expect((await run('--version')).stdout).toBe(`headway ${version}\n`);
    expect((await run('version', '--server', 'nats://a b')).code).toBe(2);
  });
});

test('rm removes one job, and asks as purge does', async () => {
  await publish(shared.nc, 'gone', {});
  await publish(shared.nc, 'gone', {});
  expect(await run('rm', 'gone')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/no terminal to ask/),
  });
  expect((await run('rm', 'gone', '--dry-run')).stdout).toMatch(/^Would purge 2 events of gone/);
  expect((await run('rm')).code).toBe(2);
  expect((await run('rm', '*', '--yes')).code).toBe(2);
  expect((await run('rm', 'gone', '--yes')).stdout).toMatch(/^Purged 2 events of gone/);
  expect((await run('rm', 'gone', '--yes')).code).toBe(3);
  expect(ids((await run('list', '-o', 'json')).stdout)).toHaveLength(5);
});

test('top shows what is not finished, and follows', async () => {
  await using top = startHeadway(['top', '--type', 'upload,late'], { env: natsEnv(shared.nats.url) });
  await top.shows(/^upload-1 .* 20%/m);
  await publish(shared.nc, 'new', { job_type: 'late', progress: 7 });
  await top.shows(/^new .* 7%/m);
  expect(top.stdout).not.toContain('scan-1');
  top.signal('SIGINT');
  expect((await top.ended()).code).toBe(130);
  await shared.jsm.streams.purge('PROGRESS', { filter: 'progress.new' });
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
