import { expect, test } from 'vitest';
import type { WebSocketClass } from '../../sdk/client/types.js';
import { openWebSocket } from '../../sdk/client/websocket-wire.js';
import type { FollowedJob, Platform } from '../../sdk/client/wire.js';
import { update } from './client-fixture.js';

/** A wire over a socket that says what it is told, and notes what is sent. */
function wireOf(ids: readonly string[] = []) {
  const followed: FollowedJob[] = ids.map((id) => ({ id, position: null }));
  const sent: { type: string; ack?: boolean; epoch?: string; jobs?: { processing_id: string }[] }[] = [];
  const heard: unknown[] = [];
  let socket: InstanceType<WebSocketClass> | undefined;
  const FakeSocket = class {
    onmessage = null;
    onclose = null;
    onerror = null;
    constructor() {
      socket = this;
    }
    send(text: string): void {
      sent.push(JSON.parse(text));
    }
    close(): void {}
  } as unknown as WebSocketClass;
  const wire = openWebSocket(
    { base: 'http://edge', target: { kind: 'selected', query: () => 'select=' }, token: null },
    {
      followed: () => followed,
      position: () => null,
      frame: (frame) => heard.push('seq' in frame ? `${frame.processing_id} ${frame.seq}` : frame.type),
      alive: () => heard.push('alive'),
      closed: () => heard.push('closed'),
    },
    { WebSocket: FakeSocket } as unknown as Platform,
  );
  return {
    ...{ wire, sent, heard },
    say: (...frames: object[]) => {
      const hear = socket?.onmessage as ((event: { readonly data: string }) => void) | null | undefined;
      for (const frame of frames) hear?.({ data: JSON.stringify(frame) });
    },
  };
}
const hello = { type: 'hello', protocol: 'progress.v1', epoch: 'e', session: 's', heartbeat_ms: 15_000 };
const ok = { type: 'follow_ok' };
const at = (id: string, seq: number, epoch = 'e'): FollowedJob => ({
  id,
  position: { seq, epoch, scope: '' },
});

test('G1 order: what comes of a job that is asked for again, before that is answered, is for the old one; others go on', () => {
  const { wire, sent, heard, say } = wireOf(['a', 'b']);
  say(hello, ok, update('a', 5), update('b', 6));
  wire.follow([at('a', 3)]);
  say(update('a', 7), update('b', 8), { type: 'end', processing_id: 'a' });
  wire.follow([at('a', 2)]);
  say(ok, update('a', 4), ok, update('a', 3), update('b', 9));
  expect(heard).toEqual([
    ...['hello', 'follow_ok', 'a 5', 'b 6', 'alive', 'b 8', 'alive', 'follow_ok', 'alive'],
    ...['follow_ok', 'a 3', 'b 9'],
  ]);
  expect(sent.map(({ type, ack }) => [type, ack])).toEqual(Array(3).fill(['follow', true]));
});

test('many jobs go in several frames, each of one epoch, and each is answered for itself', () => {
  const { wire, sent, heard, say } = wireOf();
  say(hello);
  const jobs = Array.from({ length: 60 }, (_, i) => at(`job-${i}`, 1));
  wire.follow([...jobs, at('other', 1, 'f')]);
  expect(sent.map(({ epoch, jobs: named = [] }) => [epoch, named.length])).toEqual([
    ['e', 50],
    ['e', 10],
    ['f', 1],
  ]);
  say(ok, update('job-0', 2), update('job-55', 2), ok, update('job-55', 3), update('other', 2));
  expect(heard).toEqual(['hello', 'follow_ok', 'job-0 2', 'alive', 'follow_ok', 'job-55 3', 'alive']);
  wire.unfollow(jobs.map(({ id }) => id));
  expect(sent.slice(3).map(({ type, jobs: named = [] }) => [type, named.length])).toEqual([
    ['unfollow', 50],
    ['unfollow', 10],
  ]);
});
