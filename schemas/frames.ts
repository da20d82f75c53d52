import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { ERROR_CODES, type ErrorCode } from './close-codes.js';
import { Event } from './event.js';
import { Cursor, Epoch, ProcessingId, ScopeId, Sequence } from './fields.js';
import { PROTOCOL } from './ids.js';

/** The range of `max_rate`: updates a second for each job. */
export const MAX_RATE = { minimum: 0.1, maximum: 50 } as const;

// Each frame has its section in PROTOCOL.md, under its `type`; a test holds the two together.

export const Hello = Type.Object(
  {
    type: Type.Literal('hello'),
    protocol: Type.Literal(PROTOCOL),
    epoch: Epoch,
    session: Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'This connection, for logs and support.',
    }),
    heartbeat_ms: Type.Integer({
      minimum: 100,
      description: 'The longest silence of a healthy edge, in ms.',
    }),
    scope: ScopeId,
    max_rate: Type.Optional(
      Type.Number({ ...MAX_RATE, description: 'Conflation: the most updates a second for each job.' }),
    ),
  },
  { $id: 'hello', description: 'First on every connection.' },
);

export const ProgressUpdate = Type.Composite(
  [
    Type.Omit(Event, ['type']),
    Type.Object({
      type: Type.Literal('progress_update'),
      seq: Sequence,
      prev_seq: Type.Union([Cursor, Type.Null()], {
        description: "The seq of the same job's previous event; 0: this is its first; null: not known.",
      }),
      folded: Type.Optional(
        Type.Integer({
          minimum: 2,
          maximum: Number.MAX_SAFE_INTEGER,
          description:
            'Conflation: so many events of the job stand behind this one, itself included; prev_seq is before the first.',
        }),
      ),
      resume_seq: Type.Optional(
        Type.Integer({
          ...Cursor,
          description: 'Conflation of all jobs: the cursor behind this update, instead of its seq.',
        }),
      ),
    }),
  ],
  { $id: 'progress_update', description: 'An event as a client gets it.' },
);

const OfOneJob = Type.Optional(
  Type.String({ ...ProcessingId, description: 'Selected jobs: it concerns this one alone.' }),
);

export const RESET_REASONS = ['epoch', 'retention', 'ahead', 'limit', 'scope'] as const;
export type ResetReason = (typeof RESET_REASONS)[number];

export const Reset = Type.Object(
  {
    type: Type.Literal('reset'),
    reason: Type.Union(RESET_REASONS.map((reason) => Type.Literal(reason))),
    epoch: Epoch,
    first_seq: Cursor,
    last_seq: Cursor,
    processing_id: OfOneJob,
  },
  { $id: 'reset', description: 'Sent before anything is left out; the last state follows.' },
);

export const SKIP_REASONS = ['retention', 'limit'] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];

export const Skipped = Type.Object(
  {
    type: Type.Literal('skipped'),
    reason: Type.Union(SKIP_REASONS.map((reason) => Type.Literal(reason))),
    after: Cursor,
    before: Sequence,
  },
  {
    $id: 'skipped',
    description:
      'All jobs: events between these two were left out; the newest state of each job that changed follows.',
  },
);

export const Gone = Type.Object(
  { type: Type.Literal('gone'), processing_id: ProcessingId },
  { $id: 'gone', description: 'All jobs: the stream holds nothing of this job any more.' },
);

export const CaughtUp = Type.Object(
  { type: Type.Literal('caught_up'), cursor: Cursor },
  { $id: 'caught_up', description: 'Once, when the replay has reached the head.' },
);

export const Following = Type.Object(
  { type: Type.Literal('following'), processing_id: ProcessingId, cursor: Cursor, scope: ScopeId },
  {
    $id: 'following',
    description: 'Selected jobs: this job is followed, and everything up to the cursor was sent.',
  },
);

export const FollowOk = Type.Object(
  { type: Type.Literal('follow_ok') },
  {
    $id: 'follow_ok',
    description: 'Selected jobs: the answer to a follow that asks for one, ahead of all that it brings.',
  },
);

export const Heartbeat = Type.Object(
  {
    type: Type.Literal('heartbeat'),
    cursor: Cursor,
    feed: Type.Union([Type.Literal('ok'), Type.Literal('away')], {
      description: 'away: this edge has lost NATS for the moment; nothing is lost, updates will come late.',
    }),
  },
  { $id: 'heartbeat', description: 'Every heartbeat_ms without other traffic.' },
);

export const Stalled = Type.Object(
  {
    type: Type.Literal('stalled'),
    processing_id: ProcessingId,
    silent_ms: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  },
  { $id: 'stalled', description: 'The job gave no sign of life for its stall_after_seconds. Not stored.' },
);

