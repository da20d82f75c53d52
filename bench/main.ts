/**
 * Measures Headway beside the limit of the machine and its peers, and prints what came out. `make bench`
 *
 *   node main.js [--quick] [--only <scenario,...>]
 */
import { parseArgs } from 'node:util';
import { textOf } from './harness/report.js';
import type { Measure, Run, Scenario } from './harness/scenario.js';
import { dashboards } from './scenarios/dashboards.js';
import { crowd, fanout } from './scenarios/fanout.js';
import { growth } from './scenarios/growth.js';
import { jobs } from './scenarios/jobs.js';
import { memory } from './scenarios/memory.js';
import { processes } from './scenarios/processes.js';

const SCENARIOS: readonly Scenario[] = [fanout, crowd, jobs, dashboards, growth, processes, memory];

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
});
const names = values.only?.split(',') ?? SCENARIOS.map(({ name }) => name);
const unknown = names.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
if (unknown !== undefined) {
  const known = SCENARIOS.map(({ name }) => name).join(', ');
  process.stderr.write(`There is no scenario "${unknown}". There are: ${known}.\n`);
  process.exit(2);
}

const began = performance.now();
const seconds = (): string => `${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s`;
const run: Run = {
  isQuick: values.quick,
  turns: values.quick ? 3 : 7,
  say: (text) => void process.stderr.write(`${seconds()}  ${text}\n`),
};
const measures: Measure[] = [];
for (const scenario of SCENARIOS.filter(({ name }) => names.includes(name))) {
  process.stdout.write(`\n${scenario.title}\n`);
  for (const measure of await scenario.run(run)) {
    measures.push(measure);
    process.stdout.write(`${textOf(measure)}\n`);
  }
}
run.say(`measured ${measures.length} things`);
