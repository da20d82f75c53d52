import { show } from '../../schemas/explain.js';
import { canonicalAddress, type IpRange, isInRange, parseAddress, parseRange } from './ip-address.js';
import { coverAll, showRange, tooWide } from './proxy-ranges.js';

/** More proxies than anybody puts in a row; it bounds what a header with thousands of entries costs. */
const MAX_HOPS = 32;
/** No address, port and brackets included, is longer. */
const MAX_ENTRY_LENGTH = 64;

/**
 * The proxies whose word counts, for the address of a client and for whether it came over TLS. Of anybody else those
 * headers mean nothing.
 */
export class TrustedProxies {
  readonly #ranges: readonly IpRange[];

  /**
   * @param list addresses and ranges in CIDR notation, IPv4 and IPv6, as `parseProxies` returns them
   * @throws RangeError when an entry is neither
   */
  constructor(list: readonly string[]) {
    this.#ranges = list.map((entry) => {
      const range = readRange(entry);
      if ('problem' in range) throw new RangeError(`${show(entry)} ${range.problem}`);
      return range;
    });
  }

  /** What is not an address is not trusted. */
  isTrusted(address: string): boolean {
    const parsed = this.#ranges.length === 0 ? null : parseAddress(address);
    return parsed !== null && this.#ranges.some((range) => isInRange(parsed, range));
  }

  /**
   * The client's address: the peer's own, or, where the peer is trusted, the rightmost address of `X-Forwarded-For`
   * that is not a trusted proxy. What is left of that one anybody may have written. An entry that is no address
   * stops the walk at the last good one, so the worst that garbage does is to pass for the proxy that let it through.
   *
   * Never throws. Looks at no more than the last 32 entries.
   * @param forwardedFor all lines of the header (see `headerLines`), or ''
   */
  clientAddress(peer: string, forwardedFor: string): string {
    let client = canonicalAddress(peer) ?? peer;
    let end = forwardedFor.length;
    for (let hops = 0; hops < MAX_HOPS && end > 0 && this.isTrusted(client); hops++) {
      const comma = forwardedFor.lastIndexOf(',', end - 1);
      const address = forwardedAddress(forwardedFor.slice(comma + 1, end));
      if (address === null) break;
      client = address;
      end = comma;
    }
    return client;
  }

  /**
   * Whether the client came over TLS. A trusted proxy is believed, also over a connection that itself is or is not
   * encrypted; when it says several things, what counts is the last, which it wrote itself.
   * @param ownTls whether the peer's connection to this edge is encrypted
   * @param forwardedProto all lines of `X-Forwarded-Proto` (see `headerLines`), or ''
   */
  isSecure(peer: string, ownTls: boolean, forwardedProto: string): boolean {
    if (!this.isTrusted(peer)) return ownTls;
    const said = forwardedProto
      .slice(forwardedProto.lastIndexOf(',') + 1)
      .trim()
      .toLowerCase();
    // Some proxies name the scheme of the socket instead of the page's.
    if (said === 'https' || said === 'wss') return true;
    if (said === 'http' || said === 'ws') return false;
    return ownTls;
  }
}

export type ParsedProxies =
  /** `tooWide`: those of the list in which strangers may be. */
  | { readonly ok: true; readonly list: string[]; readonly tooWide: string[] }
  | { readonly ok: false; readonly problem: string };

/**
 * Reads the operators' setting: addresses and ranges with commas between them. Blank text is an empty list. The
 * problem tells of every wrong entry.
 */
export function parseProxies(text: string): ParsedProxies {
  if (text.trim() === '') return { ok: true, list: [], tooWide: [] };
  const ranges = new Map<string, IpRange>();
  const problems: string[] = [];
  for (const [index, part] of text.split(',').entries()) {
    const entry = part.trim();
    const range = readRange(entry);
    if ('problem' in range) problems.push(`entry ${index + 1} (${show(entry)}) ${range.problem}`);
    else ranges.set(showRange(range), range);
  }
  const all = problems.length === 0 ? coverAll([...ranges.values()]) : null;
  if (all !== null) problems.push(`the entries together hold every IPv${all} address: ${EVERYBODY}`);
  if (problems.length === 0) {
    return { ok: true, list: [...ranges.keys()], tooWide: tooWide([...ranges.values()]) };
  }
  const expected = 'addresses or ranges such as 10.0.0.0/8 or 2001:db8::/32';
  return { ok: false, problem: `${problems.join('; ')}; expected ${expected}` };
}

/**
 * A request's headers by name (lower case), read once: all lines of one with commas between them, in the order in
 * which they came; '' when there is none. The library's `getHeader` returns only the first line, which is the client's
 * own where a proxy adds one behind it.
 * @param seen is told the name of each line
 */
export function headerLines(
  request: { forEach(visit: (name: string, value: string) => void): void },
  seen?: (name: string) => void,
): (name: string) => string {
  const lines = new Map<string, string>();
  request.forEach((name, value) => {
    seen?.(name);
    const before = lines.get(name);
    lines.set(name, before === undefined ? value : `${before},${value}`);
  });
  return (name) => lines.get(name) ?? '';
}

// Some proxies add the port of the client, and then brackets around an IPv6 address.
const WITH_PORT = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::\d{1,5})?$/i;

function forwardedAddress(entry: string): string | null {
  if (entry.length > MAX_ENTRY_LENGTH) return null;
  const text = entry.trim();
  const [, bracketed, dotted] = WITH_PORT.exec(text) ?? [];
  return canonicalAddress(bracketed ?? dotted ?? text);
}

const EVERYBODY = 'that is everybody, and who is trusted may claim any address';

function readRange(entry: string): IpRange | { readonly problem: string } {
  if (entry === '') return { problem: 'is empty' };
  const range = parseRange(entry);
  if (range === null) return { problem: 'is not an address or a range' };
  return range[1] === 0 ? { problem: EVERYBODY.replace('that ', '') } : range;
}
