import { ErrorCode, type Msg, type NatsConnection, NatsError } from 'nats';
import { subjectOf } from '../../schemas/ids.js';
import { type LastMessage, readEvent } from './fencing.js';
import type { Forbidden, History, LastRead } from './ports.js';
import type { Settings } from './settings.js';

const NO_MESSAGE_FOUND = 10037;
const NOT_FOUND = 404;
const MSG_ID = 'nats-msg-id';
/** How long one question may take. */
const ANSWER_MS = 5_000;

interface MessageAnswer {
  readonly error?: { readonly err_code?: number; readonly description?: string };
  readonly message?: { readonly seq: number; readonly hdrs?: string; readonly data?: string };
}

/**
 * Reads a job's newest message: from the stream's leader (`STREAM.MSG.GET`), or, where that is not permitted, from any
 * of its copies (`DIRECT.GET`, whose subject names the job, so that it can be permitted for single jobs). A copy may
 * lag, so what it says is compared with what is known to be stored. What stands beneath the newest only the leader tells.
 */
export function jobHistory(connection: () => NatsConnection | null, settings: Settings): History {
  const asked = async (ask: (nc: NatsConnection) => Promise<LastRead>): Promise<LastRead> => {
    const nc = connection();
    return nc === null ? { kind: 'failed', detail: 'there is no connection' } : ask(nc);
  };
  // Each refusal is a line in the log of the server.
  let mayAskLeader = true;
  const newest = async (nc: NatsConnection, id: string): Promise<LastRead> => {
    const early = mayAskLeader ? null : await askCopy(nc, settings, id);
    if (early !== null && early.kind !== 'forbidden') return early;
    const fromLeader = await askLeader(nc, settings, id, { last_by_subj: subjectOf(id) });
    mayAskLeader = fromLeader.kind !== 'forbidden';
    if (fromLeader.kind !== 'forbidden') return fromLeader;
    const fromCopy = early ?? (await askCopy(nc, settings, id));
    if (fromCopy.kind !== 'forbidden') return fromCopy;
    const subjects = [...fromCopy.subjects, ...fromLeader.subjects];
    return { ...fromCopy, subjects, isCertain: fromLeader.isCertain && fromCopy.isCertain };
  };
  return {
    last: (processingId, atLeast) =>
      asked(async (nc) => {
        const read = await newest(nc, processingId);
        if (read.kind !== 'read' || (read.last?.seq ?? 0) >= atLeast) return read;
        return { kind: 'failed', detail: 'the answer is older than what is stored' };
      }),
    beneath: (processingId, newest, after) => asked((nc) => walk(nc, settings, processingId, newest, after)),
  };
}

// There is no question for the message before another one, so those before it are read from the oldest on.
async function walk(
  nc: NatsConnection,
  settings: Settings,
  id: string,
  newest: number,
  after: number,
): Promise<LastRead> {
  let found: LastMessage | null = null;
  for (let seq = after + 1; ; ) {
    const read = await askLeader(nc, settings, id, { seq, next_by_subj: subjectOf(id) });
    if (read.kind !== 'read') return read;
    if (read.last === null || read.last.seq >= newest) return { kind: 'read', last: found };
    if (read.last.event !== null) found = read.last;
    seq = read.last.seq + 1;
  }
}

async function askLeader(
  nc: NatsConnection,
  { apiPrefix, stream }: Settings,
  id: string,
  question: { last_by_subj: string } | { seq: number; next_by_subj: string },
): Promise<LastRead> {
  const asked = await ask(nc, `${apiPrefix}.STREAM.MSG.GET.${stream}`, JSON.stringify(question));
  if ('kind' in asked) return asked;
  const { error, message } = asked.json<MessageAnswer>();
  if (error?.err_code === NO_MESSAGE_FOUND) return { kind: 'read', last: null };
  if (message === undefined) return { kind: 'failed', detail: error?.description ?? 'no message' };
  const headers = bytes(message.hdrs ?? '').toString();
  const msgId = new RegExp(`^${MSG_ID}:\\s*(\\S+)`, 'im').exec(headers)?.[1] ?? '';
  const event = readEvent(id, bytes(message.data ?? ''));
  return { kind: 'read', last: { seq: message.seq, msgId, event } };
}

async function askCopy(nc: NatsConnection, { apiPrefix, stream }: Settings, id: string): Promise<LastRead> {
  const asked = await ask(nc, `${apiPrefix}.DIRECT.GET.${stream}.${subjectOf(id)}`, '');
  if ('kind' in asked) return asked;
  const { headers } = asked;
  if (headers?.code === NOT_FOUND) return { kind: 'read', last: null };
  const seq = Number(headers?.get('Nats-Sequence'));
  if (!(seq > 0)) return { kind: 'failed', detail: headers?.status ?? 'no sequence' };
  const last: LastMessage = {
    seq,
    msgId: headers?.get('Nats-Msg-Id') ?? '',
    event: readEvent(id, asked.data),
  };
  return { kind: 'read', last };
}

async function ask(
  nc: NatsConnection,
  subject: string,
  body: string,
): Promise<Msg | Forbidden | Extract<LastRead, { kind: 'failed' }>> {
  try {
    return await nc.request(subject, body, { timeout: ANSWER_MS });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const code = error instanceof NatsError ? error.code : '';
    const isCertain = code === ErrorCode.PermissionsViolation;
    // Nobody listens: most likely the account does not import the API, for the stream itself has just answered.
    const isForbidden = isCertain || code === ErrorCode.NoResponders;
    return isForbidden
      ? { kind: 'forbidden', detail, subjects: [subject], isCertain }
      : { kind: 'failed', detail };
  }
}

const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');
