import type { Facts, StreamFacts } from './facts.js';
import { finding, type Outcome } from './findings.js';
import { makeAnew } from './format.js';

/** What survives what: the stream's settings against docs/guides/production.md, "Durability". */
export function* checkDurability({ stream, streamName }: Facts): Generator<Outcome> {
  if (stream.kind !== 'known' || stream.value.kind !== 'there') return;
  const found = stream.value.stream;
  if (found.storage !== 'file') {
    yield inMemory(found, streamName);
    return;
  }
  if (found.persistMode === 'async') {
    yield finding('warning', 'writes-not-synced', {
      what: 'The stream acknowledges events before they are written (persist_mode: async).',
      why: 'When the process of the server is killed, events that workers were told are safe can be lost. docs/guides/production.md promises otherwise.',
      remedy: `It cannot be changed on a stream that exists. Make it anew: ${makeAnew(streamName)}.`,
    });
  }
  yield syncInterval(found);
}

function inMemory({ storage }: StreamFacts, name: string): Outcome {
  return finding('error', 'stream-in-memory', {
    what: `The stream ${name} is kept in ${storage}, not in files.`,
    why: 'When the server restarts, every event and every job’s state is gone; with copies, when all of them do. Edges do not start with it.',
    remedy: `Storage cannot be changed on a stream that exists. Make it anew: ${makeAnew(name)}.`,
  });
}

function syncInterval({ copies }: StreamFacts): Outcome {
  const isSingle = copies.wanted === 1;
  return finding('info', 'sync-interval-unknown', {
    what: 'How often nats-server writes to the disk itself (sync_interval) cannot be seen from here.',
    why: isSingle
      ? 'By default it is every 2 minutes: a process that is killed loses nothing, but when the machine loses power, up to 2 minutes of acknowledged events can be gone.'
      : 'By default it is every 2 minutes: when all machines lose power at once, or one crashes during a network partition, acknowledged events can be gone.',
    remedy:
      'Look into the jetstream block of the configuration of each server. If that loss would hurt, set sync_interval: always, and measure: it costs throughput. docs/guides/production.md, "Durability".',
  });
}
