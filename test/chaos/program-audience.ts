import { ghostsOf } from './checker.js';
import type { Place } from './edge-node.js';
import type { Truth } from './oracle.js';
import { Recorder, type Scope } from './recorder.js';
import { SelectedRecorder, type SelectedScope } from './selected-recorder.js';

/** An edge may look only once a minute for jobs of which nothing but other messages tells that they are gone. */
const REST_MS = 75_000;
const SETTLE_MS = 300;
/** More than these connections nobody needs beyond one for each job and each event that is kept. */
const SPARE_CONNECTIONS = 5;

/** Of many events more are taken on each connection, so that a program ends. */
const MOST_CONNECTIONS = 60;
/**
 * An event that is sent may have been read three times: the one at the cursor and the oldest come along as proof. For
 * whoever is cut, what was read ahead is lost: a page, and an event that is larger than what is left of it.
 */
const READ_FACTOR = 4;
const READ_FOR_CONNECTION = 256 * 1024;

/** How many connections were needed, the bytes that clients took on them, and the bytes that edges read from NATS. */
export interface Arrivals {
  readonly connections: number;
  readonly bytes: number;
  readonly read: number;
}

/** What a client of a program follows. */
export type AudienceScope = Scope | SelectedScope;

export interface Client {
  readonly recorder: Recorder | SelectedRecorder;
  readonly isProxied: boolean;
  isPaused: boolean;
}

/** The clients of a program's edges, and what they do. */
export class Audience {
  readonly clients: Client[] = [];

  constructor(
    private readonly places: readonly Place[],
    private readonly truth: () => Truth,
  ) {}

  async connect(scope: AudienceScope, isProxied: boolean, index: number): Promise<void> {
    await this.#open(this.#add(scope, isProxied), index, null);
  }

  /**
   * One of those that are away comes back.
   * @param cutAfter after so many updates it is cut; null: it is not
   */
  async resume(who: number, index: number, cutAfter: number | null): Promise<void> {
    const client = this.#client(who, ({ recorder }) => !recorder.isOpen && !recorder.hasEnded);
    if (client !== undefined) await this.#open(client, index, cutAfter);
  }

  async drop(who: number): Promise<void> {
    await this.#client(who)?.recorder.drop();
  }

