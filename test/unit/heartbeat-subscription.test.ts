import type { NatsConnection, NatsError, SubscriptionOptions } from 'nats';
import { expect, onTestFinished, test, vi } from 'vitest';
import { HeartbeatSubscription } from '../../internal/jetstream/heartbeat-subscription.js';
import { aliveBody } from '../../schemas/ids.js';
import { waitFor } from '../harness/wait.js';

type Connection = Pick<NatsConnection, 'subscribe' | 'flush'>;
type Callback = NonNullable<SubscriptionOptions['callback']>;

/** A connection whose subscriptions and flushes end as they are told to. */
class FakeConnection {
  readonly callbacks: Callback[] = [];
  unsubscribed = 0;
  flushes: Array<'answered' | 'lost' | 'throws'> = [];

  subscribe(_subject: string, options?: SubscriptionOptions): never {
    if (this.flushes[0] === 'throws') {
      this.flushes.shift();
      throw new Error('the connection is closed');
    }
    this.callbacks.push(options?.callback as Callback);
    return { unsubscribe: () => void this.unsubscribed++ } as never;
  }

  async flush(): Promise<void> {
    if (this.flushes.shift() === 'lost') throw new Error('the connection was lost');
  }

  heartbeat(id: string, body = ''): void {
    this.callbacks.at(-1)?.(null, { subject: `alive.progress.${id}`, data: Buffer.from(body) } as never);
  }
}

function start(flushes: FakeConnection['flushes']) {
  const connection = new FakeConnection();
  connection.flushes = flushes;
  const changes: string[] = [];
  const heard: string[] = [];
  const alive = new HeartbeatSubscription(
    connection as Connection,
    {
      heard: (id, attempt) => heard.push(attempt === null ? id : `${id} ${attempt}`),
      changed: (state, error) => changes.push(error === null ? state : `${state}: ${error.message}`),
    },
    1,
  );
  return { connection, changes, heard, alive };
}

test('hears jobs by their heartbeats once the server has answered', async () => {
  const { connection, changes, heard, alive } = start(['answered']);
  expect(alive.state).toBe('connecting');
  await waitFor(() => alive.state === 'subscribed', { what: 'the answer', everyMs: 1 });
  connection.heartbeat('job-1');
  connection.heartbeat('job_2');
  expect(heard).toEqual(['job-1', 'job_2']);
  alive.close();
  expect(alive.state).toBe('closed');
  expect(changes).toEqual(['subscribed', 'closed']);
  expect(connection.unsubscribed).toBe(1);
});

test('a subscription that fails is told of and tried again, and there is never more than one', async () => {
  const { connection, changes, heard, alive } = start(['throws', 'lost', 'answered']);
  await waitFor(() => alive.state === 'subscribed', { what: 'the third try', everyMs: 1 });
  expect(changes).toEqual([
    'denied: the connection is closed',
    'denied: the connection was lost',
    'subscribed',
  ]);
  expect(connection.callbacks.length - connection.unsubscribed).toBe(1);
  connection.heartbeat('job-1');
  expect(heard).toEqual(['job-1']);
  // Permissions may be taken away later, too.
  connection.callbacks.at(-1)?.(new Error('Permissions Violation') as NatsError, {} as never);
  expect(alive.state).toBe('denied');
  await waitFor(() => alive.state === 'subscribed', { what: 'the fourth try', everyMs: 1 });
  alive.close();
  expect(connection.callbacks.length - connection.unsubscribed).toBe(0);
});

test('closed while it waits to try again, it stays closed', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { connection, alive, changes } = start(['lost', 'answered']);
  await vi.advanceTimersByTimeAsync(0);
  expect(alive.state).toBe('denied');
  alive.close();
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(connection.callbacks).toHaveLength(1);
  expect(changes).toEqual(['denied: the connection was lost', 'closed']);
});

test.each([
  [aliveBody(1), 'job 1'],
  [aliveBody(12_345), 'job 12345'],
  ['{ "attempt": 2 }', 'job 2'],
  ['', 'job'],
  ['{}', 'job'],
  ['{"attempt":-1}', 'job'],
  ['{"attempt":1.5}', 'job'],
  ['{"attempt":"2"}', 'job'],
  [`{"attempt":${'9'.repeat(16)}}`, 'job'],
  ['\u00ff\u00fe', 'job'],
  [' '.repeat(100_000), 'job'],
])(
  'G8 bad input: of a heartbeat with the body %j only what is an attempt is believed',
  async (body, expected) => {
    const { connection, heard, alive } = start(['answered']);
    await waitFor(() => alive.state === 'subscribed', { what: 'the answer', everyMs: 1 });
    connection.heartbeat('job', body);
    expect(heard).toEqual([expected]);
    alive.close();
  },
);
