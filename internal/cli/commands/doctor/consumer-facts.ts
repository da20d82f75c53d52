import { setTimeout as delay } from 'node:timers/promises';
import type { ConsumerConfig, ConsumerInfo } from 'nats';
import { idOf, SUBJECT_FILTER, SUBJECT_PREFIX } from '../../../../schemas/ids.js';
import { isEdge, NEW_MS } from '../../../doctor/consumers.js';
import type { ConsumerFacts, Difference, StreamEnds } from '../../../doctor/facts.js';
import { lastMessage } from '../../../jetstream/stream.js';
import type { StreamAccess } from '../../runtime/nats.js';

/** A pull that is renewed just now, and events that are on their way, are not what is looked for. */
const BETWEEN_LOOKS_MS = 1_500;
/** So many looks see a consumer that is made anew every few seconds, or that is not new any more. */
const LOOKS = 5;

export interface Followers {
  readonly consumers: readonly ConsumerFacts[];
  /** null: not known. */
  readonly ends: StreamEnds | null;
}

/** The stream's consumers, looked at again where an edge is not pulling or not at the head. */
export async function collectConsumers(access: StreamAccess): Promise<Followers> {
  const newestEvent = await newestOf(access).catch(() => null);
  const looks = [await listConsumers(access)];
  while (looks.length < LOOKS && needsLook(looks, newestEvent ?? 0)) {
    await delay(BETWEEN_LOOKS_MS);
    looks.push(await listConsumers(access));
  }
  // What is gone by the last look was short-lived.
  const consumers = [...(looks.at(-1)?.keys() ?? [])].flatMap((name) => factsOf(seen(looks, name)) ?? []);
  const last = await lastOf(access).catch(() => null);
  return { consumers, ends: newestEvent === null || last === null ? null : { newestEvent, last } };
}

/** By the leader's word: the copy that a consumer reads may lag. */
async function newestOf({ jsm, stream }: StreamAccess): Promise<number> {
  const newest = await lastMessage(jsm, stream, SUBJECT_FILTER);
  // A message on a subject that names no job may never be delivered, and nobody is behind for it.
  return newest === null || idOf(newest.subject) === null ? 0 : newest.seq;
}

const lastOf = async ({ jsm, stream }: StreamAccess): Promise<number> =>
  (await jsm.streams.info(stream)).state.last_seq;

type Look = ReadonlyMap<string, ConsumerInfo>;

async function listConsumers({ jsm, stream }: StreamAccess): Promise<Look> {
  const all = new Map<string, ConsumerInfo>();
  for await (const one of jsm.consumers.list(stream)) all.set(one.name, one);
  return all;
}

const seen = (looks: readonly Look[], name: string): readonly ConsumerInfo[] =>
  looks.flatMap((look) => look.get(name) ?? []);

/** Whether another look may still show that an edge is well, or why it is not. */
function needsLook(looks: readonly Look[], newestEvent: number): boolean {
  return [...(looks.at(-1)?.keys() ?? [])].some((name) => {
    const infos = seen(looks, name);
    const first = infos[0] as ConsumerInfo;
    const last = infos.at(-1) as ConsumerInfo;
    const isMoving = last.delivered.stream_seq > first.delivered.stream_seq;
    const isFed = isMoving || infos.some((one) => one.num_waiting > 0);
    const isAtHead = last.num_pending === 0 && last.delivered.stream_seq >= newestEvent;
    if (looks.length === 1) return !(isFed && isAtHead);
    if (!isEdge(name)) return false;
    // What stands still is looked at once more: a pull may have come just now.
    if (isFed) return !isMoving && !isAtHead && looks.length === 2;
    // Whether it is only about to begin cannot be told yet.
    return Date.parse(last.ts ?? '') - Date.parse(last.created) < NEW_MS;
  });
}

const isRebuilt = (infos: readonly ConsumerInfo[]): boolean =>
  new Set(infos.map(({ created }) => created)).size > 1;

/** What the server tells of a consumer, beyond what the package's types know. */
type Told = ConsumerInfo & { readonly paused?: boolean; readonly pause_remaining?: number };

/** @param infos what each look told of one consumer; null for one that came while it was looked */
function factsOf(infos: readonly ConsumerInfo[]): ConsumerFacts | null {
  const rebuilt = isRebuilt(infos);
  const first = infos[0];
  const last = infos.at(-1) as Told | undefined;
  if (first === undefined || last === undefined) return null;
  // What is not an edge's and has only a name in common with what was there before is short-lived, too.
  if (rebuilt && !isEdge(last.name)) return null;
  const { config, delivered } = last;
  // The package's types take it for a number.
  const deliveredAt = Date.parse(String(delivered.last_active ?? ''));
  return {
    name: last.name,
    createdAt: Date.parse(last.created),
    lastDeliveredAt: Number.isNaN(deliveredAt) ? null : deliveredAt,
    isPulled: infos.some((one) => one.num_waiting > 0),
    isRebuilt: rebuilt,
    pausedForMs: last.paused === true ? (last.pause_remaining ?? 0) / 1e6 : null,
    changes: isEdge(last.name) ? changesOf(config) : [],
    pending: [first.num_pending, last.num_pending],
    delivered: [first.delivered.stream_seq, delivered.stream_seq],
    removedAfterMs: config.inactive_threshold ? config.inactive_threshold / 1e6 : null,
    isDurable: config.durable_name !== undefined && config.durable_name !== '',
  };
}

/** Filters that let every event through. */
const WHOLE = ['', '>', SUBJECT_FILTER, `${SUBJECT_PREFIX}>`];
const STARTS = ['all', 'by_start_sequence', 'last_per_subject'];

/** Where an edge's consumer is other than an edge makes it, and what that takes from its clients. */
export function changesOf(config: ConsumerConfig): readonly Difference[] {
  const raw = config as unknown as Record<string, unknown>;
  const filters = config.filter_subjects ?? [config.filter_subject ?? ''];
  const changes: Difference[] = [];
  const differs = (field: string, shouldBe: unknown): void => {
    changes.push({ field, is: raw[field] ?? false, shouldBe });
  };
  if (filters.length > 0 && !filters.some((filter) => WHOLE.includes(filter))) {
    differs(config.filter_subjects === undefined ? 'filter_subject' : 'filter_subjects', SUBJECT_FILTER);
  }
  if (raw.ack_policy !== 'none') differs('ack_policy', 'none');
  if (raw.replay_policy === 'original') differs('replay_policy', 'instant');
  if (!STARTS.includes(String(raw.deliver_policy))) differs('deliver_policy', 'by_start_sequence');
  for (const field of [
    'headers_only',
    'deliver_subject',
    'rate_limit_bps',
    'max_batch',
    'max_bytes',
    'max_expires',
    'priority_policy',
  ]) {
    if (raw[field] && raw[field] !== 'none') differs(field, false);
  }
  return changes;
}
