import { expect, test } from 'vitest';

/** A frame as the suite sees it. */
export interface Seen {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface Conformer {
  /** Everything that was sent so far. */
  readonly frames: readonly Seen[];
  /** The close code, once the connection is closed. */
  readonly closed: number | null;
  /** Takes what is on its way, until `met` holds. */
  until(met: (frames: readonly Seen[]) => boolean): Promise<void>;
  drop(): void;
}

/** Something that behaves as sessions do: the pure rooms in memory, or an edge over real NATS and real sockets. */
export interface Driver extends AsyncDisposable {
  /** Appends an event of the job and waits until it has been read; null: a message that is not one. Returns its seq. */
  publish(id: string, fields: object | null): Promise<number>;
  /** @param target what follows `/ws/upload-progress`, such as `/job?last_seq=3` */
  connect(target: string): Promise<Conformer>;
}

const done = { status: 'completed', progress: 100 };
const isCaughtUp = (frames: readonly Seen[]) => frames.some(({ type }) => type === 'caught_up');
const seqs = (frames: readonly Seen[]) =>
  frames.flatMap((f) => (f.type === 'progress_update' ? [f.seq] : []));
const types = (frames: readonly Seen[]) => frames.map(({ type }) => type);

/** What every implementation of a session must do. PROTOCOL.md, "The life of a connection". */
export function conformance(name: string, start: () => Promise<Driver>): void {
  const scene = (title: string, play: (driver: Driver) => Promise<void>) =>
    test(`${title} (${name})`, async () => {
      await using driver = await start();
      await play(driver);
    });

  scene('G2 state first: hello, the last state, caught_up, then live', async (driver) => {
    await driver.publish('job', { progress: 1 });
    const last = await driver.publish('job', { progress: 2 });
    const client = await driver.connect('/job');
    await client.until(isCaughtUp);
    expect(types(client.frames)).toEqual(['hello', 'progress_update', 'caught_up']);
    expect(client.frames[1]).toMatchObject({ seq: last, progress: 2, processing_id: 'job' });
    expect(client.frames[2]).toMatchObject({ cursor: last });
    const next = await driver.publish('job', { progress: 3 });
    await client.until((frames) => seqs(frames).includes(next));
    expect(client.frames.at(-1)).toMatchObject({ seq: next, prev_seq: last });
  });

  scene('a job without an event is waited for; its first has prev_seq 0', async (driver) => {
    const client = await driver.connect('/job');
    await client.until(isCaughtUp);
    expect(types(client.frames)).toEqual(['hello', 'caught_up']);
    const first = await driver.publish('job', {});
    await client.until((frames) => seqs(frames).length > 0);
    expect(client.frames.at(-1)).toMatchObject({ seq: first, prev_seq: 0 });
  });

  scene('G1 order: from every cursor exactly what came after it, for one job and for all', async (driver) => {
    const own: number[] = [];
    const all: number[] = [];
    for (let i = 0; i < 8; i++) {
      const seq = await driver.publish(i % 3 === 0 ? 'other' : 'job', {});
      all.push(seq);
      if (i % 3 !== 0) own.push(seq);
    }
    for (let cursor = 0; cursor <= 8; cursor++) {
      for (const [target, owed] of [
        ['/job', own],
        ['', all],
      ] as const) {
        const client = await driver.connect(`${target}?last_seq=${cursor}`);
        await client.until(isCaughtUp);
        expect(seqs(client.frames)).toEqual(owed.filter((seq) => seq > cursor));
        expect(client.frames.at(-1)).toMatchObject({ type: 'caught_up', cursor: 8 });
        client.drop();
      }
    }
  });

  scene('G6 the end: live, and for whoever comes later', async (driver) => {
    await driver.publish('job', {});
    const client = await driver.connect('/job');
    await client.until(isCaughtUp);
    const end = await driver.publish('job', done);
    await client.until(() => client.closed !== null);
    expect(types(client.frames).slice(-2)).toEqual(['progress_update', 'end']);
    expect(client.closed).toBe(1000);
    for (const query of ['', '?last_seq=0', '?last_seq=1', `?last_seq=${end}`]) {
      const late = await driver.connect(`/job${query}`);
      await late.until(() => late.closed !== null);
      expect(types(late.frames).slice(-2)).toEqual(['caught_up', 'end']);
      expect(late.closed).toBe(1000);
    }
  });

  scene(
    'G6 the end: a failure that may be retried is none, and a later attempt lifts one',
    async (driver) => {
      await driver.publish('job', { status: 'error', error: { code: 'x', retryable: true } });
      const client = await driver.connect('/job');
      await client.until(isCaughtUp);
      await driver.publish('again', done);
      const second = await driver.publish('again', { attempt: 2 });
      const replayed = await driver.connect('/again?last_seq=0');
      await replayed.until((frames) => seqs(frames).includes(second) && isCaughtUp(frames));
      expect(types(replayed.frames)).not.toContain('end');
      expect(types(client.frames)).not.toContain('end');
    },
  );

  scene(
    'G5 stale cursors: another epoch, or ahead of the stream, is a reset and then the last state',
    async (driver) => {
      const last = await driver.publish('job', {});
      for (const [query, reason] of [
        [`last_seq=${last}&epoch=another`, 'epoch'],
        [`last_seq=${last + 5}`, 'ahead'],
      ] as const) {
        for (const target of ['/job', '']) {
          const client = await driver.connect(`${target}?${query}`);
          await client.until(isCaughtUp);
          expect(types(client.frames)).toEqual(['hello', 'reset', 'progress_update', 'caught_up']);
          expect(client.frames[1]).toMatchObject({ reason, last_seq: last });
          client.drop();
        }
      }
    },
  );

  scene(
    'all jobs: a filter hides other types, in the state, the replay and live; a quiet filter still moves on',
    async (driver) => {
      const pdf = await driver.publish('a', { job_type: 'pdf' });
      await driver.publish('b', { job_type: 'video' });
      const last = await driver.publish('c', {});
      const client = await driver.connect('?job_type=pdf');
      await client.until(isCaughtUp);
      expect(seqs(client.frames)).toEqual([pdf]);
      expect(client.frames.at(-1)).toMatchObject({ cursor: last });
      const replayed = await driver.connect('?job_type=pdf&job_type=video&last_seq=0');
      await replayed.until(isCaughtUp);
      expect(seqs(replayed.frames)).toEqual([1, 2]);
      await driver.publish('b', { job_type: 'video' });
      const next = await driver.publish('a', { job_type: 'pdf' });
      await client.until((frames) => seqs(frames).includes(next));
      expect(seqs(client.frames)).toEqual([pdf, next]);
    },
  );

  scene(
    'G5 stale cursors: a cursor of another scope is a reset and then every state of this one',
    async (driver) => {
      await driver.publish('a', { job_type: 'pdf' });
      const last = await driver.publish('b', { job_type: 'video' });
      const narrow = await driver.connect('?job_type=video');
      await narrow.until(isCaughtUp);
      const scope = String(narrow.frames[0]?.scope);
      const wide = await driver.connect(`?job_type=pdf&job_type=video&last_seq=${last}&scope=${scope}`);
      await wide.until(isCaughtUp);
      expect(types(wide.frames)).toEqual([
        'hello',
        'reset',
        'progress_update',
        'progress_update',
        'caught_up',
      ]);
      expect(wide.frames[1]).toMatchObject({ reason: 'scope' });
      const same = await driver.connect(`?job_type=video&last_seq=${last}&scope=${scope}`);
      await same.until(isCaughtUp);
      expect(types(same.frames)).toEqual(['hello', 'caught_up']);
    },
  );

  scene(
    'G8 bad input: a message that is not an event is shown to nobody and breaks no chain',
    async (driver) => {
      const first = await driver.publish('job', {});
      const client = await driver.connect('/job');
      await client.until(isCaughtUp);
      const bad = await driver.publish('job', null);
      const second = await driver.publish('job', {});
      await client.until((frames) => seqs(frames).includes(second));
      expect(seqs(client.frames)).toEqual([first, second]);
      expect(client.frames.at(-1)).toMatchObject({ prev_seq: first });
      const resumed = await driver.connect(`/job?last_seq=${bad}`);
      await resumed.until(isCaughtUp);
      expect(seqs(resumed.frames)).toEqual([second]);
    },
  );

  scene('G1 order: a client that dropped has missed nothing when it is back', async (driver) => {
    await driver.publish('job', {});
    const client = await driver.connect('/job');
    await client.until(isCaughtUp);
    client.drop();
    const missed = [
      await driver.publish('job', {}),
      await driver.publish('other', {}),
      await driver.publish('job', {}),
    ];
    const back = await driver.connect('/job?last_seq=1');
    await back.until(isCaughtUp);
    expect(seqs(back.frames)).toEqual([missed[0], missed[2]]);
  });
}
