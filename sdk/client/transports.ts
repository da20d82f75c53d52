import type { TransportName } from './types.js';
import { openWebSocket } from './websocket-wire.js';
import type { OpenWire, Platform, Transports } from './wire.js';

/** So many attempts in a row without a word of the edge, and the next transport gets its turn. */
const ATTEMPTS = 2;
/** The edge itself has closed: the transport works. */
const WORDS_OF_THE_EDGE = [429, 1012, 1013, 4429];

/** @param openBy what tests give instead of the real ones */
export function createTransports(
  choice: 'auto' | TransportName,
  { WebSocket }: Platform,
  openBy?: (name: TransportName) => OpenWire,
): Transports {
  const openSocket = openBy?.('websocket') ?? openWebSocket;
  const hasChoice = choice === 'auto' && WebSocket !== undefined;
  let failures = 0;
  const transports: Transports = {
    turn: 0,
    async open() {
      if (choice === 'websocket' || (hasChoice && transports.turn === 0)) return openSocket;
      try {
        return (await import('./fallback.js')).openFallback(choice, transports, openSocket, openBy);
      } catch (error) {
        if (!hasChoice) throw error;
        // There may be no network to load it over. WebSocket is tried again, and then this.
        transports.turn = 0;
        return openSocket;
      }
    },
    worked() {
      failures = 0;
    },
    failed({ next, code }) {
      if (next !== 'retry' || WORDS_OF_THE_EDGE.includes(code) || ++failures < ATTEMPTS) return;
      failures = 0;
      transports.turn += 1;
    },
  };
  return transports;
}
