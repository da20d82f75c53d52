import { ErrorCode, type Msg, type NatsConnection, NatsError } from 'nats';
import { subjectOf } from '../../schemas/ids.js';
import { inboxPermission } from './connection.js';
import { type LastMessage, readEvent } from './fencing.js';
import { describeError } from './jetstream-errors.js';
import type { Forbidden, History, LastRead, RangeRead } from './ports.js';
import type { Settings } from './settings.js';

const NO_MESSAGE_FOUND = 10037;
const NOT_FOUND = 404;
const MSG_ID = 'Nats-Msg-Id';
const EXPECTED = 'Nats-Expected-Last-Subject-Sequence';
/** The timeout of one read, in milliseconds. */
const ANSWER_MS = 5_000;

type FailedRead = Extract<LastRead, { kind: 'failed' }>;

interface MessageAnswer {
  readonly error?: { readonly err_code?: number; readonly description?: string };
  readonly message?: { readonly seq: number; readonly hdrs?: string; readonly data?: string };
}

/**
 * Reads a job's newest message: from the stream's leader (`STREAM.MSG.GET`), or, where that is not permitted, from any
 * replica (`DIRECT.GET`, whose subject names the job, so that it can be permitted for single jobs). A replica may lag,
 * so its answer is compared with what is known to be stored. Earlier messages are read from the leader only.
 */
export function jobHistory(connection: () => NatsConnection | null, settings: Settings): History {
  const answer = async <T>(ask: (nc: NatsConnection) => Promise<T>): Promise<T | FailedRead> => {
    const nc = connection();
    return nc === null ? { kind: 'failed', detail: 'there is no connection' } : ask(nc);
  };
  // Each denied request is a line in the server's log.
  let isLeaderPermitted = true;
  const newest = async (nc: NatsConnection, id: string): Promise<LastRead> => {
    const early = isLeaderPermitted ? null : await getFromReplica(nc, settings, id);
    if (early !== null && early.kind !== 'forbidden') return early;
    const fromLeader = await getFromLeader(nc, settings, id, { last_by_subj: subjectOf(id) });
    isLeaderPermitted = fromLeader.kind !== 'forbidden';
    if (fromLeader.kind !== 'forbidden') return fromLeader;
    const fromReplica = early ?? (await getFromReplica(nc, settings, id));
    if (fromReplica.kind !== 'forbidden') return fromReplica;
    const subjects = [...fromReplica.subjects, ...fromLeader.subjects];
    const isCertain = fromLeader.isCertain && fromReplica.isCertain;
    const inboxes = fromLeader.inboxes ?? fromReplica.inboxes;
    return { ...fromReplica, subjects, isCertain, inboxes, hasNoApi: !fromLeader.isCertain };
  };
  return {
    last: (processingId, atLeast) =>
      answer(async (nc) => {
        const read = await newest(nc, processingId);
        if (read.kind !== 'read' || (read.last?.seq ?? 0) >= atLeast) return read;
        return { kind: 'failed', detail: 'the answer is older than what is stored' };
      }),
    range: (processingId, from, before, limit) =>
      answer((nc) => readRange(nc, settings, processingId, from, before, limit)),
  };
}

async function readRange(
  nc: NatsConnection,
  settings: Settings,
  id: string,
  from: number,
  before: number,
  limit: number,
): Promise<RangeRead> {
  const messages: LastMessage[] = [];
  for (let seq = from; seq < before && messages.length < limit; ) {
    const read = await getFromLeader(nc, settings, id, { seq, next_by_subj: subjectOf(id) });
    if (read.kind !== 'read') return read;
    if (read.last === null || read.last.seq >= before) break;
    messages.push(read.last);
    seq = read.last.seq + 1;
  }
  return { kind: 'read', messages };
}

async function getFromLeader(
  nc: NatsConnection,
  { apiPrefix, stream }: Settings,
  id: string,
  question: { last_by_subj: string } | { seq: number; next_by_subj: string },
): Promise<LastRead> {
  const answer = await ask(nc, `${apiPrefix}.STREAM.MSG.GET.${stream}`, JSON.stringify(question));
  if ('kind' in answer) return answer;
  const { error, message } = answer.json<MessageAnswer>();
  if (error?.err_code === NO_MESSAGE_FOUND) return { kind: 'read', last: null };
  if (message === undefined) {
    const { err_code = 0, description = 'no message' } = error ?? {};
    return { kind: 'failed', ...describeError(err_code, description) };
  }
  const headers = bytes(message.hdrs ?? '').toString();
  const header = (name: string): string | undefined =>
    new RegExp(`^${name}:\\s*(\\S+)`, 'im').exec(headers)?.[1];
  const last: LastMessage = {
    seq: message.seq,
    msgId: header(MSG_ID) ?? '',
    event: readEvent(id, bytes(message.data ?? '')),
    expected: sequenceOf(header(EXPECTED)),
  };
  return { kind: 'read', last };
}

async function getFromReplica(
  nc: NatsConnection,
  { apiPrefix, stream }: Settings,
  id: string,
): Promise<LastRead> {
  const answer = await ask(nc, `${apiPrefix}.DIRECT.GET.${stream}.${subjectOf(id)}`, '');
  if ('kind' in answer) return answer;
  const { headers } = answer;
  if (headers?.code === NOT_FOUND) return { kind: 'read', last: null };
  const seq = Number(headers?.get('Nats-Sequence'));
  if (!(seq > 0)) return { kind: 'failed', detail: headers?.status ?? 'no sequence' };
  const last: LastMessage = {
    seq,
    msgId: headers?.get(MSG_ID) ?? '',
    event: readEvent(id, answer.data),
    expected: sequenceOf(headers?.get(EXPECTED)),
  };
  return { kind: 'read', last };
}

async function ask(nc: NatsConnection, subject: string, body: string): Promise<Msg | Forbidden | FailedRead> {
  try {
    return await nc.request(subject, body, { timeout: ANSWER_MS });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const code = error instanceof NatsError ? error.code : '';
    const isCertain = code === ErrorCode.PermissionsViolation;
    const context = error instanceof NatsError ? error.permissionContext : undefined;
    const inboxes = context?.operation === 'subscription' ? inboxPermission(context.subject) : undefined;
    // No responder: most likely the account does not import the API, because the stream itself has just answered.
    const isForbidden = isCertain || code === ErrorCode.NoResponders;
    return isForbidden
      ? { kind: 'forbidden', detail, subjects: [subject], isCertain, inboxes }
      : { kind: 'failed', detail };
  }
}

// JetStream accepts only digits as a condition.
const sequenceOf = (text: string | undefined): number | null =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : null;

const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');
