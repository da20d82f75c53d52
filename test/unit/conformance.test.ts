import { parseRequest } from '../../internal/edge/request.js';
import { decodeEvent } from '../../internal/eventlog/decode.js';
import { EventLog } from '../../internal/eventlog/log.js';
import { Hub } from '../../internal/session/hub.js';
import type { ColdSource, Outlet } from '../../internal/session/ports.js';
import { Session } from '../../internal/session/session.js';
import { conformance, type Driver, type Seen } from '../conformance/suite.js';

/** The pure rooms, with a turn of the event loop wherever something waits. */
async function inMemory(): Promise<Driver> {
  const log = new EventLog({ tailBytes: 1e6, lastStateBytes: 1e6 });
  const turns: (() => void)[] = [];
  const hub = new Hub(log, (flush) => turns.push(flush));
  const turn = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    for (const flush of turns.splice(0)) flush();
  };
  const never = () => Promise.reject(new Error('everything is in memory'));
  const cold: ColdSource = {
    lastState: never,
    records: never,
    page: never,
    reached: async () => ({ kind: 'refused', reason: 'ahead', firstSeq: 1, lastSeq: log.head }),
  };
  log.begin('epoch', 0, 1);
  log.ready(true, true);
  return {
    async publish(id, fields) {
      const seq = log.head + 1;
      const body = {
        processing_id: id,
        status: 'processing',
        progress: 0,
        timestamp: '2026-01-01T00:00:00Z',
        ...fields,
      };
      const decoded = decodeEvent(
        `progress.${id}`,
        new TextEncoder().encode(fields === null ? 'no' : JSON.stringify(body)),
      );
      hub.appended(log.append(seq, Date.now(), decoded.ok ? decoded.event : null));
      await turn();
      return seq;
    },
    async connect(target) {
      const url = new URL(target === '' || target.startsWith('?') ? `x:/${target}` : `x:${target}`);
      const parsed = parseRequest(url.pathname === '/' ? null : url.pathname.slice(1), url.search.slice(1));
      if (!parsed.ok) throw new Error(parsed.message);
      const frames: Seen[] = [];
      let closed: number | null = null;
      const outlet: Outlet = {
        send: (text) => frames.push(JSON.parse(text)),
        cork: (write) => write(),
        buffered: () => 0,
        end: (code) => {
          closed = code;
          hub.remove(session);
        },
      };
      const limits = {
        heartbeatMs: 1e6,
        heartbeatAfterMs: 1e6,
        watermarkBytes: 1e6,
        maxReplayJob: 1e6,
        maxReplayAll: 1e6,
        maxFrameCharacters: 16_384,
      };
      const { scope, resume } = parsed;
      const again = (waiting: Session) => hub.mark(waiting);
      const session: Session = new Session({
        permit: null,
        id: 's',
        scope,
        resume,
        log,
        cold,
        outlet,
        limits,
        wallClock: Date.now,
        now: Date.now,
        again,
      });
      hub.add(session);
      session.open();
      return {
        frames,
        get closed() {
          return closed;
        },
        async until(met) {
          for (let i = 0; !met(frames); i++) {
            if (i > 100) throw new Error(`never: ${JSON.stringify(frames)}`);
            await turn();
          }
        },
        drop() {
          hub.remove(session);
          session.closed();
        },
      };
    },
    async [Symbol.asyncDispose]() {},
  };
}

conformance('the pure rooms', inMemory);
