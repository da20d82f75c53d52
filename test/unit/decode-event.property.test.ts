import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Decoded, decodeEvent, updateFrame } from '../../internal/eventlog/decode.js';

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** Holds for every input: an answer of the right shape, and a frame that can be read when it is an event. */
function isSound(decoded: Decoded): void {
  if (decoded.ok) {
    const frame = JSON.parse(updateFrame(decoded.event, 7, 3)) as Record<string, unknown>;
    expect(frame).toMatchObject({
      type: 'progress_update',
      seq: 7,
      prev_seq: 3,
      processing_id: decoded.event.id,
    });
  } else {
    expect(decoded.detail).not.toBe('');
  }
}

const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/);
const number = (constraints: fc.DoubleConstraints) => fc.double({ noNaN: true, ...constraints });
const text = (maxLength: number) => fc.string({ unit: 'binary', maxLength });
const natural = fc.nat({ max: Number.MAX_SAFE_INTEGER });

/** Fields that an event may have, but not those that only fit some status. */
const optional = fc.record(
  {
    type: fc.constant('progress_update'),
    message: fc.oneof(text(300), fc.string({ unit: 'grapheme', maxLength: 100 })),
    job_type: fc.stringMatching(/^[A-Za-z0-9_.-]{1,64}$/),
    attempt: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    step: fc.record({ name: text(20), index: natural, total: natural }, { requiredKeys: [] }),
    indeterminate: fc.boolean(),
    eta_seconds: number({ min: 0, noDefaultInfinity: true }),
    stall_after_seconds: number({ min: 0, minExcluded: true, noDefaultInfinity: true }),
    timeout_seconds: number({ min: 0, minExcluded: true, noDefaultInfinity: true }),
    seq: fc.jsonValue(),
    prev_seq: fc.jsonValue(),
  },
  { requiredKeys: [] },
);

const outcome = fc.oneof(
  fc.constant({ status: 'processing' }),
  fc.record({ status: fc.constant('completed'), result: fc.jsonValue() }, { requiredKeys: ['status'] }),
  fc.record(
    {
      status: fc.constant('error'),
      error: fc.record(
        { code: text(128), message: text(50), retryable: fc.boolean(), details: fc.jsonValue() },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: ['status'] },
  ),
);

const required = fc.record({
  processing_id: id,
  progress: number({ min: 0, max: 100 }),
  timestamp: fc
    .date({
      min: new Date('0001-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59Z'),
      noInvalidDate: true,
    })
    .map((date) => date.toISOString()),
});

/** Field names that the contract leaves alone. */
const unknown = fc.dictionary(
  text(10).filter((name) => !/^(result|error|status|progress|type|step|message|attempt)$/.test(name)),
  fc.jsonValue(),
  { maxKeys: 5 },
);

const validEvent = fc
  .tuple(unknown, optional, outcome, required)
  .map((parts) => Object.assign({}, ...parts) as Record<string, unknown> & { processing_id: string });

test('G8 bad input: any bytes on any subject get an answer', () => {
  const subject = fc.oneof(
    text(20),
    fc.string().map((rest) => `progress.${rest}`),
    fc.constant('progress.job-1'),
  );
  fc.assert(
    fc.property(subject, fc.uint8Array({ maxLength: 200 }), (on, bytes) => isSound(decodeEvent(on, bytes))),
  );
});

test('G8 bad input: any JSON gets an answer', () => {
  fc.assert(
    fc.property(id, fc.jsonValue(), (job, value) => isSound(decodeEvent(`progress.${job}`, encode(value)))),
  );
});

test('G8 bad input: an event with anything in any of its fields gets an answer', () => {
  const names = [
    'processing_id',
    'status',
    'progress',
    'timestamp',
    'type',
    'message',
    'job_type',
    'attempt',
  ];
  const more = [
    'step',
    'indeterminate',
    'eta_seconds',
    'stall_after_seconds',
    'timeout_seconds',
    'result',
    'error',
  ];
  const field = fc.constantFrom(...names, ...more, 'seq', 'prev_seq', '__proto__');
  fc.assert(
    fc.property(validEvent, field, fc.jsonValue(), (event, name, value) => {
      const changed = Object.fromEntries([...Object.entries(event), [name, value]]);
      isSound(decodeEvent(`progress.${event.processing_id}`, encode(changed)));
    }),
    { numRuns: 1_000 },
  );
});

test('G8 bad input: bytes of an event that were changed on the way get an answer', () => {
  const change = fc.record({ at: fc.nat(), to: fc.nat({ max: 255 }) });
  fc.assert(
    fc.property(validEvent, fc.array(change, { minLength: 1, maxLength: 4 }), (event, changes) => {
      const bytes = encode(event);
      for (const { at, to } of changes) bytes[at % bytes.length] = to;
      isSound(decodeEvent(`progress.${event.processing_id}`, bytes));
    }),
    { numRuns: 500 },
  );
});

test('a valid event reaches the client as it was, with seq, prev_seq and type', () => {
  const spaces = fc.stringMatching(/^[ \t\r\n]{0,4}$/);
  fc.assert(
    fc.property(validEvent, spaces, fc.nat({ max: 4 }), natural, (event, around, indent, seq) => {
      const body = `${around}${JSON.stringify(event, null, indent)}${around}`;
      const decoded = decodeEvent(`progress.${event.processing_id}`, new TextEncoder().encode(body));
      if (!decoded.ok) throw new Error(decoded.detail);
      const frame: unknown = JSON.parse(updateFrame(decoded.event, seq, null));
      const expected = { ...(JSON.parse(body) as object), type: 'progress_update', seq, prev_seq: null };
      expect(frame).toEqual(expected);
    }),
    { numRuns: 500 },
  );
});
