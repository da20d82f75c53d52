import { decodeMarks, JointEncoder, positionOfEventId } from '../../internal/edge/sse-encoder.js';
import type { SelectedConnection } from '../../internal/session/client-connection.js';
import type { Resume, Transport } from '../../internal/session/ports.js';
import type { ServerFrame } from '../../schemas/frames.js';
import { ModelClient } from './client.js';
import type { ModelStream } from './stream.js';

/** What the socket takes before `buffered` grows: the kernel's part. */
const KERNEL_BYTES = 400;
/** What may wait for the end of a turn. */
const MAX_UNSENT = 250;

/**
 * A browser that follows several jobs on one stream, and the judge of what it was sent. It keeps the `id` of the stream and
 * comes back by that alone. Of each job it must get every event once; what comes again is known by its seq.
 */
export class ModelEventSource implements Transport {
  connection: SelectedConnection | null = null;
  /** The edge ended the stream, and the client has read that. */
  isOver = false;
  /** It was answered that there is nothing left to follow. */
  isStopped = false;
  /** Updates that came again, connections that went on by an id, and those that began anew. */
  again = 0;
  byId = 0;
  anew = 0;
  #lastEventId = '';
  readonly #stream: ModelStream;
  readonly #jobs = new Map<string, Job>();
  #encoder: JointEncoder | null = null;
  #unsent = 0;
  #wire: string[] = [];

  constructor(
    stream: ModelStream,
    readonly ids: readonly string[],
    readonly maxRate?: number,
  ) {
    this.#stream = stream;
    for (const id of ids) this.#jobs.set(id, this.#newJob(id));
  }

