import { expect, test } from 'vitest';
import { GoneList } from '../../internal/eventlog/gone-list.js';

const MINUTE = 60_000;

test('everybody is told of each job that left for five minutes, whatever the order in which that was noticed', () => {
  const gone = new GoneList();
  // It left before the log was loaded anew; then a listing that was under way brings another.
  gone.push({ id: 'a', jobType: undefined }, { head: 10, upTo: 10, at: null });
  gone.push({ id: 'b', jobType: undefined }, { head: 10, upTo: 10, at: 0 });
  for (let now = 1_000; now <= 10 * MINUTE; now += 500) gone.looked(10, now);
  expect(gone.from(11)).toBe(2);
  expect(gone.from(10)).toBe(0);
  gone.push({ id: 'c', jobType: undefined }, { head: 20, upTo: 20, at: 10 * MINUTE });
  for (let now = 10 * MINUTE; now <= 20 * MINUTE; now += 500) gone.looked(20, now);
  expect(gone.from(11)).toBe(2);
  expect(gone.from(21)).toBe(3);
});
