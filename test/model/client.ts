import { RECENTLY_FINISHED_MS } from '../../internal/eventlog/log.js';
import type { Scope } from '../../internal/eventlog/record.js';
import type { ClientConnection } from '../../internal/session/client-connection.js';
import type { Resume, Transport } from '../../internal/session/ports.js';
import type { ServerFrame } from '../../schemas/frames.js';
import { onTheWire } from './on-the-wire.js';
import { type ModelStream, type Truth, typeOf } from './stream.js';

/** What the socket takes before `buffered` grows: the kernel's part. */
const KERNEL_BYTES = 400;

/**
 * A client that follows PROTOCOL.md's rules, and the judge of what it was sent: within a baseline (a first state, or
 * its own cursor) it must get every valid event of every job in scope, once each, in rising seq, or a reset.
 */
export class ModelClient implements Transport {
  connection: ClientConnection | null = null;
  closeCode: number | null = null;
  /** Sent by the edge, not yet read by the client. */
  #wire: string[] = [];
  #cursor: number | null = null;
  #epoch: string | null = null;
  /** By job: everything after this seq must arrive. */
  #floors = new Map<string, number>();
  /** Once set, it is the floor of every job without one. */
  #floorOfRest: number | null = null;
  #received: { id: string; seq: number }[] = [];
  /** What it was told is left out, since the baseline: strictly between the two only newest states are owed. */
  #skips: { after: number; before: number }[] = [];
  /** The newest seq it got of each job on this connection. */
  #order = new Map<string, number>();
  /** The newest seq it was shown of each job, since the baseline. */
  #shown = new Map<string, number>();
  #scopeId: string | null = null;
  /** A new edge does not know what left the stream under an older one. */
  mayShowGone = false;
  isCaughtUp = false;
  updates = 0;
  /** Events that it did not get, since later ones stand for them. */
  folded = 0;
  /** Updates that did not move its cursor up to their own seq. */
  interleaved = 0;
  resets = 0;
  skips = 0;
  gone = 0;
  stalls = 0;

  constructor(
    readonly name: string,
    public scope: Scope,
    readonly stream: ModelStream,
    public maxRate?: number,
  ) {}

