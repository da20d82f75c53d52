/** @jsxImportSource preact */
import { useEffect, useRef } from 'preact/hooks';
import UPlot from 'uplot';
import { formatTime, shortText } from '../model/format.js';
import type { Span, Timeline } from '../model/timeline.js';

const HEIGHT = 240;
const MINUTE = 60;
const DAY = 24 * 60 * MINUTE;

export interface TimelinePlotProps {
  readonly timeline: Timeline;
  /** Where the replay stands; null: at what is newest. */
  readonly atMs: number | null;
  readonly label: string;
  readonly onSeek: (ms: number) => void;
}

/** Progress over time; steps are bands, stalls are hatched, attempts and the time-out are lines. */
export function TimelinePlot({ timeline, atMs, label, onSeek }: TimelinePlotProps) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  // What the hooks of the plot draw, whenever they are called.
  const shown = useRef({ timeline, atMs, onSeek });
  shown.current = { timeline, atMs, onSeek };

  useEffect(() => {
    const root = element.current;
    if (root === null) return;
    const made = new UPlot(
      optionsOf(root, () => shown.current),
      dataOf(shown.current.timeline),
      root,
    );
    plot.current = made;
    const seek = (): void => {
      const left = made.cursor.left ?? -1;
      if (left >= 0) shown.current.onSeek(made.posToVal(left, 'x') * 1_000);
    };
    made.over.addEventListener('click', seek);
    const sizes = new ResizeObserver(() => {
      if (root.clientWidth !== made.width) made.setSize({ width: root.clientWidth, height: HEIGHT });
    });
    sizes.observe(root);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const redraw = (): void => made.redraw(false, true);
    scheme.addEventListener('change', redraw);
    return () => {
      scheme.removeEventListener('change', redraw);
      sizes.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => plot.current?.setData(dataOf(timeline)), [timeline]);
  useEffect(() => plot.current?.redraw(false, false), [atMs]);
  return <div class="plot" ref={element} role="img" aria-label={label} />;
}

function dataOf({ points }: Timeline): UPlot.AlignedData {
  return [points.map(([ms]) => ms / 1_000), points.map(([, percent]) => percent)];
}

interface Shown {
  readonly timeline: Timeline;
  readonly atMs: number | null;
}

function optionsOf(root: HTMLElement, shown: () => Shown): UPlot.Options {
  const color = (name: string): string => getComputedStyle(root).getPropertyValue(name).trim();
  const font = '12px system-ui, sans-serif';
  const axis = { stroke: () => color('--quiet'), font, ticks: { show: false } };
  return {
    width: root.clientWidth || 600,
    height: HEIGHT,
    legend: { show: false },
    padding: [22, 12, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: {
      x: {
        time: true,
        range: () => {
          const { span, timeoutMs } = shown().timeline;
          const to = Math.max(span.toMs, timeoutIfNear(span, timeoutMs)) / 1_000;
          const from = span.fromMs / 1_000;
          return [from, Math.max(to, from + 1)];
        },
      },
      y: { range: () => [0, 100] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 90,
        incrs: [
          1,
          2,
          5,
          10,
          15,
          30,
          ...[1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((n) => n * MINUTE),
          ...[1, 2, 7].map((n) => n * DAY),
        ],
        size: 28,
        values: (_, splits) => {
          const span = (splits.at(-1) ?? 0) - (splits[0] ?? 0);
          return splits.map((seconds) => axisTime(seconds, span));
        },
      },
      {
        ...axis,
        size: 44,
        splits: () => [0, 25, 50, 75, 100],
        grid: { stroke: () => color('--line'), width: 1 },
        values: (_, splits) => splits.map((percent) => `${percent} %`),
      },
    ],
    series: [
      {},
      {
        stroke: () => color('--accent'),
        width: 2,
        fill: () => color('--accent-faint'),
        spanGaps: false,
        ...(UPlot.paths.stepped && { paths: UPlot.paths.stepped({ align: 1 }) }),
        points: { show: (self) => (self.data[0]?.length ?? 0) < 60, size: 5 },
      },
    ],
    hooks: {
      drawClear: [(self) => drawBands(self, shown().timeline, color)],
      draw: [(self) => drawLines(self, shown(), color)],
    },
  };
}

/** A time-out that is far away would leave no room for what has happened. */
const timeoutIfNear = ({ fromMs, toMs }: Span, timeoutMs: number | null): number =>
  timeoutMs !== null && timeoutMs - toMs <= (toMs - fromMs) / 2 ? timeoutMs : toMs;

function axisTime(seconds: number, span: number): string {
  const time = formatTime(seconds * 1_000);
  if (span <= 10 * MINUTE) return time.slice(0, 8);
  if (span <= DAY) return time.slice(0, 5);
  const date = new Date(seconds * 1_000);
  return `${date.getMonth() + 1}/${date.getDate()} ${time.slice(0, 5)}`;
}

type Color = (name: string) => string;

function within(self: UPlot, draw: (context: CanvasRenderingContext2D, scale: number) => void): void {
  const { ctx: context, bbox } = self;
  context.save();
  context.beginPath();
  context.rect(bbox.left, 0, bbox.width, bbox.top + bbox.height);
  context.clip();
  draw(context, devicePixelRatio);
  context.restore();
}

const xOf = (self: UPlot, ms: number): number => self.valToPos(ms / 1_000, 'x', true);

function drawBands(self: UPlot, { steps, stalls }: Timeline, color: Color): void {
  within(self, (context, scale) => {
    const { top, height } = self.bbox;
    context.font = `${12 * scale}px system-ui, sans-serif`;
    context.textBaseline = 'middle';
    context.textAlign = 'left';
    for (const [index, { name, fromMs, toMs }] of steps.entries()) {
      const x = xOf(self, fromMs);
      const width = xOf(self, toMs) - x;
      context.fillStyle = color(index % 2 === 0 ? '--band' : '--band-other');
      context.fillRect(x, top, width, height);
      const text = shortText(name, 40);
      // A name that has no room is left to the list of steps.
      if (width < context.measureText(text).width + 10 * scale) continue;
      context.fillStyle = color('--quiet');
      context.fillText(text, x + 5 * scale, top - 10 * scale);
    }
    context.strokeStyle = color('--stalled');
    context.lineWidth = scale;
    for (const { fromMs, toMs } of stalls) {
      const x = xOf(self, fromMs);
      hatch(context, x, top, Math.max(2 * scale, xOf(self, toMs) - x), height, 7 * scale);
    }
  });
}

function hatch(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  height: number,
  step: number,
): void {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.beginPath();
  for (let at = x - height; at < x + width; at += step) {
    context.moveTo(at, y + height);
    context.lineTo(at + height, y);
  }
  context.stroke();
  context.restore();
}

function drawLines(self: UPlot, { timeline, atMs }: Shown, color: Color): void {
  within(self, (context, scale) => {
    const { top, height } = self.bbox;
    const line = (ms: number, stroke: string, dash: number[], text: string, width = 1): void => {
      const x = xOf(self, ms);
      context.strokeStyle = color(stroke);
      context.fillStyle = color(stroke);
      context.lineWidth = width * scale;
      context.setLineDash(dash.map((one) => one * scale));
      context.beginPath();
      context.moveTo(x, top);
      context.lineTo(x, top + height);
      context.stroke();
      if (text === '') return;
      context.font = `${11 * scale}px system-ui, sans-serif`;
      context.textBaseline = 'top';
      const isRight = x + context.measureText(text).width + 8 * scale > self.bbox.left + self.bbox.width;
      context.textAlign = isRight ? 'right' : 'left';
      context.fillText(text, x + (isRight ? -4 : 4) * scale, top + 4 * scale);
      context.textAlign = 'left';
    };
    for (const { attempt, fromMs } of timeline.attempts.slice(1))
      line(fromMs, '--text', [2, 3], `attempt ${attempt}`);
    if (timeline.timeoutMs !== null)
      line(timeline.timeoutMs, '--failed', [6, 4], timeline.isTimedOut ? 'timed out' : 'time-out');
    if (atMs !== null) line(atMs, '--text', [], '', 2);
  });
}
