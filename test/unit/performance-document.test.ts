// docs/performance.md has no figure of its own: what it says was measured is what bench/results.json holds.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { measuredPart, withMeasured } from '../../bench/harness/document.js';
import { plotsOf } from '../../bench/harness/plots.js';
import { isHeld, worsened } from '../../bench/harness/report.js';
import { merged, type Results, resultsText } from '../../bench/harness/results.js';
import type { Measure } from '../../bench/harness/scenario.js';
import { inTurns, ratiosTo, severalInTurns, spreadOf } from '../../bench/harness/turns.js';
import { read } from './documents.js';

const results = JSON.parse(read('bench/results.json')) as Results;

describe('docs/performance.md', () => {
  test('its tables are what `make bench OPTIONS=--write` makes of bench/results.json', () => {
    const document = read('docs/performance.md');
    expect(withMeasured(document, measuredPart(results))).toBe(document);
    expect(() => withMeasured('no place for it', '')).toThrow('has no lines');
  });

  test('so are its plots', () => {
    const plots = plotsOf(results);
    const files = readdirSync(new URL('../../docs/images/performance', import.meta.url));
    expect(new Set(files)).toEqual(new Set(Object.keys(plots)));
    for (const [file, svg] of Object.entries(plots))
      expect(read(`docs/images/performance/${file}`)).toBe(svg);
  });

  test('no two bars of a plot have the same name', () => {
    for (const [file, svg] of Object.entries(plotsOf(results))) {
      // The names are what ends at the axis; the figures begin behind their bars.
      const names = [...svg.matchAll(/<text [^>]*text-anchor="end"[^>]*>([^<]*)</g)].map(([, name]) => name);
      expect(names.length, file).toBeGreaterThan(1);
      expect(new Set(names).size, file).toBe(names.length);
    }
  });

  test('the file of results is as it is written', () => {
    expect(resultsText(results)).toBe(read('bench/results.json'));
  });
});

describe('what is made of measurements', () => {
  const measure = (headway: number[], aim: Measure['aim'], id = 'one'): Measure => ({
    id,
    what: 'something',
    unit: 'µs',
    base: 'limit',
    ...(aim && { aim }),
    samples: { headway, limit: [1, 2, 4] },
  });
  const of = (...measures: Measure[]) => ({ scenario: { measures } });

  test('a turn that warms up does not count, and each turn has one of each', async () => {
    const order: string[] = [];
    const samples = await inTurns([{ name: 'a' }, { name: 'b' }], 2, async ({ name }) => order.push(name));
    expect(order.join('')).toBe('ababab');
    expect(samples).toEqual({ a: [3, 5], b: [4, 6] });
  });

  test('so does one with several figures', async () => {
    let made = 0;
    const samples = await severalInTurns([{ name: 'a' }, { name: 'b' }], 2, async () => {
      made++;
      return { time: made, cpu: -made };
    });
    expect(samples).toEqual({ time: { a: [3, 5], b: [4, 6] }, cpu: { a: [-3, -5], b: [-4, -6] } });
  });

  test('a ratio is taken within each turn', () => {
    // A turn in which everything takes four times as long changes neither.
    expect(ratiosTo([1, 2, 4], [1.5, 3, 6])).toEqual({ median: 1.5, min: 1.5, max: 1.5 });
    expect(spreadOf([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4 });
    expect(spreadOf([]).median).toBeNaN();
  });

  test('an aim is held by the median of the ratios', () => {
    expect(isHeld(measure([1.5, 3, 6], { atMost: 1.5 }))).toBe(true);
    expect(isHeld(measure([1.5, 3, 6], { atMost: 1.49 }))).toBe(false);
    expect(isHeld(measure([1.5, 3, 6], { atLeast: 1.5 }))).toBe(true);
    expect(isHeld(measure([1.5, 3, 6], { atLeast: 1.51 }))).toBe(false);
    expect(isHeld(measure([1.5, 3, 6], undefined))).toBeUndefined();
  });

  test('only a ratio that is worse by half is one, whichever way is worse', () => {
    const was = of(measure([1, 2, 4], { atMost: 1 }), measure([1, 2, 4], { atLeast: 1 }, 'two'));
    expect(worsened(was, of(measure([1.5, 3, 6], { atMost: 1 })))).toEqual([]);
    expect(worsened(was, of(measure([1.6, 3.2, 6.4], { atMost: 1 })))).toEqual([
      'WORSE: something: 1.60 x limit, was 1.00',
    ]);
    expect(worsened(was, of(measure([1.6, 3.2, 6.4], { atLeast: 1 }, 'two')))).toEqual([]);
    expect(worsened(was, of(measure([0.6, 1.2, 2.4], { atLeast: 1 }, 'two')))).toHaveLength(1);
    expect(worsened(was, of(measure([9, 9, 9], { atMost: 1 }, 'new')))).toEqual([]);
  });

  test('what was measured on another machine is not kept beside the new', () => {
    const machine = { processor: 'p', cores: 2, memoryGiB: 8, system: 's', node: '20', natsServer: '2' };
    const one = (title: string) => ({ title, commit: 'c', date: 'd', measures: [] });
    const old: Results = { machine, versions: [], scenarios: { a: one('old a'), b: one('old b') } };
    const now: Results = { machine, versions: [], scenarios: { b: one('new b') } };
    const titles = (all: Results): string[] => Object.values(all.scenarios).map(({ title }) => title);
    expect(titles(merged(old, now, ['a', 'b']))).toEqual(['old a', 'new b']);
    expect(titles(merged(undefined, now, ['a', 'b']))).toEqual(['new b']);
    expect(titles(merged(old, { ...now, machine: { ...machine, cores: 4 } }, ['a', 'b']))).toEqual(['new b']);
  });
});
