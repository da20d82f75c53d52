import { conformance, type Driver } from '../conformance/suite.js';
import { WsClient } from '../harness/client.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, publish, publishRaw } from '../harness/publish.js';

/** An edge over a real nats-server and real sockets. */
function real(env: Record<string, string>) {
  return async (): Promise<Driver> => {
    const nats = await startNats();
    const edge = await startLocalEdge(nats.url, env);
    const nc = await connectNats(nats.url);
    const clients: WsClient[] = [];
    return {
      async publish(id, fields) {
        const seq =
          fields === null
            ? await publishRaw(nc, `progress.${id}`, 'no event')
            : await publish(nc, id, { ...fields });
        await edgeHasRead(edge.http, nc);
        return seq;
      },
      async connect(target) {
        const client = await WsClient.connect(`${edge.ws}/ws/upload-progress${target}`);
        clients.push(client);
        let closed: number | null = null;
        void client.closed.then(({ code }) => {
          closed = code;
        });
        return {
          frames: client.frames,
          get closed() {
            return closed;
          },
          async until(met) {
            while (!met(client.frames)) {
              const gone = await Promise.race([
                client.next().then(() => false),
                client.closed.then(() => true),
              ]);
              if (gone) break;
            }
          },
          drop: () => client.drop(),
        };
      },
      async [Symbol.asyncDispose]() {
        for (const client of clients) client.drop();
        await nc.close();
        await edge[Symbol.asyncDispose]();
        await nats[Symbol.asyncDispose]();
      },
    };
  };
}

conformance('an edge', real({}));
