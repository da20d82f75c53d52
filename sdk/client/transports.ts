import type { TransportName } from './types.js';
import type { WireClose } from './wire.js';

const ORDER: readonly TransportName[] = ['websocket', 'sse', 'polling'];
/** So many attempts in a row without a word of the edge, and the next transport gets its turn. */
const ATTEMPTS = 2;
/** The edge itself has closed: the transport works. */
const WORDS_OF_THE_EDGE = [429, 1012, 1013, 4429];

/** Which transport to try now. Pure. */
export class Transports {
  #failures = 0;
  #current: TransportName;

  constructor(private readonly choice: 'auto' | TransportName) {
    this.#current = choice === 'auto' ? 'websocket' : choice;
  }

  get current(): TransportName {
    return this.#current;
  }

  /** Whether WebSocket should be looked at again now and then. */
  get isFallback(): boolean {
    return this.choice === 'auto' && this.#current !== 'websocket';
  }

  /** The edge said hello over this one: it is kept. */
  worked(name: TransportName): void {
    this.#current = name;
    this.#failures = 0;
  }

  /** An attempt ended before the edge had said hello. */
  failed({ next, code }: WireClose): void {
    if (this.choice !== 'auto' || next !== 'retry' || WORDS_OF_THE_EDGE.includes(code)) return;
    if (++this.#failures < ATTEMPTS) return;
    this.#failures = 0;
    this.#current = ORDER[(ORDER.indexOf(this.#current) + 1) % ORDER.length] ?? 'websocket';
  }
}
