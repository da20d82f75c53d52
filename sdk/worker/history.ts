import { ErrorCode, type Msg, type NatsConnection, NatsError } from 'nats';
import { subjectOf } from '../../schemas/ids.js';
import { type LastMessage, readEvent } from './fencing.js';
import type { History, LastRead } from './ports.js';
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
 * lag, so what it says is compared with what is known to be stored.
 */
export function jobHistory(connection: () => NatsConnection | null, settings: Settings): History {
  return {
    last: async (processingId, atLeast) => {
      const nc = connection();
      if (nc === null) return { kind: 'failed', detail: 'there is no connection' };
      const fromLeader = await askLeader(nc, settings, processingId);
      const read = fromLeader.kind === 'forbidden' ? await askCopy(nc, settings, processingId) : fromLeader;
      if (read.kind !== 'read' || (read.last?.seq ?? 0) >= atLeast) return read;
      return { kind: 'failed', detail: 'the answer is older than what is stored' };
    },
  };
}

async function askLeader(nc: NatsConnection, { apiPrefix, stream }: Settings, id: string): Promise<LastRead> {
  const asked = await ask(
    nc,
    `${apiPrefix}.STREAM.MSG.GET.${stream}`,
    JSON.stringify({ last_by_subj: subjectOf(id) }),
  );
  if ('kind' in asked) return asked;
  const { error, message } = asked.json<MessageAnswer>();
  if (error?.err_code === NO_MESSAGE_FOUND) return { kind: 'read', last: null };
  if (message === undefined) return { kind: 'failed', detail: error?.description ?? 'no message' };
  const headers = text(message.hdrs ?? '');
  const msgId = new RegExp(`^${MSG_ID}:\\s*(\\S+)`, 'im').exec(headers)?.[1] ?? '';
  return { kind: 'read', last: { seq: message.seq, msgId, event: readEvent(text(message.data ?? '')) } };
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
    event: readEvent(asked.string()),
  };
  return { kind: 'read', last };
}

async function ask(
  nc: NatsConnection,
  subject: string,
  body: string,
): Promise<Msg | Exclude<LastRead, { kind: 'read' }>> {
  try {
    return await nc.request(subject, body, { timeout: ANSWER_MS });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    // Nobody listens: the account does not import the API. The stream itself has just answered.
    const isForbidden =
      error instanceof NatsError &&
      (error.code === ErrorCode.PermissionsViolation || error.code === ErrorCode.NoResponders);
    return { kind: isForbidden ? 'forbidden' : 'failed', detail };
  }
}

const text = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8');
