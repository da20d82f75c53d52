import { expect, test } from 'vitest';
import { remembered } from '../../internal/edge/remembered.js';

function counted() {
  const asked: string[] = [];
  return {
    asked,
    answer: (text: string) => {
      asked.push(text);
      return `${text}!`;
    },
  };
}

test('what was answered is not asked again', () => {
  const { asked, answer } = counted();
  const same = remembered(answer);
  for (const text of ['a', 'b', 'a', '', 'b', 'a', '']) expect(same(text)).toBe(`${text}!`);
  expect(asked).toEqual(['a', 'b', '']);
});

test('G9 memory is bounded: of many texts few answers are kept, and each of them is right', () => {
  const { asked, answer } = counted();
  const same = remembered(answer);
  const many = Array.from({ length: 5_000 }, (_, at) => `text ${at}`);
  for (const text of many) expect(same(text)).toBe(`${text}!`);
  expect(same('text 0')).toBe('text 0!');
  expect(asked).toHaveLength(5_001);
  expect(same('text 4999')).toBe('text 4999!');
  expect(asked).toHaveLength(5_001);
});

test('G9 memory is bounded: a long text is asked each time', () => {
  const { asked, answer } = counted();
  const same = remembered(answer);
  const [kept, long] = ['x'.repeat(128), 'x'.repeat(129)];
  for (const text of [kept, kept, long, long]) expect(same(text)).toBe(`${text}!`);
  expect(asked).toEqual([kept, long, long]);
});
