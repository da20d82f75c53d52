import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import type { NatsServer } from '../harness/nats-server.js';
import { startTcpProxy, type TcpProxy } from '../harness/proxy.js';

export interface PlaceOptions {
  readonly maxReplay: number;
}

/** One edge: its link to NATS, itself, and a proxy before it for the clients that go through one. */
export interface Place {
  readonly id: string;
  readonly link: TcpProxy;
  edge: EdgeProcess;
  front: TcpProxy;
  /** A restart under way. */
  up: Promise<void>;
}

function startEdge(id: string, link: TcpProxy, options: PlaceOptions): Promise<EdgeProcess> {
  return startEdgeProcess({
    natsUrl: `nats://${link.host}`,
    untilReady: false,
    env: {
      HEADWAY_EDGE_ID: id,
      HEADWAY_HEARTBEAT_MS: '100',
      HEADWAY_TAIL_BYTES: '65536',
      HEADWAY_LAST_STATE_BYTES: '65536',
      HEADWAY_SEND_WATERMARK_BYTES: '1024',
      HEADWAY_MAX_REPLAY_JOB: String(options.maxReplay),
      HEADWAY_MAX_REPLAY_ALL: String(options.maxReplay),
    },
  });
}

export async function startPlace(id: string, nats: NatsServer, options: PlaceOptions): Promise<Place> {
  const link = await startTcpProxy(nats.port);
  const edge = await startEdge(id, link, options);
  return { id, link, edge, front: await startTcpProxy(edge.port), up: Promise.resolve() };
}

export async function stopPlace({ edge, front, link }: Place): Promise<void> {
  await edge.kill();
  await front[Symbol.asyncDispose]();
  await link[Symbol.asyncDispose]();
}

/** Kills the edge with -9, and starts another one of its name while life goes on: `up` tells when it stands. */
export async function killPlace(place: Place, options: PlaceOptions): Promise<void> {
  place.link.flow();
  await place.edge.kill();
  await place.front[Symbol.asyncDispose]();
  // On another port: somebody's outgoing connection may have the old one by now.
  place.up = startEdge(place.id, place.link, options).then(async (edge) => {
    place.edge = edge;
    place.front = await startTcpProxy(edge.port);
  });
  place.up.catch(() => undefined);
}
