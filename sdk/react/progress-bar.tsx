import { type ReactElement, useId } from 'react';
import { describeJob, viewOf } from '../client/progress-view.js';
import type { JobSnapshot } from '../client/types.js';
import { useJob } from './hooks.js';

export type ProgressBarProps = {
  /** What is shown and read aloud as its name; without it the job's id. */
  readonly label?: string;
  readonly className?: string;
  /** What is shown and read aloud as its value, where English is not what you want. */
  readonly describe?: (snapshot: JobSnapshot) => string;
} & (
  | { readonly job: string; readonly snapshot?: never }
  | { readonly snapshot: JobSnapshot; readonly job?: never }
);

/**
 * A bar for a job, by its id or by what `useJob` gave: label, bar, and the same in words. It has no style of its
 * own; the outer element has the class `headway-progress`, and `headway-` with the `Condition`.
 */
export function ProgressBar({ job, snapshot, ...props }: ProgressBarProps): ReactElement {
  return snapshot ? <Bar {...props} snapshot={snapshot} /> : <FollowedBar {...props} job={job} />;
}

interface BarProps {
  readonly label?: string;
  readonly className?: string;
  readonly describe?: (snapshot: JobSnapshot) => string;
}

function FollowedBar({ job, ...props }: BarProps & { readonly job: string }): ReactElement {
  return <Bar {...props} snapshot={useJob(job)} />;
}

function Bar({
  snapshot,
  label = snapshot.id,
  className = '',
  describe = describeJob,
}: BarProps & { readonly snapshot: JobSnapshot }): ReactElement {
  const id = useId();
  const { condition, percent, isBusy } = viewOf(snapshot);
  const text = describe(snapshot);
  // The platform's own bar moves as the user likes it to, and needs no style that a Content-Security-Policy could forbid.
  // It is only looked at: ARIA in HTML advises against values of one's own on it, so they have an element to themselves.
  return (
    <div className={`headway-progress headway-${condition} ${className}`.trim()}>
      <span id={id}>{label}</span>
      <div
        role="progressbar"
        aria-labelledby={id}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent ?? undefined}
        aria-valuetext={text}
        aria-busy={isBusy}
      >
        <progress aria-hidden="true" max={100} value={percent ?? (condition === 'refused' ? 0 : undefined)} />
      </div>
      <span>{text}</span>
    </div>
  );
}
