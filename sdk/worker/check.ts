import { isProcessingId, subjectOf } from '../../schemas/ids.js';
import { InvalidEventError, type WorkerError } from './errors.js';
import { eventHeaders, headerBase } from './outgoing-event.js';
import type { Clock, History, Obstacle, Reply, ReplyHandler, Transport } from './ports.js';
import { checkNumber } from './settings.js';

/** Options of `Reporter.check`. */
export interface CheckOptions {
  /** A job that these credentials may report: `headway-check`, unless given. Nothing is stored for it. */
  readonly processingId?: string;
  /** How long the check may take, in milliseconds: 2,000. */
  readonly timeoutMs?: number;
}

/** Why a reporter cannot do its work. */
export interface CheckProblem {
  readonly code:
    | 'disconnected'
    | 'connection_closed'
    | 'not_authorized'
    | 'not_permitted'
    | 'not_acknowledged'
    | 'not_readable'
    | Obstacle;
  /** For people. Holds no credentials. */
  readonly message: string;
}

/** What a reporter can do now. */
export interface ReporterCheck {
  /** All of the others. */
  readonly ok: boolean;
  /** NATS can be reached. */
  readonly connected: boolean;
  /** A stream takes events of the job from these credentials. */
  readonly canPublish: boolean;
  /** Replies of JetStream arrive here. */
  readonly isAcknowledged: boolean;
  /** The job's last event can be read, which a second attempt needs. */
  readonly canRead: boolean;
  readonly problems: readonly CheckProblem[];
}

/** What a check needs from its reporter. */
export interface CheckDeps {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly history: History;
  /** Random bytes as text. */
  readonly random: (bytes: number) => string;
  /** Why JetStream could not store the newest real event; null: it could, or nothing is known. */
  readonly obstacle: () => { readonly kind: Obstacle; readonly detail: string } | null;
  /** Whether the connection is closed for good. */
  readonly isConnectionClosed: () => boolean;
  /** What NATS denies to all jobs or to this one; null: nothing, as far as is known. */
  readonly refusal: (processingId: string) => WorkerError | null;
  /** Calls when any of this may have changed; the result removes the handler. */
  readonly onChange: (call: () => void) => () => void;
}

/** The job of the check unless you give another one. */
export const CHECK_ID = 'headway-check';
const CHECK_MS = 2_000;
/** No stream has a message with this sequence: an event under this condition gets a reply, and is never stored. */
const NEVER = Number.MAX_SAFE_INTEGER;

/**
 * Checks what a reporter can do, without storing anything: it publishes an event that JetStream must reject, and reads.
 * @throws InvalidEventError when the `processingId` is none
 * @throws InvalidOptionError when `timeoutMs` is no number from 0 on
 */
export async function checkReporter(deps: CheckDeps, options: CheckOptions): Promise<ReporterCheck> {
  const { processingId = CHECK_ID, timeoutMs = CHECK_MS } = options;
  if (!isProcessingId(processingId)) throw new InvalidEventError('/processingId', 'is no processing_id');
  checkNumber('timeoutMs', timeoutMs, { min: 0 });
  const deadline = deferredDeadline(deps.clock, timeoutMs);
  try {
    const isSettled = () => deps.transport.isConnected || isHopeless(deps, processingId);
    if (!isSettled()) await changed(deps, deadline.late, isSettled);
    if (!deps.transport.isConnected) return failedCheck([disconnectedProblem(deps, processingId)]);
    const [reply, read] = await Promise.all([
      probe(deps, processingId, deadline.late),
      Promise.race([deadline.late, deps.history.last(processingId, 0)]),
    ]);
    const problems: CheckProblem[] = [];
    const published = withCause(publishProblem(deps, processingId, reply, timeoutMs), read);
    if (published !== null) problems.push(published);
    // JetStream checks the condition first, and the free space only after it.
    const obstacle = deps.obstacle();
    const isKept = obstacle !== null && published === null;
    if (isKept) problems.push({ code: obstacle.kind, message: sentence(obstacle.detail) });
    const canRead = read?.kind === 'read';
    if (!canRead) problems.push(readProblem(read, published, timeoutMs));
    const canPublish = published === null && !isKept;
    const isAcknowledged = reply !== null;
    const ok = canPublish && canRead && isAcknowledged;
    return { ok, connected: true, canPublish, isAcknowledged, canRead, problems };
  } finally {
    deadline.cancel();
  }
}

const failedCheck = (problems: readonly CheckProblem[]): ReporterCheck => ({
  ok: false,
  connected: false,
  canPublish: false,
  isAcknowledged: false,
  canRead: false,
  problems,
});

const isHopeless = (deps: CheckDeps, id: string): boolean =>
  deps.isConnectionClosed() || deps.refusal(id) !== null;

