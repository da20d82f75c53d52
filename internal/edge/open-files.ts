import { readdirSync, readFileSync } from 'node:fs';

/** For what a process opens beside sockets of clients: connections to NATS and the JWKS host, files of TLS. */
const RESERVE = 64;

/**
 * How many sockets this process may have beside what it has open now. At the end of its open files the library's accept
 * loop would ask again and again, and the process would do nothing else.
 * @returns null where the system does not tell (it is not Linux), or sets no limit
 */
export function openSocketsLimit(): number | null {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (limit === undefined) return null;
    return Math.max(1, Number(limit) - readdirSync('/proc/self/fd').length - RESERVE);
  } catch {
    return null;
  }
}
