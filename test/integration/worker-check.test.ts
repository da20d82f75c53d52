/** A worker whose configuration, permission or server is wrong: it says so in plain words, and waits for nothing for ever. */
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  connectReporter,
  createReporter,
  NotAuthorizedError,
  NotPermittedError,
  type ReporterWarning,
} from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, createStream, storedEvents } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const CONF = fileURLToPath(new URL('../../docs/nats/permissions.conf', import.meta.url));
for (const user of ['edge', 'admin', 'worker', 'single', 'reader', 'operator']) {
  process.env[`HEADWAY_${user.toUpperCase()}_PASSWORD`] = `secret-of-${user}`;
}

/** What a reporter tells. */
function heard() {
  const warnings: ReporterWarning[] = [];
  return { warnings, onWarning: (warning: ReporterWarning): void => void warnings.push(warning) };
}

const fine = { connected: true, canPublish: true, isAcknowledged: true, canRead: true };

describe('a check', () => {
  test('of a reporter that can do everything finds nothing, and stores nothing', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    const { warnings, onWarning } = heard();
    await using reporter = await connectReporter({ servers: nats.url, onWarning });
    expect(await reporter.check()).toEqual({ ok: true, ...fine, problems: [] });
    await reporter.run({ processingId: 'job' }, () => 'done');
    expect(await reporter.check({ processingId: 'job' })).toEqual({ ok: true, ...fine, problems: [] });
    expect((await storedEvents(nc, 'PROGRESS')).map(({ subject }) => subject)).toEqual([
      'progress.job',
      'progress.job',
    ]);
    expect(warnings).toEqual([]);
    await expect(reporter.check({ processingId: 'a b' })).rejects.toMatchObject({ code: 'invalid_event' });
  });

  test('names a password that is refused', async () => {
    await using nats = await startNats({ config: 'authorization { user: a, password: b }' });
    const { warnings, onWarning } = heard();
    await using reporter = await connectReporter({
      servers: nats.url.replace('//', '//a:wrong@'),
      onWarning,
      closeTimeoutMs: 0,
    });
    const { ok, problems } = await reporter.check();
    expect(ok).toBe(false);
    expect(problems).toEqual([
      { code: 'not_authorized', message: expect.stringContaining('NATS refuses the credentials') },
    ]);
    expect(warnings.map(({ kind }) => kind)).toEqual(['not_authorized']);
    expect(warnings[0]?.error).toBeInstanceOf(NotAuthorizedError);
  });

  test('names a stream that is missing', async () => {
    await using nats = await startNats();
    await using reporter = await connectReporter({ servers: nats.url, onWarning: () => {} });
    const { problems, ...can } = await reporter.check();
    expect(can).toEqual({ ok: false, ...fine, canPublish: false, canRead: false });
    expect(problems.map(({ code }) => code)).toEqual(['no_stream', 'not_readable']);
    for (const { message } of problems) expect(message).toContain('run `headway init`');
  });

  test('names a NATS without JetStream, and one that is not there', async () => {
    await using nats = await startNats({ jetstream: false });
    await using reporter = await connectReporter({ servers: nats.url, onWarning: () => {} });
    const { problems } = await reporter.check();
    expect(problems.map(({ code }) => code)).toEqual(['no_jetstream', 'not_readable']);
  });

  test('G8 bad input: names the address where NATS cannot be reached and the reason, and no password', async () => {
    const { warnings, onWarning } = heard();
    const nats = await startNats();
    const { url } = nats;
    await using nc = await connectNats(url);
    await using lost = createReporter(nc, { onWarning, closeTimeoutMs: 0 });
    expect((await lost.check()).connected).toBe(true);
    await nats[Symbol.asyncDispose]();
    await waitFor(() => !lost.stats.connected, { what: 'the connection to be lost' });
    const options = { onWarning, closeTimeoutMs: 0 };
    const checked = async (...servers: string[]) => {
      await using away = await connectReporter({ ...options, servers });
      return await away.check({ timeoutMs: 50 });
    };
    const failed = { ok: false, connected: false, canPublish: false, isAcknowledged: false, canRead: false };
    const problem = (message: string) => ({ ...failed, problems: [{ code: 'disconnected', message }] });
    const login = url.replace('//', '//user:p%40ss@');
    const there = url.replace('localhost', '127.0.0.1');
    const refused = `NATS cannot be reached at ${there}: ECONNREFUSED`;
    expect(await checked(there)).toEqual(problem(`${refused}.`));
    expect(await checked(login.replace('localhost', '127.0.0.1'))).toEqual(problem(`${refused}.`));
    expect(await checked(there, there)).toEqual(
      problem(`NATS cannot be reached at ${there} or ${there}: ECONNREFUSED.`),
    );
    expect(await lost.check({ timeoutMs: 50 })).toEqual(
      problem(`NATS cannot be reached at ${there}: the connection was lost.`),
    );
    expect(warnings.map(({ message }) => message)).toContain(`${refused}; states are kept until it can be.`);
    // A name that cannot be resolved, and options of the package itself, which may hold anything.
    const unknown = { servers: 'nats://user:p@ss/w@no-such-host.invalid' };
    await using own = await connectReporter({ ...options, connection: unknown });
    const [{ message } = { message: '' }] = (await own.check({ timeoutMs: 50 })).problems;
    expect(message).toContain('NATS cannot be reached at nats://no-such-host.invalid: ');
    expect(JSON.stringify([message, warnings])).not.toMatch(/p@ss|ss.w|p%40ss|user:/);
  });

  test('names what is not permitted: to publish, to read, to hear answers', async () => {
    await using nats = await startNats({
      config: `authorization { users: [
        { user: admin, password: secret }
        { user: reader, password: secret, permissions: { publish: ["$JS.API.>"], subscribe: "_INBOX.>" } }
        { user: writer, password: secret, permissions: { publish: ["progress.*"], subscribe: "_INBOX.>" } }
        { user: deaf, password: secret, permissions: { publish: ["progress.*", "$JS.API.>"], subscribe: "x.>" } }
      ] }`,
    });
    await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret' });
    await createStream(admin);
    const checked = async (user: string) => {
      const servers = nats.url.replace('//', `//${user}:secret@`);
      await using reporter = await connectReporter({ servers, onWarning: () => {}, closeTimeoutMs: 0 });
      return await reporter.check();
    };
    expect(await checked('reader')).toMatchObject({
      canPublish: false,
      canRead: true,
      problems: [{ code: 'not_permitted', message: expect.stringContaining('no permission to publish') }],
    });
    expect(await checked('writer')).toMatchObject({
      canPublish: true,
      isAcknowledged: true,
      canRead: false,
      problems: [{ code: 'not_permitted', message: expect.stringContaining('$JS.API.DIRECT.GET.PROGRESS') }],
    });
    const deaf = await checked('deaf');
    expect(deaf).toMatchObject({ canPublish: false, isAcknowledged: false });
    expect(deaf.problems[0]).toMatchObject({
      code: 'not_permitted',
      message: expect.stringContaining('no permission to subscribe to _INBOX'),
    });
  });

  test('with the permissions of docs/nats is for a job that these credentials may report', async () => {
    await using nats = await startNats({
      config: `include ${JSON.stringify(relative(join(tmpdir(), 'any'), CONF))}`,
    });
    await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
    await createStream(admin);
    const connectAs = (user: string, inboxPrefix?: string) =>
      connectReporter({
        servers: nats.url.replace('//', `//${user}:secret-of-${user}@`),
        ...(inboxPrefix !== undefined && { inboxPrefix }),
        onWarning: () => {},
      });
    await using worker = await connectAs('worker');
    expect(await worker.check()).toEqual({ ok: true, ...fine, problems: [] });
    await using single = await connectAs('single', '_INBOX_single');
    expect(await single.check({ processingId: 'job-1' })).toMatchObject({ ok: true });
    expect(await single.check()).toMatchObject({ ok: false, canPublish: false });
    expect(await single.check({ processingId: 'job-1' })).toMatchObject({ ok: true });
  });
});

