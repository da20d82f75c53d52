/** A range of addresses, by its first address and its prefix in bits. */
export interface Range {
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefix: number;
}

/** A range with a shorter prefix is wider than any network of one owner. */
const WIDEST = { 4: 8, 6: 32 } as const;
const BITS = { 4: 32, 6: 128 } as const;

/** Ranges that are so wide that strangers may be in them, as `10.0.0.0/7`. */
export function tooWide(ranges: readonly Range[]): string[] {
  return ranges
    .filter(({ family, prefix }) => prefix < WIDEST[family])
    .map(({ address, prefix }) => `${address}/${prefix}`);
}

/** Which family of addresses the ranges are all of, taken together; null: of neither. */
export function coverAll(ranges: readonly Range[]): 4 | 6 | null {
  for (const family of [4, 6] as const) {
    let reached = 0n;
    const spans = ranges.filter((range) => range.family === family).map(spanOf);
    for (const { first, size } of spans.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
      // What is not held by any range lies before this one.
      if (first > reached) break;
      if (first + size > reached) reached = first + size;
    }
    if (reached === 1n << BigInt(BITS[family])) return family;
  }
  return null;
}

function spanOf({ family, address, prefix }: Range): { first: bigint; size: bigint } {
  const size = 1n << BigInt(BITS[family] - prefix);
  const value = family === 4 ? numberOf(address.split('.').map(Number), 8n) : ipv6Number(address);
  return { first: value - (value % size), size };
}

/** @param address as `canonical` writes it: short, and without IPv4 at its end but behind `::` */
function ipv6Number(address: string): bigint {
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const bytes = dotted?.slice(1).map(Number) ?? [];
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  const text = dotted === null ? address : address.replace(dotted[0], `${hex(a, b)}:${hex(c, d)}`);
  const [left = [], right] = text.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const zeros = right === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...(right ?? [])];
  return numberOf(
    groups.map((group) => Number.parseInt(group, 16)),
    16n,
  );
}

const hex = (high: number, low: number): string => (high * 256 + low).toString(16);

const numberOf = (groups: readonly number[], bits: bigint): bigint =>
  groups.reduce((value, group) => (value << bits) + BigInt(group), 0n);
