/** What JetStream answers to a publish. */
export type Reply =
  /** It is stored at `seq`; `duplicate`: it was before. */
  | { readonly kind: 'stored'; readonly seq: number; readonly duplicate: boolean }
  /** The subject's last event is not the expected one. `last` is its sequence (0: there is none), where it is told. */
  | { readonly kind: 'conflict'; readonly last: number | null }
  /** Not now: send it again. `unsure`: it may be stored, or be about to be. */
  | { readonly kind: 'busy'; readonly detail: string; readonly unsure: boolean }
  /** No, and nobody knows for how long. */
  | { readonly kind: 'refused'; readonly detail: string }
  | { readonly kind: 'too_large'; readonly detail: string };

const WRONG_LAST_SEQUENCE = 10071;
const WRONG_LAST_SEQUENCE_IN_FLIGHT = 10164;
const DUPLICATE_IN_FLIGHT = 10158;
const TOO_LARGE = new Set([10053, 10054]);
const NOT_NOW = new Set([429, 503]);

/** What nearly all of them are. */
const PLAIN_ACK = /^\{"stream":"[^"\\]*", ?"seq":([1-9]\d*)\}$/;

interface PubAck {
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: { readonly code?: number; readonly err_code?: number; readonly description?: string };
}

/**
 * Reads an answer. Never throws: what is not understood counts as "not now".
 * @param status the status in the message's header, 0 without one; 503 means that nobody listens
 */
export function parseReply(status: number, text: string): Reply {
  if (status !== 0) {
    const detail = status === 503 ? 'no JetStream stream takes the subject now' : `status ${status}`;
    return { kind: 'busy', detail, unsure: false };
  }
  const stored = PLAIN_ACK.exec(text);
  if (stored !== null) return { kind: 'stored', seq: Number(stored[1]), duplicate: false };
  let ack: PubAck;
  try {
    ack = JSON.parse(text) as PubAck;
  } catch {
    return { kind: 'busy', detail: 'the answer is not JSON', unsure: true };
  }
  const error = ack?.error;
  if (error === undefined) {
    // A cluster answers a duplicate of what it has not stored yet with the sequence 0.
    return typeof ack?.seq === 'number' && ack.seq > 0
      ? { kind: 'stored', seq: ack.seq, duplicate: ack.duplicate === true }
      : { kind: 'busy', detail: 'the event is on its way', unsure: true };
  }
  const { code = 0, err_code = 0, description = '' } = error;
  const detail = `${err_code || code} ${description}`.trim();
  if (err_code === WRONG_LAST_SEQUENCE) return { kind: 'conflict', last: sequenceIn(description) };
  if (err_code === WRONG_LAST_SEQUENCE_IN_FLIGHT || err_code === DUPLICATE_IN_FLIGHT) {
    return { kind: 'busy', detail, unsure: true };
  }
  if (TOO_LARGE.has(err_code)) return { kind: 'too_large', detail };
  return NOT_NOW.has(code) ? { kind: 'busy', detail, unsure: false } : { kind: 'refused', detail };
}

// "wrong last sequence: 17"
function sequenceIn(description: string): number | null {
  const digits = /(\d+)\s*$/.exec(description)?.[1];
  return digits === undefined ? null : Number(digits);
}
