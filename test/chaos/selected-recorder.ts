import { type Frame, WsClient } from '../harness/client.js';
import { ResumePoint } from '../harness/resume-point.js';
import { type Happening, type Judged, type Scope, worded } from './recorder.js';

/** What a connection follows that names its jobs. */
export interface SelectedScope {
  readonly kind: 'selected';
  readonly ids: readonly string[];
}

const PATH = '/ws/upload-progress?select';

/** How a client comes back: with a cursor for each job, in one frame or one for each; or with one number for all. */
const WAYS = ['one frame', 'address', 'frame for each'] as const;

/** What a connection of several jobs is to one of them: a client of that job alone, and judged as one. */
class Member implements Judged {
  readonly record: Happening[] = [];
  readonly shown = new Map<string, string | null>();
  readonly firstScope: Scope;
  readonly place = new ResumePoint();
  hasEnded = false;
  /** On this connection: the edge was told the number of all jobs, so that it may repeat what is below the job's own. */
  isJoint = false;
  /** On this connection: how far the edge has shown to have read. */
  servedTo = 0;

  constructor(
    readonly name: string,
    readonly id: string,
  ) {
    this.firstScope = { kind: 'job', id };
  }

  get scope(): Scope {
    return this.firstScope;
  }

  /** A frame as a client of this job alone would have got it. */
  take(frame: Frame): void {
    this.record.push({ at: performance.now(), what: 'frame', frame });
    this.place.take(frame);
  }

  /** It is followed from here on. */
  greet(epoch: string): void {
    const frame = { type: 'hello', epoch, scope: 'selected' };
    this.record.push({ at: performance.now(), what: 'frame', frame });
    // The scope that is sent back is that of `following`.
    if (this.place.epoch !== null && this.place.epoch !== epoch) this.place.cursor = null;
    this.place.epoch = epoch;
  }

  closed(code: number): void {
    this.record.push({ at: performance.now(), what: 'closed', code });
    this.place.opened();
    this.hasEnded = code === 1000;
  }

  describe(): string {
    const { cursor, epoch, isCaughtUp } = this.place;
    const last = this.record.slice(-30).map(worded).join(' | ');
    return `${this.name}, ${this.id}: cursor ${cursor} in ${epoch}${isCaughtUp ? ', following' : ''}${this.hasEnded ? ', ended' : ''}; last: ${last}`;
  }
}

/**
 * A client that follows several jobs on one connection by PROTOCOL.md's rules for selected jobs. What concerns a job is
 * kept in a record of its own, as a client of that job alone would have it, so that the same judge holds it to the same.
 */
export class SelectedRecorder {
  readonly members: readonly Member[];
  readonly scope: SelectedScope;
  connections = 0;
  bytes = 0;
  /** How often it came back with one number for all jobs. */
  jointResumes = 0;
  #client: WsClient | null = null;
  /** The epoch that the edge named last on this connection, by `hello` or a `reset`. */
  #epoch = '';
  #followed = new Set<Member>();
  #updatesLeft: number | null = null;
  #isCut = false;
  #changed: (() => void)[] = [];

  constructor(
    readonly name: string,
    scope: SelectedScope,
  ) {
    this.scope = scope;
    this.members = scope.ids.map((id) => new Member(name, id));
  }

  get isOpen(): boolean {
    return this.#client !== null;
  }

  get hasEnded(): boolean {
    return this.members.every(({ hasEnded }) => hasEnded);
  }

  /** Whether all of them are; what has ended does not count. */
  get isCaughtUp(): boolean {
    return this.#running().every(({ place }) => place.isCaughtUp);
  }

  /** That of all jobs; null: they differ. */
  get epoch(): string | null {
    const epochs = new Set(this.#running().map(({ place }) => place.epoch));
    const [epoch] = epochs;
    return epochs.size === 1 ? (epoch ?? null) : null;
  }

  /** The lowest; null: a job has none. */
  get cursor(): number | null {
    const cursors = this.#running().map(({ place }) => place.cursor);
    return cursors.includes(null) ? null : Math.min(...(cursors as number[]));
  }

  /** Says of itself that it has been there with every job. Only before its first connection. */
  claim(cursor: number, epoch: string): void {
    for (const member of this.members) {
      member.place.cursor = cursor;
      member.place.epoch = epoch;
      member.record.push({ at: performance.now(), what: 'claimed', cursor, epoch });
    }
  }

  /**
   * Connects with the places it has.
   * @param cutAfter after so many updates the client cuts the connection, whatever has come behind them
   * @returns whether that worked
   */
  async connect(base: string, _edge = base, cutAfter: number | null = null): Promise<boolean> {
    if (this.isOpen || this.hasEnded) return false;
    const way = WAYS[this.connections % WAYS.length];
    const { cursor, epoch } = this;
    // What is repeated would count as what it took.
    const isJoint = way === 'address' && cutAfter === null && cursor !== null && epoch !== null;
    this.#isCut = false;
    this.#updatesLeft = cutAfter;
    this.#followed.clear();
    for (const member of this.#running()) {
      member.place.opened();
      member.isJoint = isJoint;
      member.servedTo = 0;
      member.record.push({ at: performance.now(), what: 'opened' });
    }
    const jobs = this.#running().map(({ id }) => `&processing_id=${id}`);
    const query = isJoint ? `${jobs.join('')}&last_seq=${cursor}&epoch=${epoch}` : '';
    if (isJoint) this.jointResumes++;
    try {
      const client = await WsClient.connect(base + PATH + query, {
        keep: false,
        timeoutMs: 3_000,
        onFrame: (frame, from) => this.#frame(frame, from, isJoint, way === 'frame for each'),
      });
      this.#client = client;
      this.connections++;
      void client.closed.then(({ code }) => {
        this.bytes += client.receivedBytes;
        this.#closed(this.#isCut ? 1006 : code);
      });
      return true;
    } catch {
      this.#closed(1006);
      return false;
    }
  }

  stay(): void {
    this.#updatesLeft = null;
  }

  async drop(): Promise<void> {
    this.#client?.drop();
    await this.#client?.closed;
  }

  pauseReading(): void {
    this.#client?.pauseReading();
  }

  resumeReading(): void {
    this.#client?.resumeReading();
  }

  /** Resolves with the next frame or close, or when the time is over. */
  async change(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#changed.push(resolve);
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
  }

  describe(): string {
    return `${this.name}, ${this.isOpen ? 'open' : 'closed'}:\n${this.members.map((member) => member.describe()).join('\n')}`;
  }

  #running(): Member[] {
    return this.members.filter(({ hasEnded }) => !hasEnded);
  }

