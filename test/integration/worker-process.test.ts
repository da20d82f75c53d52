/** How a worker's process ends: by itself when its work is done, and after its jobs when it is asked to. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Child } from '../harness/child.js';
import { publishRaw, storedEvents } from '../harness/publish.js';
import { waitFor, withTimeout } from '../harness/wait.js';
import { workerFixture } from './worker-fixture.js';

const fixture = workerFixture();
const SDK = pathToFileURL(join(process.cwd(), 'dist/sdk/worker/index.js')).href;

/** Starts a program that has a reporter. */
async function worker(program: string, options = ''): Promise<Child> {
  const text = `
    import { connectReporter } from ${JSON.stringify(SDK)};
    const id = ${JSON.stringify(fixture.id)};
    const reporter = await connectReporter({ servers: ${JSON.stringify(fixture.nats.url)}, ${options} });
    ${program}`;
  const child = await Child.spawn('worker', process.execPath, ['--input-type=module', '-e', text]);
  onTestFinished(async () => void (await child.kill()));
  return child;
}

async function stored(): Promise<Record<string, unknown>[]> {
  return (await storedEvents(fixture.nc, 'PROGRESS', fixture.id)).map(
    ({ json }) => json as Record<string, unknown>,
  );
}

const ended = (child: Child) => withTimeout(child.exited, 10_000, `the worker to end\n${child.output()}`);

describe('a process whose work is done', () => {
  test('ends without close, and all that it reported is stored', async () => {
    const child = await worker(`await reporter.run({ processingId: id }, (job) => {
      job.report({ progress: 10 });
      return 'done';
    });`);
    expect(await ended(child), child.output()).toEqual({ code: 0, signal: null });
    expect((await stored()).at(-1)).toMatchObject({ status: 'completed', result: 'done' });
  });

  test('ends when the newest state of a job is stored that it does not end', async () => {
    const child = await worker(
      `const job = await reporter.start({ processingId: id });
       for (let i = 0; i <= 50; i++) job.report({ progress: i });`,
      'heartbeatSeconds: 0.1, connection: { pingInterval: 100 }',
    );
    expect(await ended(child), child.output()).toEqual({ code: 0, signal: null });
    expect((await stored()).at(-1)).toMatchObject({ status: 'processing', progress: 50 });
  });

  test('ends while its reporter waits for nothing, however long it pings', async () => {
    const child = await worker(
      `await reporter.check();
       await new Promise((resolve) => setTimeout(resolve, 400));
       console.log('idle');`,
      'connection: { pingInterval: 50, maxPingOut: 20 }',
    );
    await child.line((line) => (line === 'idle' ? line : undefined), 'it to be idle');
    expect(await ended(child), child.output()).toEqual({ code: 0, signal: null });
  });

  test('stays for a job that it still works at', async () => {
    const child = await worker(`await reporter.run({ processingId: id }, async (job) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return 'late';
    });`);
    expect(await ended(child), child.output()).toEqual({ code: 0, signal: null });
    expect((await stored()).at(-1)).toMatchObject({ status: 'completed', result: 'late' });
  });
});

describe('G6 the end: a process that is asked to end', () => {
  const open = (more: string): string => `
    reporter.closeOnSignals();
    ${more}
    const other = await reporter.start({ processingId: id + '-2' });
    await reporter.run({ processingId: id }, async (job) => {
      job.signal.addEventListener('abort', () => console.log('told', job.signal.reason.message));
      job.report({ progress: 30 });
      setInterval(() => {}, 1_000);
      console.log('busy');
      await new Promise(() => {});
    });`;

  test.each<NodeJS.Signals>(['SIGTERM', 'SIGINT'])(
    'by %s leaves no job open, and ends by it',
    async (signal) => {
      const child = await worker(open(''));
      await child.line((line) => (line === 'busy' ? line : undefined), 'it to be busy');
      child.signal(signal);
      expect(await ended(child), child.output()).toEqual({ code: null, signal });
      expect(child.output()).toContain(`told The worker was stopped (${signal}).`);
      const error = { code: 'cancelled', message: `The worker was stopped (${signal}).`, retryable: true };
      expect((await stored()).at(-1)).toMatchObject({ status: 'error', progress: 30, error });
      const other = await storedEvents(fixture.nc, 'PROGRESS', `${fixture.id}-2`);
      expect(other.at(-1)?.json).toMatchObject({ status: 'error', error });
    },
  );

  test('and has a listener of its own goes on after its reporter is stopped', async () => {
    const child = await worker(
      open(`process.once('SIGTERM', () => setTimeout(() => process.exit(7), 300));`),
    );
    await child.line((line) => (line === 'busy' ? line : undefined), 'it to be busy');
    child.signal('SIGTERM');
    expect(await ended(child), child.output()).toEqual({ code: 7, signal: null });
    expect((await stored()).at(-1)).toMatchObject({ status: 'error', error: { code: 'cancelled' } });
  });

  test('leaves a job alone that another worker has taken meanwhile', async () => {
    const child = await worker(open(''));
    await child.line((line) => (line === 'busy' ? line : undefined), 'it to be busy');
    const event = { processing_id: fixture.id, status: 'processing', progress: 1, attempt: 2 };
    await waitFor(async () => (await stored()).length >= 2, { what: 'its report to be stored' });
    await publishRaw(
      fixture.nc,
      `progress.${fixture.id}`,
      JSON.stringify({ ...event, timestamp: new Date().toISOString() }),
    );
    child.signal('SIGTERM');
    expect(await ended(child), child.output()).toEqual({ code: null, signal: 'SIGTERM' });
    expect((await stored()).at(-1)).toMatchObject({ status: 'processing', attempt: 2 });
  });
});
