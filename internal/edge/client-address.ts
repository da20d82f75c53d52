import { BlockList, isIP, SocketAddress } from 'node:net';
import { show } from '../../schemas/explain.js';
import { coverAll, type Range, tooWide } from './proxy-ranges.js';

/** More proxies than anybody puts in a row; it bounds what a header with thousands of entries costs. */
const MAX_HOPS = 32;
/** No address, port and brackets included, is longer. */
const MAX_ENTRY_LENGTH = 64;

/**
 * The proxies whose word counts, for the address of a client and for whether it came over TLS. Of anybody else those
 * headers mean nothing.
 */
export class TrustedProxies {
  // One for each family, so that a wide IPv6 range never holds IPv4 addresses as ::ffff:0:0/96.
  readonly #ipv4 = new BlockList();
  readonly #ipv6 = new BlockList();
  readonly #isEmpty: boolean;

  /**
   * @param list addresses and ranges in CIDR notation, IPv4 and IPv6, as `parseProxies` returns them
   * @throws RangeError when an entry is neither
   */
  constructor(list: readonly string[]) {
    this.#isEmpty = list.length === 0;
    for (const entry of list) {
      const range = readRange(entry);
      if ('problem' in range) throw new RangeError(`${show(entry)} ${range.problem}`);
      if (range.family === 4) this.#ipv4.addSubnet(range.address, range.prefix, 'ipv4');
      else this.#ipv6.addSubnet(range.address, range.prefix, 'ipv6');
    }
  }

  /** What is not an address is not trusted. */
  isTrusted(address: string): boolean {
    const plain = this.#isEmpty ? null : canonical(address);
    if (plain === null) return false;
    return isIP(plain) === 4 ? this.#ipv4.check(plain, 'ipv4') : this.#ipv6.check(plain, 'ipv6');
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
    let client = canonical(peer) ?? peer;
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
  const ranges = new Map<string, Range>();
  const problems: string[] = [];
  for (const [index, part] of text.split(',').entries()) {
    const entry = part.trim();
    const range = readRange(entry);
    if ('problem' in range) problems.push(`entry ${index + 1} (${show(entry)}) ${range.problem}`);
    else ranges.set(`${range.address}/${range.prefix}`, range);
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
 * The key that per-address limits count under: the IPv4 address, or the /64 of an IPv6 one, since one client has all
 * of it. What is not an address, a key included, is its own key.
 */
export function limitKey(address: string): string {
  const plain = canonical(address);
  if (plain === null || isIP(plain) === 4) return plain ?? address;
  const [left = '', right] = plain.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const zeros = right === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...(right ?? [])];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/**
 * The text of an address as the library gives it: 4 or 16 bytes, in network order. '' for any other length: a
 * connection that is gone has no address.
 */
export function addressText(bytes: ArrayBuffer): string {
  if (bytes.byteLength === 4) return new Uint8Array(bytes).join('.');
  if (bytes.byteLength !== 16) return '';
  const view = new DataView(bytes);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(2 * index).toString(16));
  return canonical(groups.join(':')) ?? '';
}

/**
 * A request's headers by name (lower case), read once: all lines of one with commas between them, in the order in
 * which they came; '' when there is none. The library's `getHeader` returns only the first line, which is the client's
 * own where a proxy adds one behind it.
 */
export function headerLines(request: {
  forEach(visit: (name: string, value: string) => void): void;
}): (name: string) => string {
  const lines = new Map<string, string>();
  request.forEach((name, value) => {
    const before = lines.get(name);
    lines.set(name, before === undefined ? value : `${before},${value}`);
  });
  return (name) => lines.get(name) ?? '';
}

/** An address in its one form: IPv6 short and in lower case, without a zone, IPv4 within IPv6 as IPv4. */
function canonical(text: string): string | null {
  const family = isIP(text);
  if (family !== 6) return family === 4 ? text : null;
  const zone = text.indexOf('%');
  const { address } = new SocketAddress({
    address: zone === -1 ? text : text.slice(0, zone),
    family: 'ipv6',
  });
  const within = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : '';
  return isIP(within) === 4 ? within : address;
}

// Some proxies add the port of the client, and then brackets around an IPv6 address.
const WITH_PORT = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::\d{1,5})?$/i;

function forwardedAddress(entry: string): string | null {
  if (entry.length > MAX_ENTRY_LENGTH) return null;
  const text = entry.trim();
  const [, bracketed, dotted] = WITH_PORT.exec(text) ?? [];
  return canonical(bracketed ?? dotted ?? text);
}

const EVERYBODY = 'that is everybody, and who is trusted may claim any address';

function readRange(entry: string): Range | { readonly problem: string } {
  if (entry === '') return { problem: 'is empty' };
  const [, text = '', bits] = /^([0-9a-f:.]+)(?:\/(0|[1-9]\d{0,2}))?$/i.exec(entry) ?? [];
  const width = isIP(text) === 4 ? 32 : 128;
  const address = canonical(text);
  const length = bits === undefined ? width : Number(bits);
  if (address === null || length > width) return { problem: 'is not an address or a range' };
  const family = isIP(address) === 4 ? 4 : 6;
  // IPv4 within IPv6: its range is counted from behind the 96 bits that say so.
  const prefix = family === 4 && width === 128 ? length - 96 : length;
  if (prefix < 0) return { problem: 'is not an address or a range' };
  if (prefix === 0) return { problem: EVERYBODY.replace('that ', '') };
  return { family, address, prefix };
}
