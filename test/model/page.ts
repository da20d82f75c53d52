import type { AnyConnection } from '../../internal/session/client-connection.js';
import type { Transport } from '../../internal/session/ports.js';
import { createProgressClient } from '../../sdk/client/client.js';
import type { Job, ProgressClient, ProgressUpdate, WebSocketClass } from '../../sdk/client/types.js';
import type { Platform } from '../../sdk/client/wire.js';
import { TestClock } from '../unit/test-clock.js';
import type { World } from './world.js';

/** What the socket takes before `buffered` grows: the kernel's part. */
const KERNEL_BYTES = 400;

/** Lets everything run that waits for nothing. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}

/** One socket between the real client and the model's edge: what is under way in it moves when it is told to. */
export class ModelSocket {
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  connection: AnyConnection | null = null;
  readonly up: string[] = [];
  readonly down: string[] = [];
  isOpen = true;

  constructor(
    private readonly world: World,
    private readonly url: string,
  ) {}

  send(text: string): void {
    this.up.push(text);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (this.connection !== null) this.world.hangUp(this.connection);
  }

  /** The edge takes the connection. */
  accept(): void {
    if (this.connection !== null || !this.isOpen) return;
    const transport: Transport = {
      send: (text) => this.down.push(text),
      cork: (write) => write(),
      buffered: () => Math.max(0, this.down.reduce((sum, text) => sum + text.length, 0) - KERNEL_BYTES),
      end: (code) => {
        throw new Error(`the edge closed with ${code}: ${this.down.join()}`);
      },
    };
    this.connection = this.world.acceptAt(new URL(this.url), transport);
    this.connection.open();
  }

  async move(up: number, down: number): Promise<void> {
    for (const text of this.up.splice(0, up)) if (this.isOpen) this.connection?.receive(text);
    for (const data of this.down.splice(0, down)) {
      if (!this.isOpen) return;
      this.onmessage?.({ data } as MessageEvent);
      await settled();
    }
    if (this.isOpen) this.connection?.drained();
  }

  cut(): void {
    if (!this.isOpen) return;
    const { onclose } = this;
    this.close();
    onclose?.({ code: 1006, reason: '' } as CloseEvent);
  }
}

/** One follower of a job, and the judge of what it was shown: after the first every event, in order, or a reset. */
export class Judge {
  /** What came since the first state, the cursor that was given, or the last reset. */
  #chain: Pick<ProgressUpdate, 'seq' | 'folded'>[] = [];
  updates = 0;
  /** Events that it was not shown, since a later one stands for them. */
  folded = 0;
  resets = 0;
  isDone = false;

  constructor(
    readonly name: string,
    readonly id: string,
    private readonly world: World,
    /** The page gave this cursor. */
    private after: number | null,
  ) {}

  take({ seq, folded = 1 }: ProgressUpdate): void {
    this.updates += 1;
    this.folded += folded - 1;
    this.#chain.push({ seq, folded });
    if (this.#isRight()) return;
    throw new Error(`${this.name}: got ${this.#got()} behind ${this.after}, and there is ${this.#truths()}`);
  }

  reset(): void {
    this.resets += 1;
    this.#chain = [];
    this.after = null;
  }

  /** The job is said to be finished: its last update was given. */
  end(last: number): void {
    this.isDone = true;
    const has = this.#chain.at(-1)?.seq ?? this.after;
    if (has !== null && has < last)
      throw new Error(`${this.name}: has ${this.#got()}, and its end is ${last}`);
  }

  /** At rest: it has the newest. */
  verify(): void {
    const { jobs, lost } = this.world.stream.truthOf();
    const newest = jobs.get(this.id)?.at(-1);
    if (this.isDone || newest === undefined || lost.has(newest)) return;
    const last = this.#chain.at(-1)?.seq ?? this.after;
    if (last === null || last < newest)
      throw new Error(`${this.name}: has ${this.#got()} behind ${this.after}, and ${newest} is the newest`);
  }

  #got(): string {
    return this.#chain.map(({ seq, folded = 1 }) => (folded === 1 ? seq : `${seq} for ${folded}`)).join();
  }

