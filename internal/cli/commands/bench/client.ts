import type { ClientRequest, IncomingMessage } from 'node:http';
import { type RawData, WebSocket } from 'ws';
import { CLOSE_CODES, closeCode } from '../../../../schemas/close-codes.js';
import { PROTOCOL } from '../../../../schemas/ids.js';
import { printable } from '../../../../schemas/text.js';
import { type Deferred, deferred } from '../../../async.js';
import { EdgeRefusedError, EdgeUnreachableError, OtherStreamError } from './errors.js';
import { type Departures, ReceivedUpdates } from './received.js';

/** How an edge is reached. */
export interface EdgeAccess {
  /** `ws://` or `wss://`, host, port and whatever stands before the edge's own paths, without a slash at the end. */
  readonly url: string;
  readonly token: string | undefined;
  /** The epoch of the stream that the edge must follow. */
  readonly epoch: string;
  readonly stream: string;
}

/** What all clients of a run have met together. Counts from 0. */
export class ClientCounts {
  updates = 0;
  /** What the frames hold, without what WebSocket and TLS put around them. */
  bytes = 0;
  resets = 0;
  /** The reason of the last `reset`. */
  resetReason = '';
  /** How often the edge, or what is before it, let a client wait or cut it off, and it came again. */
  turnedAway = 0;
  /** What was said then, at last. */
  turnedAwayBy = '';
}

const HANDSHAKE_MS = 10_000;
/** Without a word of the edge, the next attempt comes after so long, and up to twice that. */
const AGAIN_MS = 100;
/** Nobody waits longer, whatever `Retry-After` says. */
const LONGEST_WAIT_MS = 10_000;

interface Frame {
  readonly type?: string;
  readonly epoch?: string;
  readonly scope?: string;
  readonly seq?: number;
  readonly prev_seq?: number | null;
  readonly cursor?: number;
  readonly reason?: string;
  readonly code?: string;
  readonly message?: string;
}

/** What a client waits for: at `hello` the edge has read its token, at `caught_up` it has everything. */
type Goal = 'hello' | 'caught_up';

/** One client of one job: it connects, is cut, comes back with its cursor, and checks what it gets. */
export class BenchClient {
  /** When it got where it was to get, by `performance.now()`; null: not yet. */
  arrivedAt: number | null = null;
  readonly #edge: EdgeAccess;
  readonly #id: string;
  #counts = new ClientCounts();
  #socket: WebSocket | null = null;
  #retrying: NodeJS.Timeout | undefined;
  #cursor: number | null = null;
  #scope = '';
  #upTo = 0;
  #isCaughtUp = false;
  #received: ReceivedUpdates | null = null;
  #goal: Goal = 'caught_up';
  #arrival: Deferred<void> | null = null;
  /** The last `error` frame, which its close follows. */
  #said = '';

  constructor(edge: EdgeAccess, id: string) {
    this.#edge = edge;
    this.#id = id;
  }

  /** How what came departs from what was stored; null where nothing can be held against anything. */
  get departures(): Departures | null {
    return this.#received?.departures ?? null;
  }

  /** How many updates had not come yet; 0 where nothing can be held against anything. */
  get outstanding(): number {
    return this.#received?.outstanding ?? 0;
  }

  /**
   * Connects for the first time. To get to `hello` it waits for room, and tells everything else at once.
   * @param upTo the seq that it waits for: an edge may still be behind what JetStream has acknowledged
   * @throws EdgeUnreachableError, EdgeRefusedError, OtherStreamError
   */
  connect(goal: Goal, counts: ClientCounts, upTo = 0): Promise<void> {
    this.#upTo = upTo;
    return this.#begin(goal, counts);
  }

  /**
   * Comes back with its cursor, as often as it takes.
   * @param stored the seq of every event of the job: what lies behind the cursor must come
   * @throws EdgeUnreachableError, EdgeRefusedError, OtherStreamError
   */
  resume(stored: readonly number[], counts: ClientCounts): Promise<void> {
    this.#received = new ReceivedUpdates(stored, this.#cursor ?? 0);
    return this.#begin('caught_up', counts);
  }

  /** Cuts the connection as a network does: without a word. */
  cut(): void {
    clearTimeout(this.#retrying);
    this.#arrival = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.terminate();
  }

  #begin(goal: Goal, counts: ClientCounts): Promise<void> {
    const arrival = deferred();
    this.#goal = goal;
    this.#counts = counts;
    this.#arrival = arrival;
    this.arrivedAt = null;
    this.#open();
    return arrival.promise;
  }

