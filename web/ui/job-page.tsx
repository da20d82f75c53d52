/** @jsxImportSource preact */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Continuity, ProgressUpdate } from '../../sdk/client/index.js';
import { formatPlace, type Place } from '../model/address.js';
import { formatCount, formatDate, formatDuration, formatTime, shortText } from '../model/format.js';
import { CONDITION_NAMES, conditionOf, type JobCondition, timeOf } from '../model/job-row.js';
import { advance, fittingSpeed, play, type ReplayClock, seek, withSpeed } from '../model/replay-clock.js';
import { indexAt, type Timeline, timelineOf, type Wholeness, wholenessOf } from '../model/timeline.js';
import { JobStore, MOST_EVENTS } from '../store/job-store.js';
import type { Session } from '../store/session.js';
import { useStore } from '../store/store.js';
import { Bar } from './bar.js';
import { CopyButton } from './copy-button.js';
import { EventDetails } from './event-details.js';
import { EventList } from './event-list.js';
import { ConditionIcon, Icon } from './icons.js';
import { ReplayBar } from './replay-bar.js';
import { TimelinePlot } from './timeline-plot.js';

type JobPlace = Extract<Place, { kind: 'job' }>;

export interface JobPageProps {
  readonly session: Session;
  readonly place: JobPlace;
  /** Where the list is. */
  readonly listHash: string;
  readonly nowMs: number;
  readonly onPlace: (place: Place, how: 'push' | 'replace') => void;
}

export function JobPage({ session, place, listHash, nowMs, onPlace }: JobPageProps) {
  const [store] = useState(() => new JobStore(session.client, place.id));
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    return () => store.close();
  }, [store]);
  useStore(store);
  const { events, snapshot } = store;
  const second = Math.floor(nowMs / 1_000) * 1_000;
  const { stalled } = snapshot;
  const [stalledSinceMs, setStalledSince] = useState<number | null>(null);
  useEffect(() => setStalledSince(stalled === null ? null : Date.now()), [stalled]);
  // What has ended is as long as it is.
  const clockMs = snapshot.isEnded ? 0 : second;
  const timeline = useMemo(
    () => timelineOf(events, clockMs, stalledSinceMs),
    [events, clockMs, stalledSinceMs],
  );
  const replay = useReplay(events, timeline, place, onPlace);
  const event = events[replay.shown];
  const isPast = !replay.isLive;
  return (
    <main class="job-page">
      <div class="job-top">
        <a class="chip back" href={listHash}>
          <Icon name="back" /> All jobs
        </a>
        <h1 class="mono" ref={heading} tabIndex={-1}>
          {place.id}
        </h1>
        <CopyButton text={() => linkTo(place, isPast ? (event?.seq ?? null) : null)}>
          {isPast ? 'Copy link to this event' : 'Copy link'}
        </CopyButton>
      </div>
      {snapshot.error !== null && <p class="notice error-text">{snapshot.error.message}</p>}
      {event === undefined ? (
        <NoEvents store={store} />
      ) : (
        <>
          <JobState
            event={event}
            condition={conditionAt(event, timeline, replay.clock.atMs, replay.isLive && stalled !== null)}
            timeline={timeline}
            isPast={isPast}
            nowMs={nowMs}
          />
          <section class="panel-box" aria-label="Timeline">
            <TimelinePlot
              timeline={timeline}
              atMs={isPast ? replay.clock.atMs : null}
              label={plotLabel(timeline, events)}
              onSeek={replay.seekAndStay}
            />
            <ReplayBar
              span={replay.span}
              clock={replay.clock}
              isLive={replay.isLive}
              text={`Event ${replay.shown + 1} of ${formatCount(events.length)}, ${formatTime(replay.clock.atMs)}`}
              onPlay={replay.setPlaying}
              onSeek={replay.seek}
              onSeekEnd={replay.stay}
              onStep={(by) => replay.show(replay.shown + by)}
              onSpeed={replay.setSpeed}
              onLive={replay.live}
            />
            <Steps timeline={timeline} />
          </section>
          <Continuities store={store} />
          {place.seq !== null && replay.isMissing && (
            <p class="notice">
              Event {place.seq} is not kept any more, or is none of this job. The one before it is shown.
            </p>
          )}
          <div class="job-columns">
            <EventList events={events} shown={replay.shown} onShow={replay.show} />
            <EventDetails event={event} />
          </div>
        </>
      )}
    </main>
  );
}

const linkTo = (place: JobPlace, seq: number | null): string =>
  new URL(formatPlace({ ...place, seq, isLarge: false }), location.href).href;

