import { readdirSync, readFileSync } from 'node:fs';
import { limitKey } from './ip-address.js';
import { UnreadPeers } from './unread-peers.js';

/** Integers from 0; 0: no limit. */
export interface SocketLimits {
  /** Sockets that have not become a WebSocket, in all. */
  readonly maxHttp: number;
  /** Those of one IPv4 address or one IPv6 /64. */
  readonly maxHttpPerAddress: number;
  /** Sockets of every kind, by what the system lets this process open; null: nobody knows. */
  readonly maxOpen: number | null;
}

/** Which limit a socket was cut off by. */
export type SocketRefusal = 'http_sockets' | 'http_sockets_per_address' | 'open_files';

/**
 * For how long a socket that asks nothing, and one that was closed and does not go, may be there. The library cuts both
 * by timers of 4 s, after 8 to 12 s.
 */
const GENERATION_MS = 10_000;

/**
 * Counts sockets from their first byte on, before anything is read. A socket is here with nothing to show for until it
 * asks for something; then it is answered and ends, or becomes a WebSocket, which is counted by the `Admission`.
 *
 * Which address a socket that goes was of, the library does not tell. So each address has its sockets counted until
 * they ask for something, or until they have been cut by the library's timers, whichever comes first.
 */
export class SocketGuard {
  readonly #limits: SocketLimits;
  readonly #now: () => number;
  readonly #unread = new UnreadPeers();
  #http = 0;
  #webSockets = 0;
  #silent: Generations;
  #closing: Generations;

  /** @param now milliseconds of a monotonic clock */
  constructor(limits: SocketLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#silent = new Generations(now());
    this.#closing = new Generations(now());
  }

  /**
   * A socket is there. Whatever comes of it, `gone` or `upgraded` has to follow.
   * @param address the peer's, as text
   * @param isProxy it brings others' requests, so only what is for everybody counts
   * @returns by which limit it is to be cut off; null: it may stay
   */
  came(address: string, isProxy: boolean): SocketRefusal | null {
    const { maxHttp, maxHttpPerAddress, maxOpen } = this.#limits;
    const now = this.#now();
    const open = this.open;
    this.#http++;
    if (maxOpen !== null && open >= maxOpen) return 'open_files';
    if (maxHttp > 0 && this.#http > maxHttp) return 'http_sockets';
    if (isProxy || maxHttpPerAddress === 0) return null;
    const key = limitKey(address);
    if (this.#silent.count(key, now) >= maxHttpPerAddress) return 'http_sockets_per_address';
    this.#silent.add(key, now);
    return null;
  }

  /**
   * A socket is there, and whatever comes of it.
   * @returns whether this address connects again and again and sends nothing that can be read
   */
  isUnread(address: string): boolean {
    return this.#unread.came(limitKey(address), this.#now());
  }

  /** A socket has sent a whole request, for the first and last time. */
  asked(address: string): void {
    this.#unread.asked(limitKey(address));
    if (this.#limits.maxHttpPerAddress > 0) this.#silent.remove(limitKey(address), this.#now());
  }

  /** A socket that never became a WebSocket is gone. */
  gone(): void {
    this.#http--;
  }

  /** A socket has become a WebSocket. `left` has to follow. */
  upgraded(): void {
    this.#http--;
    this.#webSockets++;
  }

  /** A socket has begun to be sent events. `streamEnded` has to follow, and `gone` after it. */
  streamBegan(): void {
    this.upgraded();
  }

  /** A socket is sent no more events. */
  streamEnded(): void {
    this.#webSockets--;
    this.#http++;
  }

  /**
   * A WebSocket is gone.
   * @param isOurs the edge has closed it, and the socket may stay open until its peer has closed it as well
   */
  left(isOurs: boolean): void {
    this.#webSockets--;
    if (isOurs) this.#closing.add('', this.#now());
  }

  /** Sockets that have not become a WebSocket. */
  get http(): number {
    return this.#http;
  }

  /** All that are open, at the most: those that are being closed are counted for as long as that can take. */
  get open(): number {
    return this.#http + this.#webSockets + this.#closing.count('', this.#now());
  }
}

/** Counts that are forgotten after one to two generations, all at once, so that memory is what came in that time. */
class Generations {
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  #bornAt: number;

  constructor(now: number) {
    this.#bornAt = now;
  }

  count(key: string, now: number): number {
    this.#age(now);
    return (this.#young.get(key) ?? 0) + (this.#old.get(key) ?? 0);
  }

  add(key: string, now: number): void {
    this.#age(now);
    this.#young.set(key, (this.#young.get(key) ?? 0) + 1);
  }

  /** Takes back one `add`. */
  remove(key: string, now: number): void {
    this.#age(now);
    for (const counts of [this.#young, this.#old]) {
      const count = counts.get(key) ?? 0;
      if (count === 0) continue;
      if (count > 1) counts.set(key, count - 1);
      else counts.delete(key);
      return;
    }
  }

  #age(now: number): void {
    const age = now - this.#bornAt;
    if (age < GENERATION_MS) return;
    this.#old = age < 2 * GENERATION_MS ? this.#young : new Map();
    this.#young = new Map();
    this.#bornAt = now;
  }
}

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
