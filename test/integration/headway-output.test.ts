/** What `headway` prints in each format and at terminals of several widths, and how much of the stream it reads for it. */
import { stripVTControlCharacters } from 'node:util';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { collect } from '../../internal/cli/commands/list/collect.js';
import type { ListOptions } from '../../internal/cli/commands/list/options.js';
import { widthOf } from '../../internal/cli/output/width.js';
import type { JobEvent } from '../../internal/cli/reads/job-event.js';
import { progressOf } from '../../internal/cli/runtime/status.js';
import { aliveBody } from '../../schemas/ids.js';
import { fakeCliContext } from '../harness/fake-cli-context.js';
import { headway, natsEnv, noTerminal, startHeadwayAtTerminal } from '../harness/headway-command.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, event, publish, publishAll, publishRaw } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

let nats: NatsServer;
let nc: NatsConnection & AsyncDisposable;
let env: Record<string, string>;
const uuid = (at: number): string => `3f6c2a1e-8a55-4a3e-9d2b-5f0f2f6f${String(7_000 + at)}`;
const IDS = Array.from({ length: 30 }, (_, at) => uuid(at));

beforeAll(async () => {
  nats = await startNats();
  nc = await connectNats(nats.url);
  env = natsEnv(nats.url);
  await createStream(nc, 'PROGRESS');
  await publishAll(
    nc,
    IDS.map((id, at) =>
      event(id, {
        job_type: at % 2 === 0 ? 'invoice.render.pdf' : 'a',
        progress: (at * 7) % 100,
        message: `Page ${at} of a document that is longer than anybody wants to read, and wider than it should be`,
        stall_after_seconds: 0.001,
      }),
    ),
  );
});

afterAll(async () => {
  await nc?.close();
  await nats?.[Symbol.asyncDispose]();
});

