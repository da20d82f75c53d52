/** Options that do not fit: an error that names the option, what is wrong with it, and what is expected. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectReporter, createReporter, InvalidOptionError } from '../../sdk/worker/index.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats } from '../harness/publish.js';

let nats: NatsServer;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

const quiet = { onWarning: () => {}, closeTimeoutMs: 0 };

/** Why the options are refused; undefined: they are not. */
async function refused(options: unknown): Promise<unknown> {
  try {
    const reporter = await connectReporter(options as object);
    await reporter.close();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe('G8 bad input: an option of a reporter', () => {
  const STREAM = 'the name of a stream, such as PROGRESS';
  const SUBJECT = 'the beginning of a subject, such as';

  test.each([
    ['stream', ['', 'a b', 'a.b', 'a.>', 'a*', 'a/b', 3, null], STREAM],
    ['apiPrefix', ['', 'a b', '$JS.>', '.API', 'API.', 3, null], SUBJECT],
    ['inboxPrefix', ['', 'a b', 'a.*', 'a.', 3, null], SUBJECT],
    ['maxUpdatesPerSecond', [0, -1, Number.NaN, '10', null], 'a number above 0'],
    ['maxInFlight', [0, 1.5, Number.POSITIVE_INFINITY, '1', null], 'an integer from 1'],
    ['maxPendingBytes', [1, Number.NaN, '65536', null], 'a number from 65536'],
    ['heartbeatSeconds', [-1, Number.POSITIVE_INFINITY, '5', null], 'a finite number from 0'],
    ['ackTimeoutMs', [0, Number.POSITIVE_INFINITY, Number.NaN, '5', null], 'a finite number from 1'],
    ['startTimeoutMs', [-1, Number.NaN, '5', null], 'a number from 0'],
    ['endTimeoutMs', [-1, Number.NaN, '5', null], 'a number from 0'],
    ['closeTimeoutMs', [-1, Number.NaN, '5', null], 'a number from 0'],
    ['includeStack', ['no', 0, null], 'true or false'],
    ['onWarning', ['print', null], 'a function'],
    ['name', [3, null], 'a text'],
    ['credsFile', [3, null], 'a text'],
    ['connection', ['x', 3, null], 'an object'],
  ])('%s', async (option, values, expected) => {
    for (const value of values) {
      const error = (await refused({ servers: nats.url, ...quiet, [option]: value })) as InvalidOptionError;
      expect(error, `${option}: ${String(value)}`).toBeInstanceOf(InvalidOptionError);
      expect(error).toMatchObject({ code: 'invalid_option', option });
      expect(error.message).toMatch(/ is .+; expected /);
      expect(error.message).toContain(expected);
    }
  });

  test.each([
    'nats://127.0.0.1:99999',
    'nats://127.0.0.1:abc',
    'nats://127.0.0.1:0',
    'nats://127.0.0.1:-5',
    'nats://',
    'nats://:4222',
    'nats://[::1',
    'nats://a b:4222',
    'nats:127.0.0.1:4222',
    'http://127.0.0.1:4222',
    'ws://127.0.0.1:4222',
    'nats://h/path',
    'nats://h:1?x=1',
    'nats://h:1?',
    'nats://h:1#x',
    'nats://u:p@ss@h:1',
    'nats://u:p/s@h:1',
    'nats://u:%zz@h:1',
  ])('servers: %s', async (servers) => {
    const error = (await refused({ servers: [nats.url, servers], ...quiet })) as InvalidOptionError;
    expect(error).toMatchObject({ code: 'invalid_option', option: 'servers' });
    expect(error.message).toContain(
      'has no address of NATS at place 2; expected one such as nats://127.0.0.1:4222',
    );
  });

  test('a password in them is not told', async () => {
    const address = 'nats://user:secret@host:port';
    for (const options of [{ servers: address }, { connection: address }, address]) {
      const error = (await refused(options)) as InvalidOptionError;
      expect(error).toBeInstanceOf(InvalidOptionError);
      expect(error.message).not.toContain('secret');
    }
  });

  test('all of them, and a connection that is none', async () => {
    for (const options of [null, 3, 'x']) expect(await refused(options)).toMatchObject({ option: 'options' });
    for (const connection of [null, undefined, 'nats://x', {}]) {
      const make = () => createReporter(connection as never, quiet);
      expect(make).toThrow('The option connection is no connection of the `nats` package.');
    }
  });

  test('one that only the package can judge', async () => {
    const error = await refused({ servers: nats.url, ...quiet, connection: { port: 4222 } });
    expect(error).toMatchObject({ option: 'connection' });
  });

  test('of a check, and signals that are none', async () => {
    await using nc = await connectNats(nats.url);
    await using reporter = createReporter(nc, quiet);
    for (const timeoutMs of [-1, Number.NaN, '5' as never]) {
      const check = reporter.check({ timeoutMs });
      await expect(check).rejects.toMatchObject({ code: 'invalid_option', option: 'timeoutMs' });
    }
    // A timer that is too long would be over at once.
    const { problems } = await reporter.check({ timeoutMs: Number.POSITIVE_INFINITY });
    expect(problems.map(({ code }) => code)).toEqual(['no_stream', 'not_readable']);
    for (const signal of ['SIGFOO', 'SIGKILL', 'toString'] as never[]) {
      expect(() => reporter.closeOnSignals([signal])).toThrow('The option signals has');
    }
  });

  test('what is unusual and fits', async () => {
    const Infinite = Number.POSITIVE_INFINITY;
    const options = { maxUpdatesPerSecond: Infinite, endTimeoutMs: Infinite, maxPendingBytes: Infinite };
    const made = {
      ...quiet,
      ...options,
      servers: `${nats.url},`,
      inboxPrefix: '_INBOX_a.b',
      apiPrefix: 'JS.API',
    };
    expect(await refused(made)).toBeUndefined();
  });
});
