/** The commands of NATS that mend a stream. All of them were tried with its command line, 0.5, as they are here. */
import type { Difference, StreamFacts } from './facts.js';

/** `nats stream edit PROGRESS …`, which shows what would change and asks before it does. */
export const edit = (stream: string, ...flags: readonly string[]): string =>
  `\`nats stream edit ${stream} ${flags.join(' ')}\``;

/** A new stream in the place of one that cannot be edited. Its events can be kept, but not be put into the new one. */
export const makeAnew = (stream: string): string =>
  `stop the workers and edges, keep the events if they matter (\`headway export\`), \`nats stream rm ${stream}\`, then \`headway init\``;

/** What undoes each difference; null for one that nats-server or its command line does not let anybody undo. */
export function driftFlags({ drift, choices }: StreamFacts): readonly (readonly [string, string | null])[] {
  const isPerSubject = choices.some(({ field }) => field === 'discard_new_per_subject');
  return drift.map((difference) => [difference.field, flagFor(difference, isPerSubject)] as const);
}

function flagFor({ field, is }: Difference, isPerSubject: boolean): string | null {
  switch (field) {
    case 'subjects':
      return "--subjects 'progress.*'";
    case 'discard':
      // Together: nats-server refuses the one without the other.
      return isPerSubject ? '--discard old --no-discard-per-subject' : '--discard old';
    case 'allow_direct':
      return '--allow-direct';
    case 'allow_rollup_hdrs':
      return '--no-allow-rollup';
    case 'no_ack':
      return '--ack';
    case 'retention':
      return is === 'workqueue' ? null : '--retention limits';
    default:
      return null;
  }
}
