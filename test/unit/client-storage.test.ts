/** What a page keeps over a reload, in storages that are full or forbidden. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { clientWorld, update } from './client-fixture.js';

const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
beforeEach(() => {
  unhandled.length = 0;
  process.on('unhandledRejection', note);
});
afterEach(() => {
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

/** As a browser's, with room for so many items. */
class FakeStorage {
  readonly items = new Map<string, string>();
  room = Number.POSITIVE_INFINITY;
  readonly forbidden = new Set<'getItem' | 'setItem' | 'removeItem'>();

  getItem(key: string): string | null {
    this.#check('getItem');
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.#check('setItem');
    if (!this.items.has(key) && this.items.size >= this.room)
      throw new DOMException('the quota has been exceeded', 'QuotaExceededError');
    this.items.set(key, value);
  }

  removeItem(key: string): void {
    this.#check('removeItem');
    this.items.delete(key);
  }

  /** The cursor that is kept of a job. */
  cursorOf(id: string): string | undefined {
    const item = this.items.get(`headway:http://edge/:${id}`);
    return item === undefined ? undefined : (JSON.parse(item) as { cursor: string }).cursor;
  }

  #check(what: 'getItem' | 'setItem' | 'removeItem'): void {
    if (this.forbidden.has(what)) throw new DOMException('the operation is insecure', 'SecurityError');
  }
}

const following = (id: string, cursor: number) =>
  ({ type: 'following', processing_id: id, cursor, scope: 's' }) as const;

async function pageOf(storage: FakeStorage, ids: readonly string[]) {
  const w = clientWorld({ storage });
  const jobs = ids.map((id) => w.client.job(id));
  await w.loaded();
  await w.hello();
  return { ...w, jobs };
}

test('a storage that is full keeps what has room, and what has none as soon as there is some', async () => {
  const storage = new FakeStorage();
  storage.room = 1;
  const w = await pageOf(storage, ['a', 'b']);
  await w.say(update('a', 5), following('a', 6), update('b', 6), following('b', 6));
  await w.pass(1_000);
  expect([storage.cursorOf('a'), storage.cursorOf('b')]).toEqual(['6.e.s', undefined]);
  expect(w.jobs[1]?.getSnapshot()).toMatchObject({ state: { seq: 6 }, isCurrent: true });
  storage.room = 2;
  await w.say(update('b', 7, 6));
  await w.pass(1_000);
  expect(storage.cursorOf('b')).toBe('7.e.s');
  w.client.close();
});

test('what was kept before a storage was full is older, and a reloaded page gets all behind it', async () => {
  const storage = new FakeStorage();
  const before = await pageOf(storage, ['a']);
  await before.say(update('a', 5), following('a', 5));
  await before.pass(1_000);
  storage.forbidden.add('setItem');
  await before.say(update('a', 7, 5));
  await before.pass(1_000);
  before.client.close();
  expect(storage.cursorOf('a')).toBe('5.e.s');
  const after = await pageOf(storage, ['a']);
  expect(after.jobs[0]?.getSnapshot()).toMatchObject({ state: { seq: 5 }, isCurrent: false });
  expect(after.wires[0]?.owner.followed()).toEqual([
    { id: 'a', position: { seq: 5, epoch: 'e', scope: 's' } },
  ]);
  await after.say(update('a', 7, 5), following('a', 7));
  expect(after.jobs[0]?.getSnapshot()).toMatchObject({
    state: { seq: 7 },
    isCurrent: true,
    continuity: { kind: 'proven' },
  });
  after.client.close();
});

test.each([[['getItem']], [['setItem']], [['removeItem']], [['getItem', 'setItem', 'removeItem']]] as const)(
  'where %s throws, a job is followed to its end all the same',
  async (names) => {
    const storage = new FakeStorage();
    for (const name of names) storage.forbidden.add(name);
    const w = await pageOf(storage, ['a']);
    expect(w.wires[0]?.owner.followed()).toEqual([{ id: 'a', position: null }]);
    await w.say(update('a', 5), following('a', 5));
    await w.pass(1_000);
    // The page is left, and nobody wakes it for 30 s.
    for (const leave of [...w.listeners]) leave();
    await w.pass(30_000);
    await w.hello();
    await w.say(update('a', 7, 5), { type: 'end', processing_id: 'a' });
    const [job] = w.jobs;
    expect((await job?.done)?.seq).toBe(7);
    expect(job?.getSnapshot().error).toBeNull();
    w.client.close();
    await w.pass(0);
    expect(w.clock.timers.size).toBe(0);
  },
);

test('two edges of one page do not read what the other one has kept', async () => {
  const storage = new FakeStorage();
  const w = await pageOf(storage, ['a']);
  await w.say(update('a', 5), following('a', 5));
  await w.pass(1_000);
  w.client.close();
  const other = clientWorld({ storage, url: 'http://other' });
  other.client.job('a');
  await other.loaded();
  await other.hello();
  expect(other.wires[0]?.owner.followed()).toEqual([{ id: 'a', position: null }]);
  other.client.close();
});

test('G1 order: where an older place was kept of a job that is followed already, the edge is asked for all behind it', async () => {
  const storage = new FakeStorage();
  const w = await pageOf(storage, ['a']);
  await w.say(following('a', 9));
  storage.items.set('headway:http://edge/:a', JSON.stringify({ cursor: '5.e.s', state: null }));
  w.client.job('a');
  await w.loaded();
  await w.pass(100);
  expect(w.wires[0]?.asked).toEqual([[{ id: 'a', position: expect.objectContaining({ seq: 5 }) }]]);
  w.client.close();
});

test('G1 order: so is it for a loop that begins there', async () => {
  const storage = new FakeStorage();
  const w = await pageOf(storage, ['a']);
  await w.say(following('a', 9));
  storage.items.set('headway:http://edge/:a', JSON.stringify({ cursor: '5.e.s', state: null }));
  const loop = w.client.job('a')[Symbol.asyncIterator]();
  await w.loaded();
  await w.pass(100);
  await w.say(update('a', 7, 5), update('a', 9, 7), following('a', 9));
  expect([(await loop.next()).value?.seq, (await loop.next()).value?.seq]).toEqual([7, 9]);
  w.client.close();
});
