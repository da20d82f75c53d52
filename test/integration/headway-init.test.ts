/** `headway init`: the stream is made, or checked, and one that exists is never changed. */
import { DiscardPolicy, nanos } from 'nats';
import { beforeEach, describe, expect, test } from 'vitest';
import { streamConfig } from '../../internal/jetstream/stream.js';
import { type Ended, type Env, headway, natsEnv } from '../harness/headway-command.js';
import { startNats } from '../harness/nats-server.js';
import { createStream, deleteStreams } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';

const shared = sharedNats();
beforeEach(async () => {
  await deleteStreams(shared.nc, shared.nats);
});

const init = (args: string[] = [], env: Env = {}): Promise<Ended> =>
  headway(['init', ...args], { env: natsEnv(shared.nats.url, env) });
const names = async (): Promise<string[]> => {
  const all: string[] = [];
  for await (const { config } of shared.jsm.streams.list()) all.push(config.name);
  return all;
};
const configOf = async (name = 'PROGRESS') => (await shared.jsm.streams.info(name)).config;

test('makes the stream as an edge does, and says that it is there the next time', async () => {
  expect(await init()).toMatchObject({ code: 0, stdout: 'The stream PROGRESS was made.\n', stderr: '' });
  const made = await configOf();
  expect(made).toMatchObject(streamConfig({ name: 'PROGRESS', replicas: 1 }));
  expect(await init()).toMatchObject({
    code: 0,
    stdout: 'The stream PROGRESS is there, and as Headway needs it.\n',
    stderr: '',
  });
  expect(await configOf()).toEqual(made);
});

test('another name, by option or environment', async () => {
  await init(['--stream', 'MINE']);
  expect(await names()).toEqual(['MINE']);
  expect((await init([], { HEADWAY_STREAM: 'MINE' })).stdout).toContain('The stream MINE is there');
});

describe('--dry-run', () => {
  test('shows what would be made, and makes nothing', async () => {
    const { code, stdout } = await init(['--dry-run', '--replicas', '3', '-o', 'json']);
    expect({ code, ...JSON.parse(stdout) }).toEqual({
      code: 0,
      outcome: 'would_be_made',
      differences: [],
      choices: [],
      config: streamConfig({ name: 'PROGRESS', replicas: 3 }),
    });
    expect(await names()).toEqual([]);
    const fromEnv = await init(['--dry-run', '-o', 'json'], { HEADWAY_STREAM_REPLICAS: '5' });
    expect(JSON.parse(fromEnv.stdout).config.num_replicas).toBe(5);
    expect((await init(['--dry-run'])).stdout).toMatch(
      /^The stream PROGRESS would be made:\n\{\n {2}"name": "PROGRESS"/,
    );
  });

  test('checks a stream that is there', async () => {
    await createStream(shared.nc, 'PROGRESS', { allow_direct: false });
    expect((await init(['--dry-run'])).code).toBe(1);
  });
});

test('a stream that is not as Headway needs it is told field by field, with code 1, and left as it is', async () => {
  await createStream(shared.nc, 'PROGRESS', { discard: DiscardPolicy.New, max_bytes: 1e9 });
  const before = await configOf();
  const { code, stdout, stderr } = await init();
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(
    /^headway: The stream PROGRESS exists, but not as Headway needs it[\s\S]*discard is "new"; it should be "old"\n$/,
  );
  const json = await init(['-o', 'json']);
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout)).toMatchObject({
    outcome: 'mismatch',
    differences: [{ field: 'discard', is: 'new', should_be: 'old' }],
    choices: [{ field: 'max_bytes', is: 1e9, should_be: 'no limit' }],
  });
  expect(await configOf()).toEqual(before);
});

test("settings that are the operator's to choose are listed, and no error", async () => {
  await createStream(shared.nc, 'PROGRESS', { max_age: nanos(3_600_000) });
  const { code, stdout, stderr } = await init(['--replicas', '3']);
  expect(code).toBe(0);
  expect(stdout).toContain('max_age is "1h00m", Headway makes it "7d0h": yours to choose');
  expect(stderr).toContain('it has 1 of the 3 copies');
  expect((await configOf()).num_replicas).toBe(1);
});

describe('what goes wrong is told in one paragraph', () => {
  test('another stream has progress.*', async () => {
    await createStream(shared.nc, 'OTHER');
    const { code, stdout, stderr } = await init();
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^headway: Cannot make the stream PROGRESS: .*overlap.*\n$/);
  });

  test('more copies than servers', async () => {
    const { code, stderr } = await init(['--replicas', '3']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^headway: Cannot make the stream PROGRESS: .*replicas.*\n$/);
  });

  test.each<[string[], Env, number, RegExp]>([
    [['--replicas', '6'], {}, 2, /Expected an integer from 1 to 5/],
    [['--replicas', 'x'], {}, 2, /Expected an integer from 1 to 5/],
    [
      [],
      { HEADWAY_STREAM_REPLICAS: '0' },
      2,
      /HEADWAY_STREAM_REPLICAS is "0"; expected an integer from 1 to 5/,
    ],
    [['--stream', 'a.b'], {}, 2, /--stream is not valid/],
    [[], { NATS_URL: 'nats://127.0.0.1:1' }, 4, /Cannot reach NATS/],
  ])('%j %j: code %i', async (args, env, expected, told) => {
    const { code, stdout, stderr } = await init(args, env);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).toMatch(told);
    expect(stderr).toMatch(/^headway: .*\n$/);
  });

  test('no JetStream', async () => {
    await using none = await startNats({ jetstream: false });
    const { code, stderr } = await headway(['init'], { env: natsEnv(none.url) });
    expect(code).toBe(4);
    expect(stderr).toMatch(/^headway: The nats-server at .* has no JetStream/);
  });

  test('making it is not permitted', async () => {
    const users =
      'authorization { users: [{ user: a, password: a, permissions: { publish: { deny: "$JS.API.STREAM.CREATE.>" } } }] }';
    await using strict = await startNats({ config: users });
    const { code, stderr } = await headway(['init'], { env: natsEnv(strict.url.replace('//', '//a:a@')) });
    expect(code).toBe(4);
    expect(stderr).toMatch(
      /^headway: .*Permissions Violation for Publish to "\$JS\.API\.STREAM\.CREATE\.PROGRESS".*\n$/,
    );
  });
});