  get resume(): Resume | null {
    if (this.#cursor === null) return null;
    return { lastSeq: this.#cursor, epoch: this.#epoch, scope: this.#scopeId };
  }

  get unread(): number {
    return this.#wire.length;
  }

  get isDone(): boolean {
    return this.closeCode === 1000;
  }

  send(text: string, bytes: Uint8Array | null): void {
    this.#wire.push(onTheWire(text, bytes));
  }

  cork(write: () => void): void {
    write();
  }

  buffered(): number {
    const bytes = this.#wire.reduce((sum, text) => sum + text.length, 0);
    return Math.max(0, bytes - KERNEL_BYTES);
  }

  end(code: number): void {
    this.#wire.push(`close ${code}`);
  }

  /** Reads up to `count` frames. */
  read(count: number): void {
    for (const text of this.#wire.splice(0, count)) {
      if (text.startsWith('close ')) this.#closed(Number(text.slice(6)));
      else this.#frame(JSON.parse(text) as ServerFrame);
    }
    this.connection?.drained();
  }

  /** The connection is cut: what was not read is gone. */
  drop(): void {
    this.isCaughtUp = false;
    this.#wire = [];
    this.connection?.closed();
    this.connection = null;
    // From here on the cursor is all that the client has: whatever lies below it must have been sent.
    this.#order = new Map();
    const cursor = this.#cursor;
    if (cursor === null) return;
    // What comes behind the cursor comes again, whatever it has seen of it.
    this.#received = this.#received.filter(({ seq }) => seq <= cursor);
    for (const [id, floor] of this.#floors) if (floor > cursor) this.#floors.delete(id);
    this.#settle(cursor, 'cut off');
  }

  #closed(code: number): void {
    this.closeCode = code;
    this.drop();
  }

  /** A frame that another connection was sent for this client. */
  take(frame: ServerFrame): void {
    this.#frame(frame);
  }

  #frame(frame: ServerFrame): void {
    switch (frame.type) {
      case 'hello':
        // Cursor and epoch belong together: under another epoch the cursor means nothing, even before the reset comes.
        if (this.#epoch !== frame.epoch) this.#cursor = null;
        this.#epoch = frame.epoch;
        if (this.#cursor === null) this.#newBaseline();
        // Under another scope the cursor means nothing, as under another epoch; the reset follows.
        if (this.#scopeId !== null && this.#scopeId !== frame.scope) {
          this.#cursor = null;
          this.#newBaseline();
        }
        this.#scopeId = frame.scope;
        return;
      case 'skipped':
        this.#skipped(frame.after, frame.before);
        return;
      case 'gone':
        this.#left(frame.processing_id);
        return;
      case 'reset':
        this.resets++;
        this.isCaughtUp = false;
        this.#epoch = frame.epoch;
        this.#cursor = null;
        this.#newBaseline();
        return;
      case 'progress_update':
        this.#update(frame);
        return;
      case 'caught_up':
      case 'heartbeat':
        if (this.#cursor !== null && frame.cursor < this.#cursor)
          this.#fail(`${frame.type} falls to ${frame.cursor}`);
        this.#cursor = frame.cursor;
        if (frame.type === 'caught_up') this.isCaughtUp = true;
        if (frame.type === 'caught_up') this.#checkSkips(frame.cursor);
        if (frame.type === 'caught_up' || this.#floorOfRest !== null) this.#settle(frame.cursor, 'caught up');
        return;
      case 'end':
        return;
      case 'stalled':
        this.#stalled(frame.processing_id, frame.silent_ms);
        return;
      default:
        this.#fail(`unexpected ${frame.type}: ${JSON.stringify(frame)}`);
    }
  }

  #update(update: Extract<ServerFrame, { type: 'progress_update' }>): void {
    const { processing_id: id, seq, prev_seq: prevSeq, folded = 1, resume_seq: resumeSeq } = update;
    this.updates++;
    this.folded += folded - 1;
    if (!this.#inScope(id)) this.#fail(`got ${id}, which is not in scope`);
    if (this.#cursor !== null && seq <= this.#cursor)
      this.#fail(`got seq ${seq} again, cursor ${this.#cursor}`);
    const { jobs, lost } = this.#truth();
    const truth = jobs.get(id) ?? [];
    const index = truth.indexOf(seq);
    if (index < 0) this.#fail(`got seq ${seq} of ${id}, which is no event`);
    const first = index - folded + 1;
    if (first < 0) this.#fail(`${seq} of ${id} stands for ${folded} events, and there are ${index + 1}`);
    if (prevSeq !== null && prevSeq !== 0 && prevSeq !== truth[first - 1])
      this.#fail(`prev_seq ${prevSeq} at ${seq}, which stands for ${folded}`);
    if (prevSeq === 0 && first !== 0 && lost.size === 0) this.#fail(`prev_seq 0 at ${seq}`);
    const shown = this.#shown.get(id);
    if (prevSeq !== null && shown !== undefined && prevSeq > shown && this.#skips.length === 0)
      this.#fail(`${seq} of ${id} follows ${prevSeq}, and it has ${shown}`);
    if (seq <= (this.#order.get(id) ?? 0)) this.#fail(`${seq} of ${id} behind ${this.#order.get(id)}`);
    const covered = truth.slice(first, index + 1);
    if (folded > 1 || resumeSeq !== undefined) this.#conflated(id, covered, resumeSeq);
    this.#cursor = resumeSeq ?? seq;
    this.#order.set(id, seq);
    this.#shown.set(id, Math.max(seq, shown ?? 0));
    if (!this.#floors.has(id) && this.#floorOfRest === null) this.#floors.set(id, seq);
    else this.#received.push(...covered.map((one) => ({ id, seq: one })));
  }

  // Whoever asks for no rate gets every event; and a change is never left to a later event.
  #conflated(id: string, covered: readonly number[], resumeSeq: number | undefined): void {
    const { jobs, lost, phases } = this.#truth();
    const truth = jobs.get(id) ?? [];
    const seq = covered.at(-1) ?? 0;
    if (this.maxRate === undefined) this.#fail(`${seq} is conflated, and no rate was asked for`);
    for (const one of covered.slice(0, -1)) {
      const before = truth[truth.indexOf(one) - 1];
      // Whether it follows what was deleted unread nobody can know.
      if (before !== undefined && lost.has(before)) continue;
      if (before === undefined || phases.get(before) !== phases.get(one))
        this.#fail(`${one} of ${id} is a change, and ${seq} stands for it`);
    }
    if (resumeSeq === undefined) return;
    this.interleaved++;
    if (this.scope.kind !== 'all') this.#fail(`resume_seq at ${seq} of one job`);
    if (resumeSeq >= seq || resumeSeq < (this.#cursor ?? 0))
      this.#fail(`resume_seq ${resumeSeq} at ${seq}, cursor ${this.#cursor}`);
  }

  // Whoever hears of it has what came before.
  #stalled(id: string, seq: number): void {
    this.stalls++;
    if (!this.#inScope(id)) this.#fail(`hears that ${id} is stalled, which is not in scope`);
    const { jobs, lost } = this.#truth();
    const shown = this.#shown.get(id) ?? 0;
    const kept = (jobs.get(id) ?? []).filter((one) => one > shown && one <= seq && !lost.has(one));
    if (kept.length > 0) this.#fail(`hears that ${id} is stalled at ${seq}, and was shown ${shown}`);
  }

  #inScope(id: string): boolean {
    if (this.scope.kind === 'job') return this.scope.id === id;
    return this.scope.jobTypes === null || this.scope.jobTypes.has(typeOf(id));
  }

  #truth(): Truth {
    return this.stream.truthOf(this.#epoch ?? this.stream.epoch);
  }

  #skipped(after: number, before: number): void {
    this.skips++;
    if (this.scope.kind !== 'all') this.#fail('skipped, on one job');
    if (this.#cursor !== null && after < this.#cursor)
      this.#fail(`skipped after ${after}, cursor ${this.#cursor}`);
    if (before <= after + 1) this.#fail(`skipped nothing: ${after} to ${before}`);
    this.#skips.push({ after, before });
  }

  // A client takes the job off its page. All that it was shown of it must have left the stream.
  #left(id: string): void {
    this.gone++;
    if (this.scope.kind !== 'all') this.#fail('gone, on one job');
    const { jobs, lost } = this.#truth();
    const shown = this.#shown.get(id) ?? 0;
    const kept = (jobs.get(id) ?? []).filter((seq) => seq <= shown && !lost.has(seq));
    if (kept.length > 0) this.#fail(`${id} is said to be gone, and ${kept} are kept`);
    this.#shown.delete(id);
  }

  #isSkipped(seq: number): boolean {
    return this.#skips.some(({ after, before }) => seq > after && seq < before);
  }

  /** What changed in a piece that was left out is shown as it stands now. */
  #checkSkips(upTo: number): void {
    const { jobs, lost } = this.#truth();
    for (const [id, truth] of jobs) {
      const newest = truth.filter((seq) => seq <= upTo).at(-1);
      if (newest === undefined || lost.has(newest) || !this.#isSkipped(newest) || !this.#inScope(id))
        continue;
      if ((this.#shown.get(id) ?? 0) < newest)
        this.#fail(`${id} changed at ${newest} in what was skipped, and shows ${this.#shown.get(id)}`);
    }
  }

  #newBaseline(): void {
    this.#skips = [];
    this.#order = new Map();
    this.#shown = new Map();
    this.mayShowGone = false;
    this.#floors = new Map();
    this.#floorOfRest = null;
    this.#received = [];
  }

  // The states are complete up to `cursor`: a job in scope that has an event there must have been shown; or, where the
  // states were cut off, have a later event, which the replay will bring.
  #settle(cursor: number, how: 'caught up' | 'cut off'): void {
    if (this.#floorOfRest !== null) return;
    this.#floorOfRest = cursor;
    const { jobs, lost, finishedAt } = this.#truth();
    const recently = this.stream.clock - RECENTLY_FINISHED_MS;
    for (const [id, truth] of jobs) {
      const newest = truth.filter((seq) => seq <= cursor).at(-1);
      if (how === 'cut off' && newest !== truth.at(-1)) continue;
      if (newest === undefined || lost.has(newest) || !this.#inScope(id)) continue;
      // A page of all jobs is not owed what finished long ago; a page of one job is.
      if (this.scope.kind === 'all' && (finishedAt.get(newest) ?? recently) < recently) continue;
      if (!this.#floors.has(id))
        this.#fail(`was never shown the state of ${id} at ${newest}, cursor ${cursor}`);
    }
  }

  /** At rest: everything after the baseline is there. */
  verify(head: number): void {
    if (this.closeCode !== null && this.closeCode !== 1000) this.#fail(`was closed with ${this.closeCode}`);
    if (this.#epoch !== this.stream.epoch) {
      if (!this.isDone) this.#fail(`is in ${this.#epoch}, the stream in ${this.stream.epoch}`);
      return;
    }
    const upTo = this.isDone ? (this.#cursor ?? 0) : Math.max(head, this.#cursor ?? 0);
    const { jobs, lost } = this.#truth();
    // What was deleted before any edge could read it cannot be part of a state; behind the state it asks for a reset.
    const isOwed = (seq: number) =>
      !(lost.has(seq) && seq <= (this.#floorOfRest ?? 0)) && !this.#isSkipped(seq);
    this.#checkSkips(upTo);
    if (this.scope.kind === 'all' && !this.mayShowGone) {
      for (const id of this.#shown.keys())
        if (this.stream.ofJob(id).length === 0) this.#fail(`still shows ${id}, which is gone`);
    }
    for (const [id, truth] of jobs) {
      if (!this.#inScope(id)) continue;
      const floor = this.#floors.get(id) ?? this.#floorOfRest;
      if (floor === null) this.#fail(`has no state of ${id} and was never caught up`);
      const owed = truth.filter((seq) => seq > floor && seq <= upTo && isOwed(seq));
      const got = this.#received
        .filter((update) => update.id === id && isOwed(update.seq))
        .map((update) => update.seq);
      if (JSON.stringify(owed) !== JSON.stringify(got)) {
        this.#fail(`${id} after ${floor}: owed ${JSON.stringify(owed)}, got ${JSON.stringify(got)}`);
      }
    }
  }

  #fail(what: string): never {
    throw new Error(`${this.name}: ${what}`);
  }
}
