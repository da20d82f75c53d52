import type { JetStreamManager, NatsConnection } from 'nats';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publishRaw, storedEvents } from '../harness/publish.js';
import { waitFor, withTimeout } from '../harness/wait.js';
import { killPlace, type Place, type PlaceOptions, startPlace, stopPlace } from './program-place.js';
import { bodyOf, type Kind, Truth } from './program-truth.js';
import { Recorder, type Scope } from './recorder.js';

const STREAM = 'PROGRESS';
const REST_MS = 30_000;
const SETTLE_MS = 300;

interface Client {
  readonly recorder: Recorder;
  readonly isProxied: boolean;
  isPaused: boolean;
}

/** nats-server did what the model of it does not know; such a program says nothing about an edge. */
export class NatsFault extends Error {}

/** One nats-server, two edges behind a proxy each, clients, and everything that can happen to them. */
export class ProgramWorld implements AsyncDisposable {
  readonly truths = new Map<string, Truth>();
  readonly clients: Client[] = [];
  #truth: Truth;
  #natsUp: Promise<void> = Promise.resolve();

  private constructor(
    private readonly options: PlaceOptions & { readonly maxPerSubject: number },
    private readonly nats: NatsServer,
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly places: Place[],
    epoch: string,
  ) {
    this.#truth = this.#begin(epoch);
  }

  static async start(options: PlaceOptions & { readonly maxPerSubject: number }): Promise<ProgramWorld> {
    const nats = await startNats();
    const nc = await connectNats(nats.url);
    const jsm = await nc.jetstreamManager();
    await createStream(nc, STREAM, { max_msgs_per_subject: options.maxPerSubject });
    const places = await Promise.all(['a', 'b'].map((id) => startPlace(id, nats, options)));
    return new ProgramWorld(options, nats, nc, jsm, places, await epochNow(jsm));
  }

  get truth(): Truth {
    return this.#truth;
  }

  // --- the stream ---

  async publish(id: string, kind: Kind, times: number, length: number): Promise<void> {
    await this.#natsUp;
    const startedAt = performance.now();
    const js = this.nc.jetstream();
    const acks = Array.from({ length: times }, () =>
      publishRaw(js, `progress.${id}`, bodyOf(id, kind, length), { timeout: 10_000 }),
    );
    for (const seq of await Promise.all(acks)) this.#truth.stored(seq, id, kind, startedAt);
  }

