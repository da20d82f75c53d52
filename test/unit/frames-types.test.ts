import { readFileSync } from 'node:fs';
import { expect, expectTypeOf, test } from 'vitest';
import type { ErrorCode } from '../../schemas/close-codes.js';
import type * as generated from '../../schemas/frames.generated.js';
import type * as schema from '../../schemas/frames.js';
import { framesSource } from '../../schemas/frames-source.js';

test('the types for clients are those that the schemas have now', () => {
  expect(readFileSync('schemas/frames.generated.ts', 'utf8')).toBe(framesSource());
});

test('the types for clients and those of TypeBox can stand for each other', () => {
  expectTypeOf<generated.ServerFrame>().toEqualTypeOf<schema.ServerFrame>();
  expectTypeOf<generated.ClientFrame>().toEqualTypeOf<schema.ClientFrame>();
  expectTypeOf<generated.ResetReason>().toEqualTypeOf<schema.ResetReason>();
  expectTypeOf<generated.SkipReason>().toEqualTypeOf<schema.SkipReason>();
  expectTypeOf<generated.ErrorCode>().toEqualTypeOf<ErrorCode>();
});
