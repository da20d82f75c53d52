import type { SelectedConnection } from '../../internal/session/client-connection.js';
import type { Transport } from '../../internal/session/ports.js';
import type { ServerFrame } from '../../schemas/frames.js';
import { ModelClient } from './client.js';
import { onTheWire } from './on-the-wire.js';
import type { ModelStream } from './stream.js';

/** What the socket takes before `buffered` grows: the kernel's part. */
const KERNEL_BYTES = 400;

/**
 * A client that names its jobs, and the judge of what it was sent: of each job by itself it must get what a client of that
 * job alone would, whatever happens to the others on the connection.
 */
export class ModelSelectedClient implements Transport {
  connection: SelectedConnection | null = null;
  readonly #stream: ModelStream;
  readonly #judges = new Map<string, ModelClient>();
  /** The jobs that this connection follows, as far as the client knows. */
  readonly #followed = new Set<string>();
  /** Asked for, one `follow` each, and not answered by `follow_ok` yet. */
  #asked: string[] = [];
  /** What comes of these until a `follow` of them is answered was under way when they were let go of. */
  readonly #left = new Set<string>();
  #wire: string[] = [];
  #epoch = '';

  constructor(
    stream: ModelStream,
    ids: readonly string[],
    readonly maxRate?: number,
  ) {
    this.#stream = stream;
    for (const id of ids) this.#judgeOf(id);
  }

  get judges(): Iterable<ModelClient> {
    return this.#judges.values();
  }

  get unread(): number {
    return this.#wire.length;
  }

  /** Whether every job that is not finished is followed, and caught up. */
  get isAtRest(): boolean {
    const { connection } = this;
    if (connection === null || [...connection.sessions].some(({ state }) => state !== 'live')) return false;
    return [...this.#judges].every(
      ([id, judge]) => judge.isDone || (this.#followed.has(id) && judge.isCaughtUp),
    );
  }

  send(text: string, bytes: Uint8Array | null): void {
    this.#wire.push(onTheWire(text, bytes));
  }
  cork(write: () => void): void {
    write();
  }
  buffered(): number {
    return Math.max(0, this.#wire.reduce((sum, text) => sum + text.length, 0) - KERNEL_BYTES);
  }
  end(code: number): void {
    throw new Error(`a connection of selected jobs was closed with ${code}`);
  }

  /** Asks for these jobs, each from where it stands; of those that are new, from the last state. What is followed begins anew. */
  follow(ids: readonly string[]): void {
    for (const id of ids) {
      const judge = this.#judgeOf(id);
      if (this.connection === null || judge.isDone) continue;
      this.#leave(id);
      const { resume } = judge;
      // By what the client was told on this connection; where that is another epoch, its cursor is void.
      const jobs = [{ processing_id: id, ...(resume !== null && { last_seq: resume.lastSeq }) }];
      const epoch = resume?.epoch ?? null;
      this.#asked.push(id);
      this.connection.receive(
        JSON.stringify({ type: 'follow', ack: true, jobs, ...(epoch !== null && { epoch }) }),
      );
    }
  }

  unfollow(id: string): void {
    if (this.connection === null || !this.#followed.has(id)) return;
    this.#leave(id);
    this.connection.receive(JSON.stringify({ type: 'unfollow', jobs: [id] }));
  }

  /** Follows again whatever is not finished. */
  followAll(): void {
    this.follow(
      [...this.#judges.keys()].filter((id) => !this.#followed.has(id) && !this.#asked.includes(id)),
    );
  }

  read(count: number): void {
    this.#take(count);
    this.connection?.drained();
  }

  /** The connection is cut: what was not read is gone. */
  drop(): void {
    this.#wire = [];
    this.connection?.closed();
    this.connection = null;
    this.#followed.clear();
    this.#left.clear();
    this.#asked = [];
    for (const judge of this.#judges.values()) judge.drop();
  }

  #take(count: number): void {
    for (const text of this.#wire.splice(0, count)) this.#frame(JSON.parse(text) as ServerFrame);
  }

  /** From here on the cursor is all that the client has of it. */
  #leave(id: string): void {
    this.#left.add(id);
    if (this.#followed.delete(id)) this.#judgeOf(id).drop();
  }

  #judgeOf(id: string): ModelClient {
    const judge =
      this.#judges.get(id) ??
      new ModelClient(`selected ${id}`, { kind: 'job', id, jobTypes: null }, this.#stream, this.maxRate);
    this.#judges.set(id, judge);
    return judge;
  }

  #frame(frame: ServerFrame): void {
    // The epoch that it names counts for all jobs.
    if (frame.type === 'reset') this.#epoch = frame.epoch;
    if ('processing_id' in frame && this.#isUnderWay(frame.processing_id)) return;
    switch (frame.type) {
      case 'hello':
        this.#epoch = frame.epoch;
        return;
      case 'follow_ok': {
        const id = this.#asked.shift();
        if (id === undefined) throw new Error('selected: a follow_ok that answers nothing');
        if (this.#asked.includes(id)) return;
        this.#left.delete(id);
        this.#followed.add(id);
        this.#judgeOf(id).take({ ...HELLO, epoch: this.#epoch });
        return;
      }
      case 'progress_update':
        this.#judge(frame.processing_id).take(frame);
        return;
      case 'stalled':
        this.#judge(frame.processing_id).take(frame);
        return;
      case 'following':
        this.#judge(frame.processing_id).take({ type: 'caught_up', cursor: frame.cursor });
        return;
      case 'reset':
        this.#judge(frame.processing_id).take(frame);
        return;
      case 'end': {
        const judge = this.#judge(frame.processing_id);
        this.#followed.delete(judge.scope.kind === 'job' ? judge.scope.id : '');
        judge.closeCode = 1000;
        judge.drop();
        return;
      }
      case 'heartbeat':
        for (const id of this.#followed) {
          const judge = this.#judgeOf(id);
          if (judge.isCaughtUp && frame.cursor > (judge.resume?.lastSeq ?? 0)) judge.take(frame);
        }
        return;
      default:
        throw new Error(`selected: unexpected ${JSON.stringify(frame)}`);
    }
  }

  #isUnderWay(id: string | undefined): boolean {
    return id !== undefined && this.#left.has(id);
  }

  #judge(id: string | undefined): ModelClient {
    const judge = id === undefined || !this.#followed.has(id) ? undefined : this.#judges.get(id);
    if (judge === undefined) throw new Error(`selected: a frame of ${id}, which is not followed`);
    return judge;
  }
}

const HELLO = {
  type: 'hello',
  protocol: 'progress.v1',
  session: 's',
  heartbeat_ms: 1_000,
  scope: 'selected',
} as const;
