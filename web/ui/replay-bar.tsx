/** @jsxImportSource preact */
import type { ReplayClock } from '../model/replay-clock.js';
import { FASTEST, SLOWEST } from '../model/replay-clock.js';
import type { Span } from '../model/timeline.js';
import { Icon } from './icons.js';

const SPEEDS = [1, 2, 5, 10, 60, 600, 3_600];

export interface ReplayBarProps {
  readonly span: Span;
  readonly clock: ReplayClock;
  readonly isLive: boolean;
  /** What is looked at, in words. */
  readonly text: string;
  readonly onPlay: (isPlaying: boolean) => void;
  readonly onSeek: (ms: number) => void;
  /** The hand is off: it stays there. */
  readonly onSeekEnd: (ms: number) => void;
  readonly onStep: (by: 1 | -1) => void;
  readonly onSpeed: (speed: number) => void;
  readonly onLive: () => void;
}

/** Shows the job as it was, at any time and at any speed. */
export function ReplayBar(props: ReplayBarProps) {
  const { span, clock, isLive, text } = props;
  const lengthMs = Math.max(1, span.toMs - span.fromMs);
  return (
    <section class="replay" aria-label="Replay">
      <button
        type="button"
        class="chip"
        aria-label={clock.isPlaying ? 'Pause' : 'Play'}
        onClick={() => props.onPlay(!clock.isPlaying)}
      >
        <Icon name={clock.isPlaying ? 'pause' : 'play'} />
      </button>
      <button type="button" class="chip" aria-label="Previous event" onClick={() => props.onStep(-1)}>
        ‹
      </button>
      <input
        type="range"
        aria-label="Time"
        aria-valuetext={text}
        min={0}
        max={lengthMs}
        step={Math.max(1, Math.floor(lengthMs / 500))}
        value={clock.atMs - span.fromMs}
        onInput={({ currentTarget }) => props.onSeek(span.fromMs + Number(currentTarget.value))}
        onChange={({ currentTarget }) => props.onSeekEnd(span.fromMs + Number(currentTarget.value))}
      />
      <button type="button" class="chip" aria-label="Next event" onClick={() => props.onStep(1)}>
        ›
      </button>
      <label class="speed">
        <span>Speed</span>
        <input
          type="number"
          list="speeds"
          min={SLOWEST}
          max={FASTEST}
          step="any"
          value={clock.speed}
          onChange={({ currentTarget }) => props.onSpeed(Number(currentTarget.value))}
        />
        <span aria-hidden="true">×</span>
        <datalist id="speeds">
          {SPEEDS.map((speed) => (
            <option key={speed} value={speed} />
          ))}
        </datalist>
      </label>
      <button type="button" class="chip" aria-pressed={isLive} onClick={() => props.onLive()}>
        Newest
      </button>
      <span class="replay-text">{text}</span>
    </section>
  );
}
