import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { remembered } from './remembered.js';

/** An address in its one form: IPv4 within IPv6 (`::ffff:…`) is IPv4, and a zone is left out. */
export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/** A range of addresses: one of them, and how many leading bits they share. */
export type IpRange = readonly [address: IpAddress, prefix: number];

/**
 * The address that a text is; null when it is none. Whether it is one is Node's word, because `ipaddr.js` reads more as
 * addresses than anybody means: `010.0.0.1` as 8.0.0.1, and `10.1`, `0xa.0.0.1` and `167772161` as 10.0.0.1.
 */
export function parseAddress(text: string): IpAddress | null {
  if (isIP(text) === 0) return null;
  const zone = text.indexOf('%');
  return unmapped(ipaddr.parse(spelledOut(zone === -1 ? text : text.slice(0, zone))));
}

// `::10.0.0.1` is not 10.0.0.1 (RFC 4291, 2.5.5.1), but `ipaddr.js` takes it for `::ffff:10.0.0.1`, unless a zero is in
// front. Otherwise somebody could pass for a proxy by it.
function spelledOut(text: string): string {
  return /^::[\d.]+$/.test(text) && text.includes('.') ? `0${text}` : text;
}

function unmapped(address: IpAddress): IpAddress {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/**
 * The range that a text in CIDR notation is, an address alone being one of a single address; null when it is none.
 * IPv4 within IPv6 becomes IPv4: its prefix is counted from behind the 96 bits that say so.
 */
export function parseRange(text: string): IpRange | null {
  const [, written = '', bits] = /^([0-9a-f:.]+)(?:\/(0|[1-9]\d{0,2}))?$/i.exec(text) ?? [];
  const address = parseAddress(written);
  if (address === null) return null;
  const width = isIP(written) === 4 ? 32 : 128;
  const length = bits === undefined ? width : Number(bits);
  const prefix = length - (width - widthOf(address));
  return length > width || prefix < 0 ? null : [address, prefix];
}

/** How many bits an address has: 32 or 128. */
export function widthOf(address: IpAddress): 32 | 128 {
  return address instanceof ipaddr.IPv4 ? 32 : 128;
}

/** Whether an address lies in a range. A range of one family, however wide, holds no address of the other. */
export function isInRange(address: IpAddress, [network, prefix]: IpRange): boolean {
  return address.kind() === network.kind() && address.match(network, prefix);
}

/** An address in its one form, as text; null when it is none. IPv6 is short and in lower case (RFC 5952). */
export const canonicalAddress: (text: string) => string | null = remembered(
  (text) => parseAddress(text)?.toString() ?? null,
);

/**
 * The key that per-address limits count under: the IPv4 address, or the /64 of an IPv6 one, since one client has all
 * of it. What is not an address, a key included, is its own key.
 */
export const limitKey: (text: string) => string = remembered((text) => {
  const address = parseAddress(text);
  if (address === null) return text;
  if (address instanceof ipaddr.IPv4) return address.toString();
  const network = address.parts.slice(0, 4).map((part) => part.toString(16));
  return `${network.join(':')}::/64`;
});

/**
 * The text of an address as the library gives it: 4 or 16 bytes, in network order. '' for any other length: a
 * connection that is gone has no address.
 */
export function addressText(bytes: ArrayBuffer): string {
  const all = new Uint8Array(bytes);
  // Asked for each connection: those of IPv4 are put together by hand.
  if (all.length === 4) return all.join('.');
  if (all.length !== 16) return '';
  return unmapped(ipaddr.fromByteArray([...all])).toString();
}
