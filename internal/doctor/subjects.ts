import type { Facts, StraySubject } from './facts.js';
import { finding, fine, type Outcome, whenKnown } from './findings.js';
import { plural } from './words.js';

/** Messages on subjects that name no job. */
export function* judgeSubjects({ strays, streamName }: Facts): Generator<Outcome> {
  yield* whenKnown('subjects', strays, (found) => [
    found.length === 0 ? fine('subjects', 'each names a job') : withoutJob(found, streamName),
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
    whatToDo: `Find who publishes them: the name of a job has 1 to 128 of A-Z a-z 0-9 _ -. They leave with max_age. To remove one before: \`nats stream rmm ${stream} SEQ\`; \`headway doctor --scan all\` names its sequence (invalid-events). Do not purge by a subject that looks like a wildcard: that takes every job.`,
    details: [...strays.filter(isLiteralWildcard), ...strays.filter((one) => !isLiteralWildcard(one))].map(
      ({ subject, messages: of }) => `${subject}: ${plural(of, 'message')}`,
    ),
  });
}