export const TokenExpiring = Type.Object(
  { type: Type.Literal('token_expiring'), expires_at: Type.String({ format: 'date-time' }) },
  { $id: 'token_expiring', description: 'The client answers with an auth frame.' },
);

export const AuthOk = Type.Object(
  { type: Type.Literal('auth_ok'), expires_at: Type.String({ format: 'date-time' }), scope: ScopeId },
  { $id: 'auth_ok', description: 'The answer to auth: the connection goes on with the new token.' },
);

export const Draining = Type.Object(
  { type: Type.Literal('draining'), reconnect_within_ms: Type.Integer({ minimum: 0, maximum: 3_600_000 }) },
  { $id: 'draining', description: 'This edge is going away; close 1012 follows.' },
);

export const End = Type.Object(
  { type: Type.Literal('end'), processing_id: OfOneJob },
  { $id: 'end', description: 'The job is finished and its last update was sent; close 1000 follows.' },
);

export const ErrorFrame = Type.Object(
  {
    type: Type.Literal('error'),
    code: Type.Union((Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => Type.Literal(code))),
    message: Type.String({ minLength: 1 }),
    processing_id: Type.Optional(
      Type.String({
        description: 'Selected jobs: as the client named it. It is not followed, and no close follows.',
      }),
    ),
  },
  { $id: 'error', description: 'What was wrong, where, and what was expected; the matching close follows.' },
);

export const Pong = Type.Object(
  { type: Type.Literal('pong') },
  { $id: 'pong', description: 'The answer to ping.' },
);

export const Auth = Type.Object(
  { type: Type.Literal('auth'), token: Type.String({ minLength: 1, maxLength: 8192 }) },
  { $id: 'auth', description: 'A new token for this connection.' },
);

export const Ping = Type.Object(
  { type: Type.Literal('ping') },
  { $id: 'ping', description: 'Answered by pong.' },
);

/** The most jobs that one frame names. */
const MAX_NAMED = 256;

export const Follow = Type.Object(
  {
    type: Type.Literal('follow'),
    jobs: Type.Array(
      Type.Object({
        processing_id: Type.String({ maxLength: 256 }),
        last_seq: Type.Optional(Cursor),
        scope: Type.Optional(ScopeId),
      }),
      { minItems: 1, maxItems: MAX_NAMED },
    ),
    epoch: Type.Optional(Epoch),
    ack: Type.Optional(
      Type.Boolean({ description: 'Answered by follow_ok, ahead of the first frame of these jobs.' }),
    ),
  },
  {
    $id: 'follow',
    description: 'Selected jobs: follow these too, each from its cursor, or from its last state.',
  },
);

export const Unfollow = Type.Object(
  {
    type: Type.Literal('unfollow'),
    jobs: Type.Array(Type.String({ maxLength: 256 }), { minItems: 1, maxItems: MAX_NAMED }),
  },
  { $id: 'unfollow', description: 'Selected jobs: follow these no longer.' },
);

/** Every frame an edge sends, by its `type`. */
export const SERVER_FRAMES = {
  hello: Hello,
  progress_update: ProgressUpdate,
  reset: Reset,
  skipped: Skipped,
  caught_up: CaughtUp,
  following: Following,
  follow_ok: FollowOk,
  heartbeat: Heartbeat,
  stalled: Stalled,
  gone: Gone,
  token_expiring: TokenExpiring,
  auth_ok: AuthOk,
  draining: Draining,
  end: End,
  error: ErrorFrame,
  pong: Pong,
} as const;

/** Every frame an edge takes, by its `type`. */
export const CLIENT_FRAMES = { auth: Auth, ping: Ping, follow: Follow, unfollow: Unfollow } as const;

export type ProgressUpdate = Static<typeof ProgressUpdate>;
export type ServerFrame =
  | Static<typeof Hello>
  | Static<typeof ProgressUpdate>
  | Static<typeof Reset>
  | Static<typeof Skipped>
  | Static<typeof CaughtUp>
  | Static<typeof Following>
  | Static<typeof FollowOk>
  | Static<typeof Heartbeat>
  | Static<typeof Stalled>
  | Static<typeof Gone>
  | Static<typeof TokenExpiring>
  | Static<typeof AuthOk>
  | Static<typeof Draining>
  | Static<typeof End>
  | Static<typeof ErrorFrame>
  | Static<typeof Pong>;
export type ClientFrame =
  | Static<typeof Auth>
  | Static<typeof Ping>
  | Static<typeof Follow>
  | Static<typeof Unfollow>;

/** Compiled checks of the client's frames, by `type`. */
export const clientFrameChecks = {
  auth: TypeCompiler.Compile(Auth),
  ping: TypeCompiler.Compile(Ping),
  follow: TypeCompiler.Compile(Follow),
  unfollow: TypeCompiler.Compile(Unfollow),
} as const;
