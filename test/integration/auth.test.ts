/** Tokens at the door of a real edge: which are taken, and what they open. */
import { UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WsClient, type WsOptions } from '../harness/client.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { QUICK_SETTINGS } from '../harness/edge-settings.js';
import { jobId } from '../harness/ids.js';
import { metric, metricsText } from '../harness/metrics.js';
import { publish } from '../harness/publish.js';
import { handshake, RawSocket, serverFrames } from '../harness/raw-socket.js';
import { sharedNats } from '../harness/shared-nats.js';
import {
  bearer,
  bearerProtocol,
  everybodyIsGone,
  inSeconds,
  JWT_ENV,
  KeyHost,
  mint,
  refusal,
  TOKEN_SECRET,
} from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const WS = '/ws/upload-progress';
const ORIGIN = { origin: 'https://app.example.com' };

const shared = sharedNats();
let edge: LocalEdge;

beforeAll(async () => {
  edge = await start({ ...JWT_ENV, HEADWAY_JWT_ISSUER: 'the-issuer', HEADWAY_JWT_AUDIENCE: 'headway' });
});

afterAll(() => edge[Symbol.asyncDispose]());

const start = (env: Record<string, string>) => startLocalEdge(shared.nats.url, { ...QUICK_SETTINGS, ...env });

/** Claims that the edge of all tests takes, with others over them. */
const claims = (over: Record<string, unknown> = {}) => ({
  iss: 'the-issuer',
  aud: 'headway',
  sub: 'ada',
  jobs: ['*'],
  ...over,
});
const good = (over?: Record<string, unknown>) => mint(claims(over));

/** A refusal before `hello` is one `error` frame and the close code that goes with it. */
async function refusedWith(url: string, options: WsOptions, code: number, message: RegExp): Promise<void> {
  const { frames, code: closed, reason } = await refusal(url, options);
  expect(frames).toEqual([{ type: 'error', code: reason, message: expect.stringMatching(message) }]);
  expect(frames[0]?.message).toMatch(/^[ -~]{10,200}$/);
  expect(closed).toBe(code);
}

describe('tokens that are not taken', () => {
  const defects: [string, () => Promise<WsOptions>, RegExp][] = [
    ['none', async () => ({}), /no token; send it as/],
    ['one that is no JWT', async () => bearer('letmein'), /not a signed JWT/],
    ['one of four parts', async () => bearer(`${await good()}.x`), /not a signed JWT/],
    ['one without a signature', async () => bearer((await good()).replace(/[^.]+$/, '')), /signature|signed/],
    ['alg none', async () => bearer(new UnsecuredJWT({ ...claims(), exp: inSeconds(60) }).encode()), /alg/],
    [
      'another secret',
      async () => bearer(await mint(claims(), `${TOKEN_SECRET}x`)),
      /signature does not fit/,
    ],
    ['one that expired', async () => bearer(await good({ exp: inSeconds(-60) })), /expired at 20/],
    ['one without exp', async () => bearer(await good({ exp: undefined })), /no exp/],
    [
      'one that is not valid yet',
      async () => bearer(await good({ nbf: inSeconds(60) })),
      /not valid before 20/,
    ],
    ['another issuer', async () => bearer(await good({ iss: 'else' })), /issuer \(iss\) is not/],
    ['no issuer', async () => bearer(await good({ iss: undefined })), /issuer \(iss\) is missing/],
    ['another audience', async () => bearer(await good({ aud: 'else' })), /audience \(aud\) is not/],
    ['neither jobs nor types', async () => bearer(await good({ jobs: undefined })), /jobs nor job_types/],
    ['jobs that are no list', async () => bearer(await good({ jobs: '*' })), /jobs is not valid; expected/],
    ['Basic', async () => ({ headers: { authorization: 'Basic YWRhOnB3' } }), /not a bearer token/],
    [
      'two, both good',
      async () => ({ ...bearer(await good()), ...bearerProtocol(await good()) }),
      /more than one token/,
    ],
    ['a bad one by subprotocol', async () => bearerProtocol('letmein'), /not a signed JWT/],
  ];

  test.each(defects)(
    'G7 nobody unauthorised: %s is refused with 4401, and nothing is sent before',
    async (_, options, message) => {
      const job = jobId();
      await publish(shared.nc, job, { progress: 50 });
      for (const path of [`${WS}/${job}`, WS, `${WS}/${job}?last_seq=0`]) {
        await refusedWith(edge.ws + path, await options(), 4401, message);
      }
      await everybodyIsGone(edge.http);
    },
  );

  test('G7 nobody unauthorised: an expired token is told apart, so that a client gets a new one', async () => {
    const { reason } = await refusal(`${edge.ws}${WS}`, bearer(await good({ exp: inSeconds(-60) })));
    expect(reason).toBe('token_expired');
    expect((await refusal(`${edge.ws}${WS}`, bearer('x'))).reason).toBe('unauthorized');
  });
});

