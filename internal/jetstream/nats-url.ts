import type { ConnectionOptions } from 'nats';

const USERINFO = /^(\w+:\/\/)?.*@/s;
const PLAIN_ADDRESS = /^(?:\w+:\/\/)?(?:\[[0-9A-Fa-f:.]+\]|[^\s,/@:%[\]]+)(?::\d{1,5})?\/?$/;

/**
 * Addresses without user, password or token, for logs and errors. What is no list of addresses is not shown at all:
 * nobody can tell where a password ends in it.
 */
export function redactUrl(url: string): string {
  if (url === '') return url;
  const plain = url.split(',').map(withoutUserinfo);
  return plain.every((address) => PLAIN_ADDRESS.test(address)) ? plain.join(',') : '(not an address)';
}

function withoutUserinfo(address: string): string {
  return address.replace(USERINFO, '$1');
}

/** Splits addresses and the credentials in front of the first `@`. */
export function parseNatsUrl(
  url: string,
): Pick<ConnectionOptions, 'servers' | 'user' | 'pass' | 'token' | 'tls'> & { servers: string[] } {
  const addresses = url.split(',').map((address) => address.replace(/\/$/, ''));
  const userinfo = addresses.map((address) => /^(?:\w+:\/\/)?([^@]*)@/.exec(address)?.[1]).find(Boolean);
  const servers = addresses.map(withoutUserinfo);
  const tls = servers.some((server) => server.startsWith('tls://')) ? { tls: {} } : {};
  if (userinfo === undefined) return { servers, ...tls };
  const colon = userinfo.indexOf(':');
  if (colon < 0) return { servers, token: decodeURIComponent(userinfo), ...tls };
  return {
    servers,
    user: decodeURIComponent(userinfo.slice(0, colon)),
    pass: decodeURIComponent(userinfo.slice(colon + 1)),
    ...tls,
  };
}

/** The host of an address as `parseNatsUrl` gives it: a name, or an IP address without brackets. */
export function hostOf(server: string): string {
  return server
    .replace(/^\w+:\/\//, '')
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '');
}

/** `text` without any part of what stands before an `@` in `url`: a server may say what it was told. */
export function withoutCredentials(text: string, url: string): string {
  const before = url.slice(0, Math.max(0, url.lastIndexOf('@'))).replaceAll(/(^|,)\w+:\/\//g, '$1');
  const raw = [before, ...before.split(/[,@]/), ...before.split(/[\s:,/@]+/)];
  const secrets = new Set(raw.flatMap((part) => [part, decoded(part)]).filter((part) => part !== ''));
  const longestFirst = [...secrets].sort((one, other) => other.length - one.length);
  return longestFirst.reduce((rest, part) => rest.replaceAll(part, '…'), text);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}
