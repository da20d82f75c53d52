import { expect, test } from 'vitest';
import { routeSse, type SseDeps } from '../../internal/edge/sse.js';
import type { App, HttpRequest, HttpResponse } from '../../internal/edge/uws.js';
import { waitFor } from '../harness/wait.js';

type Handler = (res: HttpResponse, req: HttpRequest) => void;

test('G9 memory: a stream that fails when its head has left is cut off and counted out, and no second head is written into it', async () => {
  const handlers = new Map<string, Handler>();
  const ignore = () => undefined;
  const app = {
    options: ignore,
    head: ignore,
    any: ignore,
    get: (path: string, handler: Handler) => handlers.set(path, handler),
  } as unknown as App;
  const seen: string[] = [];
  routeSse(app, {
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
    onAborted: (call: () => void) => {
      onAborted = call;
    },
    onWritable: ignore,
    cork: (write: () => void) => write(),
    getRemoteAddress: () => new Uint8Array([127, 0, 0, 1]).buffer,
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
  const req = {
    forEach: ignore,
    getHeader: () => '',
    getQuery: () => '',
    getMethod: () => 'get',
    getUrl: () => '/sse/upload-progress',
  };
  handlers.get('/sse/upload-progress')?.(res as unknown as HttpResponse, req as unknown as HttpRequest);
  await waitFor(() => seen.includes('ended'), { what: 'the end of the stream' });
  expect(seen).toEqual(['began', '200 OK', 'no session can be made', 'cut off', 'released', 'ended']);
});
