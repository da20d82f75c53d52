/** docs/nats/permissions.conf with one line missing: an edge says which. */
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectNats as openConnection } from '../../internal/jetstream/connection.js';
import {
  type PermissionViolation,
  watchPermissionErrors,
} from '../../internal/jetstream/connection-monitor.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';

const CONF = fileURLToPath(new URL('../../docs/nats/permissions.conf', import.meta.url));
for (const user of ['EDGE', 'ADMIN', 'WORKER', 'SINGLE', 'READER', 'OPERATOR'])
  process.env[`HEADWAY_${user}_PASSWORD`] = `secret-of-${user.toLowerCase()}`;

const edgeUrl = (server: NatsServer): string => server.url.replace('//', '//edge:secret-of-edge@');

describe('G8 bad input: an edge that lacks a permission', () => {
  let folder: Awaited<ReturnType<typeof guardedFolder>>;
  beforeAll(async () => {
    folder = await guardedFolder('headway-permissions');
  });
  afterAll(() => folder?.remove());

  /** A server whose edge may do all but this. */
  async function without(line: string): Promise<NatsServer> {
    const whole = await readFile(CONF, 'utf8');
    const less = whole.replace(line, '');
    expect(less.length).toBe(whole.length - line.length);
    const file = join(folder.path, 'less.conf');
    await writeFile(file, less);
    // Relative to the configuration file, which is in a folder of its own.
    return startNats({ config: `include ${JSON.stringify(relative(join(tmpdir(), 'any'), file))}` });
  }

  test.each([
    ['"$JS.API.STREAM.INFO.PROGRESS"\n', 'Publish to "$JS.API.STREAM.INFO.PROGRESS"'],
    ['"$JS.API.STREAM.CREATE.PROGRESS"\n', 'Publish to "$JS.API.STREAM.CREATE.PROGRESS"'],
    ['"_INBOX.>", ', 'Subscription to "_INBOX.'],
  ])('%j at the start, ends and names the subject', async (line, said) => {
    await using server = await without(line);
    const error = (await startEdgeProcess({ natsUrl: edgeUrl(server) }).catch((reason) => reason)) as Error;
    expect(error.message).toContain('headway edge: NATS at nats://127.0.0.1:');
    expect(error.message).toContain(`Permissions Violation for ${said}`);
    expect(error.message).not.toMatch(/secret-of|^\s+at /m);
  });

  test.each([
    ['"$JS.API.STREAM.MSG.GET.PROGRESS"\n', '$JS.API.STREAM.MSG.GET.PROGRESS'],
    ['"$JS.API.CONSUMER.CREATE.PROGRESS"\n', '$JS.API.CONSUMER.CREATE.PROGRESS'],
  ])('%j later, is not ready and names the subject in its log', async (line, subject) => {
    await using server = await without(line);
    await using edge = await startEdgeProcess({ natsUrl: edgeUrl(server), untilReady: false });
    const lines = () => edge.logged('the feed cannot be built yet, trying again');
    await waitFor(() => lines().some(({ reason }) => String(reason).includes(`"${subject}`)), {
      what: 'the subject in the log',
    });
    expect((await fetch(`${edge.http}/readyz`)).status).toBe(503);
  });

  test('where only the admin may make the stream, starts once he has made it', async () => {
    await using server = await without('"$JS.API.STREAM.CREATE.PROGRESS"\n');
    await using admin = await connectNats(server.url, { user: 'admin', pass: 'secret-of-admin' });
    await createStream(admin);
    await using edge = await startEdgeProcess({ natsUrl: edgeUrl(server) });
    expect((await fetch(`${edge.http}/readyz`)).status).toBe(200);
  });

  test('hears of what is refused without an answer, too', async () => {
    await using server = await without('"$JS.API.CONSUMER.MSG.NEXT.PROGRESS.*"\n');
    const connection = await openConnection({ url: edgeUrl(server), name: 'refused' });
    const heard: PermissionViolation[] = [];
    watchPermissionErrors(connection, (refusal) => heard.push(refusal));
    connection.publish('$JS.API.CONSUMER.MSG.NEXT.PROGRESS.edge-1', '', { reply: '_INBOX.x' });
    await waitFor(() => heard.length > 0, { what: 'the refusal' });
    expect(heard).toEqual([
      { operation: 'publish', subject: '$JS.API.CONSUMER.MSG.NEXT.PROGRESS.edge-1', queue: undefined },
    ]);
    await connection.close();
  });
});
