import { Value } from '@sinclair/typebox/value';
import { type Command, Option } from 'commander';
import type { JetStreamClient, JetStreamManager, NatsConnection, StreamInfo } from 'nats';
import { settings } from '../../../schemas/config.js';
import { SUBJECT_FILTER } from '../../../schemas/ids.js';
import { untilAborted } from '../../async.js';
import { ConfigError, NotAProgressStreamError } from '../../errors.js';
import { connectNats } from '../../jetstream/connection.js';
import { explainRequestError } from '../../jetstream/nats-errors.js';
import { redactUrl } from '../../jetstream/nats-url.js';
import { oldestSeq, takesEvents } from '../../jetstream/stream.js';
import { type CliContext, UsageError } from './cli-context.js';
import { withPager } from './pager.js';

/** A command that is stopped gets so long to end by itself before its connection is taken from it. */
const STOP_MS = 2_000;

export interface NatsFlags {
  readonly server?: string;
  readonly creds?: string;
  readonly stream?: string;
}

/** A connection to NATS and the name of the stream, which may not exist. */
export interface StreamAccess {
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly js: JetStreamClient;
  readonly stream: string;
  /** Where NATS is, without credentials. */
  readonly shownUrl: string;
}

export function addNatsOptions(command: Command): Command {
  return command
    .addOption(new Option('-s, --server <url>', 'where NATS is (NATS_URL; default: nats://127.0.0.1:4222)'))
    .addOption(new Option('--creds <file>', 'a NATS credentials file (NATS_CREDS)'))
    .addOption(new Option('--stream <name>', 'the JetStream stream (HEADWAY_STREAM; default: PROGRESS)'));
}

/**
 * Connects, does `use`, and closes the connection on every way out.
 * @param name the connection's name, as operators see it in NATS: "headway list"
 * @param graceMs how long `use` may go on when the command is stopped
 * @throws HeadwayError for whatever NATS refuses or cannot do; SignalError when the command is stopped
 */
export async function withNats<T>(
  context: CliContext,
  flags: NatsFlags,
  name: string,
  use: (access: StreamAccess) => Promise<T>,
  graceMs = STOP_MS,
): Promise<T> {
  const { url, stream, ...files } = readSettings(context.env, flags);
  const shownUrl = redactUrl(url);
  const { stopped } = context;
  const connecting = connectNats({ url, name, ...files });
  const connection = await untilAborted(connecting, stopped, 0).catch((error: unknown) => {
    connecting.then((late) => late.close()).catch(() => undefined);
    throw error instanceof ConfigError ? fileError(error, flags) : error;
  });
  try {
    const jsm = await connection.jetstreamManager({ checkAPI: false });
    const js = connection.jetstream();
    return await untilAborted(use({ connection, jsm, js, stream, shownUrl }), stopped, graceMs);
  } catch (error) {
    throw explainRequestError(error, stream, shownUrl);
  } finally {
    await connection.close();
  }
}

/** A stream of events that a command has opened. */
export interface OpenStream {
  /** Its output goes through a pager, where one is wanted. */
  readonly context: CliContext;
  readonly access: StreamAccess;
  /** The stream's configuration and state, as of the opening. */
  readonly info: StreamInfo;
  /** The time by the server's clock, which stamps what is stored, in ms since 1970. */
  readonly now: () => number;
}

/**
 * What a command that is about stored events begins and ends with: a pager where its flags want one, a connection, and a
 * stream that is there and holds events. All is closed on every way out.
 * @param command its name
 * @throws as `withNats`, `withPager` and `eventStreamInfo` do
 */
export function withStream<T>(
  context: CliContext,
  flags: NatsFlags & { readonly pager?: boolean; readonly follow?: true },
  command: string,
  use: (opened: OpenStream) => Promise<T>,
): Promise<T> {
  const isPaged = flags.pager === true && flags.follow !== true;
  return withPager(context, isPaged, (paged) =>
    withNats(paged, flags, `headway ${command}`, async (access) => {
      const info = await eventStreamInfo(access);
      return await use({ context: paged, access, info, now: serverClock(paged, info) });
    }),
  );
}

/**
 * The same without a pager, for a command that has something to put in order when it is stopped.
 * @param graceMs how long that may take
 * @throws as `withNats` and `eventStreamInfo` do
 */