  #open(): void {
    this.#isCaughtUp = false;
    this.#said = '';
    const { token } = this.#edge;
    const socket = new WebSocket(this.#address(), PROTOCOL, {
      perMessageDeflate: false,
      skipUTF8Validation: true,
      handshakeTimeout: HANDSHAKE_MS,
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    });
    this.#socket = socket;
    const isCurrent = (): boolean => this.#socket === socket;
    let failure: NodeJS.ErrnoException | null = null;
    socket.on('message', (data) => {
      if (isCurrent()) this.#onMessage(data);
    });
    socket.on('unexpected-response', (request, response) => {
      if (isCurrent()) this.#onAnswer(request, response);
      else request.destroy();
    });
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', (code) => {
      if (isCurrent()) this.#onClose(code, failure);
    });
  }

  #address(): string {
    const query = new URLSearchParams();
    if (this.#cursor !== null) {
      query.set('last_seq', String(this.#cursor));
      query.set('epoch', this.#edge.epoch);
      query.set('scope', this.#scope);
    }
    const behind = query.size === 0 ? '' : `?${query}`;
    return `${this.#edge.url}/ws/upload-progress/${this.#id}${behind}`;
  }

  #onMessage(data: RawData): void {
    const text = String(data);
    this.#counts.bytes += (data as Buffer).length;
    const frame = parseFrame(text);
    switch (frame.type) {
      case 'hello':
        if (frame.epoch !== this.#edge.epoch) {
          this.#fail(new OtherStreamError(this.#edge.url, this.#edge.stream));
          return;
        }
        this.#scope = frame.scope ?? '';
        if (this.#goal === 'hello') this.#arrive();
        return;
      case 'progress_update':
        this.#counts.updates++;
        this.#received?.take(frame.seq ?? 0, frame.prev_seq ?? null);
        this.#cursor = Math.max(this.#cursor ?? 0, frame.seq ?? 0);
        break;
      case 'caught_up':
        this.#isCaughtUp = true;
        this.#covered(frame.cursor ?? 0);
        break;
      case 'heartbeat':
        if (this.#isCaughtUp) this.#covered(frame.cursor ?? 0);
        break;
      case 'reset':
        this.#counts.resets++;
        this.#counts.resetReason = frame.reason ?? '';
        // It says that something is left out, so nothing is missed in silence.
        this.#received = null;
        break;
      case 'error':
        this.#said = `${frame.code}: ${frame.message}`;
        break;
      default:
    }
    const isThere = (this.#cursor ?? 0) >= this.#upTo && this.#received?.isComplete !== false;
    if (this.#isCaughtUp && isThere) this.#arrive();
  }

  #covered(cursor: number): void {
    this.#cursor = Math.max(this.#cursor ?? 0, cursor);
    this.#received?.covered(cursor);
  }

  /** An answer over HTTP instead of the upgrade. */
  #onAnswer(request: ClientRequest, response: IncomingMessage): void {
    const { statusCode = 0, headers } = response;
    this.#socket = null;
    // Whoever talks for long here is no edge.
    const pieces: Buffer[] = [];
    const told = (): void => {
      request.destroy();
      const text = Buffer.concat(pieces).toString('utf8');
      const said = `${statusCode} ${parseProblem(text)}`.trim();
      const isBusy = statusCode === 503 || statusCode === 429 || statusCode === 408;
      if (!isBusy) this.#fail(new EdgeRefusedError(this.#edge.url, said));
      // It may be a date as well, and that is not waited for.
      else this.#again(said, (Number(headers['retry-after']) || 0) * 1_000);
    };
    response.on('data', (piece: Buffer) => {
      if (pieces.length < 4) pieces.push(piece);
    });
    response.on('error', () => undefined);
    response.once('close', told);
    response.once('end', () => {
      response.off('close', told);
      told();
    });
  }

  #onClose(code: number, failure: NodeJS.ErrnoException | null): void {
    this.#socket = null;
    const isOnce = this.#goal === 'hello';
    if (failure !== null && (isOnce || isOwnLimit(failure))) {
      this.#fail(new EdgeUnreachableError(this.#edge.url, failure));
      return;
    }
    const said = printable(this.#said) || (failure?.message ?? `close ${code}`);
    // Before the cut nobody goes away, so there will be no more room later.
    const isFull = code === closeCode('too_many_connections') && this.#cursor === null;
    const isFinal = CLOSE_CODES.some((one) => one.code === code && one.action !== 'retry');
    if (isOnce || isFull || isFinal) this.#fail(new EdgeRefusedError(this.#edge.url, said));
    else this.#again(said, 0);
  }

  #again(said: string, waitMs: number): void {
    this.#counts.turnedAway++;
    this.#counts.turnedAwayBy = said;
    const wait = Math.min(Math.max(waitMs, AGAIN_MS), LONGEST_WAIT_MS) * (1 + Math.random());
    this.#retrying = setTimeout(() => this.#open(), wait);
  }

  #arrive(): void {
    if (this.#arrival === null) return;
    this.arrivedAt = performance.now();
    this.#arrival.resolve();
    this.#arrival = null;
  }

  #fail(error: Error): void {
    const arrival = this.#arrival;
    this.cut();
    arrival?.reject(error);
  }
}

/** Not the edge, but this machine has no more: open files, or ports. */
function isOwnLimit({ code = '' }: NodeJS.ErrnoException): boolean {
  return ['EMFILE', 'ENFILE', 'EADDRNOTAVAIL'].includes(code);
}

function parseFrame(text: string): Frame {
  try {
    const frame: unknown = JSON.parse(text);
    return typeof frame === 'object' && frame !== null ? frame : {};
  } catch {
    return {};
  }
}

/** What an edge says of a refusal over HTTP; '' when it is no such text. */
function parseProblem(text: string): string {
  const { code, detail } = parseFrame(text) as { code?: unknown; detail?: unknown };
  return typeof code === 'string' ? printable(`${code}: ${String(detail ?? '')}`) : '';
}
