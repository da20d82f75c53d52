/** @jsxImportSource preact */
import { formatPercent } from '../model/format.js';
import type { JobCondition } from '../model/job-row.js';

export interface BarProps {
  readonly percent: number | null;
  readonly condition: JobCondition;
  readonly label: string;
}

export function Bar({ percent, condition, label }: BarProps) {
  const isUnknown = percent === null;
  return (
    <span class={`bar bar-${condition}`}>
      <span
        class="bar-track"
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        {...(isUnknown ? {} : { 'aria-valuenow': percent, 'aria-valuetext': formatPercent(percent) })}
      >
        <span
          class={isUnknown ? 'bar-fill bar-unknown' : 'bar-fill'}
          style={{ width: isUnknown ? '100%' : `${percent}%` }}
        />
      </span>
      <span class="bar-text">{isUnknown ? '–' : formatPercent(percent)}</span>
    </span>
  );
}