function disconnectedProblem(deps: CheckDeps, id: string): CheckProblem {
  if (deps.isConnectionClosed())
    return { code: 'connection_closed', message: 'The connection to NATS was closed.' };
  const refusal = deps.refusal(id);
  if (refusal !== null) return { code: 'not_authorized', message: refusal.message };
  return { code: 'disconnected', message: `${deps.transport.unreachable}.` };
}

/** The reply to an event that cannot be stored; null: NATS denied something first, or it is late. */
async function probe(deps: CheckDeps, id: string, late: Promise<undefined>): Promise<Reply | null> {
  const { transport } = deps;
  let token = 0;
  let answer: Reply | null = null;
  const handler: ReplyHandler = {
    slot: 'none',
    onSlot: () => false,
    evictable: false,
    evict: () => {},
    onReply: (reply) => {
      answer = reply;
      onAnswer();
    },
  };
  let onAnswer = (): void => {};
  const answered = new Promise<undefined>((resolve) => {
    onAnswer = () => resolve(undefined);
  });
  token = transport.registerReply(handler, 0);
  try {
    const own = { msgId: `check.${deps.random(16)}`, expected: NEVER, status: 'processing', timestamp: '' };
    const headers = eventHeaders(headerBase(id, undefined, undefined), own);
    transport.publish(subjectOf(id), new Uint8Array(), token, headers);
    await changed(deps, Promise.race([late, answered]), () => isHopeless(deps, id) || !transport.isConnected);
    return answer;
  } finally {
    transport.unregisterReply(handler, token);
  }
}

function publishProblem(
  deps: CheckDeps,
  id: string,
  reply: Reply | null,
  timeoutMs: number,
): CheckProblem | null {
  if (reply === null) {
    const refusal = deps.refusal(id);
    if (refusal !== null) return { code: 'not_permitted', message: refusal.message };
    if (!deps.transport.isConnected) return disconnectedProblem(deps, id);
    return { code: 'not_acknowledged', message: `JetStream gave no answer within ${timeoutMs} ms.` };
  }
  switch (reply.kind) {
    case 'conflict':
    case 'stored':
      return null;
    case 'busy':
    case 'refused':
      return { code: reply.obstacle ?? 'not_acknowledged', message: sentence(reply.detail) };
    case 'too_large':
      return { code: 'not_acknowledged', message: sentence(reply.detail) };
  }
}

type Read = Awaited<ReturnType<History['last']>> | undefined;

/** "No stream" has two causes. The JetStream API tells them apart, where these credentials may use it. */
function withCause(problem: CheckProblem | null, read: Read): CheckProblem | null {
  if (problem?.code !== 'no_stream') return problem;
  if (read?.kind === 'failed' && read.obstacle === 'no_jetstream')
    return { code: read.obstacle, message: sentence(read.detail) };
  if (read?.kind === 'forbidden' && read.hasNoApi)
    return { code: 'no_jetstream', message: 'JetStream is not enabled, or this account does not import it.' };
  return problem;
}

function readProblem(read: Read, published: CheckProblem | null, timeoutMs: number): CheckProblem {
  if (read?.kind === 'forbidden') {
    const subjects = read.subjects.join(' or ');
    if (read.inboxes !== undefined) {
      const message = `A job's last event cannot be read: there is no permission to subscribe to ${read.inboxes}, so no answer arrives.`;
      return { code: 'not_permitted', message };
    }
    if (!read.isCertain) {
      const missing = published?.code === 'no_stream' ? 'there is no stream, ' : '';
      const message = `Nobody answers at ${subjects}: ${missing}JetStream is not enabled, or this account does not import it.`;
      return { code: 'not_readable', message };
    }
    const message = `A job's last event may not be read: permit to publish to ${subjects}.`;
    return { code: 'not_permitted', message };
  }
  const detail = read?.kind === 'failed' ? read.detail : `no answer within ${timeoutMs} ms`;
  return { code: 'not_readable', message: `A job's last event cannot be read: ${detail}.` };
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** Resolves when a change has made this true, or with `instead`. Listens no longer then. */
async function changed(deps: CheckDeps, instead: Promise<undefined>, isTrue: () => boolean): Promise<void> {
  let stop = (): void => {};
  const change = new Promise<void>((resolve) => {
    stop = deps.onChange(() => isTrue() && resolve());
  });
  try {
    await Promise.race([instead, change]);
  } finally {
    stop();
  }
}

function deferredDeadline(clock: Clock, ms: number): { late: Promise<undefined>; cancel: () => void } {
  let cancel = (): void => {};
  const late = new Promise<undefined>((resolve) => {
    cancel = clock.later(ms, () => resolve(undefined));
  });
  return { late, cancel };
}
