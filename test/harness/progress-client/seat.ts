/** Where a client runs, as a scenario sees it: it calls the recorder there. */
import { waitFor } from '../wait.js';
import type { Recorder, Told } from './recorder.js';

type Method = {
  [K in keyof Recorder]: Recorder[K] extends (...args: never[]) => unknown ? K : never;
}[keyof Recorder];

export type Call = (method: string, args: readonly unknown[]) => Promise<unknown>;

export class Seat implements AsyncDisposable {
  constructor(
    private readonly reach: Call,
    /** What was thrown there and caught by nobody, and what the console complained of. */
    readonly errors: readonly string[],
    private readonly end: () => Promise<void>,
  ) {}

  async call<K extends Method>(
    method: K,
    ...args: Parameters<Recorder[K]>
  ): Promise<Awaited<ReturnType<Recorder[K]>>> {
    return (await this.reach(method, args)) as Awaited<ReturnType<Recorder[K]>>;
  }

  /** What one handle was told, in order. */
  async told(handle: string): Promise<Told[]> {
    return (await this.call('told')).filter((one) => one.handle === handle);
  }

  /** Waits until a handle was told something. */
  async untilTold(
    handle: string,
    is: (told: Told) => boolean,
    what: string,
    timeoutMs = 15_000,
  ): Promise<Told> {
    return await waitFor(async () => (await this.told(handle)).find(is), {
      what: `${handle}: ${what}`,
      timeoutMs,
      everyMs: 50,
    });
  }

  /** Waits until a handle was shown the event with this number. */
  async untilShown(handle: string, seq: number): Promise<void> {
    await this.untilTold(handle, (told) => told.what === 'update' && told.seq === seq, `the update ${seq}`);
  }

  async untilTransport(client: string, transport: string, timeoutMs = 30_000): Promise<void> {
    await waitFor(
      async () => {
        const now = await this.call('connection', client);
        return now.connection === 'open' && now.transport === transport;
      },
      { what: `${client} to be open by ${transport}`, timeoutMs, everyMs: 50 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