describe('how a token comes', () => {
  test.each(['header', 'subprotocol'])('G7 nobody unauthorised: by %s it opens', async (how) => {
    const job = jobId();
    const seq = await publish(shared.nc, job);
    const token = await good({ jobs: [job] });
    await using client = await WsClient.connect(
      `${edge.ws}${WS}/${job}`,
      how === 'header' ? bearer(token) : bearerProtocol(token),
    );
    await client.next('hello');
    expect(await client.next('progress_update')).toMatchObject({ seq });
    expect(client.protocol).toBe(how === 'header' ? '' : 'progress.v1');
  });

  test('G7 nobody unauthorised: the answer to a subprotocol is progress.v1 and never the token, whatever becomes of it', async () => {
    for (const token of [await good(), await good({ exp: inSeconds(-60) })]) {
      const offers = [`progress.v1, bearer.${token}`, `bearer.${token},progress.v1`, `bearer.${token}`];
      for (const offer of offers) {
        const headers = `Sec-WebSocket-Protocol: ${offer}\r\n`;
        await using raw = await RawSocket.connect(edge.edge.port, handshake(WS, headers));
        await raw.until(() => serverFrames(raw.received).length > 0);
        const head = raw.text.split('\r\n\r\n')[0] ?? '';
        const answered = /^sec-websocket-protocol: (.*)$/im.exec(head)?.[1];
        expect(answered).toBe(offer.includes('progress.v1') ? 'progress.v1' : undefined);
        expect(raw.text).not.toContain(token.split('.')[2]);
      }
    }
  });

  test('G7 nobody unauthorised: a token in the query is not read unless the operator says so', async () => {
    await refusedWith(`${edge.ws}${WS}?token=${await good()}`, {}, 4401, /no token/);
    const own = { headers: { origin: edge.http } };
    await refusedWith(`${edge.ws}${WS}?token=${await good()}`, own, 4401, /no token/);
  });

  test('G7 nobody unauthorised: where the operator says so, a token in the query is read from browsers only', async () => {
    await using open = await start({
      ...JWT_ENV,
      HEADWAY_TOKEN_IN_QUERY: 'true',
      HEADWAY_ALLOWED_ORIGINS: ORIGIN.origin,
    });
    const url = async (over?: Record<string, unknown>) => `${open.ws}${WS}?token=${await good(over)}`;
    await using client = await WsClient.connect(await url(), { headers: ORIGIN });
    await client.next('hello');
    await refusedWith(await url(), {}, 4401, /no token/);
    await refusedWith(await url({ exp: inSeconds(-60) }), { headers: ORIGIN }, 4401, /expired/);
    const both = { headers: { ...ORIGIN, ...bearer(await good()).headers } };
    await refusedWith(await url(), both, 4401, /more than one/);
  });

  test('G7 nobody unauthorised: two tokens in the query are refused like any two', async () => {
    await using open = await start({
      ...JWT_ENV,
      HEADWAY_TOKEN_IN_QUERY: 'true',
      HEADWAY_ALLOWED_ORIGINS: ORIGIN.origin,
    });
    const url = `${open.ws}${WS}?token=${await good()}&token=${await good()}`;
    await refusedWith(url, { headers: ORIGIN }, 4401, /more than one|not a signed JWT/);
  });
});

