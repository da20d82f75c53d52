import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eventStreamParser } from '../../sdk/client/event-stream-parser.js';

type Part = { readonly data: string } | { readonly comment: string };

function parsed(pieces: readonly Uint8Array[]): Part[] {
  const parts: Part[] = [];
  const take = eventStreamParser(
    (data) => parts.push({ data }),
    (comment) => parts.push({ comment }),
  );
  for (const piece of pieces) take(piece);
  return parts;
}

/** The bytes in pieces that end at these places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

const line = fc.string({ unit: fc.constantFrom('a', ':', ' ', '{', '"', 'é', '€', '😀') });
const part: fc.Arbitrary<Part> = fc.oneof(
  fc.array(line, { minLength: 1, maxLength: 3 }).map((lines) => ({ data: lines.join('\n') })),
  line.map((comment) => ({ comment })),
);

describe('server-sent events as the client reads them', () => {
  test('G1 order: a stream cut anywhere, also within a character, with any line breaks, gives what was written', () => {
    fc.assert(
      fc.property(
        fc.array(part),
        fc.array(fc.constantFrom('\r', '\n', '\r\n'), { minLength: 1 }),
        fc.array(fc.nat()),
        (parts, breaks, places) => {
          let lines = 0;
          const end = (): string => breaks[lines++ % breaks.length] ?? '\n';
          // A lone CR before an LF would be one line break of two bytes.
          const written = parts.map((one) =>
            'comment' in one
              ? [`: ${one.comment}`]
              : [...one.data.split('\n').map((text) => `data: ${text}`), 'id: 1.e.s', ''],
          );
          let text = '';
          for (const one of written.flat()) {
            const next = `${one}${end()}`;
            text += text.endsWith('\r') && next.startsWith('\n') ? `\r${next.slice(1)}` : next;
          }
          expect(parsed(cut(new TextEncoder().encode(text), places))).toEqual(parts);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ['CR and LF in two pieces are one line break', ['data: a\r', '\ndata: b\r', '\n\r', '\n'], ['a\nb']],
    ['a CR alone ends a line', ['data: a\r\r'], ['a']],
    ['one space behind the colon is none of the data', ['data:  a\n\n', 'data:b\n\n'], [' a', 'b']],
    ['what is not ended is no event', ['data: a\n\ndata: b\n'], ['a']],
    ['names, ids and retry say nothing here', ['retry: 9\n\nid: 1\n\nevent: x\ndata\n\n'], ['']],
  ])('%s', (_what, pieces, expected) => {
    const encoder = new TextEncoder();
    expect(parsed(pieces.map((piece) => encoder.encode(piece)))).toEqual(expected.map((data) => ({ data })));
  });
});
