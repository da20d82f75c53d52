/** `headway bench`: what it makes of what comes, without an edge. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ErrorCode, NatsError } from 'nats';
import { describe, expect, test, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { edgeOption } from '../../internal/cli/commands/bench/bench.js';
import { BenchClient, ClientCounts, type EdgeAccess } from '../../internal/cli/commands/bench/client.js';
import { EdgeRefusedError, EdgeUnreachableError } from '../../internal/cli/commands/bench/errors.js';
import { BenchJobs } from '../../internal/cli/commands/bench/jobs.js';
import { type Departures, ReceivedUpdates } from '../../internal/cli/commands/bench/received.js';
import { describeFigures } from '../../internal/cli/commands/bench/report.js';
import { type BenchFigures, isFlawless, removeCommand } from '../../internal/cli/commands/bench/run.js';
import { run } from '../../internal/cli/program.js';
import type { StreamAccess } from '../../internal/cli/runtime/nats.js';
import { PROTOCOL } from '../../schemas/ids.js';
import { fakeCliContext } from '../harness/fake-cli-context.js';

const STORED = [3, 7, 8, 12, 20];
/** A client that stood at `cursor` gets these updates: seq, and prev_seq. */
function received(cursor: number, ...updates: [seq: number, prevSeq: number | null][]): ReceivedUpdates {
  const client = new ReceivedUpdates(STORED, cursor);
  for (const [seq, prevSeq] of updates) client.take(seq, prevSeq);
  return client;
}
const departures = (changes: Partial<Departures> = {}): Departures => ({
  missed: 0,
  repeated: 0,
  wrong: 0,
  ...changes,
});

describe('what a client gets is held against what was stored', () => {
  test('all of it, from where it stood', () => {
    for (const cursor of [7, 8 - 1]) {
      const client = received(cursor, [8, 7], [12, 8], [20, 12]);
      expect([client.isComplete, client.departures]).toEqual([true, departures()]);
    }
    // The cursor may be that of another job's event.
    expect(received(10, [12, 8], [20, 12]).departures).toEqual(departures());
    expect(received(0, [3, 0], [7, null]).isComplete).toBe(false);
  });

  test('nothing is to come where nothing was missed', () => {
    expect(received(20).isComplete).toBe(true);
    expect(new ReceivedUpdates([], 5).isComplete).toBe(true);
  });

  test('what is left out is missed, whatever prev_seq says', () => {
    expect(received(7, [8, 7], [20, 12]).departures).toEqual(departures({ missed: 1 }));
    expect(received(7, [8, 7], [20, 8]).departures).toEqual(departures({ missed: 1, wrong: 1 }));
    const client = received(7, [8, 7]);
    client.covered(19);
    expect([client.isComplete, client.departures]).toEqual([false, departures({ missed: 1 })]);
    client.covered(20);
    expect([client.isComplete, client.departures]).toEqual([true, departures({ missed: 2 })]);
  });

  test('what comes again, also behind a later one, and also when everything is there', () => {
    expect(received(7, [8, 7], [8, 7], [12, 8], [8, 7]).departures).toEqual(departures({ repeated: 2 }));
    expect(received(7, [3, 0]).departures).toEqual(departures({ repeated: 1 }));
    const client = received(12, [20, 12], [20, 12]);
    expect([client.isComplete, client.departures]).toEqual([true, departures({ repeated: 1 })]);
  });

  test('what nobody stored, and a prev_seq of another event', () => {
    expect(received(7, [8, 3]).departures).toEqual(departures({ wrong: 1 }));
    expect(received(7, [9, 7]).departures).toEqual(departures({ wrong: 1 }));
  });
});

const FIGURES: BenchFigures = {
  clients: 400,
  jobs: 100,
  behind: 50,
  caught_up: 400,
  caught_up_ms: { p50: 310.2, p99: 377, last: 1_377.1 },
  updates: 20_000,
  updates_per_second: 53_027,
  bytes: 5_000_000,
  missed: 0,
  outstanding: 0,
  repeated: 0,
  wrong: 0,
  resets: 0,
  reset_reason: null,
  turned_away: 0,
  turned_away_by: null,
  own_cpu: 0.49,
};
const text = (changes: Partial<BenchFigures> = {}): string =>
  describeFigures({ ...FIGURES, ...changes }, (_, plain) => plain, Number.POSITIVE_INFINITY).join('\n');

