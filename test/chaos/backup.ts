/** A stream's backup and restore by JetStream's own API, as `nats stream backup` and `nats stream restore` use it. */
import type { Msg, NatsConnection } from 'nats';
import { createInbox } from 'nats';

export interface Backup {
  readonly config: object;
  readonly state: object;
  readonly chunks: Uint8Array[];
}

/** What the API answers, or its error thrown. */
async function ask(nc: NatsConnection, subject: string, request: object): Promise<Record<string, unknown>> {
  const answer = (await nc.request(`$JS.API.${subject}`, JSON.stringify(request), { timeout: 5_000 })).json();
  return orThrow(answer as Record<string, unknown>);
}

function orThrow(answer: Record<string, unknown>): Record<string, unknown> {
  if (answer.error !== undefined) throw new Error(JSON.stringify(answer.error));
  return answer;
}

export async function backUp(nc: NatsConnection, stream: string): Promise<Backup> {
  const inbox = createInbox();
  const chunks: Uint8Array[] = [];
  let done: () => void = () => undefined;
  const complete = new Promise<void>((resolve) => {
    done = resolve;
  });
  const receive = (message: Msg): void => {
    message.respond();
    if (message.data.length === 0) done();
    else chunks.push(message.data.slice());
  };
  const subscription = nc.subscribe(inbox, { callback: (_error, message) => receive(message) });
  const answer = await ask(nc, `STREAM.SNAPSHOT.${stream}`, { deliver_subject: inbox, no_consumers: true });
  await complete;
  subscription.unsubscribe();
  return { config: answer.config as object, state: answer.state as object, chunks };
}

/** The stream must not exist. */
export async function restore(nc: NatsConnection, stream: string, backup: Backup): Promise<void> {
  const { config, state, chunks } = backup;
  const { deliver_subject } = await ask(nc, `STREAM.RESTORE.${stream}`, { config, state });
  for (const chunk of chunks) await nc.request(deliver_subject as string, chunk, { timeout: 5_000 });
  // An empty one is the end; its answer is that of a created stream.
  const created = await nc.request(deliver_subject as string, new Uint8Array(), { timeout: 10_000 });
  orThrow(created.json() as Record<string, unknown>);
}
