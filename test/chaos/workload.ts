import { setTimeout as delay } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import { expect } from 'vitest';
import type { EdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { PageClient } from '../harness/page-client.js';
import { connectNats, event, publish, type StoredEvent, storedEvents } from '../harness/publish.js';
import { discrepancy, type Follower, ReconnectingClient } from '../harness/reconnecting-client.js';
import { waitFor } from '../harness/wait.js';

const STREAM = 'PROGRESS';
const JOB = '/ws/upload-progress';
/** How often a job reports while it is acknowledged at once: as often as a person could want to see. */
const REPORT_EVERY_MS = 50;

/**
 * Jobs that run while something breaks: workers that publish until each event is acknowledged, a client for each job
 * and one for all of them. At the end every client must have what JetStream stored, once, in order. Every other job is
 * followed as pages do it, by `@headway/client`, and so are all of them; the others at the endpoint of one job.
 */
export class Scene implements AsyncDisposable {
  readonly followers: Follower[] = [];
  readonly all: PageClient;
  readonly ids: string[];
  acknowledged = 0;
  #isWorking = true;
  #workers: Promise<void>[] = [];

  private constructor(
    private readonly nc: NatsConnection,
    base: (index: number) => string,
    jobs: number,
  ) {
    this.ids = Array.from({ length: jobs }, () => jobId());
    for (const [index, id] of this.ids.entries()) {
      const isPage = index % 2 === 0;
      const own = (): string => base(index);
      this.followers.push(isPage ? PageClient.start(own, id) : ReconnectingClient.start(own, `${JOB}/${id}`));
    }
    this.all = PageClient.start(() => base(jobs));
  }

  /**
   * Starts `jobs` jobs and their clients, and waits until every client is caught up.
   * @param base where the client of the job with this index connects, asked at each attempt; the one of all jobs comes last
   */
  static async start(natsUrl: string | string[], base: (index: number) => string, jobs = 20): Promise<Scene> {
    const nc = await connectNats(natsUrl);
    // Nothing is trimmed while the test runs, so that what is stored at the end is all there ever was.
    const jsm = await nc.jetstreamManager();
    await jsm.streams.update(STREAM, { max_msgs_per_subject: 1_000_000 });
    const scene = new Scene(nc, base, jobs);
    await Promise.all(
      [...scene.followers, scene.all].map((one) => one.until(({ caughtUp }) => caughtUp > 0, 'caught up')),
    );
    scene.#workers = scene.ids.map((id) => scene.#work(id));
    await scene.flowing();
    return scene;
  }

  /** Resolves when every job's client got an event that was acknowledged after this call. */
  async flowing(timeoutMs = 60_000): Promise<void> {
    const from = this.followers.map((follower) => follower.updates.length);
    await Promise.all(
      this.followers.map((follower, index) =>
        follower.until(({ updates }) => updates.length > (from[index] ?? 0) + 1, 'events flow', timeoutMs),
      ),
    );
  }

  /** Ends every job and holds what the clients saw against what is stored. */
  async finish(options: { resetsAllowed?: boolean } = {}): Promise<{ events: number }> {
    this.#isWorking = false;
    await Promise.all(this.#workers);
    for (const id of this.ids) await this.#publish(id, { status: 'completed', progress: 100 });
    const stored = await storedEvents(this.nc, STREAM);
    const last = stored.at(-1)?.seq ?? 0;
    await Promise.all(
      this.followers.map((follower) => follower.until(({ hasEnded }) => hasEnded, 'the end', 60_000)),
    );
    await this.all.until(({ cursor }) => (cursor ?? 0) >= last, 'the head', 60_000);
    if (options.resetsAllowed !== true) {
      for (const [index, follower] of this.followers.entries()) {
        expectStored(follower, stored, new Set([this.ids[index] as string]));
        expect(follower.resets).toEqual([]);
      }
      expectStored(this.all, stored);
      expect(this.all.resets).toEqual([]);
      expect(this.all.skips).toEqual([]);
      expect(stored.length).toBeGreaterThanOrEqual(this.acknowledged);
    }
    return { events: stored.length };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isWorking = false;
    await Promise.all([...this.followers, this.all].map((follower) => follower.stop()));
    await this.nc.close();
    await Promise.allSettled(this.#workers);
  }

  async #work(id: string): Promise<void> {
    for (let step = 1; this.#isWorking; step++) {
      const next = delay(REPORT_EVERY_MS);
      await this.#publish(id, { progress: step % 100, step: { index: step } });
      await next;
    }
  }

  // As a careful worker does it: the same event under the same id until it is acknowledged.
  async #publish(id: string, fields: Record<string, unknown>): Promise<void> {
    const body = event(id, fields);
    const msgID = `${id}-${++this.#messages}`;
    await waitFor(
      () =>
        publish(this.nc, id, body, { timeout: 1_000, msgID }).then(
          () => true,
          () => this.nc.isClosed(),
        ),
      { what: `an acknowledgement of ${msgID}`, timeoutMs: 90_000 },
    );
    this.acknowledged++;
  }
  #messages = 0;
}

/** What came over the wire is what is stored, and so is what `@headway/client` made of it. */
function expectStored(follower: Follower, stored: readonly StoredEvent[], ids?: ReadonlySet<string>): void {
  expect(discrepancy(follower, stored, ids)).toBeNull();
  if (!(follower instanceof PageClient)) return;
  expect(discrepancy({ updates: follower.given }, stored, ids)).toBeNull();
  expect(follower.errors).toEqual([]);
}

/** How long it took from now until the edge follows the stream again, in milliseconds. */
export async function recovery(edge: EdgeProcess): Promise<number> {
  const startedAt = performance.now();
  await waitFor(async () => (await fetch(`${edge.http}/readyz`)).status === 200, {
    what: 'the edge follows the stream again',
    timeoutMs: 60_000,
  });
  return Math.round(performance.now() - startedAt);
}

/** Resolves when the edge says that it lost the feed. */
export async function notReady(edge: EdgeProcess): Promise<void> {
  await waitFor(async () => (await fetch(`${edge.http}/readyz`)).status === 503, {
    what: 'the edge notices',
    timeoutMs: 60_000,
  });
}

/** Prints a measured time, or another figure; the tests assert what happens, never how fast. */
export function measured(what: string, figure: number, unit = 'ms'): void {
  process.stdout.write(`    measured: ${what}: ${figure} ${unit}\n`);
}
