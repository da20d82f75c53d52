import type { ServerFrame } from '../../schemas/frames.generated.js';
import { UnauthorizedError } from './errors.js';
import type { WebSocketClass } from './types.js';
import type { FollowedJob, OpenWire, WireClose } from './wire.js';

/** So many jobs fit into one frame, whatever their names. */
const JOBS_PER_FRAME = 50;
const NEXT: Readonly<Record<number, WireClose['next']>> = { 4400: 'stop', 4401: 'new_token', 4403: 'stop' };

/**
 * PROTOCOL.md, "Connecting".
 * @throws UnauthorizedError when the token is of a form that no header takes
 */
export const openWebSocket: OpenWire = ({ base, target, token }, owner, { WebSocket }) => {
  const protocols = ['progress.v1'];
  if (token !== null) {
    if (!/^[\w.-]+$/.test(token))
      throw new UnauthorizedError('unauthorized', 'the token holds characters that no token has');
    protocols.push(`bearer.${token}`);
  }
  const rate = target.maxRate ? `&max_rate=${target.maxRate}` : '';
  // Where there is none, another transport is opened.
  const socket = new (WebSocket as WebSocketClass)(
    `${base.replace('http', 'ws')}/ws/upload-progress?${target.query(owner.position())}${rate}`,
    protocols,
  );
  /** By job: the `follow` that named it last. What comes of it before that is answered is for an older one. */
  const askedIn = new Map<string, number>();
  let asked = 0;
  let answered = 0;

  // What is undefined is left out.
  const send = (frame: object): void => socket.send(JSON.stringify(frame));
  const inPieces = <T>(jobs: readonly T[], sendSome: (some: readonly T[]) => void): void => {
    for (let at = 0; at < jobs.length; at += JOBS_PER_FRAME) sendSome(jobs.slice(at, at + JOBS_PER_FRAME));
  };
  const follow = (jobs: readonly FollowedJob[]): void => {
    // A frame names one epoch.
    for (const epoch of new Set(jobs.map(({ position }) => position?.epoch))) {
      const together = jobs.filter(({ position }) => position?.epoch === epoch);
      inPieces(together, (some) => {
        asked += 1;
        send({
          type: 'follow',
          ack: true,
          epoch,
          jobs: some.map(({ id, position }) => {
            askedIn.set(id, asked);
            return { processing_id: id, last_seq: position?.seq, scope: position?.scope || undefined };
          }),
        });
      });
    }
  };

  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data) as ServerFrame & { readonly processing_id?: string };
    const { type, processing_id: id = '' } = frame;
    if (type === 'follow_ok' && ++answered === asked) askedIn.clear();
    // It is of no job then. A reset names the stream of what comes behind it all the same.
    owner.frame((askedIn.get(id) ?? 0) > answered ? { ...frame, processing_id: '' } : frame);
    if (type === 'hello') follow(owner.followed());
  };
  socket.onclose = ({ code, reason: message }) =>
    owner.closed({ next: NEXT[code] ?? 'retry', code, message });
  // A close follows, and says as much.
  socket.onerror = () => {};

  return {
    transport: 'websocket',
    follow,
    unfollow: (ids) => inPieces(ids, (jobs) => send({ type: 'unfollow', jobs })),
    renew(token) {
      send({ type: 'auth', token });
      return true;
    },
    ping: () => send({ type: 'ping' }),
    close() {
      socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
};
