/** @jsxImportSource preact */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ProgressUpdate } from '../../sdk/client/index.js';
import { formatPlace, type Place } from '../model/address.js';
import { formatCount, formatTime } from '../model/format.js';
import { conditionOf, type JobCondition } from '../model/job-row.js';
import { attemptAt, type Timeline, timelineOf } from '../model/timeline.js';
import { JobStore } from '../store/job-store.js';
import type { Session } from '../store/session.js';
import { useStore } from '../store/store.js';
import { CopyButton } from './copy-button.js';
import { EventDetails } from './event-details.js';
import { EventList } from './event-list.js';
import { Icon } from './icons.js';
import { Continuities, JobState, plotLabel, Steps } from './job-parts.js';
import { ReplayBar } from './replay-bar.js';
import { TimelinePlot } from './timeline-plot.js';
import { type JobPlace, useReplay } from './use-replay.js';

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
  const stalled = session.isAliveAgain(place.id) ? null : snapshot.stalled;
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
            attempt={attemptAt(events, replay.shown)}
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
          {/* While the history is read it may be under way. */}
          {place.seq !== null && replay.isMissing && store.history.kind === 'loaded' && (
            <p class="notice">
              Event {place.seq} is not kept any more, or is none of this job.{' '}
              {event.seq < place.seq ? 'The one before it is shown' : 'The first one that is kept is shown'}.
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

function conditionAt(
  event: ProgressUpdate,
  { stalls }: Timeline,
  atMs: number,
  isStalled: boolean,
): JobCondition {
  const wasStalled = stalls.some(({ fromMs, toMs }) => atMs >= fromMs && atMs < toMs);
  return conditionOf(event, isStalled || wasStalled);
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
