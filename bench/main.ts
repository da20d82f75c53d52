/**
 * Measures Headway beside the limit of the machine and its peers, and prints what came out. `make bench`
 *
 *   node main.js [--quick] [--only <scenario,...>] [--write | --guard]
 *   node main.js --render
 *
 * --write keeps it: bench/results.json, docs/performance.md and its plots
 * --render writes document and plots anew from what was kept, and measures nothing
 * --guard compares it with what was kept, and ends with 1 when something has become much worse
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { parseArgs } from 'node:util';
import { natsBinary } from '../test/harness/nats-binary.js';
import { measuredPart, withMeasured } from './harness/document.js';
import { plotsOf } from './harness/plots.js';
import { textOf, worsened } from './harness/report.js';
import {
  type Machine,
  merged,
  type Result,
  type Results,
  resultsText,
  roundedMeasure,
} from './harness/results.js';
import type { Run } from './harness/scenario.js';
import { SCENARIOS } from './scenarios/index.js';
import { REPOSITORY, versionsOfPeers } from './subjects/versions.js';

const { values: asked } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    write: { type: 'boolean', default: false },
    guard: { type: 'boolean', default: false },
    render: { type: 'boolean', default: false },
  },
});
const names = asked.render ? [] : (asked.only?.split(',') ?? SCENARIOS.map(({ name }) => name));
const unknown = names.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
if (unknown !== undefined) {
  const known = SCENARIOS.map(({ name }) => name).join(', ');
  process.stderr.write(`There is no scenario "${unknown}". There are: ${known}.\n`);
  process.exit(2);
}
if (asked.write && asked.quick) {
  process.stderr.write('What is measured with --quick is too rough to be kept by --write.\n');
  process.exit(2);
}

const RESULTS = `${REPOSITORY}bench/results.json`;
const DOCUMENT = `${REPOSITORY}docs/performance.md`;
const PLOTS = `${REPOSITORY}docs/images/performance/`;
const began = performance.now();
const run: Run = {
  isQuick: asked.quick,
  turns: asked.quick ? 2 : 5,
  say: (text) => {
    const seconds = Math.round((performance.now() - began) / 1_000);
    process.stderr.write(`${String(seconds).padStart(4)} s  ${text}\n`);
  },
};

/** The commit that is measured; with a plus when there is more than that. */
function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: REPOSITORY, encoding: 'utf8' }).trim();
  return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
}

async function machine(): Promise<Machine> {
  return {
    processor: cpus()[0]?.model.trim() ?? 'an unknown processor',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1_024 ** 3),
    system: `${type()} ${release()}`,
    node: process.versions.node,
    natsServer: (await natsBinary()).version,
  };
}

function kept(): Results | undefined {
  try {
    return JSON.parse(readFileSync(RESULTS, 'utf8')) as Results;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function keep(results: Results): void {
  writeFileSync(RESULTS, resultsText(results));
  writeFileSync(DOCUMENT, withMeasured(readFileSync(DOCUMENT, 'utf8'), measuredPart(results)));
  mkdirSync(PLOTS, { recursive: true });
  for (const [file, svg] of Object.entries(plotsOf(results))) writeFileSync(`${PLOTS}${file}`, svg);
}

const measured: Record<string, Result> = {};
for (const { name, title, run: measure } of SCENARIOS) {
  if (!names.includes(name)) continue;
  process.stdout.write(`\n${title}\n`);
  const measures = await measure(run);
  for (const one of measures) process.stdout.write(`${textOf(one)}\n`);
  const date = new Date().toISOString().slice(0, 10);
  measured[name] = { title, commit: commit(), date, measures: measures.map(roundedMeasure) };
}
run.say('done');

const before = kept();
if (asked.render && before !== undefined) keep(before);
if (asked.write) {
  const now: Results = { machine: await machine(), versions: versionsOfPeers(), scenarios: measured };
  const order = SCENARIOS.map(({ name }) => name);
  keep(merged(before, now, order));
}
if (asked.guard) {
  const worse = worsened(before?.scenarios ?? {}, measured);
  for (const line of worse) process.stdout.write(`${line}\n`);
  if (worse.length > 0) process.exitCode = 1;
  else process.stdout.write('\nNothing has become much worse.\n');
}
