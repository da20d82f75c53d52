import { describe, expect, test } from 'vitest';
import { CLOSE_CODES, type CloseName, closeCode, ERROR_CODES } from '../../schemas/close-codes.js';
import { ErrorFrame } from '../../schemas/frames.js';

const byName = (name: string) => CLOSE_CODES.find((code) => code.name === name);

describe('close codes', () => {
  test('are those of the contract, each with what a client does next', () => {
    expect(CLOSE_CODES.map(({ code, name, action }) => [code, name, action])).toEqual([
      [1000, 'end', 'stop'],
      [1012, 'draining', 'retry'],
      [1013, 'overloaded', 'retry'],
      [4400, 'bad_request', 'stop'],
      [4401, 'unauthorized', 'retry_with_new_token'],
      [4403, 'forbidden', 'stop'],
      [4429, 'too_many_connections', 'retry'],
    ]);
  });

  test('are told apart by number and by name', () => {
    expect(new Set(CLOSE_CODES.map(({ code }) => code)).size).toBe(CLOSE_CODES.length);
    expect(new Set(CLOSE_CODES.map(({ name }) => name)).size).toBe(CLOSE_CODES.length);
  });

  test.each(CLOSE_CODES.map((entry) => [entry.name, entry] as const))(
    '%s may be sent, and says what it means',
    (name, entry) => {
      expect(closeCode(name)).toBe(entry.code);
      // RFC 6455: what an endpoint may send is 1000 to 1003, 1007 to 1014, or 3000 to 4999.
      const mayBeSent = [1000, 1012, 1013].includes(entry.code) || (entry.code >= 4000 && entry.code <= 4999);
      expect(mayBeSent).toBe(true);
      expect(entry.meaning).toMatch(/^[A-Z].+\.$/);
      // A close frame's reason is the name or an error's code: at most 123 bytes.
      expect(Buffer.byteLength(entry.name)).toBeLessThanOrEqual(123);
    },
  );

  test('one that nobody knows is an error of the program', () => {
    expect(() => closeCode('nonsense' as CloseName)).toThrow(RangeError);
  });
});

describe('error codes', () => {
  test.each(Object.entries(ERROR_CODES))('%s closes with %s', (code, name) => {
    expect(byName(name)).toBeDefined();
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(Buffer.byteLength(code)).toBeLessThanOrEqual(123);
  });

  test('a mistake of the client stops it, a trouble of the edge does not', () => {
    for (const [code, name] of Object.entries(ERROR_CODES)) {
      const isClients = /^(invalid|unknown)_|^too_many_jobs$/.test(code);
      const isTokens = ['unauthorized', 'token_expired', 'forbidden'].includes(code);
      if (!isTokens) expect([code, byName(name)?.action]).toEqual([code, isClients ? 'stop' : 'retry']);
    }
  });

  test('a new token helps where the old one was bad or is over, not where it does not open enough', () => {
    const actionOf = (code: keyof typeof ERROR_CODES) => byName(ERROR_CODES[code])?.action;
    expect(actionOf('unauthorized')).toBe('retry_with_new_token');
    expect(actionOf('token_expired')).toBe('retry_with_new_token');
    expect(actionOf('forbidden')).toBe('stop');
  });

  test('the error frame lists all of them', () => {
    const listed = ErrorFrame.properties.code.anyOf.map((literal) => literal.const);
    expect(new Set(listed)).toEqual(new Set(Object.keys(ERROR_CODES)));
  });
});
