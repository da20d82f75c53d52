import type { ServerFrame } from '../../schemas/frames.generated.js';
import { EdgeError, UnauthorizedError } from './errors.js';
import type { FollowedJob, OpenWire, WireClose } from './wire.js';

/** So many jobs fit into one frame, whatever their names. */
const JOBS_PER_FRAME = 50;
/** A live edge answers a ping sooner. One whose peer does not read what it was sent answers none. */
const PONG_MS = 10_000;
const NEXT: Readonly<Record<number, WireClose['next']>> = { 4400: 'stop', 4401: 'new_token', 4403: 'stop' };

/**
 * PROTOCOL.md, "Connecting".
 * @throws UnauthorizedError when the token is of a form that no header takes; EdgeError when there is no WebSocket
 */
export const openWebSocket: OpenWire = ({ base, target, token }, owner, platform) => {
  const { WebSocket } = platform;
  if (WebSocket === undefined)
    throw new EdgeError('no_websocket', 'there is no WebSocket; give the class as an option');
  if (token !== null && !/^[\w.-]+$/.test(token))
    throw new UnauthorizedError('unauthorized', 'the token holds characters that no token has');
  const { maxRate } = target;
  const what = target.kind === 'selected' ? 'select=' : target.query(owner.position());
  const query = maxRate === undefined ? what : `${what}&max_rate=${maxRate}`;
  const socket = new WebSocket(
    `${base.href.replace('http', 'ws').replace(/\/$/, '')}/ws/upload-progress?${query}`,
    ['progress.v1', ...(token === null ? [] : [`bearer.${token}`])],
  );
  const followed = new Set<string>();
  /** Of these frames may be under way that are no answer to what is asked now: until the pong of this number. */
  const muted = new Map<string, number>();
  let pings = 0;
  let pongs = 0;
  let stopWaiting = (): void => {};

  // What is undefined is left out.
  const send = (frame: object): void => socket.send(JSON.stringify(frame));
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
    pings += 1;
    send({ type: 'ping' });
  };
  const ask = (jobs: readonly FollowedJob[]): void => {
    // A frame names one epoch.
    const epoch = jobs[0]?.position?.epoch;
    const piece = jobs.filter(({ position }) => position?.epoch === epoch).slice(0, JOBS_PER_FRAME);
    if (piece.length === 0) return;
    send({
      type: 'follow',
      epoch,
      jobs: piece.map(({ id, position }) => {
        followed.add(id);
        return { processing_id: id, last_seq: position?.seq, scope: position?.scope || undefined };
      }),
    });
    ask(jobs.filter((job) => !piece.includes(job)));
  };
  // Nothing tells the frames that answer a new `follow` from those of the old one that are under way. So nothing of the
  // job counts until the edge has answered a ping, which it read behind the `unfollow`.
  const unfollow = (ids: readonly string[]): void => {
    if (ids.length === 0) return;
    for (let at = 0; at < ids.length; at += JOBS_PER_FRAME)
      send({ type: 'unfollow', jobs: ids.slice(at, at + JOBS_PER_FRAME) });
    ping();
    for (const id of ids) {
      followed.delete(id);
      muted.set(id, pings);
    }
    stopWaiting();
    stopWaiting = platform.later(PONG_MS, () => {
      if (owner.followed().some(({ id }) => muted.has(id))) closed(0, 'the edge answers no ping');
    });
  };
  const ponged = (): void => {
    pongs += 1;
    const isDue = ({ id }: FollowedJob): boolean => (muted.get(id) ?? Number.POSITIVE_INFINITY) <= pongs;
    const due = owner.followed().filter(isDue);
    for (const [id, pong] of muted) if (pong <= pongs) muted.delete(id);
    if (muted.size === 0) stopWaiting();
    ask(due);
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
    if (frame.type === 'hello') ask(owner.followed());
  };
  socket.onclose = ({ code, reason }) => closed(code, reason || 'the connection was lost');
  // A close follows, and says as much.
  socket.onerror = () => {};

  return {
    transport: 'websocket',
    follow(jobs) {
      unfollow(jobs.flatMap(({ id }) => (followed.has(id) || muted.has(id) ? id : [])));
      ask(jobs.filter(({ id }) => !muted.has(id)));
    },
    unfollow,
    renew(token) {
      send({ type: 'auth', token });
      return true;
    },
    ping,
    close,
  };
};
