import { useEffect, useState } from 'preact/hooks';
import type { ProgressUpdate } from '../../sdk/client/index.js';
import type { Place } from '../model/address.js';
import { advance, fittingSpeed, play, type ReplayClock, seek, withSpeed } from '../model/replay-clock.js';
import { indexAt, type Timeline } from '../model/timeline.js';

export type JobPlace = Extract<Place, { kind: 'job' }>;

/** Which event is looked at, and what moves that. */
export function useReplay(
  events: readonly ProgressUpdate[],
  { timesMs }: Timeline,
  place: JobPlace,
  onPlace: (place: JobPlace, how: 'replace') => void,
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