  /** The events of the job that were shown, or stood for. What an update stands for may have been shown before. */
  #covered(truth: readonly number[]): number[] {
    const covered: number[] = [];
    for (const { seq, folded = 1 } of this.#chain) {
      const at = truth.indexOf(seq);
      const last = covered.at(-1) ?? this.after;
      // Of the first one nobody owes what was before.
      const all = last === null ? [seq] : truth.slice(Math.max(0, at - folded + 1), at + 1);
      covered.push(...all.filter((one) => one > (last ?? 0)), ...(at < 0 ? [seq] : []));
    }
    return covered;
  }

  #truths(): string {
    return this.world.stream.epochs
      .map((epoch) => `${epoch}: ${this.world.stream.truthOf(epoch).jobs.get(this.id)}`)
      .join('; ');
  }

  // What was deleted before any edge could read it is owed to nobody; whether a reset says so is for the edge's own model.
  #isRight(): boolean {
    return this.world.stream.epochs.some((epoch) => {
      const { jobs, lost } = this.world.stream.truthOf(epoch);
      const truth = jobs.get(this.id) ?? [];
      const got = this.#covered(truth);
      const [first = 0] = got;
      const isWithin = (seq: number) => (this.after === null ? seq >= first : seq > this.after);
      const owed = truth.filter((seq) => isWithin(seq) && (got.includes(seq) || !lost.has(seq)));
      return got.every((seq, i) => owed[i] === seq);
    });
  }
}

interface Held {
  readonly job: Job;
  readonly handlers: Judge;
  /** Where a loop reads as well. */
  readonly loop: {
    readonly judge: Judge;
    readonly iterator: AsyncIterator<ProgressUpdate>;
    isAsking: boolean;
  } | null;
}

/** A page with the real client, followers of jobs, and a judge for each. */
export class ModelPage {
  readonly client: ProgressClient;
  readonly clock = new TestClock();
  readonly sockets: ModelSocket[] = [];
  readonly held: Held[] = [];
  readonly judges: Judge[] = [];
  failure: unknown = null;

  constructor(
    private readonly world: World,
    random: () => number,
    { maxRate, lingerMs }: { readonly maxRate: number | undefined; readonly lingerMs: number },
  ) {
    const { sockets } = this;
    const Socket = class extends ModelSocket {
      constructor(url: string) {
        super(world, url);
        sockets.push(this);
      }
    };
    const platform: Platform = {
      WebSocket: Socket as unknown as WebSocketClass,
      fetch: async (url) => this.#lastState(String(url).split('/').at(-1) ?? ''),
      now: this.clock.now,
      random,
      later: this.clock.later,
      onPage: () => () => {},
      isVisible: () => true,
    };
    this.client = createProgressClient(
      { url: 'http://edge', transport: 'websocket', lingerMs, ...(maxRate !== undefined && { maxRate }) },
      { platform },
    );
  }

  get socket(): ModelSocket | undefined {
    return this.sockets.at(-1);
  }

  get updates(): number {
    return this.judges.reduce((sum, { updates }) => sum + updates, 0);
  }

  get isQuiet(): boolean {
    return this.client.connection === 'open' || this.client.connection === 'idle';
  }

  askAll(): void {
    for (const held of this.held) this.ask(held);
  }

  close(): void {
    this.client.close();
  }

  follow(id: string, after: string | null, isLooped: boolean): void {
    const job = this.client.job(id, after === null ? {} : { after });
    const name = `${this.held.length} of ${id}`;
    const seq = after === null ? null : Number.parseInt(after, 10);
    const handlers = this.#judge(`handlers ${name}`, id, seq);
    const loop = isLooped
      ? {
          judge: this.#judge(`loop ${name}`, id, seq),
          iterator: job[Symbol.asyncIterator](),
          isAsking: false,
        }
      : null;
    job.addEventListener('update', ({ detail }) => this.#guard(() => handlers.take(detail)));
    job.addEventListener('reset', () => {
      handlers.reset();
      loop?.judge.reset();
    });
    job.addEventListener('end', ({ detail }) => this.#guard(() => handlers.end(detail?.seq ?? 0)));
    this.held.push({ job, handlers, loop });
  }

  /** The loop asks, unless it does already. */
  ask({ loop }: Held): void {
    if (loop === null || loop.isAsking || loop.judge.isDone) return;
    loop.isAsking = true;
    void loop.iterator
      .next()
      .then(({ done, value }) => {
        loop.isAsking = false;
        if (done) loop.judge.isDone = true;
        else this.#guard(() => loop.judge.take(value));
      })
      .catch((error: unknown) => {
        this.failure ??= error;
      });
  }

  stop({ job, handlers, loop }: Held): void {
    job.close();
    handlers.isDone = true;
    if (loop !== null) loop.judge.isDone = true;
  }

  verify(): void {
    if (this.failure !== null) throw this.failure;
    for (const judge of this.judges) judge.verify();
  }

  #lastState(id: string): Response {
    const last = this.world.stream.ofJob(id).findLast(({ event }) => event !== null);
    if (last === undefined) return Response.json({ code: 'no_event' }, { status: 404 });
    const { seq } = last;
    return Response.json({ type: 'progress_update', processing_id: id, seq, prev_seq: null });
  }

  #judge(name: string, id: string, after: number | null): Judge {
    const judge = new Judge(name, id, this.world, after);
    this.judges.push(judge);
    return judge;
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.failure ??= error;
    }
  }
}
