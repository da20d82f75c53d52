const counts = new Intl.NumberFormat('en');
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const formatCount = (value: number): string => counts.format(value);

/** 0.4, 12, 1,204. */
export const formatRate = (value: number): string =>
  value > 0 && value < 10 ? value.toFixed(1) : counts.format(Math.round(value));

/** 99.9 is not 100 yet. */
export const formatPercent = (percent: number): string => `${Math.floor(percent)} %`;

/** `4 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`. Below zero is none. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  const of = (large: number, largeName: string, small: number, smallName: string): string => {
    const rest = Math.floor((seconds % large) / small);
    return `${counts.format(Math.floor(seconds / large))} ${largeName}${rest === 0 ? '' : ` ${rest} ${smallName}`}`;
  };
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return of(MINUTE, 'min', 1, 's');
  return seconds < DAY ? of(HOUR, 'h', MINUTE, 'min') : of(DAY, 'd', HOUR, 'h');
}

/** The same with its greatest unit alone. */
export const formatShortly = (ms: number): string => formatDuration(ms).split(' ').slice(0, 2).join(' ');

const pad = (value: number, width = 2): string => String(value).padStart(width, '0');

/** `14:03:07.250`, in the time of this machine. */
export function formatTime(ms: number): string {
  const date = new Date(ms);
  const { hours, minutes, seconds } = {
    hours: pad(date.getHours()),
    minutes: pad(date.getMinutes()),
    seconds: pad(date.getSeconds()),
  };
  return `${hours}:${minutes}:${seconds}.${pad(date.getMilliseconds(), 3)}`;
}

/** `2026-11-30 14:03:07`, in the time of this machine. */
export function formatDate(ms: number): string {
  const date = new Date(ms);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${formatTime(ms).slice(0, 8)}`;
}

// Controls, and the format characters that turn text round, hide it, or join it to what stands beside it. The last ones
// are letters that nobody sees.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u{115f}\u{1160}\u{3164}\u{ffa0}]|\u{34f}/gu;
/** More marks on one letter than any language has: they reach over the lines above and below. */
const PILED_MARKS = /(\p{M}{4})\p{M}+/gu;

/**
 * A worker's words as they can be shown to somebody: what turns text round or hides is written out, as `\u202e`.
 * @param lines keeps line ends and tabs
 */
export function visibleText(text: string, { lines = false } = {}): string {
  return text
    .replace(INVISIBLE, (character) => {
      if (lines && (character === '\n' || character === '\t')) return character;
      // Between emoji, and in Persian and in Indian scripts, these two are part of the spelling.
      if (character === '\u200d' || character === '\u200c') return character;
      const code = (character.codePointAt(0) ?? 0).toString(16);
      return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`;
    })
    .replace(PILED_MARKS, '$1');
}

/** The beginning of a text, on one line. */
export function shortText(text: string, most = 200): string {
  const piece = visibleText(text.slice(0, most + 1).replace(/\s+/g, ' '));
  return text.length > most ? `${piece.slice(0, most)}…` : piece;
}