describe('what a token opens', () => {
  let small: LocalEdge;
  let roomy: LocalEdge;
  beforeAll(async () => {
    roomy = await start(JWT_ENV);
    // With this little memory a resume is read from JetStream.
    small = await start({ ...JWT_ENV, HEADWAY_TAIL_BYTES: '65536', HEADWAY_LAST_STATE_BYTES: '65536' });
  });
  afterAll(async () => {
    await small[Symbol.asyncDispose]();
    await roomy[Symbol.asyncDispose]();
  });

  const connect = async (path: string, over: Record<string, unknown>, at = small) => {
    await edgeHasRead(at.http, shared.nc);
    return await WsClient.connect(`${at.ws}${WS}${path}`, bearer(await mint({ sub: 'ada', ...over })));
  };
  const caughtUp = (client: WsClient) => client.until(({ type }) => type === 'caught_up');
  const refused = async (path: string, over: Record<string, unknown>, message: RegExp) =>
    refusedWith(`${small.ws}${WS}${path}`, bearer(await mint({ sub: 'ada', ...over })), 4403, message);
  /** Fills the memory for events, so that what was before is read from JetStream. */
  const bury = async () => {
    const job = jobId('filler');
    for (let i = 0; i < 40; i++)
      await publish(shared.nc, job, { job_type: 'filler', message: 'x'.repeat(4_000) });
  };

  test('G7 nobody unauthorised: a token of one job opens that job and no other', async () => {
    const [mine, other] = [jobId(), jobId()];
    for (const job of [mine, other]) await publish(shared.nc, job, { job_type: 'secret' });
    await using client = await connect(`/${mine}`, { jobs: [mine] });
    await client.updates(1);
    for (const path of [`/${other}`, `/${other}?last_seq=0`, `/${jobId('unknown')}`]) {
      await refused(path, { jobs: [mine] }, /does not open this job/);
    }
  });

  test('G7 nobody unauthorised: a token that lists jobs does not open all jobs', async () => {
    await refused('', { jobs: [jobId()] }, /all jobs need/);
    await refused('?job_type=a', { jobs: [jobId()] }, /all jobs need/);
  });

  test('G7 nobody unauthorised: of all jobs a token of types opens those of its types: last states, what was missed, cold and warm, and live', async () => {
    const [a, b, none] = [jobId('a'), jobId('b'), jobId('none')];
    const round = async () => [
      await publish(shared.nc, a, { job_type: 'type-a' }),
      await publish(shared.nc, b, { job_type: 'type-b' }),
      await publish(shared.nc, none),
    ];
    const first = await round();
    const start = (first[0] ?? 0) - 1;
    const second = await round();
    await bury();
    const mine = [first[0], second[0]];

    await using fresh = await connect('', { job_types: ['type-a'] });
    await caughtUp(fresh);
    expect(fresh.seen().map(({ seq }) => seq)).toEqual([second[0]]);

    await using history = await connect(`?last_seq=${start}`, { job_types: ['type-a'] });
    await caughtUp(history);
    expect(history.seen().map(({ seq }) => seq)).toEqual(mine);
    expect(await metric(small.http, 'headway_history_read_seconds_count')).toBeGreaterThan(0);

    await using warm = await connect(`?last_seq=${start}`, { job_types: ['type-a'] }, roomy);
    await caughtUp(warm);
    expect(warm.seen().map(({ seq }) => seq)).toEqual(mine);

    const live = await round();
    const last = await publish(shared.nc, a, { job_type: 'type-a', progress: 99 });
    for (const client of [fresh, history, warm]) {
      await client.until(({ seq }) => seq === last);
      expect(client.seen().filter(({ seq }) => seq >= (live[0] ?? 0))).toMatchObject([
        { processing_id: a, seq: live[0] },
        { processing_id: a, seq: last },
      ]);
    }
  });

  test('G7 nobody unauthorised: a filter is narrowed to what the token opens of it, and refused when that is nothing', async () => {
    const [a, b, c] = ['fa', 'fb', 'fc'].map((type) => ({ id: jobId(type), type })) as [Job, Job, Job];
    for (const { id, type } of [a, b, c]) await publish(shared.nc, id, { job_type: type });
    await using client = await connect('?job_type=fa&job_type=fb', { job_types: ['fb', 'fc'] });
    await caughtUp(client);
    expect(client.seen().map(({ processing_id }) => processing_id)).toEqual([b.id]);
    await refused('?job_type=fa', { job_types: ['fb', 'fc'] }, /none of the job types/);
    await refused('?job_type=fa&last_seq=0', { job_types: ['fb', 'fc'] }, /none of the job types/);
  });

  test('G7 nobody unauthorised: a job that only its type opens: another type is refused, also when memory has let the job go', async () => {
    const [mine, other] = [jobId(), jobId()];
    await publish(shared.nc, mine, { job_type: 'type-1', status: 'completed', progress: 100 });
    await publish(shared.nc, other, { job_type: 'type-2', status: 'completed', progress: 100 });
    for (let i = 0; i < 40; i++) {
      await publish(shared.nc, jobId('finished'), {
        status: 'completed',
        progress: 100,
        message: 'x'.repeat(4_000),
      });
    }
    await using client = await connect(`/${mine}`, { job_types: ['type-1'] });
    await client.until(({ type }) => type === 'end');
    expect(client.seen()).toHaveLength(1);
    for (const path of [`/${other}`, `/${other}?last_seq=0`]) {
      await using two = await connect(path, { job_types: ['type-1'] });
      expect((await two.ended()).code).toBe(4403);
      expect(two.frames.map(({ type }) => type)).toEqual(['hello', 'error']);
    }
  });

  test('G7 nobody unauthorised: a job of no known type is silent until its first event, and is then shown or refused', async () => {
    const [mine, other] = [jobId(), jobId()];
    await using shown = await connect(`/${mine}`, { job_types: ['type-1'] });
    await using hidden = await connect(`/${other}`, { job_types: ['type-1'] });
    for (const client of [shown, hidden]) {
      // Heartbeats come all the same.
      const frames = await client.until(({ type }) => type === 'heartbeat');
      expect(frames.map(({ type }) => type)).toEqual(['hello', 'caught_up', 'heartbeat']);
    }
    await publish(shared.nc, mine);
    const seq = await publish(shared.nc, mine, { job_type: 'type-1' });
    expect((await shown.updates(1))[0]).toMatchObject({ seq, prev_seq: null });
    await publish(shared.nc, other, { job_type: 'type-2' });
    expect((await hidden.ended()).code).toBe(4403);
    expect(hidden.seen()).toEqual([]);
    expect(hidden.frames.at(-1)).toMatchObject({ type: 'error', code: 'forbidden' });
  });

  test('G7 nobody unauthorised: of a job whose events change their type only those that are opened are sent, and prev_seq names no other: live, warm and cold', async () => {
    const job = jobId();
    const types = ['type-1', 'type-1', undefined, 'type-2', 'type-1', 'type-1'];
    await using live = await connect(`/${job}`, { jobs: [job] }, roomy);
    await caughtUp(live);
    const seqs: number[] = [];
    for (const type of types)
      seqs.push(await publish(shared.nc, job, type === undefined ? {} : { job_type: type }));
    await live.updates(types.length);
    const expected = [
      [seqs[0], 0],
      [seqs[1], seqs[0]],
      [seqs[4], null],
      [seqs[5], seqs[4]],
    ];
    const path = `/${job}?last_seq=${(seqs[0] ?? 0) - 1}`;
    const shown = (client: WsClient) => client.seen().map((one) => [one.seq, one.prev_seq]);
    await using warm = await connect(path, { job_types: ['type-1'] }, roomy);
    await caughtUp(warm);
    expect(shown(warm)).toEqual(expected);
    await bury();
    await using history = await connect(path, { job_types: ['type-1'] });
    await caughtUp(history);
    expect(shown(history).map(([seq]) => seq)).toEqual(expected.map(([seq]) => seq));
    const allowed = [...expected.map(([seq]) => seq), 0, null];
    for (const [, prev] of shown(history)) expect(allowed).toContain(prev);
    await using fresh = await connect(`/${job}`, { job_types: ['type-1'] });
    await caughtUp(fresh);
    expect(shown(fresh)).toEqual([[seqs[5], null]]);
  });

  test('G6 the end: a job that its type opens ends only by an event that is opened', async () => {
    const [open, hidden] = [jobId(), jobId()];
    for (const job of [open, hidden]) await publish(shared.nc, job, { job_type: 'type-1' });
    await using shown = await connect(`/${open}`, { job_types: ['type-1'] });
    await using kept = await connect(`/${hidden}`, { job_types: ['type-1'] });
    for (const client of [shown, kept]) await caughtUp(client);
    const completed = { status: 'completed', progress: 100 };
    await publish(shared.nc, hidden, completed);
    await publish(shared.nc, open, { ...completed, job_type: 'type-1' });
    await shown.until(({ type }) => type === 'end');
    expect((await shown.ended()).code).toBe(1000);
    await kept.until(({ type }) => type === 'heartbeat');
    expect(kept.seen()).toHaveLength(1);
  });
});

