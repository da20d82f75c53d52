import { bytes, count, plural } from '../formatting.js';
import type { Facts, PublishFacts, StreamFacts, Usage, WriteFacts } from './facts.js';
import { finding, type Outcome, pass, skip, whenKnown, whySkipped } from './findings.js';
import { edit } from './format.js';

/** nats-server: "insufficient resources", "resource limits exceeded for account". */
const SERVER_FULL = 10023;
const ACCOUNT_FULL = 10002;
/** A small event, with its headers and what the server adds. */
export const EVENT_BYTES = 512;

/** One reason why no event is stored any more, and what makes room. */
interface Full {
  readonly detail: string;
  readonly remedy: string;
}

/** Whether a worker's event would be stored: by the answer of the server, and by the limits that can be seen. */
export function* checkStorage(facts: Facts): Generator<Outcome> {
  const { stream, publish, disk, server } = facts;
  if (stream.kind !== 'known' || stream.value.kind !== 'there') return;
  const found = stream.value.stream;
  if (found.storage === 'file') yield* whenKnown('disk', disk, (value) => judgeDisk(value, server));
  // It takes nothing, however much room there is, and has a finding of its own.
  if (found.sealed) return;
  const full = [...fullLimits(found, facts), ...refusals(found, facts)];
  if (full.length > 0) yield storageFull(full);
  const isWritten = disk.kind !== 'known' || disk.value.kind === 'writes';
  if (publish.kind === 'known') {
    const { value } = publish;
    if (value.kind === 'refuses' && !isFullness(value)) yield eventsRefused(value);
    if (value.kind === 'takes' && full.length === 0 && isWritten)
      yield pass('storage', 'no limit keeps an event from being stored');
    return;
  }
  if (full.length === 0) yield skip('storage', whySkipped(publish));
}

function* judgeDisk(written: WriteFacts, { cluster }: Facts['server']): Generator<Outcome> {
  if (written.kind === 'writes') {
    yield pass(
      'disk',
      cluster === null
        ? 'the server can write'
        : 'the server that was asked can write, one of those with a copy',
    );
    return;
  }
  yield finding('error', 'storage-not-writable', {
    what: `The server cannot write files (it answers "${written.reason}"): its disk is full, read-only or broken.`,
    why: 'Events are refused, or not answered at all, and jobs seem to stand still. Who publishes may only see timeouts.',
    remedy:
      'Look at its log ("no space left on device" for a full disk), and make room on the disk of its store_dir: by other files, or `headway purge --before 3d`. Then publish an event: if it is not acknowledged, restart the server. Give the stream a limit below what the disk has (`max_bytes`, discard: old).',
  });
}

const isFullness = ({ code }: Extract<PublishFacts, { kind: 'refuses' }>): boolean =>
  code === SERVER_FULL || code === ACCOUNT_FULL;

/** Whether not even a small event fits. */
export const isFull = ({ used, limit }: Usage, one: number): boolean => limit !== null && used + one > limit;

function* fullLimits(stream: StreamFacts, { account, streamName }: Facts): Generator<Full> {
  const { discard, messages, bytes: size } = stream;
  if (discard === 'new') {
    const raise = (flag: string): string =>
      `Raise the limit of the stream if the disk can spare it (${edit(streamName, flag)}), or remove what is old (\`headway purge --before 3d\`). Then let the oldest events leave instead, as Headway makes it: see stream-drift.`;
    if (isFull(messages, 1)) {
      yield {
        detail: `max_msgs of the stream: ${count(messages.used)} of ${count(messages.limit ?? 0)}, and new events are refused (discard: new)`,
        remedy: raise('--max-msgs NUMBER'),
      };
    }
    if (isFull(size, EVENT_BYTES)) {
      yield {
        detail: `max_bytes of the stream: ${bytes(size.used)} of ${bytes(size.limit ?? 0)}, and new events are refused (discard: new)`,
        remedy: raise('--max-bytes SIZE'),
      };
    }
  }
  if (account.kind !== 'known' || account.value === null) return;
  const used = stream.storage === 'file' ? account.value.storage : account.value.memory;
  if (isFull(used, EVENT_BYTES)) {
    yield {
      detail: `${stream.storage === 'file' ? 'storage' : 'memory'} of the account: ${bytes(used.used)} of ${bytes(used.limit ?? 0)}`,
      remedy: ofAccount(streamName),
    };
  }
}

function* refusals({ storage }: StreamFacts, { publish, account, streamName }: Facts): Generator<Full> {
  if (publish.kind !== 'known' || publish.value.kind !== 'refuses') return;
  const { code, reason } = publish.value;
  const told = `it answers "${reason}" (${code})`;
  if (code === SERVER_FULL) {
    const setting = storage === 'file' ? 'max_file_store' : 'max_memory_store';
    yield {
      detail: `storage of the server (${setting}): ${told}`,
      remedy: `Remove what nobody needs (\`headway purge --before 3d\`; \`nats stream report\` shows what other streams use), or raise ${setting} in the jetstream block of the server's configuration (by default it is a share of what was free when the server started), if its disk can spare it, and reload or restart the server. Then give the stream a limit below that (${edit(streamName, '--max-bytes SIZE')}), so that old events leave instead of new ones being refused.`,
    };
  }
  // Said already, if it can be seen.
  const isSeen =
    account.kind === 'known' && account.value !== null && isFull(account.value.storage, EVENT_BYTES);
  if (code === ACCOUNT_FULL && !isSeen) {
    yield { detail: `storage of the account: ${told}`, remedy: ofAccount(streamName) };
  }
}

const ofAccount = (stream: string): string =>
  `Raise the account's limit, or remove what nobody needs (\`headway purge --before 3d\`; \`nats stream report\` shows what other streams use). Then give the stream a limit below the account's (${edit(stream, '--max-bytes SIZE')}), so that old events leave instead of new ones being refused.`;

function storageFull(full: readonly Full[]): Outcome {
  return finding('error', 'storage-full', {
    what: `The storage is full: JetStream refuses every event (${plural(full.length, 'limit is', 'limits are')} reached).`,
    why: 'Nothing of any job is stored until there is room, also no end of a job. Jobs seem to stand still, and workers send again until they give up.',
    remedy: [...new Set(full.map(({ remedy }) => remedy))].join(' '),
    details: full.map(({ detail }) => detail),
  });
}

function eventsRefused({ code, reason }: Extract<PublishFacts, { kind: 'refuses' }>): Outcome {
  return finding('error', 'events-refused', {
    what: `The stream refuses events: it answers "${reason}"${code === null ? '' : ` (${code})`}.`,
    why: 'Nothing of any job is stored, and workers are told the same.',
    remedy:
      'See the other findings about the stream: one of its settings asks of each message what workers do not send. If there is none, look at the log of nats-server.',
  });
}
