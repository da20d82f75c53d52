import { expect, test } from 'vitest';
import { routeSse, type SseDeps } from '../../internal/edge/sse.js';
import { waitFor } from '../harness/wait.js';
import { ANSWER, fakeApp, ignore } from './route-fixture.js';

test('G9 memory: a stream that fails when its head has left is cut off and counted out, and no second head is written into it', async () => {
  const routes = fakeApp();
  const seen: string[] = [];
  routeSse(routes.app, {
    sockets: {
      asked: ignore,
      streamBegan: () => seen.push('began'),
      streamEnded: () => seen.push('ended'),
    },
    failed: (error: Error) => seen.push(error.message),
    guard: {
      checkUpgrade: () => ({ kind: 'pending', pending: { address: '127.0.0.1' } }),
      authorize: async () => ({
        ok: true,
        scope: { kind: 'all', jobTypes: null },
        credentials: null,
        requester: '',
      }),
      release: () => seen.push('released'),
    },
    connect: () => {
      throw new Error('no session can be made');
    },
    random: () => 0,
  } as unknown as SseDeps);
  let onAborted = (): void => undefined;
  const res = {
    ...ANSWER,
    onAborted: (call: () => void) => {
      onAborted = call;
    },
    onWritable: ignore,
    writeStatus: (text: string) => {
      seen.push(text);
      return res;
    },
    writeHeader: () => res,
    write: () => true,
    end: () => {
      seen.push('whole');
      return res;
    },
    close: () => {
      seen.push('cut off');
      onAborted();
      return res;
    },
  };
  routes.get('/sse/upload-progress', res);
  await waitFor(() => seen.includes('ended'), { what: 'the end of the stream' });
  expect(seen).toEqual(['began', '200 OK', 'no session can be made', 'cut off', 'released', 'ended']);
});
