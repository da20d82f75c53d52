import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { startNats } from '../harness/nats-server.js';
import { RawSocket } from '../harness/raw-socket.js';

test.each(['/metrics', '/livez', '/nothing'])(
  'G8 bad input: thousands of requests for %s in one write get one answer and the end of the connection',
  async (path) => {
    await using nats = await startNats();
    await using edge = await startEdgeProcess({ natsUrl: nats.url });
    const flood = await RawSocket.connect(edge.port, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(3_000));
    await flood.closed;
    // What was parsed before the answer was ready may be answered as well.
    expect(flood.text.split('HTTP/1.1 ').length - 1).toBeLessThan(200);
    expect((await fetch(`${edge.http}/readyz`)).status).toBe(200);
  },
);
