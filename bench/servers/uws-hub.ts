/** Bare uWebSockets.js: clients by the last part of their path, and one write to each. */
import { loadUws, type WebSocket } from '../../internal/edge/uws.js';
import { type SubjectCommand, serve } from '../harness/subject.js';

type Client = WebSocket<{ readonly job: string }>;

const followers = new Map<string, Set<Client>>();

/** What those get first who follow a job, in one write. */
const kept = new Map<string, readonly Buffer[]>();

/** Keeps these for those who come to follow a job. */
export function keep(job: string, frames: readonly Buffer[]): void {
  kept.set(job, frames);
}

function followersOf(job: string): Set<Client> {
  const found = followers.get(job) ?? new Set();
  followers.set(job, found);
  return found;
}

/** Sends these to each who follows a job, or `all`: one cork for each client, that is one write. */
export function sendTo(job: string, frames: readonly Buffer[]): void {
  for (const client of followersOf(job)) {
    client.cork(() => {
      for (const frame of frames) client.send(frame, false);
    });
  }
}

/** Listens on a free port and says so. */
export async function listen(act: (command: SubjectCommand) => void): Promise<void> {
  const uws = await loadUws(4_096);
  uws
    .App()
    .ws<{ readonly job: string }>('/:job', {
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
      open: (ws) => {
        const { job } = ws.getUserData();
        followersOf(job).add(ws);
        // The library corks what is sent in here.
        for (const frame of kept.get(job) ?? []) ws.send(frame, false);
      },
      close: (ws) => void followersOf(ws.getUserData().job).delete(ws),
    })
    .listen('127.0.0.1', 0, (socket) => serve(uws.localPort(socket), act));
}
