import type { ClientFrame, ServerFrame } from '../../schemas/frames.generated.js';
import { UnauthorizedError } from './errors.js';
import type { FollowedJob, OpenWire, WireClose } from './wire.js';

/** So many jobs fit into one frame, whatever their names. */
const JOBS_PER_FRAME = 50;
/** A live edge answers a ping sooner. One whose peer does not read what it was sent answers none. */
const PONG_MS = 10_000;
const NEXT: Readonly<Record<number, WireClose['next']>> = { 4400: 'stop', 4401: 'new_token', 4403: 'stop' };

/** Where a connection is opened. PROTOCOL.md, "Connecting". */
function address({ base, target, maxRate }: Parameters<OpenWire>[0], owner: Parameters<OpenWire>[1]): string {
  const url = new URL(base);
  url.protocol = base.protocol === 'https:' ? 'wss:' : 'ws:';
  url.pathname = `${base.pathname.replace(/\/$/, '')}/ws/upload-progress`;
  const query = url.searchParams;
  if (maxRate !== undefined) query.set('max_rate', String(maxRate));
  if (target.kind === 'selected') query.set('select', '');
  else {
    for (const type of target.jobTypes) query.append('job_type', type);
    const position = owner.position();
    if (position !== null) {
      query.set('last_seq', String(position.seq));
      query.set('epoch', position.epoch);
      if (position.scope !== '') query.set('scope', position.scope);
    }
  }
  return url.href;
}

/** @throws UnauthorizedError when the token is of a form that no header takes; Error when there is no WebSocket */
export const openWebSocket: OpenWire = (options, owner, platform) => {
  const { token } = options;
  if (platform.WebSocket === undefined) throw new Error('there is no WebSocket; give the class as an option');
  if (token !== null && !/^[\w.-]+$/.test(token))
    throw new UnauthorizedError('unauthorized', 'the token holds characters that no token has');
  const protocols = ['progress.v1', ...(token === null ? [] : [`bearer.${token}`])];
  const socket = new platform.WebSocket(address(options, owner), protocols);
  const followed = new Set<string>();
  /** Of these frames may be under way that are no answer to what is asked now: until the pong of this number. */
  const muted = new Map<string, { readonly pong: number; isWanted: boolean }>();
  let isGreeted = false;
  let pings = 0;
  let pongs = 0;
  let stopWaiting = (): void => {};

  const send = (frame: ClientFrame): void => socket.send(JSON.stringify(frame));
  const close = (): void => {
    stopWaiting();
    socket.onmessage = socket.onclose = null;
    socket.close();
  };
  const closed = (code: number, message: string): void => {
    close();
    owner.closed({ next: NEXT[code] ?? 'retry', code, message, retryAfterMs: 0 });
  };
  const ping = (): void => {
    if (!isGreeted) return;
    pings += 1;
    send({ type: 'ping' });
  };
  const inPieces = <T>(all: readonly T[], use: (piece: T[]) => void): void => {
    for (let at = 0; at < all.length; at += JOBS_PER_FRAME) use(all.slice(at, at + JOBS_PER_FRAME));
  };
  const ask = (jobs: readonly FollowedJob[]): void => {
    for (const epoch of new Set(jobs.map(({ position }) => position?.epoch))) {
      inPieces(
        jobs.filter(({ position }) => position?.epoch === epoch),
        (piece) =>
          send({
            type: 'follow',
            ...(epoch !== undefined && { epoch }),
            jobs: piece.map(({ id, position }) => {
              followed.add(id);
              return {
                processing_id: id,
                ...(position !== null && {
                  last_seq: position.seq,
                  ...(position.scope !== '' && { scope: position.scope }),
                }),
              };
            }),
          }),
      );
    }
  };
  // Nothing tells the frames that answer a new `follow` from those of the old one that are under way. So nothing of the
  // job counts until the edge has answered a ping, which it read behind the `unfollow`.
  const leave = (ids: readonly string[], isWanted: boolean): void => {
    if (ids.length === 0 || !isGreeted) return;
    inPieces(ids, (jobs) => send({ type: 'unfollow', jobs }));
    ping();
    for (const id of ids) {
      followed.delete(id);
      muted.set(id, { pong: pings, isWanted });
    }
    stopWaiting();
    stopWaiting = platform.later(PONG_MS, () => {
      if ([...muted.values()].some((job) => job.isWanted)) closed(0, 'the edge answers no ping');
    });
  };
  const ponged = (): void => {
    pongs += 1;
    const wanted = new Set<string>();
    for (const [id, { pong, isWanted }] of muted) {
      if (pong > pongs) continue;
      muted.delete(id);
      if (isWanted) wanted.add(id);
    }
    if (muted.size === 0) stopWaiting();
    if (wanted.size > 0) ask(owner.followed().filter(({ id }) => wanted.has(id)));
  };

  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data) as ServerFrame;
    if (frame.type === 'pong') ponged();
    const id = 'processing_id' in frame ? frame.processing_id : undefined;
    if (id !== undefined) {
      if (muted.has(id)) return owner.alive();
      if (frame.type === 'end' || frame.type === 'error') followed.delete(id);
    }
    owner.frame(frame);
    if (frame.type === 'hello') {
      isGreeted = true;
      ask(owner.followed());
    }
  };
  socket.onclose = ({ code, reason }) => closed(code, reason || 'the connection was lost');
  // A close follows, and says as much.
  socket.onerror = () => {};

  return {
    follow(jobs) {
      if (!isGreeted) return;
      const again = jobs.filter(({ id }) => followed.has(id) || muted.has(id)).map(({ id }) => id);
      leave(again, true);
      ask(jobs.filter(({ id }) => !muted.has(id)));
    },
    unfollow: (ids) => leave(ids, false),
    renew(token) {
      if (isGreeted) send({ type: 'auth', token });
      return isGreeted;
    },
    ping,
    close,
  };
};
