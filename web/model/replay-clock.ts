import type { Span } from './timeline.js';

export const SLOWEST = 0.1;
export const FASTEST = 100_000;

/** Where a replay stands. Replaced, never changed. */
export interface ReplayClock {
  readonly atMs: number;
  /** How many seconds of the job pass in one of the viewer's. */
  readonly speed: number;
  readonly isPlaying: boolean;
}

/** The same a while later; it stops at the end. */
export function advance(clock: ReplayClock, elapsedMs: number, { toMs }: Span): ReplayClock {
  if (!clock.isPlaying) return clock;
  // A tab that was away comes back where it was: nobody has seen what lies between.
  const atMs = clock.atMs + Math.min(Math.max(0, elapsedMs), 250) * clock.speed;
  return atMs >= toMs ? { ...clock, atMs: toMs, isPlaying: false } : { ...clock, atMs };
}

/** Plays on, or from the beginning where it stands at the end. */
export const play = (clock: ReplayClock, { fromMs, toMs }: Span): ReplayClock => ({
  ...clock,
  atMs: clock.atMs >= toMs ? fromMs : clock.atMs,
  isPlaying: true,
});

export const seek = (clock: ReplayClock, ms: number, { fromMs, toMs }: Span): ReplayClock => ({
  ...clock,
  atMs: Math.min(Math.max(ms, fromMs), toMs),
});

/** @param speed whatever was typed; what is no speed leaves the one that was */
export const withSpeed = (clock: ReplayClock, speed: number): ReplayClock =>
  Number.isFinite(speed) && speed > 0
    ? { ...clock, speed: Math.min(FASTEST, Math.max(SLOWEST, speed)) }
    : clock;

/** The speed at which the whole of it takes about ten seconds: 1, 2 or 5 times a power of ten. */
export function fittingSpeed({ fromMs, toMs }: Span): number {
  const wanted = Math.max(1, (toMs - fromMs) / 10_000);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].find((one) => one * power >= wanted) ?? 10;
  return Math.min(FASTEST, step * power);
}
