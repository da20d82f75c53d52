import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ParsedClientFrame, parseClientFrame } from '../../internal/session/frames.js';
import { ERROR_CODES } from '../../schemas/close-codes.js';

const parse = (frame: unknown): ParsedClientFrame => parseClientFrame(JSON.stringify(frame), 16_384);

describe('frames that an edge takes', () => {
  test.each([
    { type: 'ping' },
    { type: 'ping', id: 1, nested: [{}] },
    { type: 'auth', token: 'abc' },
    { type: 'auth', token: 'x'.repeat(8192) },
    { type: 'auth', token: 'a', more: null },
  ])('%j', (frame) => {
    expect(parse(frame)).toEqual({ ok: true, frame });
  });

  test('white space and order do not matter', () => {
    expect(parseClientFrame(' \n{ "token" : "a", "type" : "auth" }\n', 16_384)).toEqual({
      ok: true,
      frame: { type: 'auth', token: 'a' },
    });
  });
});

describe('G8 bad input: a frame that an edge does not take is explained', () => {
  test.each<[string, string | null, string]>([
    ['binary', null, 'a binary frame; expected JSON in a text frame'],
    ['empty', '', 'the frame is not JSON'],
    ['words', 'ping', 'the frame is not JSON'],
    ['cut off', '{"type":"ping"', 'the frame is not JSON'],
    ['two', '{"type":"ping"}{"type":"ping"}', 'the frame is not JSON'],
    ['a text', '"ping"', 'the frame is not a JSON object'],
    ['a number', '1', 'the frame is not a JSON object'],
    ['null', 'null', 'the frame is not a JSON object'],
    ['a list', '[{"type":"ping"}]', 'the frame is not a JSON object'],
    ['auth without token', '{"type":"auth"}', 'auth: /token is not text of 1 to 8192 characters'],
    [
      'auth with an empty token',
      '{"type":"auth","token":""}',
      'auth: /token is not text of 1 to 8192 characters',
    ],
    ['auth with a number', '{"type":"auth","token":1}', 'auth: /token is not text of 1 to 8192 characters'],
    ['auth with null', '{"type":"auth","token":null}', 'auth: /token is not text of 1 to 8192 characters'],
  ])('%s', (_name, text, message) => {
    expect(parseClientFrame(text, 16_384)).toEqual({ ok: false, code: 'invalid_frame', message });
  });

  test.each<[unknown, string]>([
    [{ type: 'subscribe' }, 'type is "subscribe"; expected one of: auth, ping, follow, unfollow'],
    [{ type: 'Ping' }, 'type is "Ping"; expected one of: auth, ping, follow, unfollow'],
    [{ type: 'hello' }, 'type is "hello"; expected one of: auth, ping, follow, unfollow'],
    [{ type: 'constructor' }, 'type is "constructor"; expected one of: auth, ping, follow, unfollow'],
    [{ type: '__proto__' }, 'type is "__proto__"; expected one of: auth, ping, follow, unfollow'],
    [{ type: '' }, 'type is ""; expected one of: auth, ping, follow, unfollow'],
    [{ type: null }, 'type is null; expected one of: auth, ping, follow, unfollow'],
    [{ type: ['ping'] }, 'type is ["ping"]; expected one of: auth, ping, follow, unfollow'],
    [{}, 'type is undefined; expected one of: auth, ping, follow, unfollow'],
    [{ token: 'abc' }, 'type is undefined; expected one of: auth, ping, follow, unfollow'],
  ])('%j is an unknown frame', (frame, message) => {
    expect(parse(frame)).toEqual({ ok: false, code: 'unknown_frame', message });
  });

  test('a type given by the prototype is none', () => {
    expect(parseClientFrame('{"__proto__":{"type":"ping"}}', 16_384)).toMatchObject({
      ok: false,
      code: 'unknown_frame',
    });
  });

  test.each([
    [63, true],
    [64, false],
    [8_000, false],
  ])('G8 bad input: %d arrays in a member are taken: %s', (levels, isTaken) => {
    const text = `{"type":"ping","own":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    const parsed = parseClientFrame(text, 16_384);
    expect(parsed.ok).toBe(isTaken);
    if (!parsed.ok) {
      expect(parsed).toMatchObject({ code: 'invalid_frame', message: expect.stringContaining('64 levels') });
    }
  });

  test('what is shown of it is short', () => {
    const parsed = parse({ type: 'x'.repeat(16_000) });
    expect(parsed.ok ? '' : parsed.message).toMatch(/^.{1,150}$/);
  });

  test('a token that is not taken is not repeated', () => {
    const secret = 'hunter2'.repeat(2_000);
    for (const token of [secret, { secret }, [secret]]) {
      expect(JSON.stringify(parse({ type: 'auth', token }))).not.toContain('hunter2');
    }
  });

  test('any text gets an answer', () => {
    const anything = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc
        .record({ type: fc.constantFrom('auth', 'ping', 'x'), token: fc.jsonValue() }, { requiredKeys: [] })
        .map((frame) => JSON.stringify(frame)),
    );
    fc.assert(
      fc.property(anything, (text) => {
        const parsed = parseClientFrame(text, 16_384);
        if (parsed.ok) expect(['auth', 'ping']).toContain(parsed.frame.type);
        else expect(ERROR_CODES[parsed.code]).toBe('bad_request');
      }),
      { numRuns: 1_000 },
    );
  });
});
