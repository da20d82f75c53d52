/**
 * Fuzzes for so many seconds, each target for its share, and prints what was reached. A process of its own: V8 is asked
 * for its counts very often, and the fewer other modules there are, the faster it answers. `make soak`
 *
 *   node main.js <seconds> <folder of the corpus> <folder to write to> [seed]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BlockCoverage } from './coverage.js';
import { FuzzFailure, fuzz, type Target } from './guided.js';
import { chance } from './mutate.js';

const [seconds = '60', corpusFolder = '', outFolder = '', seed = String(Date.now() % 2 ** 31)] =
  process.argv.slice(2);
// V8 counts the blocks of what it compiles from now on, so the code under test is not loaded before.
using coverage = new BlockCoverage();
const { TARGETS } = await import('./targets.js');
mkdirSync(outFolder, { recursive: true });

/**
 * Whether the guide leads: to a word, one letter after the other, where 26 letters to the power of six are too many for
 * chance alone.
 */
function leads(): boolean {
  const word = [...'guided'];
  const steps = word.map((letter, at) => `if (text[${at}] === '${letter}') {`).join('');
  const target: Target = {
    name: 'word',
    seeds: ['x'],
    words: [...'abcdefghijklmnopqrstuvwxyz'],
    maxBytes: 16,
    run: new Function('text', `${steps}throw new Error('found');${'}'.repeat(word.length)}`) as () => void,
  };
  let left = 5_000;
  try {
    fuzz(target, coverage, chance(1), () => left-- <= 0);
    return false;
  } catch (error) {
    if (error instanceof FuzzFailure) return true;
    throw error;
  }
}

if (!leads()) throw new Error('V8 does not tell which blocks ran, so this would be chance alone');

for (const target of TARGETS) {
  const shareMs = (Number(seconds) * 1_000) / TARGETS.length;
  const corpus = JSON.parse(readFileSync(join(corpusFolder, `${target.name}.json`), 'utf8')) as string[];
  const end = performance.now() + shareMs;
  const from = { ...target, seeds: [...target.seeds, ...corpus] };
  const outcome = fuzz(from, coverage, chance(Number(seed)), () => performance.now() > end);
  const file = join(outFolder, `${target.name}.json`);
  writeFileSync(file, `${JSON.stringify(outcome.corpus, null, 2)}\n`);
  process.stdout.write(
    `    measured: ${target.name}, seed ${seed}: ${outcome.executions} executions in ${shareMs / 1_000} s, ` +
      `${outcome.blocks} blocks, ${outcome.features} features; ${outcome.corpus.length} inputs in ${file}\n`,
  );
}
