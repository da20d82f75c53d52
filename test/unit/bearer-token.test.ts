import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { extractToken, type TokenSources } from '../../internal/auth/bearer-token.js';

const carried = (carriers: Partial<TokenSources>) =>
  extractToken({ authorization: '', subprotocols: '', query: null, ...carriers });

describe('the token of a request', () => {
  test.each<[Partial<TokenSources>, string, string]>([
    [{ authorization: 'Bearer a.b.c' }, 'a.b.c', 'header'],
    [{ authorization: 'bearer a.b.c' }, 'a.b.c', 'header'],
    [{ authorization: 'BEARER   a.b.c  ' }, 'a.b.c', 'header'],
    [{ authorization: 'Bearer\ta.b.c' }, 'a.b.c', 'header'],
    [{ subprotocols: 'progress.v1, bearer.a.b.c' }, 'a.b.c', 'subprotocol'],
    [{ subprotocols: 'bearer.a.b.c,progress.v1' }, 'a.b.c', 'subprotocol'],
    [{ subprotocols: 'bearer.a.b.c' }, 'a.b.c', 'subprotocol'],
    [{ query: 'a.b.c' }, 'a.b.c', 'query'],
    [{ query: 'a.b.c', subprotocols: 'progress.v1' }, 'a.b.c', 'query'],
  ])('%j', (carriers, token, by) => {
    expect(carried(carriers)).toEqual({ kind: 'token', token, by });
  });

  test.each<Partial<TokenSources>>([
    {},
    { query: '' },
    { authorization: '   ' },
    { subprotocols: 'progress.v1' },
    { subprotocols: 'bearer, xbearer.a, BEARER.a, , graphql-ws' },
  ])('%j holds none', (carriers) => {
    expect(carried(carriers)).toEqual({ kind: 'none' });
  });
});

describe('G8 bad input: it cannot be told which token is meant', () => {
  const secret = 'hunter2';
  test.each<Partial<TokenSources>>([
    { authorization: `Basic ${secret}` },
    { authorization: secret },
    { authorization: `Bearer:${secret}` },
    { authorization: `Bearer${secret}` },
    { authorization: 'Bearer' },
    { authorization: 'Bearer ' },
    { authorization: `Bearer ${secret} ${secret}` },
    { authorization: `Bearer ${secret}, Bearer ${secret}` },
    { authorization: `Bearer ${secret},${secret}` },
    { authorization: `Negotiate ${secret}`, subprotocols: `bearer.${secret}` },
    { subprotocols: 'bearer.' },
    { subprotocols: `bearer., bearer.${secret}` },
    { subprotocols: `bearer.${secret}, bearer.${secret}` },
    { subprotocols: `bearer.${secret}`, authorization: `Bearer ${secret}` },
    { subprotocols: `bearer.${secret}`, query: secret },
    { authorization: `Bearer ${secret}`, query: secret },
    { authorization: `Bearer ${secret}`, subprotocols: `bearer.${secret}`, query: secret },
  ])('%j', (carriers) => {
    const found = carried(carriers);
    expect(found).toEqual({ kind: 'bad', message: expect.stringMatching(/expected/) });
    expect(JSON.stringify(found)).not.toContain(secret);
  });

  test('headers of any kind end in an answer, and a token is never made up', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.stringMatching(/^([Bb]earer[ .]|[a-z., ]){0,8}$/),
    );
    fc.assert(
      fc.property(text, text, fc.option(text), (authorization, subprotocols, query) => {
        const found = extractToken({ authorization, subprotocols, query });
        if (found.kind !== 'token') return;
        const source = { header: authorization, subprotocol: subprotocols, query: query ?? '' }[found.by];
        expect(found.token).not.toBe('');
        expect(source).toContain(found.token);
      }),
      { numRuns: 1_000 },
    );
  });
});
