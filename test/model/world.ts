import { fixedJobs, parseSocketRequest } from '../../internal/edge/request.js';
import type { Gap } from '../../internal/eventlog/gaps.js';
import { EventLog, type LogLimits } from '../../internal/eventlog/log.js';
import { inScope, type LogRecord, makeRecord, type Scope } from '../../internal/eventlog/record.js';
import {
  type AnyConnection,
  ClientConnection,
  SelectedConnection,
} from '../../internal/session/client-connection.js';
import { Hub } from '../../internal/session/hub.js';
import type {
  HistorySource,
  Narrow,
  Page,
  ResetRequired,
  Resume,
  Transport,
} from '../../internal/session/ports.js';
import type { Session, SessionDeps, SessionEdge } from '../../internal/session/session.js';
import type { ResetReason } from '../../schemas/frames.js';
import { ModelClient } from './client.js';
import { ModelEventSource } from './event-source.js';
import { ModelPager } from './pager.js';
import { ModelSelectedClient } from './selected-client.js';
import { type ModelMessage, ModelStream } from './stream.js';

export interface WorldOptions extends LogLimits {
  readonly maxPerSubject: number;
  readonly maxReplay: number;
  /** Messages in one page of a history read. */
  readonly pageSize: number;
  /** Whether the edge may take a job that it does not know for a new one. */
  readonly complete: boolean;
}

/**
 * An edge's pure parts (log, hub, sessions) around a model of JetStream, in which everything that takes time in the
 * real one is a step of its own: the feed's delivery, the answers of history reads, the turns of the event loop.
 */
export class World {
  readonly stream: ModelStream;
  readonly clients: ModelClient[] = [];
  readonly selected: ModelSelectedClient[] = [];
  readonly sources: ModelEventSource[] = [];
  readonly pagers: ModelPager[] = [];
  #failure: unknown = null;
  #log: EventLog;
  #hub: Hub;
  #turns: (() => void)[] = [];
  /** At the clock, in this turn. */
  #looks = 0;
  #answers: (() => void)[] = [];
  #timers: { readonly at: number; readonly call: () => void }[] = [];
  readonly #options: WorldOptions;
  /** By job: the event behind which it fell silent. */
  readonly #silent = new Map<string, number>();
  /** The epoch that is loaded, or about to be. */
  #begun = '';

