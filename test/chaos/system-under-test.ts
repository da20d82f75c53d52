import { headers, type JetStreamManager, type NatsConnection, nanos } from 'nats';
import { edgeHasRead } from '../harness/edge-head.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publishRaw, storedEvents } from '../harness/publish.js';
import { waitFor, withTimeout } from '../harness/wait.js';
import { killPlace, type Place, type PlaceOptions, startPlace, stopPlace } from './edge-node.js';
import { bodyOf, type Kind, Truth } from './oracle.js';
import { Audience } from './program-audience.js';

const STREAM = 'PROGRESS';
const JOB_SUBJECTS = 'progress.*';
const DAY_MS = 24 * 60 * 60 * 1_000;
/** The shortest that a server takes. */
const SHORT_AGE_MS = 100;
/** As slow as a link becomes, in bytes a second: a flood takes it longer than a program lasts. */
const SLOW_LINK = 200_000;
const SLOW_FRONT = 30_000;
const PAUSE_SINCE = '2.11';

/** nats-server did what the model of it does not know; such a program says nothing about an edge. */
export class NatsFault extends Error {}

/** One nats-server, two edges behind a proxy each, and everything that can happen to them. */
export class ProgramWorld implements AsyncDisposable {
  readonly truths = new Map<string, Truth>();
  readonly audience: Audience;
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
    this.audience = new Audience(places, () => this.#truth);
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
    await this.#isStillThere();
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

  /** Everything grows too old at once. */
  async expire(): Promise<void> {
    await this.#natsUp;
    this.#truth.purged({}, performance.now());
    const ages = (ms: number) => ({ max_age: nanos(ms), duplicate_window: nanos(Math.min(ms, 120_000)) });
    await this.jsm.streams.update(STREAM, ages(SHORT_AGE_MS));
    const isEmpty = async () => (await this.jsm.streams.info(STREAM)).state.messages === 0;
    await waitFor(isEmpty, { what: 'everything to grow too old', everyMs: 5 });
    await this.jsm.streams.update(STREAM, ages(7 * DAY_MS));
  }

  /** Somebody publishes on the pattern that the jobs' subjects fit: a subject like any other, and of no job. */
  async publishOnPattern(pattern: 'progress.*' | 'progress.>', times: number): Promise<void> {
    await this.#natsUp;
    for (let i = 0; i < times; i++) {
      const startedAt = performance.now();
      const seq = await publishRaw(this.nc, pattern, 'hi');
      this.#truth.stored(seq, pattern, 'invalid', startedAt);
    }
  }

  /**
   * For a while the stream stores what is published elsewhere.
   * @param untilSeen whether that lasts until an edge has seen it
   */
  async transform(id: string, untilSeen: boolean): Promise<void> {
    await this.#steady();
    const dest = { src: JOB_SUBJECTS, dest: 'other.$1' };
    await this.#edited({ subject_transform: dest }, { subject_transform: undefined }, untilSeen, async () => {
      const startedAt = performance.now();
      for (let i = 0; i < 3; i++) {
        const seq = await publishRaw(this.nc, `progress.${id}`, bodyOf(id, 'processing', 10));
        this.#truth.stored(seq, `other.${id}`, 'invalid', startedAt);
      }
    });
  }

  /** For a while an event may take away those before it, and one does. */
  async rollUp(id: string, untilSeen: boolean): Promise<void> {
    await this.#steady();
    await this.#edited({ allow_rollup_hdrs: true }, { allow_rollup_hdrs: false }, untilSeen, async () => {
      const startedAt = performance.now();
      const rollup = headers();
      rollup.set('Nats-Rollup', 'sub');
      this.#truth.purged({ id }, startedAt);
      const seq = await publishRaw(this.nc, `progress.${id}`, bodyOf(id, 'processing', 10), {
        headers: rollup,
      });
      this.#truth.stored(seq, id, 'processing', startedAt);
    });
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

  /** On a server that can: the edge's consumer answers, and delivers nothing. */
  async pauseConsumer(index: number): Promise<void> {
    await this.#steady();
    if (this.nats.version.localeCompare(PAUSE_SINCE, undefined, { numeric: true }) < 0) return;
    const until = JSON.stringify({ pause_until: new Date(Date.now() + DAY_MS).toISOString() });
    const subject = `$JS.API.CONSUMER.PAUSE.${STREAM}.edge-${this.#place(index).id}`;
    await this.nc.request(subject, until, { timeout: 5_000 });
  }

  /**
   * The edge's consumer is made to pass some jobs over. What is stored until the edge notices looks to it like what was
   * deleted.
   */
  async editConsumer(index: number, id: string): Promise<void> {
    await this.#steady();
    const { edge, link, id: place } = this.#place(index);
    link.flow();
    link.slow(0);
    await edge.ready();
    // What it has yet to read would be passed over as well.
    await this.publish(id, 'processing', 1, 10);
    await edgeHasRead(edge.http, this.nc);
    const name = `edge-${place}`;
    const other = ['job-0', 'job-1'].find((one) => one !== id) ?? '';
    this.#truth.isDistrusted = true;
    const isEdited = await this.jsm.consumers
      .update(STREAM, name, { filter_subject: `progress.${id}` })
      .catch(() => null);
    // It was just being made anew.
    if (isEdited === null) return;
    const from = this.#truth.last;
    for (const job of [other, id]) await this.publish(job, 'processing', 2, 10);
    for (let seq = from + 1; seq <= this.#truth.last; seq++) this.#truth.unsure.add(seq);
    const isMended = async () => {
      const { config } = await this.jsm.consumers.info(STREAM, name);
      return (config.filter_subject ?? '') !== `progress.${id}`;
    };
    await waitFor(isMended, { what: 'the edge to notice that its consumer was edited', timeoutMs: 30_000 });
    await edge.ready();
  }

  async killEdge(index: number): Promise<void> {
    await this.#steady();
    await killPlace(this.#place(index), this.options);
  }

  async killNats(): Promise<void> {
    await this.#steady();
    await this.nats.kill();
    this.#natsUp = this.#startNats().then(async () => {
      await this.#isStillThere();
      this.#truth.found(await this.#stored());
    });
    this.#natsUp.catch(() => undefined);
  }

  async link(index: number, fault: 'cut' | 'stall' | 'flow' | 'slow'): Promise<void> {
    const { up, link, front } = this.#place(index);
    await up;
    switch (fault) {
      case 'cut':
        link.cut('reset');
        return;
      case 'slow':
        link.slow(SLOW_LINK, 'down');
        front.slow(SLOW_FRONT, 'down');
        return;
      case 'stall':
        link.stall();
        return;
      case 'flow':
        link.flow();
        for (const proxy of [link, front]) proxy.slow(0);
        return;
    }
  }

  /** An edge does not read while one job pushes its own events out of the stream. */
  async burst(index: number, id: string): Promise<void> {
    await this.link(index, 'stall');
    await this.publish(id, 'processing', Math.min(3 * this.options.maxPerSubject, 500), 100);
    await this.link(index, 'flow');
  }

  /** Cuts every proxied client of an edge in the middle of a frame. */
  async tear(index: number, job: string): Promise<void> {
    const { front } = this.#place(index);
    front.splitBytes(5, 'down');
    await this.publish(job, 'processing', 3, 500);
    front.cut('reset');
    front.splitBytes(0);
  }

  // --- the end ---

  /** Everything stands again, and every client has all that is kept. */
  async rest(): Promise<void> {
    for (const index of this.places.keys()) await this.link(index, 'flow');
    await this.#steady();
    await this.audience.rest();
  }

  /** Who comes new is shown what the stream holds. */
  async newcomers(): Promise<void> {
    await this.audience.newcomers(await this.#stored());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([this.#natsUp, ...this.places.map(({ up }) => up)]);
    await this.audience.stop();
    await Promise.all(this.places.map(stopPlace));
    await this.nc.close();
    await this.nats[Symbol.asyncDispose]();
  }

  #place(index: number): Place {
    return this.places[index % this.places.length] as Place;
  }

  // The stream has other settings while `during` lasts. An edge that starts meanwhile would refuse to.
  async #edited(on: object, off: object, untilSeen: boolean, during: () => Promise<void>): Promise<void> {
    this.#truth.isDistrusted = true;
    await this.jsm.streams.update(STREAM, on);
    await during();
    if (untilSeen) {
      // An edge that is cut off or slow now does not see it.
      const statuses = () =>
        Promise.all(this.places.map(({ edge }) => fetch(`${edge.http}/readyz`).then(({ status }) => status)));
      const isSeen = async () => (await statuses()).includes(503);
      await waitFor(isSeen, { what: 'an edge to see it', timeoutMs: 4_000 }).catch(() => undefined);
    }
    await this.jsm.streams.update(STREAM, off);
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

  // A server that is killed right after it made a stream can have lost it (seen on 2.10.27); an edge makes another one.
  async #isStillThere(): Promise<void> {
    const epoch = await epochNow(this.jsm).catch(() => null);
    if (epoch !== this.#truth.epoch) throw new NatsFault('the stream was lost with the server');
  }

  /** Nothing is being restarted. */
  async #steady(): Promise<void> {
    await this.#natsUp;
    await Promise.all(this.places.map(({ up }) => up));
  }

  #begin(epoch: string): Truth {
    const truth = new Truth(epoch, this.options.maxPerSubject, this.options.maxReplay);
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
