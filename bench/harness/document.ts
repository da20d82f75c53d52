/** docs/performance.md: the part of it that is made of results. */
import { aimText, figure, isHeld } from './report.js';
import type { Results } from './results.js';
import type { Measure } from './scenario.js';
import { ratiosTo, type Spread, spreadOf } from './turns.js';

const BEGIN = '<!-- measured: written by `make bench OPTIONS=--write` -->';
const END = '<!-- end of what was measured -->';

/** The servers that are told beside Headway, in this order. */
const PEERS = ['limit', 'ws', 'socket-io', 'centrifugo'] as const;
const NAMES: Readonly<Record<string, string>> = {
  headway: 'Headway',
  limit: 'the limit',
  relay: 'the relay',
  raw: 'a raw consumer',
  'js.publish': '`js.publish`',
  ws: '`ws`',
  'socket-io': 'Socket.IO',
  centrifugo: 'Centrifugo',
};

export const nameOf = (name: string): string => NAMES[name] ?? name;

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

const spread = ({ median, min, max }: Spread): string =>
  `${figure(median)} (${figure(min)} to ${figure(max)})`;

const valuesOf = ({ samples }: Measure, name: string): readonly number[] => samples[name] ?? [];

function ratioRow(measure: Measure): string[] {
  const subject = measure.subject ?? 'headway';
  const ratio = ratiosTo(valuesOf(measure, measure.base), valuesOf(measure, subject));
  const held = isHeld(measure);
  return [
    `${measure.what}: ${measure.unit}`,
    spread(spreadOf(valuesOf(measure, subject))),
    `${figure(spreadOf(valuesOf(measure, measure.base)).median)}, ${nameOf(measure.base)}`,
    `**${figure(ratio.median)}** (${figure(ratio.min)} to ${figure(ratio.max)})`,
    aimText(measure.aim),
    held === undefined ? '' : held ? 'yes' : 'no',
  ];
}

function peerRow(measure: Measure): string[] {
  const cells = ['headway', ...PEERS].map((name) => {
    const values = valuesOf(measure, name);
    return values.length === 0 ? '' : figure(spreadOf(values).median);
  });
  return [`${measure.what}: ${measure.unit}`, ...cells];
}

/** Whether something that others are used for is measured beside Headway. */
export const hasPeers = ({ samples }: Measure): boolean =>
  PEERS.some((name) => name !== 'limit' && samples[name] !== undefined);

/** Everything between the markers. */
export function measuredPart({ machine, versions, scenarios }: Results): string {
  const all = Object.values(scenarios);
  const measures = all.flatMap((one) => one.measures);
  const dates = [...new Set(all.map(({ date, commit }) => `${date} (${commit})`))];
  const { processor, cores, memoryGiB, system, node, natsServer } = machine;
  return [
    `Measured on ${dates.join(', ')}: ${processor}, ${cores} cores, ${memoryGiB} GiB, ${system}; Node ${node}, ` +
      `nats-server ${natsServer}; ${versions.join(', ')}. Medians, with the least and the most of all turns in parentheses.`,
    '',
    table(['measured', 'Headway', 'compared with', 'ratio', 'aim', 'held'], measures.map(ratioRow)),
    '',
    'Beside others, medians of the same turns:',
    '',
    table(['measured', 'Headway', ...PEERS.map(nameOf)], measures.filter(hasPeers).map(peerRow)),
  ].join('\n');
}

/** The document with this between its markers. */
export function withMeasured(document: string, part: string): string {
  const [from, to] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`docs/performance.md has no lines "${BEGIN}" and "${END}"`);
  return `${document.slice(0, from)}${BEGIN}\n\n${part}\n\n${document.slice(to)}`;
}