interface CheckCase {
  readonly name: string;
  readonly jetstream?: boolean;
  readonly config?: string;
  /** With docs/nats/permissions.conf. */
  readonly permissions?: boolean;
  /** What that file permits this user, and here does not: literals, with spaces between them. */
  readonly without?: string;
  /** A service that the account of the workers does not import. */
  readonly notImported?: string;
  readonly login?: string;
  readonly inboxPrefix?: string;
  readonly processingId?: string;
  readonly stream?: boolean;
  readonly can: typeof fine;
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

const CASES = JSON.parse(
  await readFile(new URL('../harness/worker-checks.json', import.meta.url), 'utf8'),
) as CheckCase[];

/** The configuration of a server, with the permissions of docs/nats less what the case takes away. */
async function configOf({ config, permissions, without = '', notImported, login = '' }: CheckCase) {
  if (!permissions) return config ?? '';
  let text = await readFile(CONF, 'utf8');
  const cut = (what: string, from: number, by = ''): void => {
    const at = text.indexOf(what, from);
    expect(at).toBeGreaterThan(0);
    text = text.slice(0, at) + by + text.slice(at + what.length);
  };
  const user = text.indexOf(`user: ${login.split(':')[0]}`);
  // Where nothing is listed all is permitted, so something else is.
  for (const what of without.split(' ').filter(Boolean)) cut(what, user, '"of-no-use"');
  if (notImported !== undefined) cut(`{ service: { account: PROGRESS, subject: "${notImported}" } }`, user);
  return text;
}

/** The Python worker runs the same cases, and says the same: sdk/python/tests/test_check_cases.py. */
describe('G8 bad input: a check says what is wrong, in the same words in Node and Python', () => {
  test.each(CASES)('$name', async (given) => {
    const config = await configOf(given);
    await using nats = await startNats({ config, jetstream: given.jetstream ?? true });
    const as = (login = '') => nats.url.replace('//', login === '' ? '//' : `//${login}@`);
    if (given.stream) {
      await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
      await createStream(admin);
    }
    await using reporter = await connectReporter({
      servers: as(given.login),
      ...(given.inboxPrefix !== undefined && { inboxPrefix: given.inboxPrefix }),
      onWarning: () => {},
      closeTimeoutMs: 0,
    });
    const { processingId } = given;
    const checked = await reporter.check(processingId === undefined ? {} : { processingId });
    const ok = given.problems.length === 0;
    expect(checked).toEqual({ ok, ...given.can, problems: given.problems });
  });
});

describe('a store that is full', () => {
  test.each([
    ['the server', 'max_file_store: 1MB', {}],
    ['the stream', '', { max_bytes: 63_000, discard: 'new' }],
  ])('of %s is named, and what waited is stored when there is room', async (_, jetstream, stream) => {
    await using nats = await startNats({ jetstream });
    await using nc = await connectNats(nats.url);
    const jsm = await nc.jetstreamManager();
    await jsm.streams.add({
      name: 'PROGRESS',
      subjects: ['progress.*'],
      allow_direct: true,
      ...stream,
    } as object);
    await jsm.streams.add({ name: 'OTHER', subjects: ['other'] });
    const full = async (subject: string): Promise<void> => {
      const answer = await nc.request(subject, 'x'.repeat(60_000));
      if (answer.json<{ error?: unknown }>().error === undefined) await full(subject);
    };
    await full(jetstream === '' ? 'progress.filler' : 'other');
    const { warnings, onWarning } = heard();
    await using reporter = await connectReporter({
      servers: nats.url,
      onWarning,
      startTimeoutMs: 0,
      endTimeoutMs: 0,
    });
    const id = jobId();
    await expect(
      reporter.run({ processingId: id, message: 'x'.repeat(4_000), total: 1 }, async () => {
        await waitFor(() => warnings.length > 0, { what: 'it to say so' });
        return 'y'.repeat(50_000);
      }),
    ).rejects.toMatchObject({ code: 'not_acknowledged', reason: expect.stringContaining('storage is full') });
    expect(warnings[0]).toMatchObject({
      kind: 'retrying',
      message: expect.stringContaining('storage is full'),
    });
    expect(await reporter.check()).toMatchObject({
      ok: false,
      canPublish: false,
      problems: [{ code: 'storage_full', message: expect.stringContaining('Storage is full') }],
    });
    await jsm.streams.purge(jetstream === '' ? 'PROGRESS' : 'OTHER');
    await waitFor(() => reporter.stats.openJobs === 0, { what: 'the end to be stored' });
    expect(await reporter.check()).toMatchObject({ ok: true });
    const events = await storedEvents(nc, 'PROGRESS', id);
    expect(events.map(({ json }) => (json as { status: string }).status)).toEqual([
      'processing',
      'completed',
    ]);
  });
});

describe('an end that is not acknowledged', () => {
  test('G6 the end: is waited for as long as `endTimeoutMs`, says why, and is stored when it can be', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    const { warnings, onWarning } = heard();
    await using reporter = await connectReporter({
      servers: nats.url,
      onWarning,
      startTimeoutMs: 0,
      endTimeoutMs: 300,
    });
    const id = jobId();
    await expect(reporter.run({ processingId: id }, () => 'done')).rejects.toMatchObject({
      code: 'not_acknowledged',
      reason: expect.stringContaining('run `headway init`'),
    });
    expect(warnings.map(({ kind }) => kind)).toContain('not_acknowledged');
    await createStream(nc);
    await waitFor(() => reporter.stats.openJobs === 0, { what: 'the end to be stored' });
    const events = await storedEvents(nc, 'PROGRESS', id);
    expect(events.at(-1)?.json).toMatchObject({ status: 'completed', result: 'done' });
  });

  test('where the server has no JetStream says that', async () => {
    await using nats = await startNats({ jetstream: false });
    const { warnings, onWarning } = heard();
    const options = { servers: nats.url, onWarning, startTimeoutMs: 0, endTimeoutMs: 100, closeTimeoutMs: 0 };
    await using reporter = await connectReporter(options);
    await expect(reporter.run({ processingId: jobId() }, () => 'done')).rejects.toMatchObject({
      code: 'not_acknowledged',
      reason: expect.stringContaining('this server has no JetStream'),
    });
    expect(warnings[0]?.message).toContain('this server has no JetStream');
  });

  test.each([
    ['credentials', 'admin:wrong', NotAuthorizedError],
    ['the permission to publish', 'reader:secret', NotPermittedError],
  ])('where NATS refuses %s is waited for `closeTimeoutMs` at most', async (_, login, refusal) => {
    await using nats = await startNats({
      config: `authorization { users: [
        { user: admin, password: secret }
        { user: reader, password: secret, permissions: { publish: ["$JS.API.>"], subscribe: "_INBOX.>" } }
      ] }`,
    });
    await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret' });
    await createStream(admin);
    const { warnings, onWarning } = heard();
    await using reporter = await connectReporter({
      servers: nats.url.replace('//', `//${login}@`),
      onWarning,
      startTimeoutMs: 0,
      closeTimeoutMs: 100,
    });
    const run = reporter.run({ processingId: jobId() }, () => 'done');
    await expect(run).rejects.toMatchObject({ code: 'not_acknowledged', cause: expect.any(refusal) });
    expect(warnings[0]?.error).toBeInstanceOf(refusal);
    expect(JSON.stringify(warnings)).not.toContain('wrong');
  });
});