/** Which event is looked at, and what moves that. */
function useReplay(
  events: readonly ProgressUpdate[],
  { timesMs }: Timeline,
  place: JobPlace,
  onPlace: JobPageProps['onPlace'],
) {
  const span = { fromMs: timesMs[0] ?? 0, toMs: timesMs.at(-1) ?? 0 };
  /** While it is played or dragged; null: the address says where it stands. */
  const [moving, setMoving] = useState<ReplayClock | null>(null);
  const [speed, setSpeed] = useState<number | null>(null);
  const last = events.length - 1;
  const wanted =
    place.seq === null
      ? last
      : Math.max(
          0,
          indexAt(
            events.map(({ seq }) => seq),
            place.seq,
          ),
        );
  const shown = moving === null ? wanted : Math.max(0, indexAt(timesMs, moving.atMs));
  const clock: ReplayClock = {
    isPlaying: false,
    ...moving,
    atMs: moving?.atMs ?? timesMs[wanted] ?? span.toMs,
    speed: moving?.speed ?? speed ?? fittingSpeed(span),
  };
  const show = (index: number): void => {
    const event = events[Math.min(last, Math.max(0, index))];
    setMoving(null);
    if (event !== undefined) onPlace({ ...place, seq: event.seq }, 'replace');
  };
  const stay = (ms: number): void => {
    const event = events[Math.max(0, indexAt(timesMs, ms))];
    setMoving({ ...seek(clock, ms, span), isPlaying: false });
    if (event !== undefined) onPlace({ ...place, seq: event.seq }, 'replace');
  };
  // Somebody went back, or opened a link.
  useEffect(() => {
    if (moving !== null && !moving.isPlaying && place.seq !== events[shown]?.seq) setMoving(null);
  }, [place.seq]);
  const isPlaying = moving?.isPlaying === true;
  useEffect(() => {
    if (!isPlaying) return;
    let before = performance.now();
    let frame = requestAnimationFrame(function step(now) {
      setMoving((it) => it && advance(it, now - before, span));
      before = now;
      frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  }, [isPlaying, span.fromMs, span.toMs]);
  // It has come to the end by itself, or was pulled there.
  const hasEnded = moving !== null && !isPlaying && moving.atMs >= span.toMs;
  useEffect(() => {
    if (hasEnded) show(last);
  }, [hasEnded]);
  return {
    span,
    clock,
    shown,
    isLive: place.seq === null && moving === null,
    isMissing: moving === null && place.seq !== null && events[shown]?.seq !== place.seq,
    show,
    /** The address holds the event; between two of them it stays where it is. */
    stay,
    seek: (ms: number) => setMoving({ ...seek(clock, ms, span), isPlaying: false }),
    seekAndStay: (ms: number) => show(Math.max(0, indexAt(timesMs, ms))),
    setPlaying: (isWanted: boolean) => (isWanted ? setMoving(play(clock, span)) : stay(clock.atMs)),
    setSpeed: (value: number) => {
      const next = withSpeed(clock, value).speed;
      setSpeed(next);
      setMoving((it) => it && { ...it, speed: next });
    },
    live: () => {
      setMoving(null);
      onPlace({ ...place, seq: null }, 'replace');
    },
  };
}

function conditionAt(
  event: ProgressUpdate,
  { stalls }: Timeline,
  atMs: number,
  isStalled: boolean,
): JobCondition {
  const wasStalled = stalls.some(({ fromMs, toMs }) => atMs >= fromMs && atMs < toMs);
  return conditionOf(event, isStalled || wasStalled);
}

interface JobStateProps {
  readonly event: ProgressUpdate;
  readonly condition: JobCondition;
  readonly timeline: Timeline;
  readonly isPast: boolean;
  readonly nowMs: number;
}

function JobState({ event, condition, timeline, isPast, nowMs }: JobStateProps) {
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
          attempt <strong>{event.attempt ?? timeline.attempts.at(-1)?.attempt ?? 1}</strong>
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
            {timeline.isTimedOut ? 'timed out ' : 'times out '}
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

function Continuities({ store }: { readonly store: JobStore }) {
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
function Steps({ timeline }: { readonly timeline: Timeline }) {
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

function plotLabel({ span, steps, attempts, stalls }: Timeline, events: readonly ProgressUpdate[]): string {
  const last = events.at(-1);
  return (
    `Progress over ${formatDuration(span.toMs - span.fromMs)}: ${formatCount(events.length)} events, ` +
    `${attempts.length} ${attempts.length === 1 ? 'attempt' : 'attempts'}, ${steps.length} steps, ` +
    `${stalls.length} stalls, now at ${Math.floor(last?.progress ?? 0)} percent`
  );
}

function NoEvents({ store }: { readonly store: JobStore }) {
  const { history } = store;
  return (
    <section class="empty" aria-busy={history.kind === 'loading'}>
      <h2>{history.kind === 'loading' ? 'Reading the history' : 'Nothing is known of this job'}</h2>
      <p>
        {history.kind === 'failed'
          ? history.error.message
          : 'It has no event, or none is kept any more. As soon as one comes, it is shown here.'}
      </p>
    </section>
  );
}
