export const ROLES = ['edge', 'worker', 'operator'] as const;
export type Role = (typeof ROLES)[number];

/** Where the doctor asks whether an event would be stored: no job has this name, and nothing is stored under it. */
export const DRY_SUBJECT = 'progress.headway-doctor';
/** Where the answer goes, by the permission of whoever asks. */
export const DRY_INBOX = '_INBOX.headway-doctor';

/** Something that NATS must permit somebody. docs/nats/permissions.conf is the configuration that does. */
export interface RequiredPermission {
  readonly roles: readonly Role[];
  readonly operation: 'publish' | 'subscribe';
  /** A wildcard stands for names that are not known beforehand. */
  readonly subject: string;
  readonly purpose: string;
  /** Without it the role works, with less. */
  readonly isOptional: boolean;
}

/** What each role needs of NATS. */
export function requiredPermissions(stream: string): readonly RequiredPermission[] {
  const publish = (
    subject: string,
    purpose: string,
    roles: readonly Role[],
    isOptional = false,
  ): RequiredPermission => ({
    roles,
    operation: 'publish',
    subject,
    purpose,
    isOptional,
  });
  const api = (call: string): string => `$JS.API.${call}`;
  const readers: readonly Role[] = ['edge', 'operator'];
  return [
    publish(api(`STREAM.INFO.${stream}`), 'look at the stream', readers),
    publish(api(`STREAM.MSG.GET.${stream}`), 'read single events', readers),
    publish(api(`CONSUMER.CREATE.${stream}`), 'follow the stream and read history', readers),
    publish(api(`CONSUMER.CREATE.${stream}.*.progress.*`), 'keep the checkpoint of a replay', ['operator']),
    publish(api(`CONSUMER.MSG.NEXT.${stream}.*`), 'get events', readers),
    publish(api(`CONSUMER.INFO.${stream}.*`), 'check what was delivered', readers),
    publish(api(`CONSUMER.DELETE.${stream}.*`), 'remove its own consumers', readers),
    publish(api(`STREAM.CREATE.${stream}`), 'make the stream when it is missing', readers, true),
    publish(api(`CONSUMER.LIST.${stream}`), 'see who follows the stream', ['operator']),
    publish(api('INFO'), 'see the limits of the account', ['operator'], true),
    publish(api(`STREAM.PURGE.${stream}`), 'purge jobs', ['operator'], true),
    publish(DRY_SUBJECT, 'ask whether an event would be stored', ['operator'], true),
    publish(`${DRY_INBOX}.*`, 'get the answer to that', ['operator'], true),
    { ...publish('alive.progress.*', 'hear the heartbeats of workers', readers), operation: 'subscribe' },
    publish('progress.*', 'publish events', ['worker']),
    publish('progress.*', 'write the timeouts of jobs', ['edge'], true),
    publish('alive.progress.*', 'send heartbeats', ['worker']),
    publish(
      api(`DIRECT.GET.${stream}.progress.*`),
      'know the attempt of a job that was run before',
      ['worker'],
      true,
    ),
  ];
}

/** What the server says that a user may do. */
export interface Permissions {
  readonly publish?: Rules | undefined;
  readonly subscribe?: Rules | undefined;
}
interface Rules {
  readonly allow?: readonly string[] | undefined;
  readonly deny?: readonly string[] | undefined;
}

/** Whether these permissions, as the server gives them, permit something. */
export function permits(
  permissions: Permissions,
  need: Pick<RequiredPermission, 'operation' | 'subject'>,
): boolean {
  const { allow = [], deny = [] } = permissions[need.operation] ?? {};
  const isAllowed = allow.length === 0 || allow.some((pattern) => covers(pattern, need.subject));
  return isAllowed && !deny.some((pattern) => covers(pattern, need.subject));
}

/** Whether a pattern fits everything that a subject, which may be a pattern too, fits. */
function covers(pattern: string, subject: string): boolean {
  // A queue group may stand behind the subject.
  const wide = (pattern.split(' ')[0] ?? '').split('.');
  const narrow = subject.split('.');
  for (const [at, token] of wide.entries()) {
    const own = narrow[at];
    if (own === undefined) return false;
    if (token === '>') return true;
    if (own === '>' || (token !== '*' && token !== own)) return false;
  }
  return wide.length === narrow.length;
}
