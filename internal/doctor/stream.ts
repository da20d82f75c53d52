import { bytes, plural } from '../formatting.js';
import { idleEdges } from './consumers.js';
import { driftFinding, driftOf } from './drift.js';
import type { Facts, StraySubject, StreamFacts, StreamState } from './facts.js';
import { finding, type Outcome, pass, whenKnown, whySkipped } from './findings.js';
import { edit, makeAnew, shown, time } from './format.js';

/** What an event and its headers may need. */
const ROOM_BYTES = 64 * 1024 + 1024;
const DUPLICATE_WINDOW_MS = 2 * 60_000;

/** Whether the stream is there, and as Headway needs it. */
export function* checkStream(facts: Facts): Generator<Outcome> {
  const { stream, account } = facts;
  if (stream.kind === 'known') {
    yield* judgeState(facts, stream.value);
    return;
  }
  // Said already.
  if (account.kind === 'known' && account.value === null) return;
  yield finding('warning', 'stream-not-visible', {
    what: `The stream ${facts.streamName} could not be looked at: ${whySkipped(stream)}.`,
    why: 'Most of what a doctor looks for is in the stream, so this report says little.',
    remedy:
      stream.kind === 'not_permitted'
        ? 'Run it with the credentials of an edge, or better of an operator (docs/nats/README.md).'
        : 'Look at the log of nats-server, and try again. In a cluster: see whether its servers run and reach each other.',
  });
}

function* judgeState(facts: Facts, state: StreamState): Generator<Outcome> {
  switch (state.kind) {
    case 'missing':
      yield state.takenBy === null ? missing(facts.streamName) : taken(facts.streamName, state.takenBy);
      return;
    case 'there': {
      const findings = [...judgeConfig(facts, state.stream)];
      yield* findings;
      if (findings.length === 0) yield pass('stream', `${facts.streamName} is as Headway makes it`);
    }
  }
}

function missing(name: string): Outcome {
  return finding('error', 'stream-missing', {
    what: `There is no stream ${name}.`,
    why: 'What workers publish is not stored, and they are told that nobody took it.',
    remedy:
      'Make it with `headway init`, or start an edge, which makes it. If it has another name, set HEADWAY_STREAM or give --stream. If it was there before: an edge that runs would have made it again, so none does.',
  });
}

function taken(name: string, takenBy: string): Outcome {
  return finding('error', 'stream-subjects-taken', {
    what: `There is no stream ${name}; the events go into the stream ${takenBy}.`,
    why: 'Only one stream of an account can have progress.*, so neither an edge nor `headway init` can make this one.',
    remedy: `Set HEADWAY_STREAM to ${takenBy} (or give --stream), if that is the one that is meant; else take progress.* out of it (${edit(takenBy, '--subjects …')}), or delete it.`,
    details: [`${takenBy} has progress.*`],
  });
}

function* judgeConfig(facts: Facts, stream: StreamFacts): Generator<Outcome> {
  const { streamName, server } = facts;
  if (driftOf(stream).length > 0) {
    const waiting = idleEdges(facts).map(({ name }) => name);
    yield driftFinding(facts, stream, waiting);
  }
  if (stream.sealed) {
    yield finding('error', 'stream-sealed', {
      what: `The stream ${streamName} is sealed.`,
      why: 'Nothing can be stored in it any more, and that cannot be undone.',
      remedy: `Make it anew: ${makeAnew(streamName)}.`,
    });
  }
  const room = Math.min(stream.maxMessageBytes ?? Number.POSITIVE_INFINITY, server.maxPayload);
  if (room < ROOM_BYTES) yield tooSmall(streamName, stream, room);
  if (stream.duplicateWindowMs < DUPLICATE_WINDOW_MS) yield windowShort(streamName, stream);
  if (stream.choices.length > 0) {
    yield finding('info', 'stream-settings-differ', {
      what: `The stream ${streamName} has settings of your own.`,
      why: 'They are yours to choose; this is only so that nobody forgets them.',
      remedy: 'Nothing, if they are meant. docs/guides/production.md, "The stream", says what each one does.',
      details: stream.choices.map((choice) => shown(choice)),
    });
  }
}

function tooSmall(name: string, { maxMessageBytes }: StreamFacts, room: number): Outcome {
  const byStream = maxMessageBytes === room;
  return finding('warning', 'stream-refuses-large-events', {
    what: `Messages of more than ${bytes(room)} are refused by the ${byStream ? 'stream' : 'server'}; an event may have 64 KiB, and headers.`,
    why: 'A worker with a large event, such as a result, cannot store it, and its job never ends.',
    remedy: byStream
      ? `Take the limit away, ${edit(name, '--max-msg-size=-1')}, or make it at least 66,560.`
      : 'Set max_payload of nats-server to at least 66,560; 1 MiB is its default.',
  });
}

function windowShort(name: string, { duplicateWindowMs, maxAgeMs }: StreamFacts): Outcome {
  // The window cannot be longer than events are kept.
  const age = maxAgeMs !== null && maxAgeMs < DUPLICATE_WINDOW_MS ? ['--max-age 2m'] : [];
  return finding('warning', 'stream-duplicate-window-short', {
    what: `The duplicate window of the stream is ${time(duplicateWindowMs)}; Headway makes it 2 min.`,
    why: 'A worker that comes back after a longer time without NATS may store an event a second time.',
    remedy: `Raise it: ${edit(name, ...age, '--dupe-window 2m')}.`,
  });
}

/** Messages on subjects that name no job. */
export function* checkSubjects({ strays, streamName }: Facts): Generator<Outcome> {
  yield* whenKnown('subjects', strays, (found) => [
    found.length === 0 ? pass('subjects', 'each names a job') : withoutJob(found, streamName),
  ]);
}

/** It looks like a pattern, and is a subject: a consumer with a filter may never get it. */
const isLiteralWildcard = ({ subject }: StraySubject): boolean => /(^|\.)[*>](\.|$)/.test(subject);

function withoutJob(strays: readonly StraySubject[], stream: string): Outcome {
  const messages = strays.reduce((sum, one) => sum + one.messages, 0);
  const wildcards = strays.filter(isLiteralWildcard);
  const holes =
    wildcards.length === 0
      ? ''
      : ' A name that looks like a wildcard is worse: whoever reads with a filter is never given it, and may take the hole for lost events.';
  return finding('warning', 'subjects-without-job', {
    what: `${plural(messages, 'message is', 'messages are')} stored on ${plural(strays.length, 'subject')} that ${strays.length === 1 ? 'names' : 'name'} no job.`,
    why: `They are no events, and nobody is ever shown them.${holes}`,
    remedy: `Find who publishes them: the name of a job has 1 to 128 of A-Z a-z 0-9 _ -. They leave with max_age. To remove one before: \`nats stream rmm ${stream} SEQ\`; \`headway doctor --scan all\` names its sequence (invalid-events). Do not purge by a subject that looks like a wildcard: that takes every job.`,
    details: [...strays.filter(isLiteralWildcard), ...strays.filter((one) => !isLiteralWildcard(one))].map(
      ({ subject, messages: of }) => `${subject}: ${plural(of, 'message')}`,
    ),
  });
}