interface Job {
  id: string;
  type: string;
}

describe('keys behind a JWKS URL', () => {
  test('G7 nobody unauthorised: a token of its keys opens; one with the right name and another key does not', async () => {
    await using keys = await KeyHost.start();
    await using stranger = await KeyHost.start();
    await using open = await start(keys.env);
    await using client = await WsClient.connect(`${open.ws}${WS}`, bearer(await keys.mint({ jobs: ['*'] })));
    await client.next('hello');
    const foreign = bearer(await stranger.mint({ jobs: ['*'] }));
    await refusedWith(`${open.ws}${WS}`, foreign, 4401, /signature/);
    await refusedWith(`${open.ws}${WS}`, bearer(await mint({ jobs: ['*'] })), 4401, /alg/);
    await keys.down();
    await using later = await WsClient.connect(`${open.ws}${WS}`, bearer(await keys.mint({ jobs: ['*'] })));
    await later.next('hello');
  });

  test('while the host is away from the start on clients are told to come back (1013), and are served when they do', async () => {
    await using keys = await KeyHost.start();
    await keys.down();
    await using open = await start(keys.env);
    const token = bearer(await keys.mint({ jobs: ['*'] }));
    await refusedWith(`${open.ws}${WS}`, token, 1013, /cannot be checked now/);
    await keys.up();
    const frame = await waitFor(
      async () => {
        await using client = await WsClient.connect(`${open.ws}${WS}`, token);
        const first = await client.next();
        return first.type === 'hello' && first;
      },
      { what: 'to be served', timeoutMs: 20_000, everyMs: 200 },
    );
    expect(frame.type).toBe('hello');
    await everybodyIsGone(open.http);
  });

  test('a host that does not answer keeps a client no longer than HEADWAY_AUTH_TIMEOUT_MS', async () => {
    await using keys = await KeyHost.start('hold');
    await using open = await start({ ...keys.env, HEADWAY_AUTH_TIMEOUT_MS: '200' });
    const began = performance.now();
    const token = bearer(await keys.mint({ jobs: ['*'] }));
    await refusedWith(`${open.ws}${WS}`, token, 1013, /cannot be checked now/);
    // Below the time that the request for the keys itself is given (5 s).
    expect(performance.now() - began).toBeLessThan(4_500);
    await everybodyIsGone(open.http);
  });

  test('G8 bad input: two hundred clients whose keys are slow, half of whom leave: the rest is served, and nobody counts afterwards', async () => {
    await using keys = await KeyHost.start('hold');
    await using open = await start({ ...keys.env, HEADWAY_AUTH_TIMEOUT_MS: '20000' });
    const token = bearerProtocol(await keys.mint({ jobs: ['*'] }));
    const clients = await Promise.all(
      Array.from({ length: 200 }, () => WsClient.connect(`${open.ws}${WS}`, token)),
    );
    const unauthenticated = () => metric(open.http, 'headway_connections_unauthenticated');
    expect(await unauthenticated()).toBe(200);
    for (const [index, client] of clients.entries()) {
      client.send({ type: 'ping' });
      if (index % 4 === 0) client.drop();
      else if (index % 4 === 1) void client.close();
    }
    await waitFor(async () => (await unauthenticated()) === 100, { what: 'half of them to be gone' });
    expect(await metric(open.http, 'headway_connections')).toBe(0);
    const staying = clients.filter((_, index) => index % 4 >= 2);
    expect(staying.flatMap(({ frames }) => frames)).toEqual([]);
    keys.release();
    for (const client of staying) await client.next('hello');
    expect(keys.requests).toBeLessThanOrEqual(2);
    // Nobody was refused: who is gone is not answered any more.
    expect(await metricsText(open.http)).not.toContain('too_many_connections');
    expect(await unauthenticated()).toBe(0);
    for (const client of clients) client.drop();
    await everybodyIsGone(open.http);
  });

  test('G8 bad input: a client that floods while its token is being checked is cut, and sees why', async () => {
    await using keys = await KeyHost.start('hold');
    await using open = await start(keys.env);
    await using client = await WsClient.connect(`${open.ws}${WS}`, bearer(await keys.mint({ jobs: ['*'] })));
    for (let i = 0; i < 60; i++) client.send({ type: 'ping' });
    expect(await client.ended()).toEqual({ code: 4429, reason: 'too_many_frames' });
    expect(client.frames.map(({ type }) => type)).toEqual(['error']);
    keys.release();
    await everybodyIsGone(open.http);
  });
});
