import { ERROR_CODES, type ErrorCode } from '../../schemas/close-codes.js';
import { show } from '../../schemas/explain.js';
import type { ClientFrame } from '../../schemas/frames.js';
import { isProcessingId } from '../../schemas/ids.js';
import type { Scope } from '../eventlog/record.js';
import { FORBIDDEN, Followed } from './catch-up.js';
import type { FrameWriter } from './frame-writer.js';
import { frames } from './frames.js';
import { JobOutput, type JobOwner } from './job-output.js';
import type { JobMark, JointPosition, Narrow, Resume, SelectedScope } from './ports.js';
import { Session, type SessionDeps, type SessionEdge, TURN_BYTES } from './session.js';

type Follow = Extract<ClientFrame, { type: 'follow' }>;
type Unfollow = Extract<ClientFrame, { type: 'unfollow' }>;

/** So many answers to `follow` may wait for a client that does not read. */
const MAX_UNTAKEN_ACKS = 256;

export interface SelectedJobsDeps {
  readonly context: SessionDeps;
  /** The most jobs at once. */
  readonly maxJobs: number;
  /** Whether reads of history have room for one more job; left out: always. */
  readonly hasReadCapacity?: () => boolean;
  /** Names what such a connection follows, whichever jobs these are. */
  readonly scopeName: string;
  /** Events concern a session from here on. */
  readonly attach: (session: Session) => void;
  /** Nothing concerns it any more. */
  readonly detach: (session: Session) => void;
}

interface SelectedJob {
  readonly id: string;
  readonly session: Session;
  readonly output: JobOutput;
  readonly followed: Followed;
}

/**
 * The jobs that one connection follows, each with a session of its own: its cursor, resets and end concern no other.
 * PROTOCOL.md, "Selected jobs".
 */