export function withEventStream<T>(
  context: CliContext,
  flags: NatsFlags,
  command: string,
  graceMs: number,
  use: (access: StreamAccess, info: StreamInfo) => Promise<T>,
): Promise<T> {
  return withNats(
    context,
    flags,
    `headway ${command}`,
    async (access) => use(access, await eventStreamInfo(access)),
    graceMs,
  );
}

/**
 * The configuration and state of a stream whose events are to be read.
 * @throws NotAProgressStreamError when it neither takes nor keeps any, and what `streamInfo` throws
 */
async function eventStreamInfo(access: StreamAccess): Promise<StreamInfo> {
  const info = await streamInfo(access);
  const { subjects = [] } = info.config;
  // A mirror, or what is fed by other streams, takes what they take.
  if (subjects.length === 0 || subjects.some(takesEvents)) return info;
  if ((await oldestSeq(access.jsm, access.stream, SUBJECT_FILTER)) > 0) return info;
  throw new NotAProgressStreamError(access.stream, subjects);
}

/**
 * The stream's configuration and state, whatever it holds.
 * @throws StreamNotFoundError, NatsAuthError, JetStreamUnavailableError
 */
export async function streamInfo({ jsm, stream, shownUrl }: StreamAccess): Promise<StreamInfo> {
  try {
    return await jsm.streams.info(stream);
  } catch (error) {
    throw explainRequestError(error, stream, shownUrl);
  }
}

/**
 * The time by the server's clock, which stamps what is stored: this machine's may be off.
 * @param info a stream's, as it has just come
 * @returns ms since 1970
 */
function serverClock(context: CliContext, info: StreamInfo): () => number {
  const { ts } = info as { readonly ts?: string };
  const ahead = ts === undefined ? 0 : Date.parse(ts) - context.now();
  return Number.isFinite(ahead) ? () => context.now() + ahead : context.now;
}

const NATS_KEYS = ['natsUrl', 'natsCreds', 'natsNkey', 'natsCa', 'natsCert', 'natsKey', 'stream'] as const;
const FLAG_OF: Readonly<Record<string, keyof NatsFlags>> = {
  natsUrl: 'server',
  natsCreds: 'creds',
  stream: 'stream',
};

interface Settings {
  readonly url: string;
  readonly stream: string;
  readonly credsFile: string | undefined;
  readonly nkeyFile: string | undefined;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

// The same variables as an edge's, held to the same rules, with the options before them.
function readSettings(env: CliContext['env'], flags: NatsFlags): Settings {
  const problems: string[] = [];
  const values: Record<string, string | undefined> = {};
  for (const { key, env: variable, schema } of settings()) {
    if (!NATS_KEYS.some((one) => one === key)) continue;
    const flag = FLAG_OF[key];
    const said = flag === undefined ? undefined : flags[flag];
    const value = said ?? (env[variable] || (schema.default as string | undefined));
    if (value === undefined || Value.Check(schema, value)) {
      values[key] = value;
      continue;
    }
    const expected = (schema.expected ?? EXPECTED[key]) as string;
    problems.push(`${said === undefined ? variable : `--${flag}`} is not valid; expected ${expected}`);
  }
  if (problems.length > 0) throw new UsageError(`${problems.join('; ')}.`);
  return {
    url: values.natsUrl ?? '',
    stream: values.stream ?? '',
    credsFile: values.natsCreds,
    // Credentials that were named here and now win over a key that lies in the environment.
    nkeyFile: flags.creds === undefined ? values.natsNkey : undefined,
    caFile: values.natsCa,
    certFile: values.natsCert,
    keyFile: values.natsKey,
  };
}

// A file that cannot be used: a mistake in what this command was given, which may have been an option.
function fileError({ problems }: ConfigError, { creds }: NatsFlags): UsageError {
  const said = problems.map((problem) =>
    creds === undefined ? problem : problem.replace(/^NATS_CREDS /, '--creds '),
  );
  return new UsageError(`${said.join('; ')}.`);
}

const EXPECTED: Readonly<Record<string, string>> = {
  stream: '1 to 64 of A-Z a-z 0-9 _ -',
  natsCreds: 'the path of a file',
};
