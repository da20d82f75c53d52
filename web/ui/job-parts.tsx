/** @jsxImportSource preact */
import { useMemo } from 'preact/hooks';
import type { Continuity, ProgressUpdate } from '../../sdk/client/index.js';
import { formatCount, formatDate, formatDuration, shortText } from '../model/format.js';
import { CONDITION_NAMES, type JobCondition, timeOf } from '../model/job-row.js';
import { type Timeline, type Wholeness, wholenessOf } from '../model/timeline.js';
import { type JobStore, MOST_EVENTS } from '../store/job-store.js';
import { Bar } from './bar.js';
import { ConditionIcon } from './icons.js';

interface JobStateProps {
  readonly event: ProgressUpdate;
  readonly condition: JobCondition;
  readonly attempt: number;
  readonly timeline: Timeline;
  readonly isPast: boolean;
  readonly nowMs: number;
}

/** What the job says of itself, now or at the event that is looked at. */
export function JobState({ event, condition, attempt, timeline, isPast, nowMs }: JobStateProps) {
  const { step, message, error } = event;
  const isUnknown = event.indeterminate === true && event.status === 'processing';
  const eta = event.eta_seconds;
  const text = [step?.name, error?.message ?? message].filter(Boolean).join(' · ');
  return (
    <section class={`job-state row-${condition}`} aria-label={isPast ? 'State then' : 'State'}>
      <p class="job-condition">
        <ConditionIcon condition={condition} /> <strong>{CONDITION_NAMES[condition]}</strong>
        {isPast && <span class="past">as it was at {formatDate(timeOf(event))}</span>}
      </p>
      <Bar percent={isUnknown ? null : event.progress} condition={condition} label="Progress" />
      <p class="job-text" dir="auto">
        {shortText(text, 600)}
      </p>
      <ul class="job-facts">
        {event.job_type !== undefined && (
          <li>
            type <strong>{event.job_type}</strong>
          </li>
        )}
        <li>
          attempt <strong>{attempt}</strong>
        </li>
        <li>
          first kept event <strong>{formatDate(timeline.span.fromMs)}</strong>
        </li>
        <li>
          took{' '}
          <strong>
            {formatDuration((isPast ? timeOf(event) : timeline.span.toMs) - timeline.span.fromMs)}
          </strong>
        </li>
        {!isPast && (
          <li>
            age <strong>{formatDuration(nowMs - timeOf(event))}</strong>
          </li>
        )}
        {!isPast && eta !== undefined && condition === 'running' && (
          <li>
            time left <strong>{formatDuration(timeOf(event) + eta * 1_000 - nowMs)}</strong>
          </li>
        )}
        {!isPast && timeline.timeoutMs !== null && (
          <li>
            {timeline.isTimedOut ? 'timed out ' : 'times out, if it stays silent, '}
            <strong>
              {timeline.isTimedOut
                ? formatDate(timeline.timeoutMs)
                : `in ${formatDuration(timeline.timeoutMs - nowMs)}`}
            </strong>
          </li>
        )}
      </ul>
    </section>
  );
}

const WHOLENESS: Readonly<Record<Exclude<Wholeness['kind'], 'gap'>, string>> = {
  empty: 'no event is stored',
  whole: 'complete: every event since the first is here',
  truncated: 'the beginning is not kept any more; from there on every event is here',
  unknown: 'your token does not open enough to prove that nothing is missing',
};

function continuityText(continuity: Continuity, isEnded: boolean): string {
  switch (continuity.kind) {
    case 'proven':
      return 'proven: nothing was missed since this page follows the job';
    case 'reset':
      return `reset (${continuity.reason}): the history was read anew`;
    case 'unknown':
      return isEnded ? 'the job had ended before' : 'nothing new has come yet';
  }
}

/** Whether anything is missing, of what is stored and of what came since. */
export function Continuities({ store }: { readonly store: JobStore }) {
  const { history, events, snapshot } = store;
  const wholeness = useMemo(() => wholenessOf(events), [events]);
  const stored =
    wholeness.kind === 'gap'
      ? `something is missing after event ${wholeness.afterSeq}`
      : WHOLENESS[wholeness.kind];
  return (
    <p class="continuity">
      {history.kind === 'loading' && <span role="status">Reading the history…</span>}
      {history.kind === 'failed' && (
        <span class="error-text">
          The history cannot be read: {history.error.message}{' '}
          <button type="button" class="chip" onClick={() => void store.load()}>
            Try again
          </button>
        </span>
      )}
      {history.kind === 'loaded' && (
        <span>
          <strong>History</strong>{' '}
          {history.isCut ? `the first ${formatCount(MOST_EVENTS)} events are shown` : stored}.
        </span>
      )}
      <span>
        <strong>Live</strong> {continuityText(snapshot.continuity, snapshot.isEnded)}.
      </span>
      {store.cursor !== null && <span class="quiet mono">cursor {store.cursor}</span>}
    </p>
  );
}

/** The same as the bands, for those who do not see them or whose names have no room there. */
export function Steps({ timeline }: { readonly timeline: Timeline }) {
  const { steps, stalls } = timeline;
  const MOST = 12;
  if (steps.length + stalls.length === 0) return null;
  const stalledMs = stalls.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
  return (
    <ol class="steps" aria-label="Steps">
      {steps.length > MOST && <li class="quiet">{steps.length - MOST} steps before</li>}
      {steps.slice(-MOST).map(({ name, fromMs, toMs }) => (
        <li key={fromMs}>
          {shortText(name, 60)} <span class="quiet">{formatDuration(toMs - fromMs)}</span>
        </li>
      ))}
      {stalls.length > 0 && (
        <li class="stalled-text">
          <ConditionIcon condition="stalled" /> silent{' '}
          {stalls.length === 1 ? 'once' : `${stalls.length} times`}, {formatDuration(stalledMs)} too long
        </li>
      )}
    </ol>
  );
}

/** What the plot shows, for those who do not see it. */
export function plotLabel(
  { span, steps, attempts, stalls }: Timeline,
  events: readonly ProgressUpdate[],
): string {
  const last = events.at(-1);
  return (
    `Progress over ${formatDuration(span.toMs - span.fromMs)}: ${formatCount(events.length)} events, ` +
    `${attempts.length} ${attempts.length === 1 ? 'attempt' : 'attempts'}, ${steps.length} steps, ` +
    `${stalls.length} stalls, now at ${Math.floor(last?.progress ?? 0)} percent`
  );
}
