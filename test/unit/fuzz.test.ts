/** Handshakes, frames, queries and events, from inputs that once reached something new; `make soak` looks for more. */
import { describe, expect, test } from 'vitest';
import { runOnce, type Target } from '../fuzz/guided.js';
import { chance, mutate } from '../fuzz/mutate.js';
import { TARGETS } from '../fuzz/targets.js';
import { read } from './documents.js';

const SEED = Number(process.env.HEADWAY_PROPERTY_SEED ?? Math.floor(Math.random() * 2 ** 31));

const corpusOf = ({ name }: Target): string[] =>
  JSON.parse(read(`test/fuzz/corpus/${name}.json`)) as string[];

describe.each(TARGETS)('$name', (target) => {
  test('G8 bad input: what once reached something new breaks nothing', () => {
    const corpus = corpusOf(target);
    expect(corpus.length).toBeGreaterThan(10);
    for (const input of [...target.seeds, ...corpus]) runOnce(target, input);
  });

  test('G8 bad input: neither does what is changed at random', () => {
    const inputs = [...target.seeds, ...corpusOf(target)];
    const pick = chance(SEED);
    const any = () => inputs[pick.below(inputs.length)] ?? '';
    for (let left = 2_000; left > 0; left--) {
      runOnce(target, mutate(any(), any(), target.words, pick, target.maxBytes));
    }
  });
});
