import type { Cursor } from './types.js';
import type { Position } from './wire.js';

const CURSOR = /^(\d{1,16})\.([\w-]{1,64})(?:\.([\w-]{1,64}))?$/;

/** As text. Before the edge has named the scope, it is left out. */
export const toCursor = ({ seq, resume = seq, epoch, scope }: Position): Cursor =>
  `${resume}.${epoch}${scope && `.${scope}`}`;

/** @throws TypeError when it is no cursor */
export function parseCursor(cursor: Cursor): Position {
  const [, seq, epoch = '', scope = ''] = CURSOR.exec(cursor) ?? [];
  if (seq === undefined) throw new TypeError(`after is "${cursor}"; expected a cursor`);
  return { seq: Number(seq), epoch, scope };
}

/** Whether a cursor of one means nothing in the other: another stream, or another scope where both are known. */
export const isOtherLog = (a: Position, b: Position): boolean =>
  a.epoch !== b.epoch || Boolean(a.scope && b.scope && a.scope !== b.scope);
