/** What the commands look like on a terminal, and that nothing of it is there off one. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  headway,
  natsEnv,
  noTerminal,
  startHeadway,
  startHeadwayAtTerminal,
  startShellAtTerminal,
} from '../harness/headway-command.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const EVIL = 'evil \u001b]0;owned\u0007 \u001b[2J \u009b31m \u202e end';
const SGR = '\u001b[';
const CTRL_C = '\u0003';

let nats: NatsServer;
let nc: NatsConnection & AsyncDisposable;
let env: Record<string, string>;

beforeAll(async () => {
  nats = await startNats();
  nc = await connectNats(nats.url);
  env = natsEnv(nats.url);
  await createStream(nc, 'PROGRESS');
  await publish(nc, 'evil', { progress: 40, message: EVIL, result: undefined, step: { name: EVIL } });
  await publish(nc, 'fail', {
    status: 'error',
    progress: 10,
    error: { code: EVIL, message: EVIL, details: { [EVIL]: EVIL } },
  });
  await publish(nc, 'long', { job_type: 'typed.one', progress: 70, message: '長い話 '.repeat(80) });
});

afterAll(async () => {
  await nc?.close();
  await nats?.[Symbol.asyncDispose]();
});

async function atTerminal(args: readonly string[], more: Record<string, string> = {}): Promise<string> {
  await using command = startHeadwayAtTerminal(args, { env: { ...env, ...more } });
  const { code, stdout } = await command.ended();
  expect(code).toBe(0);
  return stdout;
}

describe.skipIf(noTerminal !== null)(`at a terminal (${noTerminal ?? 'python3, pty'})`, () => {
  test('list has bars and colours, and cuts its lines to the width', async () => {
    const shown = await atTerminal(['list']);
    expect(shown).toContain('\u001b[36mprocessing\u001b[39m');
    expect(shown).toContain('\u001b[31merror\u001b[39m');
    expect(shown).toContain('███████░░░   70%');
    const lines = stripVTControlCharacters(shown).split('\r\n');
    const long = lines.find((line) => line.startsWith('long')) ?? '';
    // Each of its characters takes two of the 100 columns.
    expect(long.endsWith('…')).toBe(true);
    expect(long.length + (long.match(/[長い話]/g) ?? []).length).toBeLessThanOrEqual(100);
  });

  test.each([
    [['--no-color'], {}],
    [[], { NO_COLOR: '1' }],
    [[], { TERM: 'dumb' }],
  ])('without colours: %j %j', async (more, environment) => {
    for (const args of [['list'], ['get', 'fail'], ['history', 'fail'], ['stats'], ['tail']]) {
      expect(
        await atTerminal([...args, ...(more as string[])], environment as Record<string, string>),
      ).not.toContain(SGR);
    }
  });

  test('G8 bad input: what a worker wrote is never obeyed by the terminal', async () => {
    const commands = [
      ['list'],
      ['list', '-o', 'json'],
      ['get', 'evil'],
      ['get', 'fail'],
      ['get', 'fail', '-o', 'json'],
      ['tail'],
      ['tail', '-o', 'ndjson'],
      ['history', 'evil'],
      ['history', 'fail', '-o', 'json'],
      ['stalled', '--no-listen', '--after', '1ms'],
    ];
    for (const args of commands) {
      const shown = await atTerminal(args);
      expect(shown).toMatch(/evil/);
      // Colours are ours; anything else is not.
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
      const rest = shown.replace(/\u001b\[\d+m/g, '');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
      expect(rest).not.toMatch(/[\u0000-\u0009\u000b\u000c\u000e-\u001f\u007f-\u009f\u202e]/);
      if (args.includes('json')) expect(JSON.stringify(JSON.parse(shown))).toContain('\\u001b]0;owned');
    }
  });

  test('G8 bad input: an export to a terminal is the same values, and nothing that it obeys', async () => {
    await using command = startHeadwayAtTerminal(['export', 'evil'], { env, notes: true });
    const { stdout } = await command.ended();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b\u000c\u000e-\u001f\u007f-\u009f\u202e]/);
    expect((JSON.parse(stdout) as { event: { message: string } }).event.message).toBe(EVIL);
    expect(await atTerminal(['export', 'evil'])).toContain('exported 1 event, seq 1 of 1 (100%)');
  });

  test('list -f redraws in place, shows what changes, and ends with Ctrl-C', async () => {
    await using watch = startHeadwayAtTerminal(['list', '-f', '--job-type', 'live'], { env });
    await watch.shows('0 jobs; Ctrl-C ends');
    await publish(nc, 'live-1', { job_type: 'live', progress: 20 });
    await watch.shows('██░░░░░░░░   20%');
    await publish(nc, 'live-1', { job_type: 'live', progress: 90 });
    await watch.shows('█████████░   90%');
    const ERASE_LINE = '\u001b[2K';
    expect(watch.stdout).toContain(ERASE_LINE);
    watch.type(CTRL_C);
    const { code, stdout } = await watch.ended(5_000);
    expect(code).toBe(130);
    // The last picture stays.
    expect(stripVTControlCharacters(stdout.slice(stdout.lastIndexOf(ERASE_LINE)))).toMatch(/live-1 .*90%/);
  });

  test('list -f takes off what the stream lets go, and begins anew with a stream that was made again', async () => {
    await using own = await startNats();
    await using to = await connectNats(own.url);
    await createStream(to);
    const jsm = await to.jetstreamManager();
    await using watch = startHeadwayAtTerminal(['list', '-f'], { env: natsEnv(own.url) });
    const lastView = (): string[] =>
      (stripVTControlCharacters(watch.stdout).split('JOB ').at(-1) ?? '')
        .split('\r\n')
        .slice(1)
        .map((line) => line.split(' ')[0] ?? '')
        .filter((id) => id.startsWith('g-'));
    const shows = (...ids: string[]): Promise<unknown> =>
      waitFor(() => JSON.stringify(lastView().sort((a, b) => a.localeCompare(b))) === JSON.stringify(ids), {
        what: `list -f to show ${ids}; it shows ${lastView()}`,
        timeoutMs: 20_000,
      });
    for (const id of ['g-a', 'g-b', 'g-c', 'g-d']) await publish(to, id);
    await shows('g-a', 'g-b', 'g-c', 'g-d');
    await jsm.streams.purge('PROGRESS', { seq: 2 });
    await shows('g-b', 'g-c', 'g-d');
    await jsm.streams.purge('PROGRESS', { filter: 'progress.g-c' });
    await shows('g-b', 'g-d');
    await jsm.streams.delete('PROGRESS');
    await createStream(to);
    await publish(to, 'g-d');
    await shows('g-d');
    watch.type(CTRL_C);
    expect((await watch.ended()).code).toBe(130);
  });

  test('list -f fits a small terminal, also with long ids and types', async () => {
    const id = '0e5529da-87d6-4287-85a3-e6878ca18176';
    await publish(nc, id, { job_type: 'invoice.render', progress: 42, message: 'page 7 of many' });
    await using watch = startHeadwayAtTerminal(['list', '-f'], { env, size: { columns: 80, rows: 5 } });
    await watch.shows(/jobs, 2 shown/);
    watch.type(CTRL_C);
    const { stdout } = await watch.ended(5_000);
    const picture = stripVTControlCharacters(stdout.slice(stdout.lastIndexOf('JOB')))
      .trimEnd()
      .split('\r\n');
    // The title, two jobs and the foot, and what the terminal makes of the key: a line that is too long would be broken in two.
    expect(picture.filter((line) => line !== '^C')).toHaveLength(4);
    expect(picture.find((line) => line.startsWith('0e55'))).toMatch(/^0e55\S+…\S+8176 .* 42% .* page/);
  });

  test('tail -f shows what comes, and ends with Ctrl-C', async () => {
    await using tail = startHeadwayAtTerminal(['tail', '-f', '--last', '0', 'typed'], { env });
    await publishUntil(() => tail.stdout.includes('typed'), 'typed');
    tail.type(CTRL_C);
    expect((await tail.ended(5_000)).code).toBe(130);
  });

  test('Ctrl-Z stops a replay like any job of the shell, and it goes on with its keys', async () => {
    await using shell = startShellAtTerminal(env);
    shell.type('headway replay long --paused\n');
    await shell.shows('[paused');
    shell.type('\u001a');
    await shell.shows('Stopped');
    const before = shell.stdout.length;
    shell.type('fg\n');
    await waitFor(() => shell.stdout.slice(before).includes('[paused'), { what: 'the replay to go on' });
    shell.type('n');
    await shell.shows('replayed 1 event');
    shell.type('echo "code $?"; exit\n');
    await shell.shows('code 0');
    await shell.ended();
  });

  test('Ctrl-\\ ends a replay, and the terminal is as it was', async () => {
    await using shell = startShellAtTerminal(env);
    shell.type('stty -a | md5sum; headway replay long --paused; echo "code $?"; stty -a | md5sum; exit\n');
    await shell.shows('[paused');
    shell.type('\u001c');
    await shell.shows('code 131');
    const { stdout } = await shell.ended();
    const [first, last] = stdout.match(/[0-9a-f]{32}/g) ?? [];
    expect(first).toBeDefined();
    expect(last).toBe(first);
  });

  test('notes go to stderr, also when only that is no terminal', async () => {
    await using list = startHeadwayAtTerminal(['list', '--job-type', 'none'], { env, notes: true });
    expect(await list.ended()).toMatchObject({ code: 0, stdout: '', stderr: 'headway: no jobs\n' });
  });
});

async function publishUntil(isSeen: () => boolean, id: string): Promise<void> {
  const look = async (): Promise<boolean> => {
    await publish(nc, id);
    return isSeen();
  };
  await waitFor(look, { what: `${id} to be seen`, everyMs: 100 });
}

test('off a terminal there are neither bars nor colours nor movements of the cursor', async () => {
  for (const args of [
    ['list'],
    ['get', 'long'],
    ['history', 'fail'],
    ['tail'],
    ['stats'],
    ['stalled', '--no-listen', '--after', '1ms'],
  ]) {
    const { stdout, stderr } = await headway(args, {
      env: { ...env, TERM: 'xterm-256color', FORCE_COLOR: '1' },
    });
    expect(stdout).not.toBe('');
    expect(stdout + stderr).not.toMatch(/[█░]/);
    expect(stdout + stderr).not.toContain('\u001b');
  }
  await using watch = startHeadway(['list', '-f', '-o', 'ndjson'], { env });
  await watch.shows('"processing_id":"long"');
  watch.signal('SIGINT');
  expect((await watch.ended()).stdout).not.toContain('\u001b');
});

describe('shell completion', () => {
  const HEADWAY = fileURLToPath(new URL('../../dist/cmd/headway.js', import.meta.url));
  const offered = async (...words: string[]): Promise<string[]> => {
    const { stdout } = await headway(['complete', '--', ...words]);
    return stdout.split('\n').flatMap((line) => (line.includes('\t') ? [line.split('\t')[0] ?? ''] : []));
  };

  test('offers commands, options and what options may be', async () => {
    expect(await offered('')).toEqual(
      expect.arrayContaining(['list', 'get', 'tail', 'history', 'stats', 'stalled', 'token']),
    );
    expect(await offered('st')).toEqual(['stats', 'stalled']);
    expect(await offered('list', '--st')).toEqual(['--status', '--stream']);
    expect(await offered('list', '--status', 'un')).toEqual(['unfinished']);
    expect(await offered('list', '--output', '')).toEqual([
      'table',
      'wide',
      'json',
      'jsonl',
      'ndjson',
      'yaml',
      'name',
      'csv',
      'jsonpath=',
    ]);
  });

  test('offers the jobs and types that the stream keeps, where a job or a type may stand', async () => {
    const withNats = async (words: string[], expected: unknown): Promise<void> => {
      // However busy this machine is.
      const patient = { ...env, HEADWAY_COMPLETION_MS: '30000' };
      const { code, stdout, stderr } = await headway(['complete', '--', ...words], { env: patient });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const found = stdout
        .split('\n')
        .flatMap((line) => (line.includes('\t') ? [line.split('\t')[0] ?? ''] : []));
      expect(found).toEqual(expected);
    };
    await withNats(['get', ''], expect.arrayContaining(['evil', 'fail', 'long']));
    await withNats(['logs', '-f', 'ev'], ['evil']);
    await withNats(['wait', 'long', '--timeout', '1m', 'fa'], ['fail']);
    await withNats(['fail', '--reason', 'x', 'lo'], ['long']);
    await withNats(['--stream', 'PROGRESS', 'tail', '--', 'lo'], ['long']);
    await withNats(['token', '--job', 'fa'], ['fail']);
    await withNats(['ls', '--type', ''], expect.arrayContaining(['typed.one']));
    await withNats(['tail', '--job-type=typed'], ['typed.one']);
    await withNats(['list', '--status', 's'], ['stalled']);
    await withNats(['describe', '--out'], ['--output']);
  });

  test.each([
    [['get', '-s', 'nats://127.0.0.1:1', '']],
    [['get', '--server', 'nats://a b', '']],
    [['get', '--stream', 'NONE', '']],
    [['get', '--creds', '/nowhere', '']],
    [['get', 'zzz']],
    [['list', '--limit', '']],
    [['history', '--since', '']],
    [['stats', '']],
  ])('offers nothing, and says nothing, where nothing can be known: %j', async (words) => {
    expect(await headway(['complete', '--', ...words], { env })).toEqual({
      code: 0,
      signal: null,
      stdout: ':4\n',
      stderr: '',
    });
  });

  test('a NATS that takes the connection and says nothing is not waited for', async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    try {
      const ended = await headway(['complete', '--', 'get', ''], {
        env: natsEnv(`nats://127.0.0.1:${port}`),
      });
      expect(ended).toEqual({ code: 0, signal: null, stdout: ':4\n', stderr: '' });
    } finally {
      silent.close();
    }
  });

  test('offers shells and commands, and leaves the names of files to the shell', async () => {
    expect(await offered('complete', '')).toEqual(['zsh', 'bash', 'fish', 'powershell']);
    expect(await offered('help', 'h')).toEqual(['history']);
    for (const words of [
      ['export', '--to', ''],
      ['list', '--creds=/et'],
    ]) {
      expect((await headway(['complete', '--', ...words])).stdout).toBe(':0\n');
    }
    expect((await headway(['complete', '--', 'replay', '--to', ''])).stdout).toMatch(/^ws\t\n:4\n$/);
  });

  test.skipIf(!existsSync('/dev/full'))('a full disk is told', async () => {
    for (const args of [['bash'], ['zsh'], ['--', 'list', '--']]) {
      const { code, stderr } = await headway(['complete', ...args], { stdoutFile: '/dev/full' });
      expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringContaining('the disk is full') });
    }
  });

  // What bash calls when the Tab key is pressed behind these words, of each line.
  async function pressTab(...lines: string[][]): Promise<string[]> {
    const script = `
      headway() { ${JSON.stringify(process.execPath)} ${JSON.stringify(HEADWAY)} "$@"; }
      script=$(headway complete bash)
      # Twice, as when ~/.bashrc is read again.
      for time in 1 2; do source <(echo "$script"); done
      tab() {
        COMP_WORDS=(headway "$@"); COMP_CWORD=$#
        $(complete -p headway | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        echo "\${COMPREPLY[*]}"
      }
      ${lines.map((words) => `tab ${words.map((word) => `'${word}'`).join(' ')}`).join('\n')}`;
    const { stdout, stderr } = await promisify(execFile)('bash', ['--norc', '-c', script], {
      timeout: 20_000,
    });
    expect(stderr).toBe('');
    return stdout.trimEnd().split('\n');
  }

  test('bash takes its script, and completes by it', async () => {
    expect(
      await pressTab(['his'], ['list', '--status', '=', 'un'], ['list', '--output', '='], ['get', '']),
    ).toEqual(['history', 'unfinished', 'table wide json jsonl ndjson yaml name csv jsonpath=']);
  });

  test('the Tab key neither runs what stands in the line nor empties the file behind a >', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headway-tab-'));
    try {
      const file = join(folder, 'all.ndjson');
      await writeFile(file, 'of yesterday\n');
      const words = ['export', '>', file, `$(touch ${folder}/ran)`, '--status', 'un'];
      expect(await pressTab(words)).toEqual(['unfinished']);
      expect(await readFile(file, 'utf8')).toBe('of yesterday\n');
      expect(await readdir(folder)).toEqual(['all.ndjson']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