  #frame(frame: Frame, from: WsClient, isJoint: boolean, isOneByOne: boolean): void {
    if (this.#isCut) return;
    const { note: _note, ...rest } = frame;
    this.#take(rest as Frame, from, isJoint, isOneByOne);
    if (frame.type === 'progress_update' && this.#updatesLeft !== null && --this.#updatesLeft <= 0) {
      this.#isCut = true;
      from.drop();
    }
    for (const resolve of this.#changed.splice(0)) resolve();
  }

  #take(frame: Frame, from: WsClient, isJoint: boolean, isOneByOne: boolean): void {
    switch (frame.type) {
      case 'hello':
        this.#epoch = frame.epoch as string;
        this.#follow(from, this.#running(), isJoint, isOneByOne);
        return;
      case 'heartbeat':
        for (const member of this.#followed) {
          const { isCaughtUp, cursor } = member.place;
          if (isCaughtUp && (frame.cursor as number) > (cursor ?? 0)) member.take(frame);
        }
        return;
      case 'draining':
        for (const member of this.#followed) member.take(frame);
        return;
      default: {
        const member = [...this.#followed].find(({ id }) => id === frame.processing_id);
        if (member !== undefined) this.#takeFor(member, frame, from);
        else this.#wrong(`${frame.type} of ${frame.processing_id}, which is not followed`);
      }
    }
  }

  #takeFor(member: Member, frame: Frame, from: WsClient): void {
    const { place } = member;
    switch (frame.type) {
      case 'progress_update':
        member.servedTo = Math.max(member.servedTo, frame.seq as number);
        if (member.isJoint && (frame.seq as number) <= (place.cursor ?? 0)) return;
        this.#agree(member);
        member.take(frame);
        return;
      case 'following': {
        const { cursor: told, scope } = frame as unknown as { cursor: number; scope: string };
        if ((place.scope ?? scope) !== scope)
          this.#wrong(`the scope is called ${scope}, and was ${place.scope}`);
        member.servedTo = Math.max(member.servedTo, told);
        this.#agree(member);
        member.take({
          type: 'caught_up',
          cursor: member.isJoint ? Math.max(told, place.cursor ?? 0) : told,
        });
        place.scope = scope;
        return;
      }
      case 'reset':
        this.#epoch = frame.epoch as string;
        member.isJoint = false;
        member.take(frame);
        return;
      case 'end':
        this.#followed.delete(member);
        // An edge that is behind what the client has of this job cannot know whether it went on.
        if (member.isJoint && member.servedTo < (place.cursor ?? 0)) {
          this.#follow(from, [member], false, false);
          return;
        }
        member.take(frame);
        member.closed(1000);
        return;
      default:
        member.take(frame);
    }
  }

  // What is sent of a job is of the epoch that the connection named last.
  #agree(member: Member): void {
    if (member.place.epoch !== this.#epoch) member.greet(this.#epoch);
  }

  #follow(from: WsClient, members: readonly Member[], isJoint: boolean, isOneByOne: boolean): void {
    // Those of one epoch go into one frame.
    const frames = new Map<string, { type: 'follow'; epoch?: string; jobs: object[] }>();
    for (const member of members) {
      const { id, place } = member;
      const { cursor, epoch, scope } = place;
      const isNew = cursor === null;
      const key = `${isOneByOne ? id : ''} ${isNew ? '' : epoch}`;
      const frame = frames.get(key) ?? {
        type: 'follow',
        ...(!isNew && epoch !== null && { epoch }),
        jobs: [],
      };
      frames.set(key, frame);
      frame.jobs.push({
        processing_id: id,
        ...(!isNew && { last_seq: cursor, ...(scope !== null && { scope }) }),
      });
      member.isJoint = isJoint;
      this.#followed.add(member);
      member.greet(this.#epoch);
    }
    if (!isJoint) for (const frame of frames.values()) from.send(frame);
  }

  /** Whoever judges it finds a frame that no client may get. */
  #wrong(what: string): void {
    this.members[0]?.take({ type: what });
  }

  #closed(code: number): void {
    this.#client = null;
    for (const member of this.#running()) member.closed(code === 1000 ? 1006 : code);
    this.#followed.clear();
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}
