import { randomBytes } from 'node:crypto';
import { type NatsConnection, NatsError } from 'nats';
import type { NeedFacts, PermissionFacts } from '../../../doctor/facts.js';
import {
  type Permissions,
  permits,
  type RequiredPermission,
  type Role,
  requiredPermissions,
} from '../../../doctor/required-permissions.js';
import { requestFailure } from '../../../jetstream/nats-errors.js';

const USER_INFO = '$SYS.REQ.USER.INFO';
const ANSWER_MS = 3_000;
/** No JSON: the API refuses it before it does anything. */
const NONSENSE = '-';

/**
 * What the credentials may do of what each role needs. The server tells it, where they may ask; where not, requests
 * are tried that cannot change anything: questions, and requests that are refused for what is in them.
 */
export async function probePermissions(
  connection: NatsConnection,
  stream: string,
  meantFor: Role | null,
): Promise<PermissionFacts> {
  const needs = requiredPermissions(stream);
  const told = await askWhoAmI(connection);
  if (told !== null) {
    const { user, account, permissions } = told;
    const result = (need: RequiredPermission): NeedFacts['result'] =>
      permits(permissions, need) ? 'permitted' : 'refused';
    return { user, account, meantFor, needs: needs.map((need) => ({ need, result: result(need) })) };
  }
  const tried = await Promise.all(
    needs.map(async (need) => ({ need, result: await tryNeed(connection, stream, need) })),
  );
  return { user: null, account: null, meantFor, needs: tried };
}

async function askWhoAmI(
  connection: NatsConnection,
): Promise<{ user: string | null; account: string | null; permissions: Permissions } | null> {
  try {
    const answer = await connection.request(USER_INFO, '', { timeout: ANSWER_MS });
    const { data } = answer.json<{ data?: { user?: string; account?: string; permissions?: Permissions } }>();
    if (data === undefined) return null;
    return { user: data.user ?? null, account: data.account ?? null, permissions: data.permissions ?? {} };
  } catch {
    return null;
  }
}

async function tryNeed(
  connection: NatsConnection,
  stream: string,
  need: RequiredPermission,
): Promise<NeedFacts['result']> {
  if (need.operation === 'subscribe') return await trySubscribe(connection, need.subject);
  const harmless = harmlessRequest(stream, need.subject);
  return harmless === null ? 'unknown' : await tryRequest(connection, harmless.subject, harmless.body);
}

/** A request on a subject of this need that cannot change anything; null when there is none. */
function harmlessRequest(stream: string, subject: string): { subject: string; body: string } | null {
  const api = '$JS.API.';
  if (!subject.startsWith(api)) return null;
  const call = subject.slice(api.length);
  const nobody = `headway-doctor-${randomBytes(6).toString('hex')}`;
  const named = subject.replace('.*', `.${nobody}`);
  switch (call.replace(`.${stream}`, '')) {
    case 'INFO':
    case 'STREAM.INFO':
      return { subject, body: '' };
    case 'STREAM.MSG.GET':
      return { subject, body: JSON.stringify({ last_by_subj: `progress.${nobody}` }) };
    case 'CONSUMER.LIST':
      return { subject, body: JSON.stringify({ offset: 0 }) };
    case 'STREAM.CREATE':
    case 'CONSUMER.CREATE':
      return { subject, body: NONSENSE };
    case 'CONSUMER.CREATE.*.progress.*':
      return { subject: named, body: NONSENSE };
    case 'DIRECT.GET.progress.*':
      return { subject: named, body: '' };
    case 'CONSUMER.INFO.*':
    case 'CONSUMER.DELETE.*':
    case 'CONSUMER.MSG.NEXT.*':
      return { subject: named, body: '' };
    // A purge is not tried with anything.
    default:
      return null;
  }
}

async function tryRequest(
  connection: NatsConnection,
  subject: string,
  body: string,
): Promise<NeedFacts['result']> {
  try {
    await connection.request(subject, body, { timeout: ANSWER_MS });
    return 'permitted';
  } catch (error) {
    const failure = requestFailure(error);
    // It went through, and nobody of that name is there.
    if (failure === 'no_responders') return 'permitted';
    const context = error instanceof NatsError ? error.permissionContext : undefined;
    return failure === 'not_permitted' && context?.operation === 'publish' ? 'refused' : 'unknown';
  }
}

async function trySubscribe(connection: NatsConnection, subject: string): Promise<NeedFacts['result']> {
  let isRefused = false;
  const subscription = connection.subscribe(subject, {
    callback: (error) => {
      if (error !== null) isRefused = true;
    },
  });
  try {
    // A refusal comes before the answer to this.
    await connection.flush();
    return isRefused ? 'refused' : 'permitted';
  } catch {
    return 'unknown';
  } finally {
    subscription.unsubscribe();
  }
}
