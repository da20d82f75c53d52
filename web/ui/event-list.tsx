/** @jsxImportSource preact */
import type { ProgressUpdate } from '../../sdk/client/index.js';
import { formatPercent, formatTime, shortText } from '../model/format.js';
import { CONDITION_NAMES, conditionOf, timeOf } from '../model/job-row.js';
import { attemptAt } from '../model/timeline.js';
import { ConditionIcon } from './icons.js';
import { rowStyle, VirtualList } from './virtual-list.js';

export interface EventListProps {
  readonly events: readonly ProgressUpdate[];
  readonly shown: number;
  readonly onShow: (index: number) => void;
}

const COLUMNS = ['Seq', 'Time', 'State', 'Progress', 'Attempt', 'Step and message'];

/** Every stored event of a job, the newest last. */
export function EventList({ events, shown, onShow }: EventListProps) {
  return (
    <VirtualList
      class="event-list"
      label={`${events.length} events`}
      count={events.length}
      columns={COLUMNS.length}
      active={shown}
      onActive={onShow}
      onOpen={onShow}
      head={COLUMNS.map((name) => (
        <span key={name} class="cell" role="columnheader">
          {name}
        </span>
      ))}
      row={(index) => {
        const event = events[index];
        if (event === undefined) return null;
        const { seq, step, error, message, progress } = event;
        const condition = conditionOf(event, false);
        return (
          <div
            key={seq}
            id={`event-list-${index}`}
            class={`row row-${condition}${index === shown ? ' row-active' : ''}`}
            role="row"
            tabIndex={-1}
            aria-rowindex={index + 2}
            aria-selected={index === shown}
            style={rowStyle(index)}
            onClick={() => onShow(index)}
          >
            <span class="cell mono" role="gridcell">
              {seq}
            </span>
            <span class="cell mono" role="gridcell">
              {formatTime(timeOf(event))}
            </span>
            <span class="cell cell-state" role="gridcell">
              <ConditionIcon condition={condition} /> {CONDITION_NAMES[condition]}
            </span>
            <span class="cell" role="gridcell">
              {event.indeterminate === true ? '–' : formatPercent(progress)}
            </span>
            <span class="cell" role="gridcell">
              {attemptAt(events, index)}
            </span>
            <span class="cell" role="gridcell" dir="auto">
              {shortText([step?.name, error?.message ?? error?.code ?? message].filter(Boolean).join(' · '))}
            </span>
          </div>
        );
      }}
    />
  );
}
