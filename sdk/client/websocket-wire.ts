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
  /**
   * Of each job that was asked for: behind which pong its frames answer what was asked last. Nothing else tells those that
   * answer a new `follow` from those of the old one that are under way. The edge reads the ping behind the `unfollow`.
   */
  const answersBehind = new Map<string, number>();
  let pings = 0;
  let pongs = 0;
  let stopWaiting = (): void => {};
  const isMuted = ({ id }: { readonly id: string }): boolean => (answersBehind.get(id) ?? 0) > pongs;

  // What is undefined is left out.
  const send = (frame: object): void => socket.send(JSON.stringify(frame));
  const close = (): void => {
    stopWaiting();
    socket.onmessage = socket.onclose = null;
    socket.close();
  };
  const closed = (code: number, message: string): void => {
    close();
    owner.closed({ next: NEXT[code] ?? 'retry', code, message });
  };
  const ping = (): void => {
    pings += 1;
    send({ type: 'ping' });
    stopWaiting();
    stopWaiting = platform.later(PONG_MS, () => {
      if (owner.followed().some(isMuted)) closed(0, '');
    });
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
        answersBehind.set(id, 0);
        return { processing_id: id, last_seq: position?.seq, scope: position?.scope || undefined };
      }),
    });
    ask(jobs.filter((job) => !piece.includes(job)));
  };
  const unfollow = (ids: readonly string[]): void => {
    for (let at = 0; at < ids.length; at += JOBS_PER_FRAME)
      send({ type: 'unfollow', jobs: ids.slice(at, at + JOBS_PER_FRAME) });
    ping();
    for (const id of ids) answersBehind.set(id, pings);
  };

  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data) as ServerFrame;
    const id = ('processing_id' in frame && frame.processing_id) || '';
    if (frame.type === 'pong') {
      pongs += 1;
      if (pongs === pings) stopWaiting();
      const due = owner.followed().filter((job) => answersBehind.get(job.id) === pongs);
      for (const [left, pong] of answersBehind) if (pong === pongs) answersBehind.delete(left);
      ask(due);
    }
    if (isMuted({ id })) return owner.alive();
    if (frame.type === 'end' || frame.type === 'error') answersBehind.delete(id);
    owner.frame(frame);
    if (frame.type === 'hello') ask(owner.followed());
  };
  socket.onclose = ({ code, reason }) => closed(code, reason);
  // A close follows, and says as much.
  socket.onerror = () => {};

  return {
    transport: 'websocket',
    follow(jobs) {
      const again = jobs.flatMap(({ id }) => (answersBehind.has(id) ? id : []));
      ask(jobs.filter(({ id }) => !again.includes(id)));
      if (again.length > 0) unfollow(again);
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
