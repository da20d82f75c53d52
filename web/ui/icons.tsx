/** @jsxImportSource preact */
import type { JobCondition } from '../model/job-row.js';

/** Each state has a shape of its own: colour alone tells nobody who does not see it. */
const SHAPES: Readonly<Record<JobCondition, string>> = {
  failed: 'M5 5l8 8M13 5l-8 8',
  stalled: 'M6.5 4v10M11.5 4v10',
  retrying: 'M14 9a5 5 0 1 1-1.6-3.7M14 2.8v3h-3',
  running: 'M6 4.2v9.6l8-4.8z',
  completed: 'M3.8 9.6l3.4 3.4 7-8',
};

export function ConditionIcon({ condition }: { readonly condition: JobCondition }) {
  return (
    <svg class={`icon icon-${condition}`} viewBox="0 0 18 18" aria-hidden="true" focusable="false">
      <path d={SHAPES[condition]} />
    </svg>
  );
}

const OTHERS = {
  search: 'M8 13.2A5.2 5.2 0 1 0 8 2.8a5.2 5.2 0 0 0 0 10.4zM12 12l3.6 3.6',
  play: 'M6 4.2v9.6l8-4.8z',
  pause: 'M6.5 4v10M11.5 4v10',
  back: 'M11.5 3.5L6 9l5.5 5.5',
  large: 'M2 14.5L6 4l4 10.5M3.4 11h5.2M11 14.5l2.5-6.5 2.5 6.5M11.9 12.3h3.2',
} as const;

export function Icon({ name }: { readonly name: keyof typeof OTHERS }) {
  return (
    <svg class="icon" viewBox="0 0 18 18" aria-hidden="true" focusable="false">
      <path d={OTHERS[name]} />
    </svg>
  );
}
