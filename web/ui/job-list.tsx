/** @jsxImportSource preact */
import { useCallback, useState } from 'preact/hooks';
import { formatPlace, withSort } from '../model/address.js';
import { formatCount, formatDuration, formatShortly, shortText } from '../model/format.js';
import { CONDITION_NAMES, type JobRow } from '../model/job-row.js';
import type { Listed, ListView, SortKey } from '../model/list-view.js';
import type { Session } from '../store/session.js';
import { Bar } from './bar.js';
import { ConditionIcon } from './icons.js';
import { memo } from './memo.js';
import { rowStyle, VirtualList } from './virtual-list.js';

const COLUMNS: readonly (readonly [key: SortKey, name: string])[] = [
  ['condition', 'State'],
  ['id', 'Job'],
  ['type', 'Type'],
  ['progress', 'Progress'],
  ['step', 'Step'],
  ['age', 'Age'],
  ['left', 'Left'],
  ['attempt', 'Attempt'],
];

export const SORT_NAMES: Readonly<Record<SortKey, string>> = Object.fromEntries(COLUMNS) as Record<
  SortKey,
  string
>;

/** What the job says of itself now, in one line. */
export function stepText({ state }: JobRow): string {
  const { step, error, message } = state;
  const where = step?.index !== undefined && step.total !== undefined ? `${step.index}/${step.total}` : '';
  const failure = state.status === 'error' ? (error?.message ?? error?.code) : undefined;
  return [where, step?.name, failure ?? message].filter(Boolean).join(' · ');
}

interface RowProps {
  readonly row: JobRow;
  readonly index: number;
  readonly isActive: boolean;
  readonly age: string;
  readonly left: string;
  readonly isLarge: boolean;
}

const Row = memo(({ row, index, isActive, age, left, isLarge }: RowProps) => {
  const { id, condition, state } = row;
  const step = stepText(row);
  return (
    <div
      class={`row row-${condition}${isActive ? ' row-active' : ''}`}
      id={`job-list-${index}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isActive}
      style={rowStyle(index)}
    >
      <span class="cell cell-state" role="gridcell">
        <ConditionIcon condition={condition} /> {CONDITION_NAMES[condition]}
      </span>
      <span class="cell cell-id" role="gridcell">
        <a href={formatPlace({ kind: 'job', id, seq: null, isLarge })} tabIndex={-1}>
          {id}
        </a>
      </span>
      <span class="cell cell-type" role="gridcell">
        {row.jobType}
      </span>
      <span class="cell cell-progress" role="gridcell">
        <Bar percent={row.percent} condition={condition} label={`Progress of ${id}`} />
      </span>
      <span class="cell cell-step" role="gridcell" dir="auto">
        {shortText(step)}
      </span>
      <span class="cell cell-age" role="gridcell">
        <time dateTime={state.timestamp}>{age}</time>
      </span>
      <span class="cell cell-left" role="gridcell">
        {left}
      </span>
      <span class="cell cell-attempt" role="gridcell">
        {row.attempt}
      </span>
    </div>
  );
});

/** What was estimated and is over may still take a while. */
const leftText = (doneMs: number | null, nowMs: number): string =>
  doneMs === null ? '' : doneMs <= nowMs ? 'soon' : formatDuration(doneMs - nowMs);

export interface JobListProps {
  readonly session: Session;
  readonly listed: Listed;
  readonly view: ListView;
  readonly isLarge: boolean;
  readonly nowMs: number;
  readonly onView: (change: (now: ListView) => ListView) => void;
  readonly onOpen: (id: string) => void;
  /** The job that was looked at before; null: none. */
  readonly lastId: string | null;
}

export function JobList({ session, listed, view, isLarge, nowMs, onView, onOpen, lastId }: JobListProps) {
  // The keyboard stays with its job, wherever that goes.
  const [activeId, setActiveId] = useState(lastId);
  const { rows } = listed;
  const active = activeId === null ? -1 : rows.findIndex(({ id }) => id === activeId);
  const idAt = (index: number): string | null => rows[index]?.id ?? null;
  const open = useCallback(
    (index: number) => {
      const id = rows[index]?.id;
      if (id !== undefined) onOpen(id);
    },
    [rows, onOpen],
  );
  const second = Math.floor(nowMs / 1_000) * 1_000;
  return (
    <VirtualList
      class="job-list"
      label={`${formatCount(rows.length)} jobs`}
      count={rows.length}
      columns={COLUMNS.length}
      active={active}
      onActive={(index) => setActiveId(idAt(index))}
      onOpen={open}
      hasFocus={lastId !== null}
      head={COLUMNS.map(([key, name]) => (
        <span
          key={key}
          class={`cell cell-${key === 'condition' ? 'state' : key}`}
          role="columnheader"
          aria-sort={view.sort.key !== key ? 'none' : view.sort.isDescending ? 'descending' : 'ascending'}
        >
          <button type="button" onClick={() => onView((now) => withSort(now, key))}>
            {name}
          </button>
        </span>
      ))}
      row={(index) => {
        const listedRow = rows[index];
        if (listedRow === undefined) return null;
        const row = session.row(listedRow.id) ?? listedRow;
        return (
          <Row
            key={row.id}
            row={row}
            index={index}
            isActive={index === active}
            isLarge={isLarge}
            age={formatShortly(second - row.updatedMs)}
            left={leftText(row.doneMs, second)}
          />
        );
      }}
    />
  );
}
