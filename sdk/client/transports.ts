import type { TransportName } from './types.js';
import { openWebSocket } from './websocket-wire.js';
import { MAX_FAILURES, type OpenWire, type Platform, type Transports } from './wire.js';

/** @param openBy what tests give instead of the real ones */
export function createTransports(
  choice: 'auto' | TransportName,
  { WebSocket }: Platform,
  openBy?: (name: TransportName) => OpenWire,
): Transports {
  const openSocket = openBy?.('websocket') ?? openWebSocket;
  const hasChoice = choice === 'auto' && WebSocket !== undefined;
  const transports: Transports = {
    turn: 0,
    failures: [],
    async open() {
      const isSocketGood = hasChoice && transports.turn === 0 && transports.failures.length < MAX_FAILURES;
      if (choice === 'websocket' || isSocketGood) return openSocket;
      try {
        return (await import('./fallback.js')).openFallback(choice, transports, openSocket, openBy);
      } catch (error) {
        if (!hasChoice) throw error;
        // There may be no network to load it over. WebSocket is tried again, and then this.
        transports.turn = 0;
        transports.failures = [];
        return openSocket;
      }
    },
  };
  return transports;
}
