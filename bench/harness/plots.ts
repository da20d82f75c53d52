/** The plots of docs/performance.md, as SVG. ECharts writes it by itself, without a browser. */

import type { CustomSeriesRenderItemAPI, CustomSeriesRenderItemParams } from 'echarts';
import { BarChart, CustomChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { hasPeers, nameOf } from './document.js';
import { figure } from './report.js';
import type { Results } from './results.js';
import type { Measure } from './scenario.js';
import { ratiosTo, type Spread, spreadOf } from './turns.js';

use([BarChart, CustomChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

interface Bar {
  readonly label: string;
  readonly spread: Spread;
  readonly isOurs: boolean;
  /** Where the aim is. */
  readonly aim?: number;
}

const OURS = '#0969da';
const OTHERS = '#8c959f';
const AIM = '#cf222e';
const INK = '#1f2328';
const WIDTH = 860;
const BAR = 26;

/** Horizontal bars, each with a line from its least to its most. */
function barsOf(title: string, unit: string, bars: readonly Bar[]): string {
  const height = 110 + bars.length * BAR;
  const longest = Math.max(...bars.map(({ label }) => label.length));
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: 'sans-serif' },
    title: { text: title, left: 12, top: 8, textStyle: { fontSize: 14 } },
    grid: { left: 8 + 7 * longest, right: 80, top: 44, bottom: 48 },
    xAxis: { type: 'value', name: unit, nameLocation: 'middle', nameGap: 28 },
    yAxis: {
      type: 'category',
      inverse: true,
      data: bars.map(({ label }) => label),
      axisLabel: { interval: 0 },
      axisTick: { show: false },
    },
    series: [
      {
        type: 'bar',
        barWidth: 14,
        data: bars.map(({ spread, isOurs }) => ({
          value: spread.median,
          itemStyle: { color: isOurs ? OURS : OTHERS },
        })),
      },
      {
        type: 'custom',
        renderItem: (_params: CustomSeriesRenderItemParams, api: CustomSeriesRenderItemAPI) => {
          const at = (value: number): number[] => api.coord([value, api.value(2)]);
          const [[left = 0, y = 0], [right = 0]] = [at(Number(api.value(0))), at(Number(api.value(1)))];
          const bar = bars[Number(api.value(2))];
          const [aimX = 0] = bar?.aim === undefined ? [] : at(bar.aim);
          return {
            type: 'group',
            children: [
              {
                type: 'line',
                shape: { x1: left, y1: y, x2: right, y2: y },
                style: { stroke: INK, lineWidth: 1.5 },
              },
              {
                type: 'line',
                ignore: bar?.aim === undefined,
                shape: { x1: aimX, y1: y - BAR / 2, x2: aimX, y2: y + BAR / 2 },
                style: { stroke: AIM, lineWidth: 2 },
              },
              {
                type: 'text',
                style: {
                  text: figure(bar?.spread.median ?? Number.NaN),
                  x: Math.max(right, aimX) + 6,
                  y,
                  verticalAlign: 'middle',
                  fill: INK,
                  fontSize: 12,
                },
              },
            ],
          };
        },
        data: bars.map(({ spread }, index) => [spread.min, spread.max, index]),
        encode: { x: [0, 1], y: 2 },
        z: 3,
      },
    ],
  });
  const svg = chart
    .renderToSVGString()
    // Styles for a pointer, numbered through the whole process: without them the same figures are the same file.
    .replace(/<style ?>.*?<\/style>\n?/s, '')
    .replaceAll(/ class="[^"]*"/g, '')
    .replace('>\n', `>\n<title>${title}</title>\n`);
  chart.dispose();
  return `${svg}\n`;
}

const ORDER = ['headway', 'limit', 'ws', 'socket-io', 'centrifugo'];

function peersOf(measure: Measure): string {
  const bars = ORDER.filter((name) => measure.samples[name] !== undefined).map((name) => ({
    label: nameOf(name).replaceAll('`', ''),
    spread: spreadOf(measure.samples[name] ?? []),
    isOurs: name === 'headway',
  }));
  return barsOf(measure.what, measure.unit, bars);
}

/** Where the same was measured in several units, each bar says which: "60,000 events that wait (µs)". */
function labelOf({ what, unit }: Measure, all: readonly Measure[]): string {
  const isAlone = all.filter((one) => one.what === what).length === 1;
  return isAlone ? what : `${what} (${unit.split(/ of | until | for |,/)[0]})`;
}

function ratiosOf(measures: readonly Measure[]): string {
  const bars = measures.map((measure) => ({
    label: labelOf(measure, measures),
    spread: ratiosTo(
      measure.samples[measure.base] ?? [],
      measure.samples[measure.subject ?? 'headway'] ?? [],
    ),
    isOurs: true,
    ...(measure.aim && { aim: Object.values(measure.aim)[0] }),
  }));
  return barsOf('Everything as a ratio to what it is compared with. Red: the aim', 'times', bars);
}

/** By the name of the file. */
export function plotsOf({ scenarios }: Results): Readonly<Record<string, string>> {
  const measures = Object.values(scenarios).flatMap((one) => one.measures);
  return {
    'ratios.svg': ratiosOf(measures),
    ...Object.fromEntries(measures.filter(hasPeers).map((one) => [`${one.id}.svg`, peersOf(one)])),
  };
}
