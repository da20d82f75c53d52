import { show } from '../../schemas/explain.js';
import { parseUrl } from '../../schemas/text.js';

/** What an `Origin` header is: not there, the page's own, one of the list, or neither. */
export type OriginMatch = 'none' | 'own' | 'listed' | 'refused';

// Only what a browser writes into a Host header: no user name, no path, nothing that needs to be read twice. The
// test comes before the lower case, which would turn signs that only look like letters into letters.
const HOST = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i;

/**
 * Origins that may connect: the page's own (scheme, host and port of the request) and an exact list.
 *
 * Origins are compared as text and never taken apart: browsers write each in one way only, and whoever writes it in
 * another is no browser.
 */
export class OriginPolicy {
  readonly #allowed: ReadonlySet<string>;

  /** @param allowed origins as browsers send them, such as `https://app.example.com`, or `null`; see `parseOrigins` */
  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed);
  }

  /**
   * Never throws.
   * @param origin the `Origin` header, or '' when there is none
   * @param host the `Host` header, or ''; its case and a default port do not matter, since proxies change them
   * @param isSecure whether the client came over TLS, to this edge or as a trusted proxy says
   */
  match(origin: string, host: string, isSecure: boolean): OriginMatch {
    if (origin === '') return 'none';
    if (origin === ownOrigin(host, isSecure)) return 'own';
    return this.#allowed.has(origin) ? 'listed' : 'refused';
  }
}

function ownOrigin(host: string, isSecure: boolean): string | null {
  if (!HOST.test(host)) return null;
  const [scheme, defaultPort] = isSecure ? ['https', ':443'] : ['http', ':80'];
  const name = host.toLowerCase();
  return `${scheme}://${name.endsWith(defaultPort) ? name.slice(0, -defaultPort.length) : name}`;
}

export type ParsedOrigins =
  | { readonly ok: true; readonly origins: string[] }
  | { readonly ok: false; readonly problem: string };

/**
 * Reads the operators' setting: origins with commas between them, brought into the form in which browsers send them
 * (lower case, no default port, Punycode), each once. Blank text is an empty list.
 *
 * The problem tells of every wrong entry, and does not show one that may hold a password or a token.
 */
export function parseOrigins(text: string): ParsedOrigins {
  if (text.trim() === '') return { ok: true, origins: [] };
  const origins = new Set<string>();
  const problems: string[] = [];
  for (const [index, part] of text.split(',').entries()) {
    const entry = part.trim();
    const read = readOrigin(entry);
    if ('origin' in read) origins.add(read.origin);
    else
      problems.push(`entry ${index + 1}${/[@?#]|^$/.test(entry) ? '' : ` (${show(entry)})`} ${read.problem}`);
  }
  if (problems.length === 0) return { ok: true, origins: [...origins] };
  return { ok: false, problem: `${problems.join('; ')}; expected origins such as https://app.example.com` };
}

// A host that a browser can be at, with or without a port. What is behind the letters is for the URL parser.
const AUTHORITY = /^(?:\[[0-9a-f:.]+\]|[^\s%:[\]]+)(?::\d{1,5})?$/i;

function readOrigin(entry: string): { readonly origin: string } | { readonly problem: string } {
  if (entry === '') return { problem: 'is empty' };
  if (entry === 'null') return { origin: entry };
  if (entry.includes('*')) return { problem: 'has a wildcard; every origin has to be listed' };
  const [, scheme, authority] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(entry) ?? [];
  if (scheme === undefined || authority === undefined)
    return { problem: 'does not begin with http:// or https://' };
  if (/^wss?$/i.test(scheme)) return { problem: 'is the address of a socket; list the page that opens it' };
  if (!/^https?$/i.test(scheme)) return { problem: 'has a scheme other than http and https' };
  if (authority.includes('@')) return { problem: 'has a user name or a password' };
  if (/[/\\?#]/.test(authority)) return { problem: 'has more than scheme, host and port, if only a slash' };
  const url = AUTHORITY.test(authority) ? parseUrl(entry) : null;
  if (url === null || !HOST.test(url.host)) return { problem: 'has no valid host, or no valid port' };
  return { origin: url.origin };
}