describe('the figures', () => {
  test('for people', () => {
    expect(text()).toBe(
      [
        '400 clients of 100 jobs came back, 50 events behind',
        '  Caught up  all 400: p50 310ms, p99 377ms, the last after 1.4s',
        '  Updates    20,000, 53,027 a second, 4.8 MiB',
        '  Check      none missed, none twice, by seq and prev_seq',
        '  Own CPU    49% of a core',
      ].join('\n'),
    );
    expect(text({ own_cpu: 0.93 })).toContain('the edge may be faster than this program could see');
    expect(text({ caught_up: 0, caught_up_ms: null })).toContain('Caught up  none of 400');
  });

  test.each([
    [{ missed: 2 }, '2 MISSED'],
    [{ repeated: 1 }, '1 CAME TWICE'],
    [{ wrong: 3 }, '3 with a seq or prev_seq that does not fit'],
    [{ resets: 4, reset_reason: 'limit' }, '4 resets (limit)'],
    [{ caught_up: 399 }, '399 of 400'],
    [{ caught_up: 399, outstanding: 12 }, 'Check      12 did not come in time'],
  ] as const)('G1 nothing lost: a fault is told, and is no success: %o', (changes, said) => {
    expect(text(changes)).toContain(said);
    expect(isFlawless({ ...FIGURES, ...changes })).toBe(false);
    expect(isFlawless(FIGURES)).toBe(true);
  });

  test('who was turned away is told, and is no fault', () => {
    const waited = { turned_away: 1, turned_away_by: '503 overloaded: later' };
    expect(text(waited)).toContain(
      '1 time a client was turned away or cut off, and came again: 503 overloaded: later',
    );
    expect(isFlawless({ ...FIGURES, ...waited })).toBe(true);
  });
});

describe('what clients get of an edge', () => {
  /** An edge that greets, and then sends these frames to each client. */
  async function edgeThatSends(
    t: { onTestFinished: (done: () => void) => void },
    send: (socket: WebSocket) => void,
  ): Promise<EdgeAccess> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => PROTOCOL });
    t.onTestFinished(() => server.close());
    server.on('connection', (socket) => {
      socket.send(JSON.stringify({ type: 'hello', epoch: 'e', scope: 's' }));
      send(socket);
    });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return { url: `ws://127.0.0.1:${port}`, token: undefined, epoch: 'e', stream: 'PROGRESS' };
  }
  const frames = (socket: WebSocket, ...all: object[]): void => {
    for (const frame of all) socket.send(JSON.stringify(frame));
  };

  test('a client is in only when it has what was published before, however late its edge has it', async (t) => {
    const edge = await edgeThatSends(t, (socket) => {
      frames(socket, { type: 'progress_update', seq: 1, prev_seq: 0 }, { type: 'caught_up', cursor: 1 });
      socket.once('pong', () => frames(socket, { type: 'progress_update', seq: 3, prev_seq: 1 }));
      socket.ping();
    });
    const counts = new ClientCounts();
    const client = new BenchClient(edge, 'job');
    t.onTestFinished(() => client.cut());
    await client.connect('caught_up', counts, 3);
    expect(counts.updates).toBe(2);
  });

  test('what had not come when the time was over is told', async (t) => {
    const edge = await edgeThatSends(t, (socket) =>
      frames(socket, { type: 'progress_update', seq: 3, prev_seq: 0 }),
    );
    const client = new BenchClient(edge, 'job');
    t.onTestFinished(() => client.cut());
    const counts = new ClientCounts();
    client.resume([3, 5, 8], counts).catch(() => undefined);
    await vi.waitFor(() => expect(counts.updates).toBe(1));
    expect([client.arrivedAt, client.outstanding]).toEqual([null, 2]);
  });
});

