import { expect, test } from 'vitest';
import { createProgressClient } from '../../sdk/client/client.js';
import type { Job, WebSocketClass } from '../../sdk/client/types.js';
import { openWebSocket } from '../../sdk/client/websocket-wire.js';
import type { FollowedJob, Platform } from '../../sdk/client/wire.js';
import { settled } from '../model/page.js';
import { update } from './client-fixture.js';
import { TestClock } from './test-clock.js';

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
      frame(frame) {
        const isAside = 'processing_id' in frame && frame.processing_id === '';
        const text = 'seq' in frame ? `${frame.processing_id} ${frame.seq}` : frame.type;
        heard.push(isAside ? 'aside' : text);
      },
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
    ...['hello', 'follow_ok', 'a 5', 'b 6', 'aside', 'b 8', 'aside', 'follow_ok', 'aside'],
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
  expect(heard).toEqual(['hello', 'follow_ok', 'job-0 2', 'aside', 'follow_ok', 'job-55 3', 'aside']);
  wire.unfollow(jobs.map(({ id }) => id));
  expect(sent.slice(3).map(({ type, jobs: named = [] }) => [type, named.length])).toEqual([
    ['unfollow', 50],
    ['unfollow', 10],
  ]);
});

test('G5 stale cursors: a reset that is left aside names the stream of what comes behind it all the same', async () => {
  const sockets: { onmessage: ((event: { readonly data: string }) => void) | null }[] = [];
  const WebSocket = class {
    onmessage = null;
    onclose = null;
    onerror = null;
    constructor() {
      sockets.push(this);
    }
    send(): void {}
    close(): void {}
  } as unknown as WebSocketClass;
  const clock = new TestClock();
  const platform: Platform = { ...clock, WebSocket, random: () => 0.5, onPage: () => () => {} };
  const client = createProgressClient({ url: 'http://edge' }, { platform });
  const say = (...frames: object[]): void => {
    for (const frame of frames) sockets[0]?.onmessage?.({ data: JSON.stringify(frame) });
  };
  let job: Job | undefined;
  client.job('a').addEventListener('connection', ({ detail }) => {
    // It is asked for with the others, and once more.
    if (detail === 'open') job = client.job('b');
  });
  await settled();
  say({ ...hello, scope: 's' }, ok);
  await settled();
  clock.pass(100);
  const reset = { type: 'reset', reason: 'epoch', epoch: 'f', first_seq: 1, last_seq: 2, processing_id: 'b' };
  say(reset, ok, update('b', 2), { type: 'following', processing_id: 'b', cursor: 2, scope: 's' });
  expect(job?.cursor).toBe('2.f.s');
  client.close();
});
