/** An edge that is treated badly, and somebody else who uses it meanwhile. */
import type { NatsConnection } from 'nats';
import { expect } from 'vitest';
import { WsClient } from './client.js';
import { type EdgeProcess, startEdgeProcess } from './edge-process.js';
import { jobId } from './ids.js';
import { metric } from './metrics.js';
import { type NatsServer, startNats } from './nats-server.js';
import { connectNats, publish } from './publish.js';

export class ProbedEdge implements AsyncDisposable {
  #ended: unknown = null;
  #failures = 0;

  private constructor(
    readonly nats: NatsServer,
    readonly nc: NatsConnection & AsyncDisposable,
    readonly edge: EdgeProcess,
    /** What the witness watches. */
    readonly job: string,
    readonly witness: WsClient,
  ) {
    void edge.exited.then((status) => {
      this.#ended = status;
    });
  }

  static async start(env: Record<string, string> = {}): Promise<ProbedEdge> {
    const nats = await startNats();
    const nc = await connectNats(nats.url);
    const edge = await startEdgeProcess({ natsUrl: nats.url, env });
    const job = jobId('witness');
    const witness = await WsClient.connect(`${edge.ws}/ws/upload-progress/${job}`);
    await witness.until(({ type }) => type === 'caught_up');
    return new ProbedEdge(nats, nc, edge, job, witness);
  }

  /** The client that was there before gets a new event. */
  async othersAreServed(): Promise<void> {
    const seq = await publish(this.nc, this.job);
    await this.witness.until((frame) => frame.seq === seq);
  }

  /** It is the same process, it is ready, newcomers are served, and no handler failed since the last call. */
  async stands(): Promise<void> {
    await this.othersAreServed();
    await using newcomer = await WsClient.connect(`${this.edge.ws}/ws/upload-progress/${this.job}`);
    await newcomer.updates(1);
    expect((await fetch(`${this.edge.http}/readyz`)).status).toBe(200);
    expect(this.#ended).toBeNull();
    const failed = this.edge.logged('a handler failed').slice(this.#failures);
    this.#failures += failed.length;
    expect(failed).toEqual([]);
  }

  /** Resident bytes. */
  async memory(): Promise<number> {
    return await metric(this.edge.http, 'process_resident_memory_bytes');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.witness[Symbol.asyncDispose]();
    await this.edge[Symbol.asyncDispose]();
    await this.nc[Symbol.asyncDispose]();
    await this.nats[Symbol.asyncDispose]();
  }
}
