/** An edge whose way to NATS is in the test's hands, of jobs that it can only resume by reads from JetStream. */
import { WsClient, type WsOptions } from './client.js';
import { type EdgeProcess, startEdgeProcess } from './edge-process.js';
import { startTcpProxy, type TcpProxy } from './proxy.js';
import { publish } from './publish.js';
import { type ConnectedNats, connectedNats } from './shared-nats.js';

export class LinkedEdge implements AsyncDisposable {
  private constructor(
    readonly world: ConnectedNats & AsyncDisposable,
    /** Between the edge and NATS. While it stalls, NATS answers nothing, so that reads wait. */
    readonly link: TcpProxy,
    readonly edge: EdgeProcess,
  ) {}

  /**
   * @param ids jobs of two events each, of which an edge that starts now has only the newest in memory: to resume one
   * after its first event takes a read
   * @param env settings of the edge
   */
  static async start(ids: readonly string[], env: Record<string, string> = {}): Promise<LinkedEdge> {
    const world = await connectedNats({ stream: {} });
    const opened: AsyncDisposable[] = [world];
    try {
      for (const id of [...ids, ...ids]) await publish(world.nc, id);
      const link = await startTcpProxy(world.nats.port);
      opened.push(link);
      const edge = await startEdgeProcess({ natsUrl: `nats://127.0.0.1:${link.port}`, env });
      return new LinkedEdge(world, link, edge);
    } catch (error) {
      for (const one of opened.toReversed()) await one[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Resumes a job after its first event, which takes a read. */
  resume(id: string | undefined, options: WsOptions = {}): Promise<WsClient> {
    return WsClient.connect(`${this.edge.ws}/ws/upload-progress/${id}?last_seq=1`, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.edge[Symbol.asyncDispose]();
    await this.link[Symbol.asyncDispose]();
    await this.world[Symbol.asyncDispose]();
  }
}
