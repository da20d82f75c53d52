/** A server with its clients, and what it costs to tell them something. */
import { ask } from './ask.js';
import { Load } from './load.js';
import type { PublisherCommand } from './publisher.js';
import { OwnProcess, type Pace, type Subject } from './subject.js';
import { cpuMicros } from './usage.js';

export class Audience implements AsyncDisposable {
  /** Publishes for those that read from NATS; started when it is needed. */
  #publisher: OwnProcess | undefined;

  constructor(
    readonly name: string,
    readonly subject: Subject,
    readonly load = new Load(),
  ) {}

  /**
   * The server's CPU for each delivered update, in microseconds, while one job is told about. The next events follow
   * when every client has all of those before, so that no turn of the server takes in more than it was given.
   * @param events in each turn of the server
   * @param budget how much CPU the server is to use up: the kernel counts in hundredths of a second
   */
  async costOfTurns(job: string, events: number, budget: number): Promise<number> {
    const before = this.#cpu();
    let rounds = 0;
    while (this.#cpu() - before < budget) {
      this.subject.publish(job, events);
      await this.load.untilEachHas(events);
      rounds += 1;
    }
    return (this.#cpu() - before) / (rounds * events * this.load.clients);
  }

  /**
   * The same, while events of many jobs come at a pace.
   * @param each how many clients get each event
   */
  async costOfPace(pace: Pace, each: number): Promise<number> {
    const updates = pace.perSecond * pace.seconds * each;
    const before = this.#cpu();
    if (this.subject.pace !== undefined) this.subject.pace(pace);
    else await this.publish({ kind: 'pace', ...pace });
    await this.load.untilAllHave(updates);
    return (this.#cpu() - before) / updates;
  }

  /** Has a process of its own publish; resolves when NATS has all of it. */
  async publish(command: PublisherCommand): Promise<void> {
    const { natsUrl } = this.subject;
    if (natsUrl === undefined) throw new Error(`${this.name} does not read from NATS`);
    this.#publisher ??= await OwnProcess.start('../harness/publisher.js', [natsUrl]);
    await ask(this.#publisher.child, command);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.load[Symbol.asyncDispose]();
    await this.#publisher?.[Symbol.asyncDispose]();
    await this.subject[Symbol.asyncDispose]();
  }

  #cpu(): number {
    const { pid, otherPids = [] } = this.subject;
    return [pid, ...otherPids].reduce((all, one) => all + cpuMicros(one), 0);
  }
}
