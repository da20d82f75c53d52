/** @jsxImportSource preact */
import { withCondition } from '../model/address.js';
import { formatCount, formatRate } from '../model/format.js';
import { CONDITION_NAMES, CONDITIONS } from '../model/job-row.js';
import type { Listed, ListView } from '../model/list-view.js';
import type { Session } from '../store/session.js';
import { ConditionIcon } from './icons.js';

/** The rate of the last minute, as a line. */
function Spark({ values }: { readonly values: readonly number[] }) {
  const most = Math.max(1, ...values);
  const points = values.map((value, at) => `${at * 2},${(23 - (22 * value) / most).toFixed(1)}`).join(' ');
  return (
    <svg class="spark" viewBox="0 0 118 24" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <polyline points={points} />
    </svg>
  );
}

export interface SummaryProps {
  readonly session: Session;
  readonly listed: Listed;
  readonly view: ListView;
  readonly onView: (change: (now: ListView) => ListView) => void;
}

/** How many jobs of each state there are, and how much is going on. A click on a state filters by it. */
export function Summary({ session, listed, view, onView }: SummaryProps) {
  const nowMs = performance.now();
  return (
    <section class="summary" aria-label="Jobs by state">
      {CONDITIONS.map((condition) => {
        const count = listed.conditions[condition];
        return (
          <button
            key={condition}
            type="button"
            class={`tile tile-${condition}${count === 0 ? ' tile-none' : ''}`}
            aria-pressed={view.conditions.includes(condition)}
            onClick={() => onView((now) => withCondition(now, condition))}
          >
            <span class="tile-count">{formatCount(count)}</span>
            <span class="tile-name">
              <ConditionIcon condition={condition} /> {CONDITION_NAMES[condition]}
            </span>
          </button>
        );
      })}
      <div class="tile tile-rate">
        <span class="tile-count">{formatRate(session.rate.rate(nowMs))}</span>
        <span class="tile-name">events a second</span>
        <Spark values={session.rate.perSecond(nowMs)} />
      </div>
    </section>
  );
}
