import { show } from '../../schemas/explain.js';
import type { ClientFrame } from '../../schemas/frames.js';
import { isProcessingId } from '../../schemas/ids.js';
import type { Scope } from '../eventlog/record.js';
import { FORBIDDEN, Followed } from './catch-up.js';
import type { FrameWriter } from './frame-writer.js';
import { frames } from './frames.js';
import { JobOutput } from './job-output.js';
import type { Narrow, Resume } from './ports.js';
import { Session, type SessionDeps } from './session.js';

type Follow = Extract<ClientFrame, { type: 'follow' }>;
type Unfollow = Extract<ClientFrame, { type: 'unfollow' }>;

export interface SelectedJobsDeps extends SessionDeps {
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
  readonly #writer: FrameWriter;
  readonly #jobs = new Map<string, SelectedJob>();
  /** What the token opens of a job. */
  #narrow: Narrow;
  /** The epoch that the client was told last. */
  #epoch = '';
  /** Since the client read last. */
  #untakenRefusals = 0;

  constructor(deps: SelectedJobsDeps, writer: FrameWriter, narrow: Narrow) {
    this.#deps = deps;
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
   * @param resume where it was with all of them; null: nowhere
   */
  open(ids: readonly string[], resume: Resume | null): void {
    const { log, scopeName } = this.#deps;
    if (!this.#writer.isUsable()) return;
    this.#writer.corked(() => {
      this.#epoch = this.#writer.hello(log.epoch, scopeName);
      for (const id of ids) this.#follow(id, ofEachJob(resume, scopeName));
    });
  }

  /** Follows these as well. One that is followed already begins anew, from the cursor that the client names now. */
  follow({ jobs, epoch }: Follow): void {
    this.#writer.corked(() => {
      for (const { processing_id: id, last_seq: lastSeq, scope } of jobs) {
        const resume =
          lastSeq === undefined
            ? null
            : { lastSeq, epoch: epoch ?? null, ...(scope !== undefined && { scope }) };
        this.#follow(id, resume);
      }
    });
  }

  unfollow({ jobs }: Unfollow): void {
    for (const id of jobs) this.#jobs.get(id)?.output.over();
  }

  /** The socket takes more. */
  pump(): void {
    for (const { session } of [...this.#jobs.values()]) {
      if (this.#writer.isFull) return;
      session.pump();
    }
  }

  /** Everything of every job that is `following` was sent up to here. What was told is never taken back. */
  toldCursor(): number {
    let cursor = Number.POSITIVE_INFINITY;
    for (const { session, output } of this.#jobs.values()) {
      if (output.isFollowing) cursor = Math.min(cursor, session.toldCursor());
    }
    return Number.isFinite(cursor) ? cursor : this.#deps.log.flushedSeq;
  }

  /** A new token counts from now on. What it does not open is followed no longer; the others go on. */
  renewed(narrow: Narrow): void {
    this.#narrow = narrow;
    const { log, scopeId } = this.#deps;
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
      this.#deps.scheduleCatchUp(session);
    }
  }

  /** The connection is closed. */
  ended(): void {
    for (const { output } of [...this.#jobs.values()]) output.over();
  }

  #follow(id: string, resume: Resume | null): void {
    // The job before it may have been the last that this connection was there for.
    if (!this.#writer.isUsable()) return;
    if (!isProcessingId(id)) {
      const message = `processing_id is ${show(id)}; expected 1 to 128 of A-Z a-z 0-9 _ -`;
      this.#refuse('invalid_processing_id', message, id);
      return;
    }
    this.#jobs.get(id)?.output.over();
    if (this.#jobs.size >= this.#deps.maxJobs) {
      const message = `a connection follows ${this.#deps.maxJobs} jobs at most; unfollow some first`;
      this.#refuse('too_many_jobs', message, id);
      return;
    }
    const narrowed = this.#narrow({ kind: 'job', id, jobTypes: null });
    if (!narrowed.ok) {
      this.#refuse('forbidden', narrowed.message, id);
      return;
    }
    // A client that names jobs in a loop leaves reads behind that nobody wants, faster than they are done.
    if (this.#deps.hasReadCapacity?.() === false) {
      this.#refuse('overloaded', 'too many reads of history wait; follow this job again in a moment', id);
      return;
    }
    this.#open(id, narrowed.scope, resume);
  }

  #open(id: string, scope: Scope, resume: Resume | null): void {
    const followed = new Followed(scope, resume?.lastSeq ?? null);
    const output = new JobOutput(this.#writer, id, this.#epoch, {
      scopeName: () => this.#deps.scopeId(followed.scope),
      onReset: (epoch) => {
        this.#epoch = epoch;
      },
      onOver: () => {
        this.#jobs.delete(id);
        session.ended();
        this.#deps.detach(session);
      },
    });
    const session: Session = new Session(this.#deps, output, followed, resume);
    this.#jobs.set(id, { session, output, followed });
    this.#deps.attach(session);
    session.open();
  }

  #refuse(
    code: 'forbidden' | 'invalid_processing_id' | 'overloaded' | 'too_many_jobs',
    message: string,
    id: string,
  ): void {
    // As with a pong: who does not read could be made to fill the memory.
    if (!this.#writer.isFull) this.#untakenRefusals = 0;
    else if (++this.#untakenRefusals > this.#deps.maxJobs) {
      this.#writer.fail('too_many_frames', 'too many jobs are refused, and what was sent is not read');
      return;
    }
    this.#writer.send(frames.error(code, message, id));
  }
}

// The number that counts for all jobs is of the connection's scope, which says nothing of a single job.
function ofEachJob(resume: Resume | null, scopeName: string): Resume | null {
  if (resume === null || resume.scope !== scopeName) return resume;
  const { lastSeq, epoch } = resume;
  return { lastSeq, epoch };
}
