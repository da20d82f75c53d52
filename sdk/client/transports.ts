import { edgeError } from './errors.js';
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
  const transports: Transports = {
    turn: 0,
    failures: [],
    async open() {
      const { turn, failures } = transports;
      const isAuto = choice === 'auto' && WebSocket !== undefined;
      if (isAuto ? turn === 0 && failures.length < MAX_FAILURES : WebSocket && choice === 'websocket')
        return openSocket;
      try {
        const { openFallback } = await import('./fallback.js');
        return openFallback(choice, transports, openSocket, edgeError, openBy);
      } catch (error) {
        if (!isAuto) throw error;
        // There may be no network to load it over. WebSocket is tried again, and then this.
        transports.turn = 0;
        transports.failures = [];
        return openSocket;
      }
    },
  };
  return transports;
}