export class SelectedJobs {
  readonly #deps: SelectedJobsDeps;
  readonly #edge: SessionEdge;
  readonly #writer: FrameWriter;
  readonly #jobs = new Map<string, SelectedJob>();
  /** What the token opens of a job. */
  #narrow: Narrow;
  /** The epoch that the client was told last. */
  #epoch = '';
  /** Where the client names all jobs at once: these, in the order of a joint cursor's marks. */
  #fixed: readonly string[] | null = null;
  /**
   * Of these: the client was told that they have ended, or are refused, and in which epoch: of another stream that says
   * nothing. null: nobody asks, and it would only grow.
   */
  #over: Map<string, string> | null = null;
  /** What it was told of all of them when the last was over. */
  #lastPosition: JointPosition | null = null;
  /** Of these: they begin when reads of history have room for them. */
  readonly #waiting = new Set<SelectedJob>();
  #isBeginning = false;
  /** Since the client read last. */
  readonly #untaken = { acks: 0, refusals: 0 };
  readonly #owner: JobOwner = {
    scopeName: (scope) => this.#edge.scopeId(scope),
    onReset: (epoch) => {
      this.#epoch = epoch;
    },
    onFollowing: () => this.beginWaiting(),
    onOver: (output, why) => this.#isOver(output, why),
  };

  constructor(deps: SelectedJobsDeps, writer: FrameWriter, narrow: Narrow) {
    this.#deps = deps;
    this.#edge = deps.context.edge;
    this.#writer = writer;
    this.#narrow = narrow;
  }

  get size(): number {
    return this.#jobs.size;
  }

  *sessions(): Generator<Session> {
    for (const { session } of this.#jobs.values()) yield session;
  }

  /**
   * Greets the client, and follows the jobs that its address names. Called once.
   * @param resume where it was with those that have no cursor of their own; null: nowhere
   */
  open({ ids, after, fixed }: Omit<SelectedScope, 'kind'>, resume: Resume | null): void {
    const { scopeName } = this.#deps;
    const { log } = this.#edge;
    if (!this.#writer.isUsable()) return;
    this.#writer.corked(() => {
      this.#epoch = this.#writer.hello(log.epoch, scopeName);
      this.#over = fixed === undefined ? null : new Map();
      const jobs = ids.map((id) => {
        const start = withoutScope(after.get(id) ?? resume, scopeName);
        // Of another stream it says nothing of what is there now.
        if (!fixed?.over.has(id) || start?.epoch !== this.#epoch)
          return this.#add(id, fixed?.anew.has(id) ? null : start);
        this.#over?.set(id, this.#epoch);
        return null;
      });
      if (fixed !== undefined) this.#fixed = [...ids].sort();
      // Only now: what is said of one may have to say where all of them stand.
      const isShareUsed = this.#share();
      for (const job of jobs) if (job !== null) this.#begin(job, isShareUsed());
      this.#endIfOver();
    });
  }

  /**
   * Where a client that named its jobs at once goes on with all of them: everything of each that was sent so far is
   * covered, and nothing that was not. null: it cannot be said now, and what was said before holds.
   */
  position(): JointPosition | null {
    if (this.#lastPosition !== null) return this.#lastPosition;
    // A session that found the way closed may have counted what it could not send any more.
    if (this.#fixed === null || !this.#writer.isOpen) return null;
    let cursor = Number.POSITIVE_INFINITY;
    const epochs = new Set<string>();
    const marks = this.#fixed.map((id): JobMark => {
      const job = this.#jobs.get(id);
      if (job === undefined || job.followed.cursor === null) return 'anew';
      cursor = Math.min(cursor, job.session.toldCursor());
      epochs.add(job.output.epoch);
      return 'follows';
    });
    // While some were reset to another stream and the others are about to be, their numbers cannot be compared.
    if (epochs.size > 1) return null;
    const [epoch = this.#epoch] = epochs;
    for (const [index, id] of this.#fixed.entries())
      if (marks[index] === 'anew' && this.#over?.get(id) === epoch) marks[index] = 'over';
    return { epoch, cursor: epochs.size === 0 ? 0 : cursor, marks };
  }

  /** Follows these as well. One that is followed already begins anew, from the cursor that the client names now. */
  follow({ jobs, epoch, ack }: Follow): void {
    this.#writer.corked(() => {
      // Whatever was sent of these jobs before answers an older one.
      if (ack === true) this.#answer('acks', MAX_UNTAKEN_ACKS, frames.followOk());
      const isShareUsed = this.#share();
      for (const { processing_id: id, last_seq: lastSeq, scope } of jobs) {
        const resume =
          lastSeq === undefined
            ? null
            : { lastSeq, epoch: epoch ?? null, ...(scope !== undefined && { scope }) };
        const job = this.#add(id, resume);
        if (job !== null) this.#begin(job, isShareUsed());
      }
    });
  }

  unfollow({ jobs }: Unfollow): void {
    for (const id of jobs) this.#jobs.get(id)?.output.over();
  }

  /** The socket takes more. */
  pump(): void {
    const isShareUsed = this.#share();
    for (const job of [...this.#jobs.values()]) {
      if (this.#writer.isFull) return;
      if (isShareUsed()) {
        this.#edge.scheduleCatchUp(job.session);
        continue;
      }
      // Next time it is behind the others: one that reports more than the client reads would leave them nothing.
      if (this.#jobs.delete(job.id)) this.#jobs.set(job.id, job);
      job.session.pump();
    }
  }

  /** Begins those that wait for room, as far as there is some. */
  beginWaiting(): void {
    // One that begins may be told everything at once, and so call this again.
    if (this.#isBeginning || this.#waiting.size === 0) return;
    this.#isBeginning = true;
    try {
      const isShareUsed = this.#share();
      for (const job of this.#waiting) {
        if (!this.#hasRoom()) return;
        this.#waiting.delete(job);
        job.session.open(isShareUsed());
      }
    } finally {
      this.#isBeginning = false;
    }
  }

  /** Everything of every job that is `following` was sent up to here. What was told is never taken back. */
  toldCursor(): number {
    let cursor = Number.POSITIVE_INFINITY;
    for (const { session, output } of this.#jobs.values()) {
      if (output.isFollowing) cursor = Math.min(cursor, session.toldCursor());
    }
    return Number.isFinite(cursor) ? cursor : this.#edge.log.flushedSeq;
  }

  /** A new token counts from now on. What it does not open is followed no longer; the others go on. */
  renewed(narrow: Narrow): void {
    this.#narrow = narrow;
    const { log, scopeId } = this.#edge;
    for (const [id, { session, output, followed }] of [...this.#jobs]) {
      const { scope } = followed;
      // The job itself, not what an older token left of it: since it begins anew, it can grow as well.
      const narrowed = narrow({ kind: 'job', id, jobTypes: null });
      if (!narrowed.ok) {
        output.fail('forbidden', narrowed.message);
        continue;
      }
      if (scopeId(narrowed.scope) === scopeId(scope)) continue;
      followed.scope = narrowed.scope;
      if (followed.isForbidden(log.last(id))) {
        output.fail(FORBIDDEN.code, FORBIDDEN.message);
        continue;
      }
      // A cursor under other types is none of this scope: the job begins anew.
      session.logRestarts('scope');
      this.#edge.scheduleCatchUp(session);
    }
  }

  /** The connection is closed. */
  ended(): void {
    for (const { output } of [...this.#jobs.values()]) output.over();
  }

  // Takes up a job; null: it is refused.
  #add(id: string, resume: Resume | null): SelectedJob | null {
    // The job before it may have been the last that this connection was there for.
    if (!this.#writer.isUsable()) return null;
    if (!isProcessingId(id)) {
      const message = `processing_id is ${show(id)}; expected 1 to 128 of A-Z a-z 0-9 _ -`;
      this.#refuse('invalid_processing_id', message, id);
      return null;
    }
    this.#jobs.get(id)?.output.over();
    if (this.#jobs.size >= this.#deps.maxJobs) {
      const message = `a connection follows ${this.#deps.maxJobs} jobs at most; unfollow some first`;
      this.#refuse('too_many_jobs', message, id);
      return null;
    }
    const narrowed = this.#narrow({ kind: 'job', id, jobTypes: null });
    if (!narrowed.ok) {
      this.#refuse('forbidden', narrowed.message, id);
      return null;
    }
    return this.#create(id, narrowed.scope, resume);
  }

  #create(id: string, scope: Scope, resume: Resume | null): SelectedJob {
    const scopeName = this.#edge.scopeId(scope);
    const isVoid =
      (resume?.epoch ?? this.#epoch) !== this.#epoch || (resume?.scope ?? scopeName) !== scopeName;
    const followed = new Followed(scope, isVoid ? null : (resume?.lastSeq ?? null));
    const output = new JobOutput(this.#writer, id, this.#epoch, followed, this.#owner);
    const session = new Session(this.#deps.context, output, followed, resume);
    const job: SelectedJob = { id, session, output, followed };
    this.#jobs.set(id, job);
    this.#deps.attach(session);
    return job;
  }

  #isOver({ id, epoch }: JobOutput, why: 'end' | ErrorCode | null): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    this.#jobs.delete(id);
    this.#waiting.delete(job);
    job.session.ended();
    this.#deps.detach(job.session);
    if (why !== null) this.#told(id, why, epoch);
  }

  #begin(job: SelectedJob, inTurn: boolean): void {
    if (this.#hasRoom()) {
      job.session.open(inTurn);
      return;
    }
    // Who can name no job again would have to come back for all of them, and would find as little room each time.
    if (this.#fixed !== null) {
      if (this.#jobs.has(job.id)) this.#waiting.add(job);
      return;
    }
    job.output.over();
    this.#refuse('overloaded', 'too many reads of history wait; follow this job again in a moment', job.id);
  }

  // However many jobs it follows, a connection sends no more at once than one job would: the others have their turns.
  #share(): () => boolean {
    const before = this.#writer.cost;
    return () => this.#writer.cost - before >= TURN_BYTES;
  }

  // A client that names jobs in a loop leaves reads behind that nobody wants, faster than they are done.
  #hasRoom(): boolean {
    return this.#deps.hasReadCapacity?.() !== false;
  }

  #refuse(
    code: 'forbidden' | 'invalid_processing_id' | 'overloaded' | 'too_many_jobs',
    message: string,
    id: string,
  ): void {
    if (this.#answer('refusals', this.#deps.maxJobs, frames.error(code, message, id)))
      this.#told(id, code, this.#epoch);
  }

  // Says at once, however full the socket is, what may wait there so often. @returns whether it was said
  #answer(kind: 'acks' | 'refusals', most: number, text: string): boolean {
    // As with a pong: who does not read could be made to fill the memory.
    if (!this.#writer.isFull) this.#untaken[kind] = 0;
    else if (++this.#untaken[kind] > most) {
      this.#writer.fail('too_many_frames', `more than ${most} answers are not read`);
      return false;
    }
    return this.#writer.send(text);
  }

  // The client was told that this job has ended, or why it is not followed.
  #told(id: string, why: 'end' | ErrorCode, epoch: string): void {
    if (why !== 'end' && ERROR_CODES[why] === 'overloaded') {
      // It passes. Who can name no job again has to come back for all of them.
      if (this.#fixed !== null) this.#writer.close('overloaded', why);
      return;
    }
    this.#over?.set(id, epoch);
    this.#endIfOver();
  }

  #endIfOver(): void {
    if (this.#fixed === null || this.#jobs.size > 0 || !this.#writer.isOpen) return;
    this.#lastPosition = this.position();
    this.#writer.close('end', 'end');
  }
}

// The scope of the whole connection says nothing of a single job, but that it is followed as it was.
function withoutScope(resume: Resume | null, scopeName: string): Resume | null {
  if (resume?.scope !== scopeName) return resume;
  return { lastSeq: resume.lastSeq, epoch: resume.epoch };
}
