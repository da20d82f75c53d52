import { createProgressClient } from '../../sdk/client/client.js';
import type {
  Jobs,
  JobsOptions,
  JobsSnapshot,
  ProgressClient,
  ProgressUpdate,
  WebSocketClass,
} from '../../sdk/client/types.js';
import { TestClock } from '../unit/test-clock.js';
import { Judge, ModelSocket } from './page.js';
import type { World } from './world.js';

/** What a page of all jobs is told, by its handlers or by its loop, judged job by job. */
class AllJudge {
  updates = 0;
  folded = 0;
  resets = 0;
  readonly #judges = new Map<string, Judge>();
  /** The newest that it was shown of each job. */
  readonly #shown = new Map<string, number>();
  /** Behind what is skipped newest states follow, which prove nothing; a loop gets there later. */
  #isLenient = false;

  constructor(
    readonly name: string,
    private readonly world: World,
  ) {}

  take(update: ProgressUpdate): void {
    const { processing_id: id, seq, folded = 1 } = update;
    this.updates += 1;
    this.folded += folded - 1;
    if (this.#isLenient) this.#judges.delete(id);
    const judge = this.#judges.get(id) ?? new Judge(`${this.name} ${id}`, id, this.world, null);
    this.#judges.set(id, judge);
    judge.take(update);
    this.#shown.set(id, seq);
  }

  reset(): void {
    this.resets += 1;
    this.#judges.clear();
    this.#shown.clear();
    this.#isLenient = false;
  }

  /** Nothing proves what lies before what comes now. */
  begin(): void {
    this.#judges.clear();
  }

  beLenient(): void {
    this.#isLenient = true;
  }

  gone(id: string): void {
    this.#judges.delete(id);
    this.#shown.delete(id);
  }

  /** At rest: it was shown the newest of every job that goes on. */
  verify(): void {
    const { jobs, finishedAt, lost } = this.world.stream.truthOf();
    for (const [id, truth] of jobs) {
      const newest = truth.at(-1) ?? 0;
      const shown = this.#shown.get(id);
      // What finished long ago is not shown to who begins anew.
      if (lost.has(newest) || (shown === undefined && finishedAt.has(newest))) continue;
      if ((shown ?? 0) < newest)
        throw new Error(`${this.name}: of ${id} ${shown}, and ${newest} is the newest`);
    }
  }
}

/** What a page of all jobs shows: the newest of each, and of the finished ones no more than it wants. */
class ShownJobs {
  /** How often a finished job was forgotten, and how often one of these was there again. */
  forgotten = 0;
  back = 0;
  hasForgotten = false;
  readonly #all = new Map<string, { readonly seq: number; readonly isFinished: boolean }>();
  readonly #lost = new Set<string>();

  constructor(private readonly maxFinished = Number.POSITIVE_INFINITY) {}

  take({ processing_id: id, seq, status }: ProgressUpdate): void {
    if (this.#lost.delete(id)) this.back += 1;
    this.#all.set(id, { seq, isFinished: status === 'completed' });
    const finished = [...this.#all].filter(([, { isFinished }]) => isFinished);
    // They finished in the order of their events.
    finished.sort(([, a], [, b]) => b.seq - a.seq);
    for (const [old] of finished.slice(this.maxFinished)) {
      this.hasForgotten = true;
      this.forgotten += 1;
      this.#lost.add(old);
      this.#all.delete(old);
    }
  }

  gone(id: string): void {
    this.#all.delete(id);
  }

  reset(): void {
    this.#all.clear();
    this.#lost.clear();
    this.hasForgotten = false;
  }

  verify({ jobs, hasForgotten }: JobsSnapshot): void {
    const told = [...jobs].map(([id, { state }]) => [id, state?.seq] as const);
    const isRight = ([id, seq]: (typeof told)[number]) => this.#all.get(id)?.seq === seq;
    if (told.length !== this.#all.size || !told.every(isRight))
      throw new Error(`shown is ${told.join()}; expected ${[...this.#all.keys()].join()}`);
    if (hasForgotten !== this.hasForgotten) throw new Error(`it says that it has forgotten: ${hasForgotten}`);
  }
}

/** As those of `jobs()`. */
type ModelOptions = { readonly [K in 'maxRate' | 'maxFinished']: JobsOptions[K] | undefined };

/** A page with the real client that follows all jobs, and judges of its handlers and of its loop. */
export class ModelAllPage {
  readonly client: ProgressClient;
  readonly clock = new TestClock();
  readonly sockets: ModelSocket[] = [];
  readonly jobs: Jobs;
  readonly handlers: AllJudge;
  readonly loop: AllJudge;
  readonly shown: ShownJobs;
  failure: unknown = null;
  skips = 0;
  #isAsking = false;
  readonly #iterator: AsyncIterator<ProgressUpdate>;

  constructor(world: World, random: () => number, { maxRate, maxFinished }: ModelOptions) {
    const { sockets } = this;
    this.handlers = new AllJudge('handlers', world);
    this.loop = new AllJudge('loop', world);
    const Socket = class extends ModelSocket {
      constructor(url: string) {
        super(world, url);
        sockets.push(this);
      }
    };
    this.client = createProgressClient(
      { url: 'http://edge', transport: 'websocket' },
      {
        platform: {
          WebSocket: Socket as unknown as WebSocketClass,
          fetch: async () => Response.json({ code: 'no_event' }, { status: 404 }),
          ...{ now: this.clock.now, later: this.clock.later, random },
          ...{ onPage: () => () => {}, isVisible: () => true },
        },
      },
    );
    this.shown = new ShownJobs(maxFinished);
    this.jobs = this.client.jobs(
      {},
      { ...(maxRate !== undefined && { maxRate }), ...(maxFinished !== undefined && { maxFinished }) },
    );
    this.#iterator = this.jobs[Symbol.asyncIterator]();
    this.jobs.addEventListener('update', ({ detail }) =>
      this.#guard(() => {
        this.shown.take(detail);
        this.handlers.take(detail);
      }),
    );
    this.jobs.addEventListener('reset', () => {
      this.shown.reset();
      this.handlers.reset();
      this.loop.reset();
    });
    this.jobs.addEventListener('skipped', () => {
      this.skips += 1;
      this.handlers.begin();
      this.loop.beLenient();
    });
    this.jobs.addEventListener('gone', ({ detail: { id } }) => {
      this.shown.gone(id);
      this.handlers.gone(id);
      this.loop.beLenient();
    });
    this.jobs.addEventListener('error', ({ detail }) => {
      this.failure ??= detail;
    });
  }

  get socket(): ModelSocket | undefined {
    return this.sockets.at(-1);
  }

  get updates(): number {
    return this.handlers.updates + this.loop.updates;
  }

  get isQuiet(): boolean {
    return this.jobs.getSnapshot().isCurrent;
  }

  askAll(): void {
    this.ask();
  }

  close(): void {
    this.client.close();
  }

  /** At any time: it shows what it was told. */
  verifyShown(): void {
    this.shown.verify(this.jobs.getSnapshot());
  }

  /** The loop asks, unless it does already. */
  ask(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#iterator.next().then(
      ({ done, value }) => {
        this.#isAsking = false;
        if (!done) this.#guard(() => this.loop.take(value));
      },
      (error: unknown) => {
        this.failure ??= error;
      },
    );
  }

  verify(): void {
    if (this.failure !== null) throw this.failure;
    this.handlers.verify();
    this.loop.verify();
    this.verifyShown();
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.failure ??= error;
    }
  }
}
