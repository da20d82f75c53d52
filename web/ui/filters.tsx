/** @jsxImportSource preact */
import type { RefObject } from 'preact';
import { useRef } from 'preact/hooks';
import { withType } from '../model/address.js';
import { formatCount } from '../model/format.js';
import {
  compareText,
  type Listed,
  type ListView,
  PLAIN_VIEW,
  SORT_KEYS,
  type SortKey,
  typeButtons,
} from '../model/list-view.js';
import { Icon } from './icons.js';
import { SORT_NAMES } from './job-list.js';

/** So many types have a button of their own; the others are in a list. */
const MOST_BUTTONS = 5;

export interface FiltersProps {
  readonly listed: Listed;
  /** All jobs have come, and are among the counts. */
  readonly isComplete: boolean;
  /** There were finished jobs that are not among them. */
  readonly hasForgotten: boolean;
  readonly view: ListView;
  readonly search: RefObject<HTMLInputElement | null>;
  readonly onView: (change: (now: ListView) => ListView) => void;
  readonly isLarge: boolean;
  readonly onLarge: (isLarge: boolean) => void;
}

const nameOf = (type: string): string => (type === '' ? 'no type' : type);

export function Filters({
  listed,
  isComplete,
  hasForgotten,
  view,
  search,
  onView,
  isLarge,
  onLarge,
}: FiltersProps) {
  const places = useRef<readonly string[]>([]);
  const wasComplete = useRef(false);
  // Which types have the most jobs is known when all of them have come. From then on each button stays where it is.
  if (isComplete && !wasComplete.current) places.current = [];
  wasComplete.current ||= isComplete;
  places.current = typeButtons(listed.types, view.types, places.current, MOST_BUTTONS);
  const counts = new Map(listed.types);
  const others = [...counts]
    .filter(([type]) => !places.current.includes(type))
    .sort(([a], [b]) => compareText(a, b));
  const isFiltered = view.conditions.length + view.types.length > 0 || view.text !== '';
  return (
    <div class="filters" role="search" aria-label="Jobs">
      <label class="search">
        <Icon name="search" />
        <span class="hidden">Search in id, type, step, message and error</span>
        <input
          ref={search}
          type="search"
          value={view.text}
          placeholder="Search ( / )"
          maxLength={200}
          spellcheck={false}
          onInput={({ currentTarget: { value: text } }) => onView((now) => ({ ...now, text }))}
        />
      </label>
      <fieldset class="types">
        <legend class="hidden">Types</legend>
        {places.current.map((type) => (
          <button
            key={type}
            type="button"
            class="chip"
            aria-pressed={view.types.includes(type)}
            onClick={() => onView((now) => withType(now, type))}
          >
            {nameOf(type)} <span class="chip-count">{formatCount(counts.get(type) ?? 0)}</span>
          </button>
        ))}
        {others.length > 0 && (
          <select
            class="chip"
            aria-label="More types"
            value=""
            onChange={({ currentTarget }) => {
              const type = currentTarget.value.slice(1);
              currentTarget.value = '';
              onView((now) => withType(now, type));
            }}
          >
            <option value="">{others.length} more types</option>
            {others.map(([type, count]) => (
              <option key={type} value={`=${type}`}>
                {nameOf(type)} ({formatCount(count)})
              </option>
            ))}
          </select>
        )}
      </fieldset>
      <span class="filters-end">
        <label class="sort">
          <span>Sort by</span>{' '}
          <select
            value={`${view.sort.isDescending ? '-' : ''}${view.sort.key}`}
            onChange={({ currentTarget: { value } }) =>
              onView((now) => ({
                ...now,
                sort: { key: value.replace('-', '') as SortKey, isDescending: value.startsWith('-') },
              }))
            }
          >
            {SORT_KEYS.flatMap((key) => [
              <option key={key} value={key}>{`${SORT_NAMES[key]} ↑`}</option>,
              <option key={`-${key}`} value={`-${key}`}>{`${SORT_NAMES[key]} ↓`}</option>,
            ])}
          </select>
        </label>
        <span class="shown">
          {isFiltered ? `${formatCount(listed.rows.length)} of ` : ''}
          {formatCount(listed.total)} jobs
          {hasForgotten && <small>Older finished jobs are not shown</small>}
        </span>
        {isFiltered && (
          <button type="button" class="chip" onClick={() => onView(({ sort }) => ({ ...PLAIN_VIEW, sort }))}>
            Show all
          </button>
        )}
        <button
          type="button"
          class="chip"
          aria-pressed={isLarge}
          title="Large, for a screen that is far away"
          onClick={() => onLarge(!isLarge)}
        >
          <Icon name="large" />
          <span class="hidden">Large text</span>
        </button>
      </span>
    </div>
  );
}