  /** One of those who follow some types only comes back as one who follows more. */
  async grow(who: number, index: number): Promise<void> {
    const client = this.#client(
      who,
      ({ recorder: { scope } }) => scope.kind === 'all' && scope.jobTypes !== null,
    );
    if (client === undefined) return;
    const { recorder } = client;
    await recorder.drop();
    if (recorder instanceof SelectedRecorder || recorder.scope.kind !== 'all') return;
    recorder.rescope(wider(recorder.scope));
    await this.#open(client, index, null);
  }

  /** The clients that read get what they have not had; or a moment passes. */
  async settle(): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    await Promise.all(
      this.clients.map(async (client) => {
        const { recorder } = client;
        const isWaiting = () => recorder.isOpen && !client.isPaused && !this.#isAtRest(recorder);
        for (let left = SETTLE_MS; left > 0 && isWaiting(); left = deadline - performance.now()) {
          await recorder.change(left);
        }
      }),
    );
  }

  pause(who: number): void {
    const client = this.#client(who);
    if (client === undefined) return;
    client.isPaused = true;
    client.recorder.pauseReading();
  }

  read(who: number): void {
    const client = this.#client(who, ({ isPaused }) => isPaused);
    if (client === undefined) return;
    client.isPaused = false;
    client.recorder.resumeReading();
  }

  /** Every client reads and comes back: resolves when each has all that is kept. Everything has to stand again. */
  async rest(): Promise<void> {
    for (const client of this.clients) {
      client.isPaused = false;
      client.recorder.stay();
      client.recorder.resumeReading();
    }
    const deadline = performance.now() + REST_MS;
    for (;;) {
      await Promise.all(
        this.clients.map(async (client, index) => {
          for (let attempt = index; !this.#isAtRest(client.recorder); attempt++) {
            if (performance.now() > deadline) return;
            if (client.recorder.isOpen) await client.recorder.change(1_000);
            else if (!(await this.#open(client, attempt, null))) await client.recorder.change(50);
          }
        }),
      );
      // All of them at the same moment.
      const late = this.clients.filter(({ recorder }) => !this.#isAtRest(recorder));
      if (late.length === 0) return;
      if (performance.now() > deadline) throw this.#failure('not at rest', late);
    }
  }

  /**
   * Who comes new to any edge is shown what the stream holds: of each job the newest event that is one, and nothing of
   * a job that has left. An edge may need a while to find out what has.
   * @param stored every message that the stream holds
   */
  async newcomers(stored: readonly number[]): Promise<void> {
    const inDoubt = this.truth().inDoubt(stored);
    const listed = (states: Iterable<readonly [string, number]>): string =>
      [...states]
        .flatMap(([id, seq]) => (inDoubt.has(id) ? [] : [`${id} at ${seq}`]))
        .sort()
        .join();
    const owed = listed(this.truth().newestOf(stored));
    const deadline = performance.now() + REST_MS;
    for (const index of this.places.keys()) {
      for (;;) {
        const client = {
          recorder: new Recorder(`newcomer to ${index}`, ALL),
          isProxied: false,
          isPaused: false,
        };
        await this.#open(client, index, null);
        while (client.recorder.isOpen && !client.recorder.isCaughtUp) await client.recorder.change(1_000);
        const { record } = client.recorder;
        await client.recorder.drop();
        const shown = new Map(record.flatMap((one) => (one.what === 'frame' ? stateOf(one.frame) : [])));
        if (listed(shown) === owed) break;
        if (performance.now() > deadline) throw this.#failure(`owed ${owed}`, [client]);
      }
    }
  }

  /**
   * Everyone arrives: who is cut after so many updates on each connection is caught up after a bounded number of them,
   * newcomers and those who were away for long. What is read from NATS for them is bounded, too. Nobody may publish
   * meanwhile.
   * @returns what they needed, all together
   */
  async arrivals(wantedCutAfter: number): Promise<Arrivals> {
    const total = { connections: 0, bytes: 0, read: 0 };
    const readSoFar = () => this.places.reduce((sum, { link }) => sum + link.passed('down'), 0);
    const readBefore = readSoFar();
    let ofJobs = 0;
    // An update makes the cursor rise, so nobody is sent more of them than there are events; and states, after a reset.
    const updates = this.truth().jobs.size + this.truth().events;
    const cutAfter = Math.max(wantedCutAfter, Math.ceil(updates / MOST_CONNECTIONS));
    const bound = Math.ceil(updates / cutAfter) + SPARE_CONNECTIONS;
    const scopes: AudienceScope[] = [ALL, ...this.clients.map(({ recorder }) => recorder.scope)];
    for (const scope of new Map(scopes.map((one) => [JSON.stringify(one), one])).values()) {
      for (const cursor of [null, Math.floor(this.truth().last / 3)]) {
        const client = this.#add(scope, false);
        const { recorder } = client;
        if (cursor !== null) recorder.claim(cursor, this.truth().epoch);
        while (!this.#isAtRest(recorder)) {
          if (recorder.connections > bound)
            throw this.#failure(`not there after ${bound} connections`, [client]);
          await this.#open(client, recorder.connections, cutAfter);
          while (recorder.isOpen && !this.#isAtRest(recorder)) await recorder.change(1_000);
        }
        await recorder.drop();
        total.connections += recorder.connections;
        // Each job of a connection is read for by itself.
        ofJobs += recorder.connections * recorder.members.length;
        total.bytes += recorder.bytes;
      }
    }
    total.read = readSoFar() - readBefore;
    if (total.read > READ_FACTOR * total.bytes + READ_FOR_CONNECTION * ofJobs)
      throw this.#failure(`read too much: ${JSON.stringify(total)}`, []);
    return total;
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map(({ recorder }) => recorder.drop()));
  }

  #add(scope: AudienceScope, isProxied: boolean): Client {
    const name = `client ${this.clients.length} (${worded(scope)})`;
    const recorder =
      scope.kind === 'selected' ? new SelectedRecorder(name, scope) : new Recorder(name, scope);
    const client = { recorder, isProxied, isPaused: false };
    this.clients.push(client);
    return client;
  }

  #isAtRest(recorder: Client['recorder']): boolean {
    const truth = this.truth();
    if (recorder.hasEnded) return true;
    if (!recorder.isCaughtUp || recorder.epoch !== truth.epoch) return false;
    return (recorder.cursor ?? -1) >= truth.lastKept && ghostsOfAll(recorder, truth) === 0;
  }

  async #open(client: Client, index: number, cutAfter: number | null): Promise<boolean> {
    const { front, edge } = this.places[index % this.places.length] as Place;
    client.isPaused = false;
    const base = client.isProxied ? `ws://${front.host}` : edge.ws;
    return client.recorder.connect(base, String(edge.pid), cutAfter);
  }

  #client(who: number, fits = ({ recorder }: Client) => recorder.isOpen): Client | undefined {
    const fitting = this.clients.filter(fits);
    return fitting[who % Math.max(1, fitting.length)];
  }

  #failure(what: string, clients: readonly Client[]): Error {
    const { epoch, last, lastKept } = this.truth();
    const edges = this.places.map(({ edge }) => edge.output().split('\n').slice(-8).join('\n'));
    const described = clients.map(({ recorder }) => recorder.describe());
    return new Error(
      `${what}, in ${epoch} at ${lastKept} of ${last}:\n${[...described, ...edges].join('\n')}`,
    );
  }
}

const ALL: Scope = { kind: 'all', jobTypes: null };

function wider(scope: Scope): Scope {
  if (scope.kind === 'job') return scope;
  return (scope.jobTypes?.length ?? 0) > 1 ? ALL : { kind: 'all', jobTypes: ['even', 'odd'] };
}

function worded(scope: AudienceScope): string {
  switch (scope.kind) {
    case 'job':
      return scope.id;
    case 'all':
      return scope.jobTypes?.join() ?? 'all';
    case 'selected':
      return `selected ${scope.ids.join()}`;
  }
}

function ghostsOfAll({ members }: Client['recorder'], truth: Truth): number {
  return members.reduce((sum, member) => sum + ghostsOf(member, truth).length, 0);
}

function stateOf(frame: { readonly type: string; readonly [field: string]: unknown }): [string, number][] {
  return frame.type === 'progress_update' ? [[frame.processing_id as string, frame.seq as number]] : [];
}
