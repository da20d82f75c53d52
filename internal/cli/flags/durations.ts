import { InvalidArgumentError } from 'commander';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const PART = /(\d{1,9})(ms|[smhd])/g;
const DURATION = /^(?:\d{1,9}(?:ms|[smhd]))+$/;
const MAX_DAYS = 366;

/** The milliseconds of a text such as 500ms, 90s, 15m, 1h30m or 7d; null when it is none. */
export function parseDuration(text: string): number | null {
  if (!DURATION.test(text)) return null;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(PART)) sum += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
  return sum;
}

/**
 * For an option's `argParser`: a duration of more than zero and at most 366 days, in ms.
 * @throws InvalidArgumentError
 */
export function durationOption(text: string): number {
  const ms = parseDuration(text);
  if (ms !== null && ms > 0 && ms <= MAX_DAYS * 86_400_000) return ms;
  throw new InvalidArgumentError(
    'Expected a number with s, m, h or d, such as 90s, 15m, 1h30m or 7d; at most 366d.',
  );
}

/** The same in whole seconds. @throws InvalidArgumentError */
export function secondsOption(text: string): number {
  const ms = durationOption(text);
  if (ms % 1_000 === 0) return ms / 1_000;
  throw new InvalidArgumentError('Expected a number with s, m, h or d: whole seconds.');
}

/** A length of time for people, in at most two units: "250ms", "4.2s", "59s", "3m05s", "5h03m", "3d4h". */
export function showDuration(ms: number): string {
  if (ms < 0) return `-${showDuration(-ms)}`;
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1_440) return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)}d${hours % 24}h`;
}

/** How long ago something was, as tables show it: "12s", "3m", "5h", "6d". What lies ahead is "0s". */
export function showAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

const two = (value: number): string => String(value).padStart(2, '0');
