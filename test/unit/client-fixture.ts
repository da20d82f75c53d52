import { vi } from 'vitest';
import { createProgressClient } from '../../sdk/client/client.js';
import type {
  ProgressClientOptions,
  ProgressUpdate,
  TransportName,
  WebSocketClass,
} from '../../sdk/client/types.js';
import type { FollowedJob, Platform, WireOptions, WireOwner } from '../../sdk/client/wire.js';
import { settled as settledOnce } from '../model/page.js';
import { TestClock } from './test-clock.js';

type Frame = Parameters<WireOwner['frame']>[0];

/** A wire that does nothing by itself, and notes what it is asked for. */
export interface NotedWire {
  readonly name: TransportName;
  readonly options: WireOptions;
  readonly owner: WireOwner;
  readonly asked: FollowedJob[][];
  readonly left: string[][];
  readonly renewed: string[];
  isClosed: boolean;
}

export const update = (id: string, seq: number, prev_seq: number | null = null): ProgressUpdate => ({
  ...{ type: 'progress_update', seq, prev_seq, processing_id: id, status: 'processing' },
  ...{ progress: 1, timestamp: '2026-01-31T12:00:00Z' },
});

/** Also what is loaded, and was before. */
async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await settledOnce();
}

/** A client over wires that say what they are told. */
export function clientWorld(
  options: ProgressClientOptions = {},
  fetch: Platform['fetch'] = async () => Response.json({ code: 'no_event' }, { status: 404 }),
) {
  const clock = new TestClock();
  const wires: NotedWire[] = [];
  const listeners = new Set<() => void>();
  const onPage: Platform['onPage'] = (...given) => {
    for (const run of given) listeners.add(run);
    return () => {
      for (const run of given) listeners.delete(run);
    };
  };
  const platform = {
    ...{
      now: clock.now,
      later: clock.later,
      random: () => 0.5,
      WebSocket: options.WebSocket ?? (class {} as unknown as WebSocketClass),
    },
    ...{ fetch, onPage, isVisible: () => true },
  } satisfies Platform;
  const client = createProgressClient(
    { url: 'http://edge', transport: 'websocket', ...options },
    {
      platform,
      open: (name) => (given, owner) => {
        const wire: NotedWire = {
          ...{ name, options: given, owner, asked: [], left: [], renewed: [], isClosed: false },
        };
        wires.push(wire);
        return {
          transport: name,
          follow: (jobs) => void wire.asked.push([...jobs]),
          unfollow: (ids) => void wire.left.push([...ids]),
          renew: (token) => wire.renewed.push(token) > 0,
          ping: () => {},
          close: () => {
            wire.isClosed = true;
          },
        };
      },
    },
  );
  const say = async (...frames: Frame[]) => {
    for (const frame of frames) wires.at(-1)?.owner.frame(frame);
    await settled();
  };
  return {
    ...{ client, clock, wires, listeners, say },
    hello: (given: { readonly epoch?: string; readonly scope?: string } = {}) =>
      say({
        ...{ type: 'hello', protocol: 'progress.v1', session: 's', epoch: 'e', scope: 's', ...given },
        heartbeat_ms: 15_000,
      }),
    async pass(ms: number) {
      clock.pass(ms);
      await settled();
    },
    /** Until what is loaded when it is needed is there. */
    async loaded() {
      await vi.dynamicImportSettled();
      await settled();
    },
  };
}