  constructor(options: WorldOptions) {
    this.#options = options;
    this.stream = new ModelStream(options.maxPerSubject);
    [this.#log, this.#hub] = this.#newEdge();
    this.#load();
  }

  connect(scope: Scope, maxRate?: number): ModelClient {
    const name = `client ${this.clients.length} (${describe(scope)}${maxRate ? `, ${maxRate} a second` : ''})`;
    const client = new ModelClient(name, scope, this.stream, maxRate);
    this.clients.push(client);
    this.reconnect(client);
    return client;
  }

  reconnect(client: ModelClient): void {
    if (client.connection !== null || client.isDone) return;
    client.closeCode = null;
    client.connection = new ClientConnection({
      // Some share a subject, some do not.
      ...this.#common(client, client.resume, client.maxRate, {
        id: client.name,
        requester: client.scope.kind === 'all' ? 'everything' : client.scope.id,
      }),
      scope: client.scope,
    });
    this.#hub.add(client.connection);
    client.connection.open();
  }

  /** Somebody connects who names these jobs. */
  select(ids: readonly string[], maxRate?: number): void {
    const client = new ModelSelectedClient(this.stream, ids, maxRate);
    this.selected.push(client);
    this.reselect(client);
  }

  reselect(client: ModelSelectedClient): void {
    if (client.connection === null) {
      client.connection = this.accept(client, client.maxRate);
      client.connection.open();
    }
    client.followAll();
  }

  /** A connection of selected jobs, to whatever is at its other end. It is to be opened yet. */
  accept(transport: Transport, maxRate?: number): SelectedConnection {
    const hub = this.#hub;
    const connection = new SelectedConnection({
      ...this.#common(transport, null, maxRate, { id: 'selected', requester: 'somebody' }),
      selected: { ids: [], after: new Map() },
      narrow: (scope) => ({ ok: true, scope }),
      scopeName: 'selected',
      maxJobs: 10,
      attach: (session) => hub.attach(session),
      detach: (session) => hub.detach(session),
    });
    hub.add(connection);
    return connection;
  }

  /** A connection of what an address asks for: all jobs, or those that the client names. It is to be opened yet. */
  acceptAt({ search }: URL, transport: Transport): AnyConnection {
    const request = parseSocketRequest(null, search.slice(1));
    if (!request.ok) throw new Error(request.message);
    const { scope, resume, maxRate } = request;
    if (scope.kind === 'selected') return this.accept(transport, maxRate);
    const connection = new ClientConnection({
      ...this.#common(transport, resume, maxRate, { id: 'all', requester: 'somebody' }),
      scope,
    });
    this.#hub.add(connection);
    return connection;
  }

  /** The other end is gone. */
  hangUp(connection: AnyConnection): void {
    this.#hub.remove(connection);
    connection.closed();
  }

  deselect(client: ModelSelectedClient): void {
    if (client.connection !== null) this.#hub.remove(client.connection);
    client.drop();
  }

  /** Somebody follows these jobs on one stream of server-sent events. */
  source(ids: readonly string[], maxRate?: number): void {
    const source = new ModelEventSource(this.stream, ids, maxRate);
    this.sources.push(source);
    this.reopen(source);
  }

  /** It comes back, by the id that it kept alone. */
  reopen(source: ModelEventSource): void {
    if (source.connection !== null || source.isStopped) return;
    const { resume, marks, ids } = source;
    const fixed = fixedJobs(ids, OPEN, resume, marks);
    if (fixed.over.size === ids.length && this.#log.isReady && resume?.epoch === this.#log.epoch) {
      source.isStopped = true;
      return;
    }
    const hub = this.#hub;
    const connection = new SelectedConnection({
      ...this.#common(source, resume, source.maxRate, { id: 'source', requester: 'somebody' }),
      selected: { ids, after: new Map(), fixed },
      narrow: OPEN,
      scopeName: fixed.scopeName,
      maxJobs: 10,
      // So that some of its jobs have to wait for their reads, whatever happens meanwhile.
      hasReadCapacity: () => this.#answers.length < MAX_READS,
      attach: (session) => hub.attach(session),
      detach: (session) => hub.detach(session),
    });
    source.begin(connection, fixed.scopeName);
    hub.add(connection);
    connection.open();
    source.settle();
  }

  cutSource(source: ModelEventSource): void {
    if (source.connection !== null) this.#hub.remove(source.connection);
    source.drop();
  }

  #settle(): void {
    for (const source of this.sources) source.settle();
  }

  #common(
    transport: Transport,
    resume: Resume | null,
    maxRate: number | undefined,
    client: Pick<SessionDeps, 'id' | 'requester'>,
  ) {
    const context: SessionDeps = { ...client, edge: this.#edge(), history: this.#history(), maxRate };
    return { context, credentials: null, resume, transport };
  }

  #edge(): SessionEdge {
    return {
      log: this.#log,
      limits: {
        heartbeatMs: 15_000,
        heartbeatAfterMs: 0,
        watermarkBytes: 300,
        maxReplayJob: this.#options.maxReplay,
        maxReplayAll: this.#options.maxReplay,
        maxFrameCharacters: 16_384,
      },
      wallClock: () => this.stream.clock,
      now: () => this.#hub.now(),
      stalledFor: (id: string) => {
        const seq = this.#silent.get(id);
        return seq !== undefined && seq === this.#log.last(id)?.seq ? seq : null;
      },
      scheduleCatchUp: (session: Session) => this.#hub.scheduleCatchUp(session),
      scopeId: describe,
      wakeAt: (session: Session, at: number) => this.#hub.wakeAt(session, at),
    };
  }

  /**
   * Somebody begins to page through the events of a job.
   * @param after null: from the beginning
   */
  page(id: string, limit: number, after: number | null): void {
    const pager = new ModelPager(this.stream, id, limit, after);
    this.pagers.push(pager);
    void pager
      .run(
        () => this.#log,
        () => this.#history(),
      )
      .catch((error: unknown) => {
        this.#failure ??= error;
        pager.isDone = true;
      });
  }

  drop(client: ModelClient): void {
    if (client.connection !== null) this.#hub.remove(client.connection);
    client.drop();
  }

  /** The feed delivers up to `count` messages; or, when what it follows is no longer there, starts over. */
  deliver(count: number): void {
    if (!this.#log.isReady) this.#load();
    if (this.#log.epoch !== this.stream.epoch) {
      this.#startOver();
      return;
    }
    for (const message of this.stream.kept.values()) {
      if (count <= 0) break;
      if (message.seq <= this.#log.head) continue;
      this.#log.append(message.seq, message.storedAt, message.event);
      count--;
    }
  }

  /** The feed was away, and goes on where the log ends; on another stream it starts over. */
  rebuildFeed(): void {
    if (this.#log.epoch !== this.stream.epoch) this.#startOver();
  }

  /** The log is loaded anew though the stream is the same: its settings were not right for a while. */
  distrust(): void {
    this.#begin('ahead');
  }

  /** The edge looks where the stream begins, and which jobs it still has. */
  look(): void {
    if (!this.#log.isReady || this.#log.epoch !== this.stream.epoch) return;
    this.#log.trim({ firstSeq: this.stream.first, lastSeq: this.stream.last }, this.stream.clock);
    const gone = [...this.#log.jobIds()].filter((id) => this.stream.ofJob(id).length === 0);
    this.#log.drop(gone, this.#log.head, this.stream.clock);
  }

  /** The edge finds that a job is silent. For so many milliseconds as its last event has a seq, so that clients can judge it. */
  stall(id: string): void {
    const last = this.#log.last(id);
    if (!this.#log.isReady || last?.status !== 'processing') return;
    // Nothing falls silent in the turn in which it reports.
    if (last.seq > this.#log.flushedSeq) return;
    this.#silent.set(id, last.seq);
    this.#hub.stalled(id, last.seq);
  }

  /** Time passes. */
  pass(ms: number): void {
    this.stream.clock += ms;
    const due = this.#timers.filter(({ at }) => at <= this.stream.clock);
    this.#timers = this.#timers.filter(({ at }) => at > this.stream.clock);
    for (const { call } of due) call();
  }

  /** The client comes back as one that asks for another rate. */
  repace(client: ModelClient, maxRate: number | undefined): void {
    if (client.isDone) return;
    this.drop(client);
    client.maxRate = maxRate;
    this.reconnect(client);
  }

  /** The client comes back as one that follows something else. */
  rescope(client: ModelClient, scope: Scope): void {
    if (client.scope.kind !== scope.kind || client.isDone) return;
    this.drop(client);
    client.scope = scope;
    this.reconnect(client);
  }

  /** One turn of the event loop. */
  turn(): void {
    this.#looks = 0;
    for (const run of this.#turns.splice(0)) run();
    this.#settle();
  }

  /** How many events the edge has in memory; some of them may have left the stream. */
  get remembered(): number {
    return this.#log.stats.tailEvents;
  }

  /** The oldest `count` history reads are answered. */
  async answer(count: number): Promise<void> {
    for (const answer of this.#answers.splice(0, count)) answer();
    // The session takes the answer in a promise's reaction.
    for (let i = 0; i < 4; i++) await Promise.resolve();
  }

  heartbeat(): void {
    this.#hub.tick(this.stream.clock, 'ok');
    this.#settle();
  }

  /** A new edge: memory is gone, every connection is cut. */
  restartEdge(): void {
    for (const client of this.clients) {
      this.drop(client);
      client.mayShowGone = true;
    }
    for (const client of this.selected) this.deselect(client);
    for (const source of this.sources) this.cutSource(source);
    for (const pager of this.pagers) pager.isDone = true;
    this.#answers = [];
    this.#turns = [];
    this.#timers = [];
    [this.#log, this.#hub] = this.#newEdge();
    this.#begun = '';
    this.#log.setEpoch(this.stream.epoch);
  }

  /** Everyone reconnects and reads; everything under way comes to rest. Then every client is verified. */
  async verify(): Promise<void> {
    let wasAtRest = false;
    for (let round = 0; round < 10_000; round++) {
      this.deliver(1_000);
      this.look();
      this.heartbeat();
      this.turn();
      // Whoever holds something back is waited for, and no longer: what is finished lately stays that.
      const next = Math.min(...this.#timers.map(({ at }) => at));
      if (Number.isFinite(next)) this.pass(Math.max(0, next - this.stream.clock));
      await this.answer(1_000);
      for (const client of this.clients) {
        this.reconnect(client);
        client.read(1_000);
      }
      for (const client of this.selected) {
        this.reselect(client);
        client.read(1_000);
      }
      for (const source of this.sources) {
        this.reopen(source);
        source.read(1_000);
        if (source.isOver) this.cutSource(source);
      }
      const isBusy =
        this.#turns.length > 0 ||
        this.#timers.length > 0 ||
        this.#answers.length > 0 ||
        this.#log.head < Math.max(0, ...this.stream.kept.keys()) ||
        this.#log.epoch !== this.stream.epoch ||
        this.pagers.some((pager) => !pager.isDone) ||
        this.sources.some((source) => !source.isAtRest || source.unread > 0) ||
        this.selected.some((client) => !client.isAtRest || client.unread > 0) ||
        this.clients.some(
          (client) => !client.isDone && (client.connection?.session.state !== 'live' || client.unread > 0),
        );
      // What the last pages showed is looked up once more.
      if (!isBusy && wasAtRest) break;
      wasAtRest = !isBusy;
      if (round === 9_999)
        throw new Error(`no rest: ${this.clients.map((c) => c.connection?.session.state).join()}`);
    }
    for (const client of this.clients) client.verify(this.#log.head);
    for (const { judges } of [...this.selected, ...this.sources])
      for (const judge of judges) judge.verify(this.#log.head);
    if (this.#failure !== null) throw this.#failure;
  }

  #newEdge(): [EventLog, Hub] {
    const log = new EventLog(this.#options);
    const hub = new Hub(log, (flush) => this.#turns.push(flush), {
      // A turn takes time: each look at the clock finds it further.
      now: () => {
        if (++this.#looks > 100_000) throw new Error('a turn does not end');
        return ++this.stream.clock;
      },
      later: (call, ms) => {
        const timer = { at: this.stream.clock + ms, call };
        this.#timers.push(timer);
        return () => {
          this.#timers = this.#timers.filter((one) => one !== timer);
        };
      },
    });
    log.setListeners([hub]);
    return [log, hub];
  }

  // The load is a later step: clients connect in between.
  #startOver(): void {
    this.#begin(null);
  }

  #begin(reset: ResetReason | null): void {
    this.#begun = this.stream.epoch;
    this.#log.begin(this.#begun, reset);
  }

  #load(): void {
    const { stream } = this;
    if (this.#begun !== stream.epoch) this.#begin(null);
    for (const [id] of stream.truthOf().jobs) {
      const last = stream.ofJob(id).findLast((message) => message.event !== null);
      if (last?.event) this.#log.load(last.seq, last.storedAt, last.event);
    }
    this.#log.ready({
      head: stream.last,
      firstSeq: stream.first,
      complete: this.#options.complete,
      neverTrimmed: stream.truthOf().lost.size === 0,
    });
  }

  // Answers are made when they are given, not when they are asked for, as a real server would.
  #history(): HistorySource {
    const log = this.#log;
    const later = <T>(make: () => T): Promise<T> =>
      new Promise((resolve) => {
        // Another incarnation than the log's gives no answers; they are asked for again until the log is of it.
        const answer = () => {
          if (log.epoch === this.stream.epoch) resolve(make());
          else this.#answers.push(answer);
        };
        this.#answers.push(answer);
      });
    return {
      lastState: (id) =>
        later(() => {
          const last = this.stream.ofJob(id).findLast((message) => message.event !== null);
          return last?.event ? makeRecord(last.event, last.seq, null, last.storedAt) : null;
        }),
      records: (seqs) =>
        later(() =>
          seqs.flatMap((seq) => {
            const message = this.stream.kept.get(seq);
            return message?.event ? [makeRecord(message.event, seq, null, message.storedAt)] : [];
          }),
        ),
      isKept: (seq) => later(() => this.stream.kept.has(seq)),
      page: (scope, after) => later(() => this.#page(scope, after)),
      oldest: (scope) => later(() => this.#oldest(scope)),
      reached: (cursor) => later(() => (cursor <= this.stream.last ? { kind: 'ok' } : this.#refuse('ahead'))),
    };
  }

  #refuse(reason: ResetRequired['reason']): ResetRequired {
    return { kind: 'refused', reason, firstSeq: this.stream.first, lastSeq: this.stream.last };
  }

  #oldest(scope: Scope): { readonly records: readonly LogRecord[]; readonly cursor: number } {
    const kept = [...this.stream.kept.values()].filter(
      (message) => scope.kind === 'all' || message.id === scope.id,
    );
    const messages = kept.slice(0, this.#options.pageSize);
    const isExhausted = messages.length === kept.length;
    return {
      records: messages.flatMap(({ seq, event, storedAt }) =>
        event === null ? [] : [makeRecord(event, seq, null, storedAt)],
      ),
      cursor: isExhausted ? this.stream.last : (messages.at(-1)?.seq ?? 0),
    };
  }

  // What internal/jetstream/history-page.ts promises, over the model.
  #page(scope: Scope, after: number): Page | ResetRequired {
    const { stream } = this;
    if (after > stream.last) return this.#refuse('ahead');
    const all = [...stream.kept.values()].filter(
      (message) => scope.kind === 'all' || message.id === scope.id,
    );
    if (scope.kind === 'job' && !all.some((message) => message.seq <= after)) {
      const next = all[0]?.seq ?? stream.last + 1;
      const isHole = [...stream.truthOf().lost].some((seq) => seq > after && seq < next);
      if (isHole || stream.first > after + 1) return this.#refuse('retention');
    }
    const wanted = all.filter((message) => message.seq > after);
    const messages = wanted.slice(0, this.#options.pageSize);
    const isExhausted = messages.length === wanted.length;
    const records: LogRecord[] = [];
    for (const { event, seq, storedAt } of messages) {
      if (event === null) continue;
      const record = makeRecord(event, seq, null, storedAt);
      if (inScope(scope, record)) records.push(record);
    }
    return {
      kind: 'page',
      records,
      cursor: isExhausted ? stream.last : (messages.at(-1)?.seq ?? after),
      previous: null,
      pending: wanted.length,
      gap: scope.kind === 'all' ? gapIn(messages, after, isExhausted ? stream.last : null) : null,
    };
  }
}

const OPEN: Narrow = (scope) => ({ ok: true, scope });
/** The most reads under way while a job of a stream may still begin. */
const MAX_READS = 2;

function gapIn(messages: readonly ModelMessage[], after: number, end: number | null): Gap | null {
  const seqs = [after, ...messages.map(({ seq }) => seq), ...(end === null ? [] : [end + 1])];
  const holes = seqs.flatMap((seq, index) => {
    const next = seqs[index + 1] ?? seq + 1;
    return next > seq + 1 ? [{ after: seq, before: next }] : [];
  });
  const [first, last] = [holes[0], holes.at(-1)];
  return first === undefined || last === undefined ? null : { after: first.after, before: last.before };
}

function describe(scope: Scope): string {
  return scope.kind === 'job' ? scope.id : [...(scope.jobTypes ?? ['all'])].join();
}