  /** Publishes, and NATS is killed with -9 in the middle of it. What was stored is found out afterwards. */
  async publishIntoKill(id: string): Promise<void> {
    await this.#steady();
    const startedAt = performance.now();
    const js = this.nc.jetstream();
    const acks = Array.from({ length: 200 }, () =>
      publishRaw(js, `progress.${id}`, bodyOf(id, 'processing', 200), { timeout: 1_000 }),
    );
    const settled = Promise.allSettled(acks);
    await acks[20];
    await this.nats.kill();
    await this.#startNats();
    const acknowledged = (await settled).flatMap((ack) => (ack.status === 'fulfilled' ? [ack.value] : []));
    const stored = new Set(await this.#stored());
    this.#truth.found(stored);
    const { state } = await this.jsm.streams.info(STREAM);
    for (let seq = this.#truth.last + 1; seq <= state.last_seq; seq++) {
      this.#truth.stored(seq, id, 'processing', startedAt);
    }
    const lost = acknowledged.filter((seq) => !stored.has(seq) && !this.#truth.deletedAt.has(seq));
    if (lost.length > 0) throw new Error(`NATS lost ${lost}, which it had acknowledged`);
  }

  async purge(what: { id?: string; below?: number }): Promise<void> {
    await this.#natsUp;
    this.#truth.purged(what, performance.now());
    await this.jsm.streams.purge(STREAM, {
      ...(what.id !== undefined && { filter: `progress.${what.id}` }),
      ...(what.below !== undefined && { seq: what.below }),
    } as never);
  }

  async recreate(): Promise<void> {
    await this.#steady();
    await this.jsm.streams.delete(STREAM);
    const wanted = { max_msgs_per_subject: this.options.maxPerSubject };
    // An edge may be quicker, with a limit of its own, or make it in this very moment.
    const make = () =>
      createStream(this.nc, STREAM, wanted)
        .catch(() => this.jsm.streams.update(STREAM, wanted))
        .then(() => true);
    await waitFor(make, { what: 'another stream', everyMs: 5 });
    const { state } = await this.jsm.streams.info(STREAM);
    if (state.last_seq > 0)
      throw new NatsFault('the stream was deleted and made again, and kept its messages');
    this.#truth = this.#begin(await epochNow(this.jsm));
  }

  // --- what breaks ---

  async deleteConsumer(place: number): Promise<void> {
    await this.#natsUp;
    await this.jsm.consumers.delete(STREAM, `edge-${this.#place(place).id}`).catch(() => false);
  }

  async killEdge(index: number): Promise<void> {
    await this.#steady();
    await killPlace(this.#place(index), this.options);
  }

  async killNats(): Promise<void> {
    await this.#steady();
    await this.nats.kill();
    this.#natsUp = this.#startNats().then(async () => this.#truth.found(await this.#stored()));
    this.#natsUp.catch(() => undefined);
  }

  async link(index: number, fault: 'cut' | 'stall' | 'flow'): Promise<void> {
    const place = this.#place(index);
    await place.up;
    if (fault === 'cut') place.link.cut('reset');
    else place.link[fault]();
  }

  /** Cuts every proxied client of an edge in the middle of a frame. */
  async tear(index: number, job: string): Promise<void> {
    const { front } = this.#place(index);
    front.splitBytes(5, 'down');
    await this.publish(job, 'processing', 3, 500);
    front.cut('reset');
    front.splitBytes(0);
  }

  // --- clients ---

  async connect(scope: Scope, isProxied: boolean, index: number): Promise<void> {
    const what = scope.kind === 'job' ? scope.id : (scope.jobType ?? 'all');
    const recorder = new Recorder(`client ${this.clients.length} (${what})`, scope);
    const client = { recorder, isProxied, isPaused: false };
    this.clients.push(client);
    await this.#open(client, index);
  }

  /** One of those that are away comes back. */
  async resume(who: number, index: number): Promise<void> {
    const client = this.#client(who, ({ recorder }) => !recorder.isOpen && !recorder.hasEnded);
    if (client !== undefined) await this.#open(client, index);
  }

  async drop(who: number): Promise<void> {
    await this.#client(who)?.recorder.drop();
  }

  /** The clients that read get what they have not had; or a moment passes. */
  async settle(): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    await Promise.all(
      this.clients.map(async (client) => {
        const { recorder } = client;
        const isWaiting = () => recorder.isOpen && !client.isPaused && !this.#isAtRest(client);
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

  /** Everything stands again, every client reads and comes back: resolves when each has all that is kept. */
  async rest(): Promise<void> {
    for (const { link } of this.places) link.flow();
    await this.#steady();
    for (const client of this.clients) {
      client.isPaused = false;
      client.recorder.resumeReading();
    }
    const deadline = performance.now() + REST_MS;
    const late = new Set(this.clients.map(({ recorder }) => recorder.name));
    await Promise.all(
      this.clients.map(async (client, index) => {
        for (let attempt = index; !this.#isAtRest(client); attempt++) {
          if (performance.now() > deadline) return;
          if (client.recorder.isOpen) await client.recorder.change(1_000);
          else if (!(await this.#open(client, attempt))) await client.recorder.change(50);
        }
        late.delete(client.recorder.name);
      }),
    );
    if (late.size === 0) return;
    const waiting = this.clients.filter(({ recorder }) => late.has(recorder.name));
    const edges = this.places.map(({ edge }) => edge.output().split('\n').slice(-8).join('\n'));
    throw new Error(
      `not at rest in ${this.#truth.epoch} at ${this.#truth.lastKept} of ${this.#truth.last}:\n${waiting
        .map(({ recorder }) => recorder.describe())
        .join('\n')}\n${edges.join('\n')}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([this.#natsUp, ...this.places.map(({ up }) => up)]);
    await Promise.all(this.clients.map(({ recorder }) => recorder.drop()));
    await Promise.all(this.places.map(stopPlace));
    await this.nc.close();
    await this.nats[Symbol.asyncDispose]();
  }

  #isAtRest({ recorder }: Client): boolean {
    const { epoch, lastKept } = this.#truth;
    if (recorder.hasEnded) return true;
    return recorder.isCaughtUp && recorder.epoch === epoch && (recorder.cursor ?? -1) >= lastKept;
  }

  async #open(client: Client, index: number): Promise<boolean> {
    const { front, edge } = this.#place(index);
    client.isPaused = false;
    return client.recorder.connect(client.isProxied ? `ws://${front.host}` : edge.ws);
  }

  #client(who: number, fits = ({ recorder }: Client) => recorder.isOpen): Client | undefined {
    const fitting = this.clients.filter(fits);
    return fitting[who % Math.max(1, fitting.length)];
  }

  #place(index: number): Place {
    return this.places[index % this.places.length] as Place;
  }

  async #stored(): Promise<number[]> {
    return (await storedEvents(this.nc, STREAM)).map(({ seq }) => seq);
  }

  /** Returns when the publisher is connected again: until then what it sends is dropped. */
  async #startNats(): Promise<void> {
    await this.nats.start();
    const isBack = () => withTimeout(this.nc.flush(), 200, 'a flush').then(() => true);
    await waitFor(isBack, { what: 'the publisher to be back', everyMs: 5 });
  }

  /** Nothing is being restarted. */
  async #steady(): Promise<void> {
    await this.#natsUp;
    await Promise.all(this.places.map(({ up }) => up));
  }

  #begin(epoch: string): Truth {
    const truth = new Truth(epoch, this.options.maxPerSubject);
    this.truths.set(epoch, truth);
    return truth;
  }
}

/** The stream's creation in nanoseconds, in base 36: what an edge calls the epoch. */
async function epochNow(jsm: JetStreamManager): Promise<string> {
  const { created } = await jsm.streams.info(STREAM);
  const [, seconds = '', fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(created) ?? [];
  return BigInt(`${Date.parse(`${seconds}Z`) / 1_000}${fraction.padEnd(9, '0')}`).toString(36);
}
