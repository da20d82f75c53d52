import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { send } from '../../internal/edge/http-response.js';
import type { HttpResponse } from '../../internal/edge/uws.js';

/** What the library hands out, as far as answers use it. */
class FakeResponse {
  isWritten = false;
  abort: () => void = () => undefined;
  onAborted(call: () => void): this {
    this.abort = call;
    return this;
  }
  cork(write: () => void): this {
    write();
    return this;
  }
  writeStatus(): this {
    return this;
  }
  writeHeader(): this {
    return this;
  }
  end(): this {
    this.isWritten = true;
    return this;
  }
}

function ask(count: number): FakeResponse[] {
  return Array.from({ length: count }, () => {
    const response = new FakeResponse();
    const body = 'x'.repeat(100_000);
    send(response as unknown as HttpResponse, { status: 200, contentType: 'text/plain', body });
    return response;
  });
}
const written = (responses: readonly FakeResponse[]) => responses.filter(({ isWritten }) => isWritten).length;

test('herds: a crowd that asks at once leaves others their turns, and is answered in full', async () => {
  const crowd = ask(40);
  await Promise.resolve();
  expect(written(crowd)).toBe(0);
  const perTurn: number[] = [];
  for (let before = 0; before < crowd.length; before = written(crowd)) {
    await nextTurn();
    perTurn.push(written(crowd) - before);
  }
  // A turn's share of characters, and one answer more.
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(4);
});

test('whoever is gone when its turn comes is not written to', async () => {
  const crowd = ask(10);
  crowd.at(-1)?.abort();
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  expect(crowd.map(({ isWritten }) => isWritten)).toEqual([...Array(9).fill(true), false]);
});
