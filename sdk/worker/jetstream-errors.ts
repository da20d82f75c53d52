import type { Obstacle, Reply } from './ports.js';

/** Errors that an operator must fix, in plain words; JetStream's own words follow in brackets. */
const OBSTACLES: readonly {
  readonly codes: readonly number[];
  readonly obstacle: Obstacle;
  readonly words: string;
}[] = [
  // The server's or the account's store, or the disk; and a stream that takes nothing new when it is full.
  { codes: [10002, 10023, 10028, 10047], obstacle: 'storage_full', words: 'storage is full' },
  { codes: [10077], obstacle: 'storage_full', words: 'storage is full: the stream takes no more' },
  { codes: [10059], obstacle: 'no_stream', words: 'no stream: run `headway init`' },
  { codes: [10035, 10039, 10076], obstacle: 'no_jetstream', words: 'JetStream is not enabled' },
];

const WRONG_LAST_SEQUENCE = 10071;
const WRONG_LAST_SEQUENCE_IN_FLIGHT = 10164;
const DUPLICATE_IN_FLIGHT = 10158;
/** Also for a moment while a cluster chooses a leader. */
const NO_RESPONDER = {
  obstacle: 'no_stream',
  detail: 'no stream takes it now; if there is none, run `headway init`',
} as const;
/** A stream of another server may take it, where this one is part of a cluster or a leaf node. */
const NO_JETSTREAM = {
  obstacle: 'no_jetstream',
  detail: 'no stream takes it, and this server has no JetStream',
} as const;
const TOO_LARGE = new Set([10053, 10054]);
const NOT_NOW = new Set([429, 503]);

/** An error as the JetStream API reports it. */
export interface ApiError {
  readonly code?: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** What a status in the header of a reply means; 503: no responder. */
export function replyOfStatus(status: number, hasJetStream: boolean): Reply {
  if (status !== 503) return { kind: 'busy', detail: `status ${status}`, mayBeStored: false };
  return { kind: 'busy', mayBeStored: false, ...(hasJetStream ? NO_RESPONDER : NO_JETSTREAM) };
}

/** What an error in the reply to a publish means. */
export function replyOfError({ code = 0, err_code = 0, description = '' }: ApiError): Reply {
  const { detail, obstacle } = describeError(err_code || code, description);
  if (err_code === WRONG_LAST_SEQUENCE) return { kind: 'conflict', last: sequenceIn(description) };
  if (err_code === WRONG_LAST_SEQUENCE_IN_FLIGHT || err_code === DUPLICATE_IN_FLIGHT) {
    return { kind: 'busy', detail, mayBeStored: true };
  }
  if (TOO_LARGE.has(err_code)) return { kind: 'too_large', detail };
  return NOT_NOW.has(code)
    ? { kind: 'busy', detail, mayBeStored: false, obstacle }
    : { kind: 'refused', detail, obstacle };
}

/** What an error of JetStream means: in plain words if it is a known one, else in JetStream's words. */
export function describeError(
  code: number,
  description: string,
): { readonly detail: string; readonly obstacle: Obstacle | undefined } {
  const said = `${code} ${description}`.trim();
  const known = OBSTACLES.find(({ codes }) => codes.includes(code));
  // Of the errors of a store only these mean that it is full.
  const isRoom = code !== 10077 || /maximum (bytes|messages)/.test(description);
  if (known === undefined || !isRoom) return { detail: said, obstacle: undefined };
  return { detail: `${known.words} (${said})`, obstacle: known.obstacle };
}

// "wrong last sequence: 17"
function sequenceIn(description: string): number | null {
  const digits = /(\d+)\s*$/.exec(description)?.[1];
  return digits === undefined ? null : Number(digits);
}