test('a proxy that names a date in Retry-After is not asked again without a pause', async (t) => {
  const proxy = createServer((_, response) => {
    response.writeHead(503, { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }).end();
  });
  t.onTestFinished(() => void proxy.close());
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const timers = vi.spyOn(globalThis, 'setTimeout');
  t.onTestFinished(() => timers.mockRestore());
  const url = `ws://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const client = new BenchClient({ url, token: undefined, epoch: 'e', stream: 'PROGRESS' }, 'job');
  t.onTestFinished(() => client.cut());
  const counts = new ClientCounts();
  client.connect('caught_up', counts).catch(() => undefined);
  await vi.waitFor(() => expect(counts.turnedAway).toBeGreaterThan(0));
  expect(timers.mock.calls.filter(([, ms]) => Number.isNaN(ms))).toEqual([]);
});

describe('an error says what to do', () => {
  const refused = (said: string): string => new EdgeRefusedError('ws://e', said).message;
  const unreachable = (code: string, message = 'no'): string =>
    new EdgeUnreachableError('ws://e', Object.assign(new Error(message), { code })).message;

  test('where the address has the path of a job in it', () => {
    expect(refused('invalid_processing_id: processing_id is "ws/upload-progress/b"; expected A-Z')).toContain(
      'without /ws/upload-progress',
    );
  });

  test('where not all were in in time', () => {
    expect(refused('only 0 of 5 were in in time; it does not say why')).toContain('a longer --timeout');
    const limit =
      'only 17 of 20 were in in time; 503 overloaded: too many clients connect at once from this address';
    expect(refused(limit)).toContain('HEADWAY_MAX_UPGRADES_PER_ADDRESS');
    expect(refused(limit)).not.toContain('try again later');
    expect(refused('503 overloaded: later')).toContain('try again later');
  });

  test('where it does not speak TLS, or shows a certificate that nobody trusts', () => {
    const plain = unreachable(
      'EPROTO',
      'write EPROTO 80:error:0A00010B:SSL routines:wrong version number:350:\n',
    );
    expect(plain).toContain('it does not speak TLS');
    expect(plain).toContain('http://');
    expect(plain).not.toContain('\n');
    for (const code of ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'])
      expect(unreachable(code)).toContain('NODE_EXTRA_CA_CERTS');
  });

  test('where NATS goes away in mid-run, it is not said to have no JetStream', async () => {
    const access = {
      jsm: { streams: { info: async () => ({ config: { max_msgs: -1, max_bytes: -1 }, state: {} }) } },
      js: { publish: () => Promise.reject(new NatsError('TIMEOUT', ErrorCode.Timeout)) },
      stream: 'PROGRESS',
      shownUrl: 'nats://n',
    } as unknown as StreamAccess;
    const published = new BenchJobs(access, 1).publish(1, new AbortController().signal);
    await expect(published).rejects.toThrow(
      'Cannot reach NATS at nats://n (an event of the benchmark was not acknowledged',
    );
  });
});

test('it goes no further when others have filled the stream meanwhile', async () => {
  let stored = 0;
  const publish = async (): Promise<{ seq: number }> => {
    stored++;
    // Another benchmark, or workers.
    if (stored === 100) stored += 600;
    return { seq: stored };
  };
  const config = { max_msgs: 1_200, max_bytes: -1 };
  const info = async (): Promise<object> => ({ config, state: { messages: stored, bytes: 0 } });
  const access = {
    js: { publish },
    jsm: { streams: { info } },
    stream: 'PROGRESS',
  } as unknown as StreamAccess;
  const jobs = new BenchJobs(access, 4);
  await expect(jobs.publish(250, new AbortController().signal)).rejects.toThrow(
    'others have published meanwhile',
  );
  expect(stored).toBeLessThanOrEqual(config.max_msgs);
});

test('the command that removes a run names the NATS and the stream that the benchmark was given', () => {
  expect(removeCommand('bench-1', 'nats://n', {})).toBe(
    "headway get 'bench-1-*' -o name | xargs -I{} headway purge {} --yes",
  );
  const flags = { server: 'nats://me:secret@n:4', creds: "/a b/it's", stream: 'OTHER' };
  const options = "--server nats://n:4 --creds '/a b/it'\\''s' --stream OTHER";
  expect(removeCommand('bench-1', 'nats://n:4', flags)).toBe(
    `headway get 'bench-1-*' -o name ${options} | xargs -I{} headway purge {} --yes ${options}`,
  );
});

test('the address of an edge', () => {
  expect(edgeOption('http://127.0.0.1:8080')).toBe('ws://127.0.0.1:8080');
  expect(edgeOption('https://progress.example.com/')).toBe('wss://progress.example.com');
  expect(edgeOption('wss://example.com/progress//')).toBe('wss://example.com/progress');
  expect(edgeOption('ws://[::1]:8080')).toBe('ws://[::1]:8080');
  for (const wrong of [
    '',
    'localhost:8080',
    'nats://h:1',
    'http://',
    'http://me:secret@h',
    'http://h/?token=a',
    '//h',
  ])
    expect(() => edgeOption(wrong), wrong).toThrow('Expected the address of an edge');
});

test.each([
  [['--clients', '0'], /--clients .*Expected an integer from 1/],
  [['--clients', '20001'], /Expected an integer from 1 to 20000/],
  [['--jobs', '500'], /--jobs is more than --clients/],
  [
    ['--clients', '20000', '--jobs', '20000', '--behind', '48'],
    /would publish 1,020,000 events; at most 1,000,000/,
  ],
  [['--token', 'a\nb'], /--token is not valid; expected a JWT/],
  [['--edge', 'there'], /Expected the address of an edge/],
  [['-o', 'csv'], /Allowed choices are table, json/],
])('a mistake in the arguments is told before anything is done: %j', async (args, said) => {
  let told = '';
  const stderr = (piece: string): void => {
    told += piece;
  };
  // Nobody listens at this NATS.
  const env = { NATS_URL: 'nats://127.0.0.1:1' };
  expect(await run(['bench', ...args], fakeCliContext({ env, stderr }))).toBe(2);
  expect(told).toMatch(said);
});

test.each([
  ['HEADWAY_EDGE_URL', 'there'],
  ['HEADWAY_TOKEN', 'a b'],
])('so is one in the environment, by its name: %s', async (name, value) => {
  let told = '';
  const stderr = (piece: string): void => {
    told += piece;
  };
  const env = { NATS_URL: 'nats://127.0.0.1:1', [name]: value };
  expect(await run(['bench'], fakeCliContext({ env, stderr }))).toBe(2);
  expect(told).toContain(`${name} is not valid`);
  expect(told).not.toContain(value);
});
