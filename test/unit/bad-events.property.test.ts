/** Any JSON text, written in any of the ways in which JSON can be written, against what a client gets of it. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeEvent, updateFrame } from '../../internal/eventlog/decode.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const PARAMETERS = { numRuns: RUNS, ...(SEED ? { seed: Number(SEED) } : {}) };

const JOB = 'job-1';
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (body: string) => decodeEvent(`progress.${JOB}`, encode(body));

const space = fc.constantFrom('', '', '', ' ', '\n', '\t\r\n');

/** A string's literal, some of its characters escaped although they need not be. */
const literal = (content: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(content, fc.array(fc.boolean(), { maxLength: 8 })).map(([text, escapes]) => {
    const units = [
      ...JSON.stringify(text)
        .slice(1, -1)
        .matchAll(/\\u....|\\.|./gsu),
    ].map(([unit]) => unit);
    const written = units.map((unit, at) =>
      escapes[at % (escapes.length || 1)] && unit.length === 1
        ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
        : unit,
    );
    return `"${written.join('')}"`;
  });

const number = fc.oneof(
  fc.constantFrom('1e400', '-1e400', '-0', '0.10', '1E+2', '1e-400', '123456789012345678901234567890'),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
);
const awkward = fc.constantFrom('}', '{', ',', '"', '\\', '"seq":1', '\ud83d', '\u2028', '\0', '__proto__');

/** The text of any JSON value, with spaces, escapes, numbers that no double holds, and names more than once. */
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('null', 'true', 'false', '[]', '{}'),
    number,
    literal(fc.oneof(fc.string({ unit: 'binary', maxLength: 6 }), awkward)),
    fc
      .tuple(space, fc.array(tie('value'), { maxLength: 3 }))
      .map(([gap, all]) => `[${gap}${all.join(`,${gap}`)}]`),
    fc
      .tuple(
        space,
        fc.array(fc.tuple(literal(fc.constantFrom('a', 'seq', '}', '')), tie('value')), { maxLength: 3 }),
      )
      .map(([gap, all]) => `{${all.map(([name, one]) => `${gap}${name}${gap}:${one}`).join(',')}}`),
  ),
}));

interface Member {
  /** Whether its name is `seq` or `prev_seq`. */
  readonly isOurs: boolean;
  readonly text: string;
}
const member = (isOurs: boolean, name: fc.Arbitrary<string>, of = value): fc.Arbitrary<Member> =>
  fc
    .tuple(space, literal(name), space, of, space)
    .map(([a, written, b, content, c]) => ({ isOurs, text: `${a}${written}${b}:${content}${c}` }));

const required = [
  `"processing_id":"${JOB}"`,
  '"status" : "processing"',
  '"progress":5.0e1',
  '"timestamp":"2026-01-31T12:00:00Z"',
].map((text): Member => ({ isOurs: false, text }));
const others = fc.array(
  fc.oneof(
    member(true, fc.constantFrom('seq', 'prev_seq')),
    member(
      false,
      fc.constantFrom(
        'own',
        '',
        'SEQ',
        'seq ',
        '"seq"',
        '\u0000seq',
        '__proto__',
        'toJSON',
        'constructor',
        '\ud83d',
      ),
    ),
  ),
  { maxLength: 6 },
);
const validEvent = others.chain((more) =>
  fc.shuffledSubarray([...required, ...more], { minLength: required.length + more.length }),
);

test('G8 bad input: whatever else is in an event, its members reach the client as they were written, and only seq and prev_seq are ours', () => {
  let cut = 0;
  fc.assert(
    fc.property(validEvent, (members) => {
      const body = `{${members.map(({ text }) => text).join(',')}}`;
      const decoded = decode(body);
      if (!decoded.ok) throw new Error(`${decoded.reason}: ${decoded.detail}`);
      const kept = members.filter(({ isOurs }) => !isOurs).map(({ text }) => text);
      if (kept.length < members.length) cut++;
      expect(updateFrame(decoded.event, 7, 3)).toBe(
        `{"type":"progress_update","seq":7,"prev_seq":3,${kept.join(',')}}`,
      );
    }),
    PARAMETERS,
  );
  expect(cut).toBeGreaterThan(RUNS / 10);
});

/** What any of the contract's names may be given. */
const anyMember = member(
  false,
  fc.constantFrom(
    'processing_id',
    'status',
    'progress',
    'timestamp',
    'type',
    'message',
    'job_type',
    'attempt',
    'step',
    'result',
    'error',
  ),
  fc.oneof(
    value,
    fc.constantFrom('"completed"', '"error"', '"progress_update"', '100', '{"retryable":true}', `"${JOB}"`),
  ),
);

test('G8 bad input: with any names given again, what a client reads is what was checked', () => {
  let taken = 0;
  fc.assert(
    fc.property(
      validEvent,
      fc.array(anyMember, { maxLength: 3 }),
      fc.boolean(),
      (members, again, isBehind) => {
        const all = isBehind ? [...members, ...again] : [...again, ...members];
        const body = `{${all.map(({ text }) => text).join(',')}}`;
        const decoded = decode(body);
        if (!decoded.ok) {
          expect(decoded).toMatchObject({ id: JOB, detail: expect.stringMatching(/\S/) });
          return;
        }
        taken++;
        const frame = updateFrame(decoded.event, 7, 3);
        const { seq: _seq, prev_seq: _prevSeq, ...checked } = JSON.parse(body) as Record<string, unknown>;
        expect(JSON.parse(frame)).toEqual({ ...checked, type: 'progress_update', seq: 7, prev_seq: 3 });
        expect(checked.processing_id).toBe(JOB);
        const { status, error } = checked as { status: string; error?: { retryable?: boolean } };
        const isEnd = status === 'completed' || (status === 'error' && error?.retryable !== true);
        expect(decoded.event.finished).toBe(isEnd);
      },
    ),
    PARAMETERS,
  );
  expect(taken).toBeGreaterThan(RUNS / 10);
});

test('G8 bad input: nesting of any depth in any field gets an answer', () => {
  const field = fc.constantFrom(
    'processing_id',
    'status',
    'progress',
    'timestamp',
    'type',
    'message',
    'job_type',
    'step',
    'error',
    'result',
    'seq',
    'own',
  );
  const opening = fc.constantFrom('[', '{"a":', '[{"seq":[', '{"":[1,', '[[],');
  const closing: Record<string, string> = {
    '[': ']',
    '{"a":': '}',
    '[{"seq":[': ']}]',
    '{"":[1,': ']}',
    '[[],': ']',
  };
  fc.assert(
    fc.property(field, opening, fc.nat({ max: 65_000 }), fc.boolean(), (name, open, size, isWhole) => {
      const levels = Math.floor(size / (open.length + 3));
      const nested = `${open.repeat(levels)}0${closing[open]?.repeat(levels)}`;
      const event = `{${required.map(({ text }) => text).join(',')},"${name}":${nested}}`;
      const decoded = decode(isWhole ? event : nested);
      if (decoded.ok) {
        const sent = name === 'seq' ? event.replace(`,"seq":${nested}`, '') : event;
        expect(updateFrame(decoded.event, 7, 3).endsWith(`"prev_seq":3,${sent.slice(1)}`)).toBe(true);
      } else expect(decoded.detail).toMatch(/\S/);
    }),
    { ...PARAMETERS, numRuns: Math.max(50, RUNS / 5) },
  );
});
