/** What JetStream says of a message that it delivers. */
export interface Delivery {
  readonly seq: number;
  readonly deliverySequence: number;
  /** ms since 1970. */
  readonly storedAt: number;
  readonly pending: number;
}

/**
 * Reads what JetStream says of each message of one consumer, in its reply subject: `$JS.ACK.<stream>.<consumer>.<count>.
 * <seq>.<delivery>.<ns>.<pending>`, or with domain and account behind `ACK`. The package reads it too, but only for
 * messages of its own.
 */
export class DeliveryReader {
  /** What stands before the seq: it is the same in all of them, so it is taken apart once. */
  #head: string | null = null;

  /** @returns null when the message does not come from a consumer */
  read(reply: string | undefined): Delivery | null {
    if (reply === undefined) return null;
    if (this.#head === null || !reply.startsWith(this.#head)) this.#head = headOf(reply);
    return this.#head === null ? null : numbersIn(reply, this.#head.length);
  }
}

function headOf(reply: string): string | null {
  if (!reply.startsWith('$JS.ACK.')) return null;
  const tokens = reply.split('.');
  const before = tokens.length === 9 ? 5 : 7;
  return tokens.slice(0, before).concat('').join('.');
}

// Read by hand: it is done for each event, and to split the text would take as long as all the rest.
function numbersIn(reply: string, start: number): Delivery {
  const seqEnd = reply.indexOf('.', start);
  const deliveryEnd = reply.indexOf('.', seqEnd + 1);
  const timeEnd = reply.indexOf('.', deliveryEnd + 1);
  const nextDot = reply.indexOf('.', timeEnd + 1);
  return {
    seq: integer(reply, start, seqEnd),
    deliverySequence: integer(reply, seqEnd + 1, deliveryEnd),
    // Cut, not divided: as a number the nanoseconds would be rounded.
    storedAt: integer(reply, deliveryEnd + 1, timeEnd - 6),
    pending: integer(reply, timeEnd + 1, nextDot < 0 ? reply.length : nextDot),
  };
}

const ZERO = 48;

function integer(text: string, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) value = value * 10 + text.charCodeAt(at) - ZERO;
  return value;
}