  get resume(): Resume | null {
    return positionOfEventId(this.#lastEventId)?.resume ?? null;
  }

  get marks(): string {
    return positionOfEventId(this.#lastEventId)?.marks ?? '';
  }

  get judges(): readonly ModelClient[] {
    return [...this.#jobs.values()].map(({ judge }) => judge);
  }

  get unread(): number {
    return this.#wire.length;
  }

  get isAtRest(): boolean {
    if (this.isStopped) return true;
    const { connection } = this;
    if (connection === null || [...connection.sessions].some(({ state }) => state !== 'live')) return false;
    return [...this.#jobs.values()].every(({ judge }) => judge.isDone || judge.isCaughtUp);
  }

  begin(connection: SelectedConnection, scope: string): void {
    this.connection = connection;
    if (this.#lastEventId === '') this.anew++;
    else this.byId++;
    this.#encoder = new JointEncoder(this.resume, scope, () => connection.position());
  }

  send(text: string): void {
    this.#push(this.#encoder?.encode(text) ?? '');
    this.#unsent += text.length;
    // In the middle of whatever the session does.
    if (this.#unsent > MAX_UNSENT) this.settle();
  }
  cork(write: () => void): void {
    write();
  }
  buffered(): number {
    return Math.max(0, this.#wire.reduce((sum, text) => sum + text.length, 0) - KERNEL_BYTES);
  }
  end(code: number): void {
    if (code !== 1000) throw new Error(`a stream was ended with ${code}`);
    this.#unsent = 0;
    this.#push(this.#encoder?.position() ?? '');
    this.#wire.push('end');
  }

  /** The end of a write. */
  settle(): void {
    if (this.#unsent === 0) return;
    this.#unsent = 0;
    this.#push(this.#encoder?.position() ?? '');
  }

  /** Reads up to `count` events. */
  read(count: number): void {
    for (const text of this.#wire.splice(0, count)) {
      if (text === 'end') this.isOver = true;
      else this.#event(text);
    }
    this.connection?.drained();
    this.settle();
  }

  /** The connection is cut: what was not read is gone. */
  drop(): void {
    this.#wire = [];
    this.#unsent = 0;
    this.isOver = false;
    this.connection?.closed();
    this.connection = null;
    for (const { judge } of this.#jobs.values()) judge.drop();
  }

  #push(text: string): void {
    if (text !== '') this.#wire.push(text);
  }

  #newJob(id: string): Job {
    const name = `source ${id}${this.maxRate ? `, ${this.maxRate} a second` : ''}`;
    const judge = new ModelClient(name, { kind: 'job', id, jobTypes: null }, this.#stream, this.maxRate);
    return { judge, seen: 0, hasFrame: false, isCovered: false };
  }

  // As the HTML standard says: the id counts with the empty line behind it, also where there is no data.
  #event(text: string): void {
    const data: string[] = [];
    for (const line of text.split('\n')) {
      const [, field, value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (field === 'data') data.push(value);
      if (field === 'id') this.#id(value);
      if (line.startsWith(': ')) this.#frame(JSON.parse(line.slice(2)) as ServerFrame);
    }
    if (data.length > 0) this.#frame(JSON.parse(data.join('\n')) as ServerFrame);
  }

  #id(value: string): void {
    this.#lastEventId = value;
    if (value === '') return;
    for (const job of this.#jobs.values()) job.isCovered ||= job.hasFrame;
    const position = positionOfEventId(value);
    if (position === null) return;
    const { lastSeq, epoch } = position.resume;
    const marks = decodeMarks(position.marks, this.ids.length);
    for (const [index, id] of [...this.ids].sort().entries()) {
      const { judge, hasFrame } = this.#job(id);
      const known = judge.resume;
      if (!hasFrame || marks[index] !== 'follows' || known?.epoch !== epoch || judge.isDone) continue;
      // From here on it is owed what lies behind the id, also where what it was shown stands before that.
      judge.take({ type: 'heartbeat', cursor: Math.max(lastSeq, known.lastSeq), feed: 'ok' });
    }
  }

  #frame(frame: ServerFrame): void {
    switch (frame.type) {
      case 'hello':
        for (const id of this.ids) {
          // Of what no id covers the newest state comes, and of what had ended in another stream.
          const { isCovered, judge: before } = this.#job(id);
          const isOfOther = before.isDone && before.resume?.epoch !== frame.epoch;
          if (this.#lastEventId === '' || !isCovered || isOfOther) this.#jobs.set(id, this.#newJob(id));
          const { judge } = this.#job(id);
          if (judge.resume !== null && judge.resume.epoch !== frame.epoch) this.#forget(id);
          // What has ended in another epoch may begin anew in this one.
          if (!judge.isDone || judge.resume?.epoch !== frame.epoch) judge.take({ ...frame, scope: id });
        }
        return;
      case 'progress_update': {
        const job = this.#job(frame.processing_id);
        job.hasFrame = true;
        if (frame.seq <= job.seen) {
          this.again++;
          return;
        }
        job.judge.closeCode = null;
        job.judge.take(this.#newIn(frame, job.seen));
        job.seen = frame.seq;
        return;
      }
      case 'following': {
        const job = this.#job(frame.processing_id);
        job.hasFrame = true;
        // An edge that is behind the one before says less, and takes nothing back.
        const cursor = Math.max(frame.cursor, job.judge.resume?.lastSeq ?? 0);
        job.judge.take({ type: 'caught_up', cursor });
        return;
      }
      case 'stalled':
        this.#job(frame.processing_id).judge.take(frame);
        return;
      case 'reset':
        this.#forget(frame.processing_id);
        this.#job(frame.processing_id).judge.closeCode = null;
        this.#job(frame.processing_id).judge.take(frame);
        return;
      case 'end': {
        const { judge } = this.#job(frame.processing_id);
        judge.closeCode = 1000;
        judge.drop();
        return;
      }
      case 'heartbeat':
        return;
      default:
        throw new Error(`source: unexpected ${JSON.stringify(frame)}`);
    }
  }

  // What stands for events that it was shown, and for later ones: the later ones alone.
  #newIn(frame: Update, seen: number): Update {
    const { folded = 1, processing_id: id, seq } = frame;
    const truth = this.#stream.truthOf(this.#job(id).judge.resume?.epoch ?? undefined).jobs.get(id) ?? [];
    const index = truth.indexOf(seq);
    const known = truth.slice(Math.max(0, index - folded + 1), index).filter((one) => one <= seen).length;
    if (known === 0) return frame;
    this.again++;
    const { folded: _all, ...rest } = frame;
    return { ...rest, prev_seq: seen, ...(folded - known > 1 && { folded: folded - known }) };
  }

  #forget(id: string | undefined): void {
    Object.assign(this.#job(id), { seen: 0, hasFrame: false, isCovered: false });
  }

  #job(id: string | undefined): Job {
    const job = this.#jobs.get(id ?? '');
    if (job === undefined) throw new Error(`source: a frame of ${id}, which was not named`);
    return job;
  }
}

type Update = Extract<ServerFrame, { type: 'progress_update' }>;

interface Job {
  readonly judge: ModelClient;
  /** The newest seq that it was shown. */
  seen: number;
  /** Something came of it since it began. */
  hasFrame: boolean;
  /** And an id behind that. */
  isCovered: boolean;
}
