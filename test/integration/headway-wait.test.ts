/** `headway wait`: the exit code tells completed, error and timeout. */
import { beforeEach, describe, expect, test } from 'vitest';
import { type Goal, outcomeOf } from '../../internal/cli/commands/wait/wait.js';
import { type HeadwayCommand, headway, natsEnv, startHeadway } from '../harness/headway-command.js';
import { publish, publishRaw } from '../harness/publish.js';
import { freshStream, sharedNats } from '../harness/shared-nats.js';

const shared = sharedNats();
beforeEach(() => freshStream(shared));

const DONE = { status: 'completed', progress: 100 };
const FAILED = { status: 'error', error: { code: 'E' } };
const RETRYING = { status: 'error', error: { code: 'E', retryable: true } };
const wait = (...args: string[]) => headway(['wait', ...args], { env: natsEnv(shared.nats.url) });
const start = (...args: string[]): HeadwayCommand =>
  startHeadway(['wait', ...args], { env: natsEnv(shared.nats.url) });
/** A job that nobody has heard of, so that the command says when it waits. */
const WAITS = 'nothing is stored of the job marker yet';

test.each<[Goal, Parameters<typeof outcomeOf>[1], ReturnType<typeof outcomeOf>]>([
  ['status=completed', ['completed', null], null],
  ['status=completed', ['error', null], 'error'],
  ['status=completed', ['completed', 'completed'], 'completed'],
  ['end', ['error', null], null],
  ['end', ['error', 'completed'], 'error'],
  ['end', ['completed'], 'completed'],
])('--for=%s of %j: %s', (goal, ends, outcome) => expect(outcomeOf(goal, ends)).toBe(outcome));

describe('what has ended already', () => {
  test('is told at once, by its newest valid event', async () => {
    await publish(shared.nc, 'done', DONE);
    await publishRaw(shared.nc, 'progress.done', '{');
    await publish(shared.nc, 'dead', FAILED);
    expect(await wait('done')).toEqual({ code: 0, signal: null, stdout: 'done completed\n', stderr: '' });
    expect(await wait('dead')).toMatchObject({ code: 12, stdout: 'dead error\n' });
    const both = await wait('d*', '--for', 'end', '-o', 'json');
    expect({ code: both.code, ...JSON.parse(both.stdout) }).toEqual({
      code: 12,
      outcome: 'error',
      jobs: [
        { processing_id: 'dead', status: 'error' },
        { processing_id: 'done', status: 'completed' },
      ],
    });
  });

  test('a job that another attempt made unfinished has not', async () => {
    await publish(shared.nc, 'again', FAILED);
    await publish(shared.nc, 'again', { attempt: 2, progress: 1 });
    const { code, stdout, stderr } = await wait('again', '--timeout', '100ms');
    expect({ code, stdout }).toEqual({ code: 13, stdout: '' });
    expect(stderr).toBe('headway: after 100ms 1 job had not ended: again\n');
  });
});

describe('what ends later', () => {
  test('one job, through an error that may be tried again', async () => {
    await using command = start('marker');
    await command.shows(WAITS, 'stderr');
    await publish(shared.nc, 'marker', RETRYING);
    await publish(shared.nc, 'other', DONE);
    await publish(shared.nc, 'marker', { ...DONE, attempt: 2 });
    expect(await command.ended()).toMatchObject({ code: 0, stdout: 'marker completed\n' });
  });

  test('all have to complete: the first that fails decides', async () => {
    await publish(shared.nc, 'b', {});
    await using command = start('marker', 'b', '--timeout', '1h');
    await command.shows(WAITS, 'stderr');
    await publish(shared.nc, 'b', FAILED);
    expect(await command.ended()).toMatchObject({ code: 12, stdout: 'b error\n' });
  });

  test('--for=end waits for all of them', async () => {
    await publish(shared.nc, 'b', FAILED);
    await using command = start('marker', 'b', '--for=end');
    await command.shows(WAITS, 'stderr');
    await publish(shared.nc, 'marker', DONE);
    expect(await command.ended()).toMatchObject({ code: 12, stdout: 'marker completed\nb error\n' });
  });
});

test('Ctrl-C ends it, and what goes wrong is told', async () => {
  await using command = start('marker', '--timeout', '1h');
  await command.shows(WAITS, 'stderr');
  command.signal('SIGINT');
  expect((await command.ended()).code).toBe(130);
  expect((await wait('x*')).code).toBe(3);
  expect((await wait('a', '--stream', 'NONE')).code).toBe(3);
  expect((await headway(['wait', 'a', '--server', 'nats://127.0.0.1:1'])).code).toBe(4);
  expect((await wait('a', '--for', 'status=complete')).stderr).toContain('Did you mean status=completed?');
  expect((await wait()).code).toBe(2);
});
