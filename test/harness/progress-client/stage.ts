/** What a scenario plays on: NATS, an edge, a road to it that misbehaves on command, and a seat where the client runs. */
import type { NatsConnection } from 'nats';
import { edgeHasRead } from '../edge-head.js';
import { type EdgeProcess, startEdgeProcess } from '../edge-process.js';
import { HttpGate } from '../http-gate.js';
import { jobId } from '../ids.js';
import { startTcpProxy, type TcpProxy } from '../proxy.js';
import { publish } from '../publish.js';
import { type ConnectedNats, connectedNats } from '../shared-nats.js';
import { expectComplete } from './account.js';
import type { ClientHost } from './client-host.js';
import type { Seat } from './seat.js';

export interface Theatre<S extends Seat = Seat> {
  /** What tests of a file share. */
  readonly nats: ConnectedNats;
  readonly host: ClientHost;
  takeSeat(): Promise<S>;
}

export interface StageOptions {
  readonly env?: Record<string, string>;
  /** A nats-server of its own, for a scenario that breaks the stream. */
  readonly ownNats?: boolean;
}

export class Stage<S extends Seat = Seat> implements AsyncDisposable {
  #step = 0;

  private constructor(
    readonly theatre: Theatre,
    readonly nats: ConnectedNats,
    public edge: EdgeProcess,
    /** Cuts and stalls, whatever goes over it. */
    readonly link: TcpProxy,
    /** Behind the link: lets WebSocket, server-sent events and requests through, or not. */
    readonly gate: HttpGate,
    readonly seat: S,
    private readonly env: Record<string, string>,
    private readonly opened: AsyncDisposable[],
  ) {}

  static async set<S extends Seat>(
    theatre: Theatre<S>,
    { env: changes = {}, ownNats = false }: StageOptions = {},
  ): Promise<Stage<S>> {
    const env = { HEADWAY_HEARTBEAT_MS: '500', HEADWAY_ALLOWED_ORIGINS: theatre.host.origin, ...changes };
    const opened: AsyncDisposable[] = [];
    const keep = <T extends AsyncDisposable>(one: T): T => {
      opened.push(one);
      return one;
    };
    try {
      const nats = ownNats ? keep(await connectedNats({ stream: {} })) : theatre.nats;
      const edge = keep(await startEdgeProcess({ natsUrl: nats.nats.url, env }));
      const gate = keep(await HttpGate.start(edge.port));
      const link = keep(await startTcpProxy(gate.port));
      const seat = keep(await theatre.takeSeat());
      return new Stage(theatre, nats, edge, link, gate, seat, env, opened);
    } catch (error) {
      for (const one of opened.toReversed()) await one[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `http://${this.link.host}`;
  }

  get nc(): NatsConnection {
    return this.nats.nc;
  }

  /** Jobs of one event each, which the edge has read. */
  async jobs(count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, () => jobId());
    for (const id of ids) await this.report(id);
    await edgeHasRead(this.edge.http, this.nc);
    return ids;
  }

  /** Reports on a job; each report has another `progress`. */
  async report(id: string, fields: Record<string, unknown> = {}): Promise<number> {
    this.#step = (this.#step + 1) % 997;
    return await publish(this.nc, id, { progress: this.#step / 10, ...fields });
  }

  /** Another edge takes the place of the one that is there, which was ended before or will be. */
  async nextEdge(): Promise<void> {
    const edge = await startEdgeProcess({ natsUrl: this.nats.nats.url, env: this.env });
    this.opened.push(edge);
    this.edge = edge;
    this.gate.target = edge.port;
  }

  /** Whoever followed all of a job from its first event on was told all of it, once, in order. */
  async expectComplete(handles: Record<string, string>): Promise<void> {
    await expectComplete(this.seat, this.nc, handles);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.opened.toReversed()) await one[Symbol.asyncDispose]();
  }
}
