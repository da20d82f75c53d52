import { isBefore } from '../server-version.js';
/** What each setting does to events and clients that Headway does not make so, and what puts it right. */

import type { Difference, Facts, StreamFacts } from './facts.js';
import { finding, type Outcome } from './findings.js';
import { edit, makeAnew, shown } from './format.js';

/** Since this version a mirror can be made a stream of its own. */
const FREES_MIRRORS = '2.12.0';

const EFFECTS: Readonly<Record<string, string>> = {
  subjects: 'what is published to progress.* is not stored, or other messages are, which are no events',
  retention: 'events leave when they were read, or when nobody reads them',
  discard: 'at a limit new events are refused, instead of old ones leaving',
  allow_direct: 'workers cannot read the last event of a job, and so not its attempt',
  allow_rollup_hdrs:
    'any worker can purge a job, or every job, by a header (Nats-Rollup): clients get a prev_seq of an event that is gone',
  allow_msg_ttl:
    'any worker can have single events leave early (Nats-TTL): a job loses events from its middle, without a reset for its clients',
  no_ack: 'workers are never told that an event is stored, and send it again until they give up',
  subject_transform:
    'events are acknowledged, and stored under other subjects: edges show none of them to anybody',
  mirror: 'it holds what another stream holds, and nothing that workers publish',
  sources:
    'messages of other streams are stored among the events: what is on progress.* there is shown as if it were published here, and all else is no event',
  allow_msg_counter: 'every event is refused, since it has no Nats-Incr',
  allow_msg_schedules:
    'any worker can have messages stored later, and again and again, when it does not run any more',
  subject_delete_marker_ttl:
    'when the last event of a job leaves, the server stores a message in its place that is no event',
  consumer_limits:
    'edges cannot make their consumers, which the server keeps for five minutes without a pull',
};

/** How a setting is put right. */
type Cure =
  | { readonly kind: 'flag'; readonly flag: string }
  /** The command line has no flag for it: the configuration is written to a file, without the field. */
  | { readonly kind: 'without' }
  /** nats-server does not let anybody undo it. */
  | { readonly kind: 'none' };

const flag = (text: string): Cure => ({ kind: 'flag', flag: text });

function cureFor({ field, is }: Difference, { choices }: StreamFacts, version: string): Cure {
  switch (field) {
    case 'subjects':
      return flag("--subjects 'progress.*'");
    case 'discard':
      // Together: nats-server refuses the one without the other.
      return flag(
        choices.some((one) => one.field === 'discard_new_per_subject')
          ? '--discard old --no-discard-per-subject'
          : '--discard old',
      );
    case 'allow_direct':
      return flag('--allow-direct');
    case 'allow_rollup_hdrs':
      return flag('--no-allow-rollup');
    case 'no_ack':
      return flag('--ack');
    case 'retention':
      return is === 'workqueue' ? { kind: 'none' } : flag('--retention limits');
    case 'subject_transform':
      return flag('--no-transform');
    case 'subject_delete_marker_ttl':
      return flag('--subject-del-markers-ttl=0s');
    case 'mirror':
      return isBefore(version, FREES_MIRRORS) ? { kind: 'none' } : flag('--no-mirror');
    case 'sources':
    case 'consumer_limits':
      return { kind: 'without' };
    default:
      return { kind: 'none' };
  }
}

/** What of a stream is not as Headway needs it, but for what has a finding of its own. */
export const driftOf = ({ drift, sealed }: StreamFacts): readonly Difference[] =>
  // That it is in memory has its own finding, and so has that it is sealed, which makes it discard new events.
  drift.filter(({ field }) => field !== 'storage' && !(field === 'discard' && sealed));

/**
 * That a stream is not as Headway needs it.
 * @param waiting the edges that pull nothing until it is put right
 */
export function driftFinding(
  { streamName, server }: Facts,
  stream: StreamFacts,
  waiting: readonly string[],
): Outcome {
  const drift = driftOf(stream);
  const cures = drift.map((one) => [one.field, cureFor(one, stream, server.version)] as const);
  const fixed = cures.flatMap(([field, { kind }]) => (kind === 'none' ? [field] : []));
  const without = cures.flatMap(([field, { kind }]) => (kind === 'without' ? [field] : []));
  const flags = cures.flatMap(([, cure]) => (cure.kind === 'flag' ? [cure.flag] : []));
  const corrections = [
    ...(flags.length > 0 ? [`Correct it: ${edit(streamName, ...flags)}.`] : []),
    ...(without.length > 0 ? [takeOut(streamName, without)] : []),
    ...(drift.some(({ field }) => field === 'subject_transform')
      ? ['What was stored under other subjects meanwhile is not brought back by that.']
      : []),
  ];
  return finding('error', 'stream-drift', {
    what: `The stream ${streamName} is not as Headway needs it.`,
    why: 'Each of these takes something from events or clients, as its line says. An edge that runs notices within seconds, is not ready, and shows nothing new until it is put right. An edge that starts ends with an error.',
    remedy:
      fixed.length === 0
        ? corrections.join(' ')
        : `What it has of ${fixed.join(', ')} cannot be edited. Make the stream anew: ${makeAnew(streamName)}.`,
    details: [
      ...drift.map((one) => {
        const effect = EFFECTS[one.field];
        return effect === undefined ? shown(one) : `${shown(one)}: ${effect}`;
      }),
      ...waiting.map((edge) => `${edge} gets no events until it is put right, or its edge is dead`),
    ],
  });
}

const takeOut = (stream: string, fields: readonly string[]): string =>
  `Take ${fields.join(' and ')} out of its configuration: \`nats stream info ${stream} --json | jq '.config | ${fields.map((field) => `del(.${field})`).join(' | ')}' > stream.json\`, then ${edit(stream, '--config stream.json')}.`;
