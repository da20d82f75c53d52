/** The limit: bare uWebSockets.js that sends the same bytes, corked, with nothing behind it. */
import { loadUws, type WebSocket } from '../../internal/edge/uws.js';
import { frameOf, jobId } from '../harness/payload.js';
import { type SubjectCommand, serve } from '../harness/subject.js';

type Client = WebSocket<{ job: string }>;
const ALL = 'all';
const followers = new Map<string, Set<Client>>();
const of = (job: string): Set<Client> => {
  const found = followers.get(job) ?? new Set();
  followers.set(job, found);
  return found;
};
let made = 0;

/** To each client one cork, that is one write, with all of them. */
function send(clients: Iterable<Client>, frames: readonly Buffer[]): void {
  for (const client of clients) {
    client.cork(() => {
      for (const frame of frames) client.send(frame, false);
    });
  }
}

const frame = (job: string): Buffer => Buffer.from(frameOf(job, made++));

function act(command: SubjectCommand): void {
  switch (command.kind) {
    case 'publish':
      send(
        of(command.job),
        Array.from({ length: command.count }, () => frame(command.job)),
      );
      return;
    case 'pace': {
      const { perSecond, seconds, jobs, tickMs } = command;
      const [began, first] = [performance.now(), made];
      const timer = setInterval(() => {
        const passed = Math.min(seconds * 1_000, performance.now() - began);
        const due = Math.floor((passed * perSecond) / 1_000) - (made - first);
        send(
          of(ALL),
          Array.from({ length: due }, () => frame(jobId(made % jobs))),
        );
        if (passed >= seconds * 1_000) clearInterval(timer);
      }, tickMs);
      return;
    }
    default:
      command satisfies never;
  }
}

const uws = await loadUws(4_096);
uws
  .App()
  .ws<{ job: string }>('/:job', {
    compression: uws.DISABLED,
    idleTimeout: 120,
    maxBackpressure: 0,
    upgrade: (res, req, context) => {
      res.upgrade(
        { job: req.getParameter(0) ?? '' },
        req.getHeader('sec-websocket-key'),
        req.getHeader('sec-websocket-protocol'),
        req.getHeader('sec-websocket-extensions'),
        context,
      );
    },
    open: (ws) => void of(ws.getUserData().job).add(ws),
    close: (ws) => void of(ws.getUserData().job).delete(ws),
  })
  .listen('127.0.0.1', 0, (socket) => serve(uws.localPort(socket), act));