const lines = (text: string): string[] => text.trimEnd().split('\n');
const out = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await headway(args, { env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
};

describe('formats', () => {
  test('list: each has all jobs, in one order', async () => {
    const newestFirst = IDS.toReversed();
    expect(lines(await out('list', '-o', 'name'))).toEqual(newestFirst);
    const json = JSON.parse(await out('list', '-o', 'json')) as { processing_id: string; message: string }[];
    expect(json.map(({ processing_id }) => processing_id)).toEqual(newestFirst);
    expect(JSON.parse(await out('list', '--json'))).toEqual(json);
    expect(parse(await out('list', '-o', 'yaml'))).toEqual(json);
    expect(lines(await out('list', '-o', 'jsonl', '--limit', '2')).map((line) => JSON.parse(line))).toEqual(
      json.slice(0, 2),
    );
    expect(await out('list', '-o', 'jsonpath={range [*]}{.processing_id}{"\\n"}{end}')).toBe(
      `${newestFirst.join('\n')}\n`,
    );
    const csv = lines(await out('list', '-o', 'csv'));
    expect(csv[0]).toBe('processing_id,job_type,status,retryable,progress,attempt,seq,stored_at,message');
    expect(csv[1]).toMatch(
      new RegExp(
        `^${uuid(29)},a,processing,,3,1,30,\\d{4}-.*Z,"Page 29 of .*, and wider than it should be"$`,
      ),
    );
    expect(csv).toHaveLength(31);
  });

  test('off a terminal and with -o wide ids are whole', async () => {
    expect(
      lines(await out('list'))
        .slice(1)
        .map((line) => line.split(' ')[0]),
    ).toEqual(IDS.toReversed());
    const wide = lines(await out('list', '-o', 'wide'));
    expect(wide[0]).toMatch(/^JOB +TYPE +STATUS +PROGRESS +ATTEMPT +AGE +SEQ +MESSAGE$/);
  });

  test('get, history, tail, stats and stalled', async () => {
    const [id = ''] = IDS;
    expect(await out('get', id, '-o', 'jsonpath={.job_type}: {.progress}')).toBe('invoice.render.pdf: 0\n');
    expect(parse(await out('get', id, '-o', 'yaml'))).toMatchObject({
      processing_id: id,
      seq: 1,
      prev_seq: 0,
    });
    expect(lines(await out('get', id, '-o', 'csv'))).toHaveLength(2);
    expect(parse(await out('history', id, '-o', 'yaml'))).toMatchObject([{ processing_id: id, seq: 1 }]);
    expect(lines(await out('tail', '-o', 'name', '--last', '2'))).toEqual(IDS.slice(-2));
    const types = lines(await out('stats', '-o', 'csv', '--sort-by', 'type', '--reverse'));
    expect(types).toEqual([
      'job_type,total,processing,completed,error,retrying',
      'invoice.render.pdf,15,15,0,0,0',
      'a,15,15,0,0,0',
    ]);
    expect(await out('stats', '-o', 'jsonpath={.jobs.by_status.processing}')).toBe('30\n');
    expect(lines(await out('stalled', '--no-listen', '-o', 'name'))).toEqual(IDS);
    expect(lines(await out('stalled', '--no-listen', '-o', 'csv'))[1]).toMatch(/^\d+,1,3f6c/);
  });

  test('a job that is silent for longer than it may be is stalled', async () => {
    expect(await out('list')).toMatch(new RegExp(`^${uuid(0)} +invoice.render.pdf +stalled +0% `, 'm'));
    expect(await out('get', uuid(0))).toMatch(
      /^Status +stalled \(processing; no event of its worker for .*, more than 1ms\)$/m,
    );
    expect(JSON.parse(await out('get', uuid(0), '-o', 'json')).status).toBe('processing');
  });

  test.each<[args: string[], said: RegExp]>([
    [['list', '-o', 'xml'], /Allowed choices are table, wide, json/],
    [['list', '-o', 'jsonpath='], /Expected a template/],
    [['list', '-o', 'jsonpath={.a'], /a \{ has no other one/],
    [['list', '-o', 'jsonpath={[?(process.exit(7))]}'], /is not a path/],
    [['list', '-f', '-o', 'json'], /use -o ndjson with it/],
    [['tail', '-f', '-o', 'jsonpath={.a}'], /use -o ndjson with it/],
    [['list', '-f', '--reverse'], /each job keeps its line/],
    [['list', '--sort-by', 'size'], /Allowed choices are age, job/],
    [['list', '--color', 'blue'], /Allowed choices are always, auto, never/],
  ])('%j is a mistake', async (args, said) => {
    const { code, stdout, stderr } = await headway(args, { env });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(said);
  });

  test('--color=always has colours off a terminal', async () => {
    expect(await out('list', '--color=always')).toContain('\u001b[35mstalled\u001b[39m');
    expect(await out('list', '--color=auto')).not.toContain('\u001b');
  });

  test('--sort-by, --reverse and --limit', async () => {
    const ids = async (...args: string[]): Promise<string[]> =>
      lines(await out('list', '-o', 'name', ...args)).map((id) => id.slice(-2));
    expect(await ids('--reverse', '--limit', '3')).toEqual(['00', '01', '02']);
    expect(await ids('--sort-by', 'progress', '--limit', '3')).toEqual(['00', '29', '15']);
    expect(await ids('--sort-by', 'progress', '--reverse', '--limit', '2')).toEqual(['14', '28']);
    expect(await ids('--sort-by', 'type', '--limit', '2')).toEqual(['29', '27']);
    expect(await ids('--sort-by', 'job', '--reverse', '--limit', '2')).toEqual(['29', '28']);
  });
});

test('list --limit shows every job of a stream that keeps one message of each, while all of them report without pause', async () => {
  await using own = await startNats();
  await using to = await connectNats(own.url);
  await createStream(to, 'PROGRESS', { max_msgs_per_subject: 1 });
  const ids = Array.from({ length: 20 }, (_, at) => `job-${at}`);
  await publishAll(
    to,
    ids.map((id) => event(id)),
  );
  let isOver = false;
  const reporting = (async () => {
    while (!isOver)
      await publishAll(
        to,
        ids.map((id) => event(id)),
      );
  })();
  try {
    for (let i = 0; i < 5; i++) {
      const { code, stdout } = await headway(['list', '--limit', '20', '-o', 'name'], {
        env: natsEnv(own.url),
      });
      expect(code).toBe(0);
      expect(new Set(stdout.trimEnd().split('\n'))).toEqual(new Set(ids));
    }
  } finally {
    isOver = true;
    await reporting;
  }
});

describe.skipIf(noTerminal !== null)(`at a terminal (${noTerminal ?? 'python3, pty'})`, () => {
  const shown = async (args: string[], columns: number, rows = 100, more = {}): Promise<string[]> => {
    await using command = startHeadwayAtTerminal(args, {
      env: { ...env, ...more },
      size: { columns, rows },
      notes: true,
    });
    const { code, stdout } = await command.ended();
    expect(code).toBe(0);
    return stripVTControlCharacters(stdout).trimEnd().split('\r\n');
  };

  test.each([60, 80, 120])('nothing wraps in %d columns', async (columns) => {
    const narrow = [['tail'], ['history', uuid(3)], ['get', uuid(3)], ['stalled', '--no-listen']];
    for (const args of [['list'], ['stats', '--scan'], ...(columns === 60 ? narrow : [])]) {
      const printed = await shown(args, columns);
      for (const line of printed)
        expect({ args, line, fits: widthOf(line) <= columns }).toEqual({ args, line, fits: true });
    }
    // Bars stand below each other, and ids are told apart.
    const printed = (await shown(['list'], columns)).slice(1);
    expect(new Set(printed.map((line) => line.search(/[█░]/))).size).toBe(1);
    expect(new Set(printed.map((line) => line.split(' ')[0])).size).toBe(30);
  });

  test.each([60, 80, 120])(
    'list -f in %d columns: nothing wraps, and rows keep their lines',
    async (columns) => {
      await using own = await startNats();
      await using to = await connectNats(own.url);
      await createStream(to);
      for (const id of IDS.slice(0, 3)) await publish(to, id, { progress: 1, message: 'long '.repeat(40) });
      await using watch = startHeadwayAtTerminal(['list', '-f'], {
        env: natsEnv(own.url),
        size: { columns, rows: 12 },
      });
      await watch.shows('3 jobs; Ctrl-C ends');
      await publish(to, uuid(0), { progress: 77, message: 'new' });
      await watch.shows(/77%/);
      await publish(to, uuid(9), { progress: 88 });
      await watch.shows(/88%/);
      await watch.shows(/4 jobs; Ctrl-C ends/);
      watch.type('\u0003');
      const { stdout } = await watch.ended();
      const picture = stripVTControlCharacters(stdout.slice(stdout.lastIndexOf('JOB')))
        .split('\r\n')
        .slice(1, 5);
      expect(picture.map((line) => line.split(' ')[0]?.slice(-2))).toEqual(['02', '01', '00', '09']);
      for (const line of stripVTControlCharacters(stdout).split('\r\n')) {
        expect({ line, fits: widthOf(line) < columns }).toEqual({ line, fits: true });
      }
    },
  );

  test('list -f --limit: older jobs come up when those that were shown are wanted no more', async () => {
    await using own = await startNats();
    await using to = await connectNats(own.url);
    await createStream(to);
    const ids = Array.from({ length: 100 }, (_, at) => `job-${at}`);
    await publishAll(
      to,
      ids.map((id) => event(id)),
    );
    const args = ['list', '-f', '--limit', '5', '--status', 'processing'];
    await using watch = startHeadwayAtTerminal(args, { env: natsEnv(own.url) });
    await watch.shows('5 jobs; Ctrl-C ends');
    const done = { status: 'completed', progress: 100 } as const;
    await publishAll(
      to,
      ids.slice(60).map((id) => event(id, done)),
    );
    const picture = () => stripVTControlCharacters(watch.stdout).split('JOB ').at(-1) ?? '';
    const wanted = ids.slice(55, 60);
    await waitFor(() => wanted.every((id) => picture().includes(id)), { what: 'the next jobs' });
  });

  test('list -f hears heartbeats: a job that sends them is not stalled, until it stops', async () => {
    await using own = await startNats();
    await using to = await connectNats(own.url);
    await createStream(to);
    await publish(to, 'busy', { stall_after_seconds: 1, attempt: 2 });
    await using watch = startHeadwayAtTerminal(['list', '-f', '--no-color'], { env: natsEnv(own.url) });
    const isShown = (word: string): boolean =>
      (stripVTControlCharacters(watch.stdout).split('JOB ').at(-1) ?? '').includes(word);
    await waitFor(() => isShown('stalled'), { what: 'the silence to be shown' });
    const beat = setInterval(() => to.publish('alive.progress.busy', aliveBody(2)), 50);
    try {
      await waitFor(() => isShown('processing'), { what: 'the heartbeats to be heard' });
    } finally {
      clearInterval(beat);
    }
    await waitFor(() => isShown('stalled'), { what: 'the silence to be shown again' });
    watch.type('\u0003');
    expect((await watch.ended()).code).toBe(130);
  });

  describe('the pager', () => {
    const PAGED = { HEADWAY_PAGER: "sed 's/^/paged: /'" };
    const isPaged = (printed: string[]): boolean => printed.every((line) => line.startsWith('paged: '));

    test('has what is longer than the terminal', async () => {
      expect(isPaged(await shown(['list'], 80, 10, PAGED))).toBe(true);
      expect(await shown(['list'], 80, 10, PAGED)).toHaveLength(31);
      expect(isPaged(await shown(['list', '-o', 'yaml'], 80, 10, { PAGER: PAGED.HEADWAY_PAGER }))).toBe(true);
      expect(isPaged(await shown(['tail', '--last', '30'], 80, 10, { ...PAGED, PAGER: 'false' }))).toBe(true);
    });

    test('is not asked for what fits, with --no-pager, or where cat or nothing is named', async () => {
      for (const [args, rows, more] of [
        [['list'], 40, PAGED],
        [['list', '--no-pager'], 10, PAGED],
        [['list'], 10, { HEADWAY_PAGER: '', PAGER: PAGED.HEADWAY_PAGER }],
        [['list'], 10, { PAGER: 'cat' }],
      ] as const) {
        const printed = await shown([...args], 80, rows, more);
        expect({ args, paged: printed.filter((line) => line.startsWith('paged')) }).toEqual({
          args,
          paged: [],
        });
        expect(printed).toHaveLength(31);
      }
    });

    test('is never asked with -f', async () => {
      await using watch = startHeadwayAtTerminal(['tail', '-f', '--last', '30'], {
        env: { ...env, ...PAGED },
        size: { columns: 80, rows: 5 },
      });
      await watch.shows(/7029 /);
      expect(watch.stdout).not.toContain('paged');
      watch.type('\u0003');
      expect((await watch.ended()).code).toBe(130);
    });

    test('that is closed early ends the command, and one that is not there is told', async () => {
      expect(await shown(['list'], 80, 10, { PAGER: 'head -n 2' })).toHaveLength(2);
      await using command = startHeadwayAtTerminal(['list'], {
        env: { ...env, PAGER: 'no-such-pager' },
        size: { columns: 80, rows: 10 },
        notes: true,
      });
      const { code, stderr } = await command.ended();
      expect(code).toBe(2);
      expect(stderr).toMatch(
        /headway: The pager "no-such-pager" cannot be run\. Name one in HEADWAY_PAGER, or use --no-pager\.\n$/,
      );
    });

    test('keeps Ctrl-C for itself', async () => {
      await using command = startHeadwayAtTerminal(['list'], {
        env: {
          ...env,
          PAGER: "trap 'echo interrupted' INT; cat; echo reading; read line < /dev/tty; echo done",
        },
        size: { columns: 80, rows: 10 },
      });
      await command.shows('reading');
      command.type('\u0003');
      await command.shows('interrupted');
      command.type('\n');
      const { code, stdout } = await command.ended();
      expect({ code, isDone: stdout.includes('done') }).toEqual({ code: 0, isDone: true });
    });
  });
});

describe('--limit and --since', () => {
  const never = new AbortController().signal;
  type Listed = { id: string; seq: number };
  const listOf =
    (): ((
      options: Partial<ListOptions>,
      isWanted?: (job: JobEvent) => boolean,
      after?: number,
    ) => Promise<Listed[]>) =>
    async (options, isWanted = () => true, after = Number.NEGATIVE_INFINITY) => {
      const jsm = await own.jetstreamManager({ checkAPI: false });
      const access = { connection: own, jsm, js: own.jetstream(), stream: 'PROGRESS', shownUrl: '' };
      const io = fakeCliContext({ stopped: never });
      const wanted = { options: options as ListOptions, isWanted, after, now: Date.now };
      return await collect(io, access, wanted, progressOf(io, 'job'), ({ id, seq }) => ({ id, seq }));
    };
  let server: NatsServer;
  let own: NatsConnection & AsyncDisposable;
  beforeAll(async () => {
    server = await startNats();
    own = await connectNats(server.url);
    await createStream(own, 'PROGRESS', { max_msgs_per_subject: 5 });
    const jobs = Array.from({ length: 4_000 }, (_, at) =>
      event(`job-${at < 3_000 ? at : (at * 7_919) % 300}`, {
        progress: at % 100,
        job_type: at % 47 === 0 ? 'rare' : 'usual',
      }),
    );
    await publishAll(own, jobs.slice(0, 3_990));
    // Junk over valid events, over nothing, and on no job's subject.
    await publishRaw(own, 'progress.job-1', 'junk');
    await publishRaw(own, 'progress.only-junk', 'junk');
    await publishRaw(own, 'progress.no.job', 'junk').catch(() => undefined);
    await publishAll(own, jobs.slice(3_990));
  });
  afterAll(async () => {
    await own?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const ofType =
    (type: string) =>
    ({ event: { job_type } }: JobEvent): boolean =>
      job_type === type;

  test('give what the whole list begins with', async () => {
    const list = listOf();
    for (const isWanted of [() => true, ofType('rare'), ofType('none')]) {
      // By another order, which reads the last states of all jobs.
      const whole = (await list({ sortBy: 'age', reverse: true }, isWanted)).toReversed();
      for (const limit of [1, 5, 10, 20, 60, 400, 10_000]) {
        expect(await list({ limit }, isWanted)).toEqual(whole.slice(0, limit));
      }
    }
  });

  test('since a time, it is what was stored since then', async () => {
    const list = listOf();
    const whole = (await list({ reverse: true })).toReversed();
    const jsm = await own.jetstreamManager();
    for (const seq of [3_950, 2_000]) {
      const after = (await jsm.streams.getMessage('PROGRESS', { seq })).time.getTime();
      const isWanted = ({ storedAt }: JobEvent): boolean => storedAt >= after;
      const listed = await list({}, isWanted, after);
      expect(listed.at(-1)?.seq ?? 0).toBeLessThanOrEqual(seq + 1);
      expect(listed).toEqual(whole.slice(0, listed.length));
    }
  });

  test('read only what they need', async () => {
    const list = listOf();
    const bytes = async (options: Partial<ListOptions>, after?: number): Promise<number> => {
      const before = own.stats().inBytes;
      await list(options, undefined, after);
      return own.stats().inBytes - before;
    };
    const all = await bytes({});
    const some = await bytes({ limit: 20 });
    expect(some * 5).toBeLessThan(all);
    const jsm = await own.jetstreamManager();
    const { last_seq: seq } = (await jsm.streams.info('PROGRESS')).state;
    const { time } = await jsm.streams.getMessage('PROGRESS', { seq });
    expect((await bytes({}, time.getTime())) * 3).toBeLessThan(all);
  });

  test('a job that reports while it is read is neither lost nor listed twice', async () => {
    await using nats = await startNats();
    await using to = await connectNats(nats.url);
    await createStream(to, 'PROGRESS', { max_msgs_per_subject: 1 });
    await publishAll(
      to,
      Array.from({ length: 3_000 }, (_, at) => event(`j-${at}`)),
    );
    const jsm = await to.jetstreamManager({ checkAPI: false });
    // Between the look at the stream and the first read: its only message is gone before it could be read.
    let hasReported = false;
    const info = async (stream: string): Promise<unknown> => {
      const seen = await jsm.streams.info(stream);
      if (!hasReported) await publish(to, 'j-2500', { progress: 99 });
      hasReported = true;
      return seen;
    };
    const reporting = Object.create(jsm, {
      streams: { value: Object.create(jsm.streams, { info: { value: info } }) },
    }) as typeof jsm;
    const access = {
      connection: to,
      jsm: reporting,
      js: to.jetstream(),
      stream: 'PROGRESS',
      shownUrl: '',
    };
    const io = fakeCliContext({ stopped: never });
    const options = { limit: 300 } as ListOptions;
    const wanted = { options, isWanted: () => true, after: Number.NEGATIVE_INFINITY, now: Date.now };
    const listed = await collect(io, access, wanted, progressOf(io, 'job'), ({ id }) => id);
    expect(new Set(listed).size).toBe(300);
    expect(listed[0]).toBe('j-2500');
  });
});
