import { openPolling } from './polling-wire.js';
import { openSse } from './sse-wire.js';
import type { TransportName } from './types.js';
import {
  MAX_FAILURES,
  type OpenWire,
  type Platform,
  type Transports,
  type Wire,
  type WireClose,
  type WireOptions,
  type WireOwner,
} from './wire.js';

export { openPolling, openSse };

/** How often WebSocket is looked at while another transport is in use, and how long until the edge says hello. */
export const PROBE_MS = 60_000;
const HELLO_MS = 30_000;

/** The edge itself has closed: the transport works. */
const WORDS_OF_THE_EDGE = [429, 1012, 1013, 4429];

/** When each client looks at WebSocket next, whatever becomes of its connections until then. */
const probeTimes = new WeakMap<Transports, number>();

const openByName = (name: TransportName): OpenWire => (name === 'sse' ? openSse : openPolling);

/**
 * The transport whose turn it is; behind the last one WebSocket again, where there is one.
 * @throws EdgeError when it is to be WebSocket, and there is none
 */
export function openFallback(
  choice: 'auto' | TransportName,
  transports: Transports,
  openSocket: OpenWire,
  edgeError: (status: number, code: string, message: string) => Error,
  openBy = openByName,
): OpenWire {
  if (choice === 'websocket')
    throw edgeError(0, 'no_websocket', 'there is no WebSocket; give the class as an option');
  if (choice !== 'auto') return openBy(choice);
  const failures = transports.failures.filter(
    ({ next, code }) => next === 'retry' && !WORDS_OF_THE_EDGE.includes(code),
  );
  const isNextTurn = failures.length >= MAX_FAILURES;
  transports.failures = isNextTurn ? [] : failures;
  if (isNextTurn) transports.turn += 1;
  return (options, owner, platform) => {
    const { turn } = transports;
    if (platform.WebSocket === undefined)
      return openBy(turn % 2 === 0 ? 'sse' : 'polling')(options, owner, platform);
    if (turn % 3 === 0) return openSocket(options, owner, platform);
    const open = openBy(turn % 3 === 1 ? 'sse' : 'polling');
    return new ProbingWire(transports, openSocket, open, options, owner, platform);
  };
}

/** A fallback that looks at WebSocket beside it now and then. When that works it takes over, from where the other one is. */
class ProbingWire implements Wire {
  #wire: Wire;
  #probe: Wire | null = null;
  #token: string | null;
  #isClosed = false;
  #stopTimer = (): void => {};

  constructor(
    private readonly transports: Transports,
    private readonly openSocket: OpenWire,
    openFallback: OpenWire,
    private readonly options: WireOptions,
    private readonly owner: WireOwner,
    private readonly platform: Platform,
  ) {
    this.#token = options.token;
    this.#wire = openFallback(
      options,
      {
        ...owner,
        frame: (frame) => {
          if (frame.type === 'hello') this.#probeLater();
          owner.frame(frame);
        },
        closed: (close) => this.#closed(close),
      },
      platform,
    );
  }

  get transport(): TransportName {
    return this.#wire.transport;
  }

  follow(jobs: Parameters<Wire['follow']>[0]): void {
    this.#wire.follow(jobs);
  }

  unfollow(ids: readonly string[]): void {
    this.#wire.unfollow(ids);
  }

  renew(token: string): boolean {
    this.#token = token;
    return this.#wire.renew(token);
  }

  ping(): void {
    this.#wire.ping();
  }

  close(): void {
    this.#isClosed = true;
    this.#stopProbe();
    this.#wire.close();
  }

  #closed(close: WireClose): void {
    this.#isClosed = true;
    this.#stopProbe();
    this.owner.closed(close);
  }

  #stopProbe(): void {
    this.#stopTimer();
    this.#probe?.close();
    this.#probe = null;
  }

  #probeLater(): void {
    const { platform, transports } = this;
    this.#stopProbe();
    const now = platform.now();
    const at = probeTimes.get(transports) ?? now + PROBE_MS;
    probeTimes.set(transports, at);
    this.#stopTimer = platform.later(Math.max(0, at - now), () => {
      probeTimes.delete(transports);
      this.#lookAtWebSocket();
    });
  }

  #lookAtWebSocket(): void {
    const { owner, platform } = this;
    const failed = (): void => {
      if (!this.#isClosed) this.#probeLater();
    };
    let isGreeted = false;
    try {
      const probe = this.openSocket(
        { ...this.options, token: this.#token },
        {
          ...owner,
          frame: (frame) => {
            if (!isGreeted && frame.type === 'hello') {
              isGreeted = true;
              this.#takeOver();
            }
            if (isGreeted) owner.frame(frame);
          },
          alive: () => {
            if (isGreeted) owner.alive();
          },
          closed: (close) => {
            if (isGreeted) owner.closed(close);
            else failed();
          },
        },
        platform,
      );
      this.#probe = probe;
      this.#stopTimer = platform.later(HELLO_MS, failed);
    } catch {
      failed();
    }
  }

  #takeOver(): void {
    if (this.#probe === null) return;
    this.#stopTimer();
    this.#wire.close();
    this.#wire = this.#probe;
    this.#probe = null;
    this.transports.turn = 0;
  }
}
