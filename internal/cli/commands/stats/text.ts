import { bytes, count, plural } from '../../../formatting.js';
import { showAge, showDuration } from '../../flags/durations.js';
import { dim } from '../../output/cells.js';
import type { Colorize } from '../../output/color.js';
import type { Column } from '../../output/layout.js';
import { type Cell, type Pair, pairLines, tableLines } from '../../output/table.js';
import type { Durations, JobFigures, Rates, ScanFigures, Stats, StreamFigures } from './counts.js';

const TYPES_SHOWN = 20;

const INDENT = '  ';

export interface StatsStyle {
  readonly paint: Colorize;
  /** ms since 1970, by the server's clock. */
  readonly now: number;
  /** No line is wider; Infinity where nothing needs to fit. */
  readonly width: number;
  /** All types are shown. */
  readonly isWide: boolean;
}

/** Figures for people. */
export function describeStats(stats: Stats, style: StatsStyle): string[] {
  const { paint, now, width } = style;
  const title = (text: string): string => paint('bold', text);
  const pairs = (list: readonly Pair[]): string[] =>
    pairLines(list, { paint, nameWidth: 9, width: width - INDENT.length }).map((line) => INDENT + line);
  return [
    title(`Stream ${stats.stream.name}`),
    ...pairs([...streamPairs(stats.stream, now), ratesPair(stats.events_per_minute)]),
    '',
    title('Jobs'),
    ...pairs(jobPairs(stats.jobs)),
    ...typeLines(stats.jobs, style),
    ...(stats.scan === undefined ? [] : ['', title('Scan'), ...pairs(scanPairs(stats.scan))]),
  ];
}

function streamPairs(stream: StreamFigures, now: number): Pair[] {
  const { messages, bytes: size, deleted, first_seq, last_seq, first_stored_at, last_stored_at } = stream;
  const gone = deleted === 0 ? '' : `, ${count(deleted)} gone between the first and the last`;
  return [
    ['Holds', `${plural(messages, 'message')}, ${bytes(size)}${gone}`],
    ['First', place(first_seq, first_stored_at, now)],
    ['Last', place(last_seq, last_stored_at, now)],
    [
      'Made',
      `${stream.created}; ${plural(stream.replicas, 'replica')}, ${plural(stream.consumers, 'consumer')}`,
    ],
  ];
}

const ratesPair = ({ last_1, last_5, last_15, last_60 }: Rates): Pair => [
  'Events',
  `a minute: ${count(last_1)} in the last, ${count(last_5)} over 5, ${count(last_15)} over 15, ${count(last_60)} over 60`,
];

function place(seq: number, storedAt: string | null, now: number): string {
  if (storedAt === null) return 'none';
  return `seq ${seq}, stored ${showAge(now - Date.parse(storedAt))} ago, ${storedAt}`;
}

function jobPairs({ total, finished, unfinished, by_status }: JobFigures): Pair[] {
  const statuses = Object.entries(by_status).map(([status, jobs]) => `${count(jobs)} ${status}`);
  return [
    ['Kept', `${plural(total, 'job')}: ${count(unfinished)} unfinished, ${count(finished)} finished`],
    ['Status', statuses.join(', ')],
  ];
}

function typeLines({ by_type }: JobFigures, { paint, width, isWide }: StatsStyle): string[] {
  if (by_type.length === 0) return [];
  const columns: Column[] = [
    { title: 'TYPE', least: 4 },
    ...['JOBS', 'PROCESSING', 'COMPLETED', 'ERROR', 'RETRYING'].map(
      (title): Column => ({
        title,
        align: 'right',
      }),
    ),
  ];
  const rows = by_type
    .slice(0, isWide ? by_type.length : TYPES_SHOWN)
    .map(({ job_type, total, processing, completed, error, retrying }): Cell[] => [
      { text: job_type ?? '-' },
      ...[total, processing, completed, error, retrying].map((value) => ({ text: count(value) })),
    ]);
  const more = by_type.length - rows.length;
  return [
    ...tableLines(columns, rows, width - INDENT.length, dim(paint)).map((line) => INDENT + line),
    ...(more > 0 ? [`${INDENT}and ${plural(more, 'other type')}; -o wide has all of them`] : []),
  ];
}

function scanPairs({ messages, valid, invalid, invalid_by_reason, durations }: ScanFigures): Pair[] {
  const reasons = Object.entries(invalid_by_reason).map(([reason, times]) => `${count(times)} ${reason}`);
  return [
    ['Read', `${plural(messages, 'message')}: ${plural(valid, 'valid event')}, ${count(invalid)} invalid`],
    ...(reasons.length > 0 ? [['Invalid', reasons.join(', ')] as const] : []),
    ['Took', durationText(durations)],
  ];
}

function durationText({ jobs, cut, p50_ms, p95_ms, longest_ms }: Durations): string {
  const left = cut === 0 ? '' : `; ${plural(cut, 'other')} whose first events are not kept any more`;
  if (p50_ms === null || p95_ms === null || longest_ms === null) return `no finished job to measure${left}`;
  return (
    `of ${plural(jobs, 'finished job')} half at most ${showDuration(p50_ms)}, 95% at most ${showDuration(p95_ms)}, ` +
    `the longest ${showDuration(longest_ms)}, from the first stored event to the last${left}`
  );
}
