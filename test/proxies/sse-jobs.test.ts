/** Several jobs on one stream of server-sent events, through an nginx that buffers and compresses. */
import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { startTcpProxy } from '../harness/proxy.js';
import { publish, storedEvents } from '../harness/publish.js';
import { startPlainNginx } from '../harness/reverse-proxy.js';
import { sharedNats } from '../harness/shared-nats.js';
import { SseClient } from '../harness/sse-client.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();

/** A page that keeps the last id and, of each job, the last seq; and what it would show. PROTOCOL.md, "Several jobs on one stream". */
class Page {
  readonly shown = new Map<string, number[]>();
  /** What came once more, though an id had covered it or the connection was the same. */
  readonly again: number[] = [];
  readonly #covered = new Set<number>();
  readonly #here = new Set<number>();
  #lastEventId = '';
  #client: SseClient | null = null;
  #read = 0;

  constructor(
    private readonly url: string,
    private readonly ids: readonly string[],
  ) {}

  /** Comes back with `Last-Event-ID` alone. */
  connect(): void {
    this.#client = new SseClient(this.url, {
      'accept-encoding': 'gzip',
      ...(this.#lastEventId !== '' && { 'last-event-id': this.#lastEventId }),
    });
    this.#here.clear();
    this.#read = 0;
  }

  /** Takes what has come. @returns whether the stream is over */
  take(): boolean {
    const client = this.#client;
    if (client === null) throw new Error('it has not connected');
    const isOver = client.isClosed;
    for (const frame of client.frames.slice(this.#read)) {
      if (frame.type === 'reset') throw new Error('nothing was reset, and the edge says so');
      if (frame.type !== 'progress_update') continue;
      const { processing_id: id, seq } = frame;
      if (this.#covered.has(seq) || this.#here.has(seq)) this.again.push(seq);
      this.#here.add(seq);
      const seqs = this.shown.get(id) ?? [];
      if (seq > (seqs.at(-1) ?? 0)) this.shown.set(id, [...seqs, seq]);
    }
    this.#read = client.frames.length;
    return isOver;
  }

  leave(): void {
    const client = this.#client;
    if (client === null) return;
    client[Symbol.dispose]();
    this.take();
    this.#lastEventId = client.lastEventId;
    for (const frame of client.frames.slice(0, client.covered))
      if (frame.type === 'progress_update') this.#covered.add(frame.seq);
  }

  get status(): number {
    return this.#client?.status ?? 0;
  }

  /** The encoding of what nginx sends. */
  get encoding(): string | undefined {
    return this.#client?.headers['content-encoding'];
  }

  get hasAll(): boolean {
    this.take();
    const followed = this.#client?.frames.filter(({ type }) => type === 'following');
    return followed?.length === this.ids.length;
  }

  async until(isThere: () => boolean, what: string): Promise<void> {
    await waitFor(
      () => {
        this.take();
        return isThere();
      },
      { what, timeoutMs: 20_000 },
    );
  }

  lastOf(id: string): number | undefined {
    return this.shown.get(id)?.at(-1);
  }
}

test.each([
  ['as it is by itself', '', undefined],
  ['with gzip for everything', 'gzip on; gzip_types *; gzip_proxied any; gzip_min_length 0;', 'gzip'],
])(
  'G1 order: three jobs on one stream through nginx arrive at once, and Last-Event-ID alone resumes them: %s',
  async (_what, lines, encoding) => {
    // No heartbeat pushes out what nginx holds back.
    const env = { HEADWAY_HEARTBEAT_MS: '300000' };
    await using edge = await startEdgeProcess({ natsUrl: shared.nats.url, env });
    await using link = await startTcpProxy(edge.port);
    await using nginx = await startPlainNginx(
      `location / { proxy_pass http://127.0.0.1:${link.port}; proxy_http_version 1.1; proxy_set_header Connection ""; ${lines} }`,
    );
    const ids = [jobId(), jobId(), jobId()];
    const [first = '', , last = ''] = ids;
    for (const id of ids) await publish(shared.nc, id, { progress: 1 });
    const query = ids.map((id) => `processing_id=${id}`).join('&');
    const page = new Page(`http://127.0.0.1:${nginx.port}/sse/upload-progress?${query}`, ids);
    page.connect();
    await page.until(() => page.hasAll, 'all jobs to be followed');
    // Each event while the stream is open, and nothing behind it that would push it through a buffer.
    for (let round = 0; round < 3; round++) {
      for (const id of ids) {
        const seq = await publish(shared.nc, id, { progress: 2 });
        await page.until(() => page.lastOf(id) === seq, `event ${seq} while the stream is open`);
      }
    }
    expect(page.encoding).toBe(encoding);
    for (const how of ['link', 'page', 'link', 'page'] as const) {
      // Cut while events come: some have, and some are on the way.
      const before = page.lastOf(first) ?? 0;
      const reports = Array.from({ length: 30 }, (_, at) =>
        publish(shared.nc, ids[at % 3] ?? '', { progress: 3 }),
      );
      await page.until(() => (page.lastOf(first) ?? 0) > before, 'the first of them');
      if (how === 'link') {
        link.cut();
        await page.until(() => page.take(), 'the cut to arrive');
      }
      page.leave();
      await Promise.all(reports);
      for (const id of ids) await publish(shared.nc, id, { progress: 4 });
      page.connect();
      await page.until(() => page.hasAll, `all jobs to be followed after ${how}`);
      const live = await publish(shared.nc, last, { progress: 5 });
      await page.until(() => page.lastOf(last) === live, 'what is new');
    }
    const ends = new Map<string, number>();
    for (const id of ids) ends.set(id, await publish(shared.nc, id, { status: 'completed', progress: 100 }));
    await page.until(() => ids.every((id) => page.lastOf(id) === ends.get(id)), 'the ends');
    await page.until(() => page.take(), 'the stream to end');
    page.leave();
    page.connect();
    await page.until(() => page.status === 204, 'the browser to be told to stop');
    page.leave();
    expect(page.again).toEqual([]);
    for (const id of ids) {
      const stored = await storedEvents(shared.nc, 'PROGRESS', id);
      expect(stored).toHaveLength(1 + 3 + 4 * (10 + 1) + 1 + (id === last ? 4 : 0));
      expect(page.shown.get(id)).toEqual(stored.map(({ seq }) => seq));
    }
  },
);
