import { parseRequest } from '../../internal/edge/request.js';
import { conformance, type Driver } from '../conformance/suite.js';
import { event, pureEdge, settled } from './edge-fixture.js';

/** The pure core, with a turn of the event loop wherever something waits. */
async function inMemory(): Promise<Driver> {
  const core = pureEdge({
    history: {
      reached: async () => ({ kind: 'refused', reason: 'ahead', firstSeq: 1, lastSeq: core.log.head }),
    },
    wallClock: Date.now,
  });
  const { log, hub } = core;
  const turn = async () => {
    await settled();
    core.turn();
  };
  log.begin('epoch');
  log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  return {
    async publish(id, fields) {
      const seq = log.head + 1;
      const of = fields === null ? null : event(id, { progress: 0, ...fields });
      log.append(seq, Date.now(), of);
      await turn();
      return seq;
    },
    async connect(target) {
      const url = new URL(target === '' || target.startsWith('?') ? `x:/${target}` : `x:${target}`);
      const parsed = parseRequest(url.pathname === '/' ? null : url.pathname.slice(1), url.search.slice(1));
      if (!parsed.ok) throw new Error(parsed.message);
      const onEnd = hub.remove.bind(hub);
      const { connection, frames, socket } = core.connect(parsed.scope, parsed.resume, { onEnd });
      return {
        frames,
        get closed() {
          return socket.closed;
        },
        async until(met) {
          for (let i = 0; !met(frames); i++) {
            if (i > 100) throw new Error(`never: ${JSON.stringify(frames)}`);
            await turn();
          }
        },
        drop() {
          hub.remove(connection);
          connection.closed();
        },
      };
    },
    async [Symbol.asyncDispose]() {},
  };
}

conformance('the pure core', inMemory);
