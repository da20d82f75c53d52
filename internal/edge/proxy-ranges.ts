import { type IpRange, widthOf } from './ip-address.js';

/** A range with a shorter prefix is wider than any network of one owner. */
const WIDEST = { 32: 8, 128: 32 } as const;

/** A range as it is written, by the address that it was given with. */
export const showRange = ([address, prefix]: IpRange): string => `${address.toString()}/${prefix}`;

/** Ranges that are so wide that strangers may be in them, as `10.0.0.0/7`. */
export function tooWide(ranges: readonly IpRange[]): string[] {
  return ranges.filter(([address, prefix]) => prefix < WIDEST[widthOf(address)]).map(showRange);
}

/** Which family of addresses the ranges are all of, taken together; null: of neither. */
export function coverAll(ranges: readonly IpRange[]): 4 | 6 | null {
  for (const [family, width] of [
    [4, 32],
    [6, 128],
  ] as const) {
    let reached = 0n;
    const spans = ranges.filter(([address]) => widthOf(address) === width).map(spanOf);
    for (const { first, size } of spans.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
      // What is not held by any range lies before this one.
      if (first > reached) break;
      if (first + size > reached) reached = first + size;
    }
    if (reached === 1n << BigInt(width)) return family;
  }
  return null;
}

function spanOf([address, prefix]: IpRange): { first: bigint; size: bigint } {
  const size = 1n << BigInt(widthOf(address) - prefix);
  const value = address.toByteArray().reduce((sum, byte) => (sum << 8n) + BigInt(byte), 0n);
  return { first: value - (value % size), size };
}
