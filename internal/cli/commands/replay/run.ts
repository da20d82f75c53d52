import type { Event } from '../../../../schemas/event.js';
import { subjectOf } from '../../../../schemas/ids.js';
import { HeadwayError, JobNotFoundError } from '../../../errors.js';
import { type DecodedEvent, decodeEvent } from '../../../eventlog/decode.js';
import { plural } from '../../../formatting.js';
import { type ReadFrom, readStored, type StoredMessage } from '../../../jetstream/read-stored.js';
import { newestSeq } from '../../../jetstream/stream.js';
import type { ColorFlag } from '../../flags/command-line.js';
import { showDuration } from '../../flags/durations.js';
import { matches, type OutputFormat } from '../../flags/filters.js';
import { isKept, isPristine, isWholeAfter } from '../../reads/retention.js';
import type { CliContext } from '../../runtime/cli-context.js';
import { type OpenStream, type StreamAccess, streamInfo } from '../../runtime/nats.js';

import { StatusLine } from '../../runtime/status.js';
import { Checkpoint, resetCheckpoint } from './checkpoint.js';
import { ReplayEdge, type ReplayEdgeOptions } from './edge.js';
import { Pacer, type Speed } from './pacer.js';
import { Player, type ReplaySink } from './player.js';
import { Printer } from './print.js';
import { type Chosen, canonical, choose, type RangeFlags } from './range.js';

export interface ReplayOptions extends RangeFlags, ColorFlag {
  readonly speed: Speed;
  /** ms; null: silences stay as they were. */
  readonly maxGapMs: number | null;
  readonly isPaused: boolean;
  /** The name of the checkpoint that is kept; null: none is. */
  readonly durable: string | null;
  readonly reset: boolean;
  readonly allowGap: boolean;
  /** null: to stdout. */
  readonly edge: ReplayEdgeOptions | null;
  /** With an edge: begins when the first client is there. */
  readonly waitForClient: boolean;
  readonly output: OutputFormat;
  readonly timestamps: boolean;
}

/** What follows the checkpoint is not kept any more. */
class ReplayGapError extends HeadwayError {
  readonly code = 'replay_gap';
}

/** How often it is looked whether a client has come, in ms. */
const CLIENT_LOOK_MS = 20;

/**
 * Shows what is stored again, at its pace. Nothing is written to the stream.
 * @throws UsageError, JobNotFoundError, CheckpointTakenError, and whatever NATS refuses or the output does not take
 */
export async function replay({ access, context }: OpenStream, options: ReplayOptions): Promise<void> {
  const head = async (id: string | null): Promise<number> => {
    if (id === null) return (await streamInfo(access)).state.last_seq;
    const newest = await newestSeq(access.jsm, access.stream, subjectOf(id));
    if (newest === 0) throw new JobNotFoundError(id, access.stream);
    return newest;
  };
  const chooseNow = async (): Promise<Chosen> => choose(options, await head(options.id), context.now());
  if (options.durable === null) {
    await new Replay(access, context, options, await chooseNow(), null).run();
    return;
  }
  if (options.reset) await resetCheckpoint(access, options.durable);
  const checkpoint = await Checkpoint.open(access, options.durable, canonical(options), chooseNow);
  const { name, after, chosen } = checkpoint;
  try {
    if (after !== null && !options.allowGap) await checkPlace(access, name, chosen.id, after);
    if (after !== null) context.stderr(`headway: going on from the checkpoint ${name}, after seq ${after}\n`);
    await new Replay(access, context, options, chosen, checkpoint).run();
  } finally {
    if (!(await checkpoint.close())) {
      context.stderr(
        `headway: the checkpoint ${name} could not be moved to the end of what was shown; some comes again\n`,
      );
    }
  }
}

// The server moves a checkpoint past what it lets go, so a checkpoint whose own message is gone may have been moved.
async function checkPlace(
  access: StreamAccess,
  name: string,
  id: string | null,
  after: number,
): Promise<void> {
  const isSafe = (await isKept(access, after)) && (await isWholeAfter(access, id, after));
  if (isSafe) return;
  throw new ReplayGapError(
    `What follows the checkpoint ${name}, seq ${after}, may not be all kept any more in the stream ${access.stream}. Run it ` +
      'again with --allow-gap to go on with what is there, or with --reset to begin anew.',
  );
}

class Replay {
  readonly #access: StreamAccess;
  readonly #context: CliContext;
  readonly #options: ReplayOptions;
  readonly #chosen: Chosen;
  readonly #checkpoint: Checkpoint | null;
  readonly #status: StatusLine;
  readonly #startedAt = performance.now();
  #events = 0;
  #invalid = 0;
  #first: number | null = null;
  #last = 0;
  /** Messages that the checkpoint is not told of yet, and the last of them. */
  #untold = { count: 0, seq: 0 };

  constructor(
    access: StreamAccess,
    context: CliContext,
    options: ReplayOptions,
    chosen: Chosen,
    checkpoint: Checkpoint | null,
  ) {
    this.#access = access;
    this.#context = context;
    this.#options = options;
    this.#chosen = chosen;
    this.#checkpoint = checkpoint;
    this.#status = new StatusLine(context);
  }

  async run(): Promise<void> {
    const { edge: edgeOptions } = this.#options;
    const isPristine = await this.#isPristine();
    if (edgeOptions === null) {
      const { output, timestamps, color } = this.#options;
      const printer = new Printer(this.#context, { output, timestamps, color, isPristine }, this.#status);
      await this.#play(printer, null, isPristine);
      return;
    }
    const edge = await ReplayEdge.start(this.#context, edgeOptions);
    try {
      this.#context.stderr(`headway: the replay is served at ${edge.url} (one job: ${edge.url}/ID)\n`);
      if (!this.#options.waitForClient) {
        this.#context.stderr(
          'headway: it begins now, and a client that comes later sees the last states first; with --wait it begins when ' +
            'the first client is there\n',
        );
      }
      await this.#play(edge, edge, isPristine);
    } finally {
      await edge.close();
    }
  }

  async #play(sink: ReplaySink, edge: ReplayEdge | null, isPristine: boolean): Promise<void> {
    const { speed, maxGapMs, isPaused } = this.#options;
    const player = new Player(
      this.#context,
      new Pacer({ speed, maxGapMs, isPaused }, performance.now()),
      this.#status,
    );
    try {
      const isAtEnd = await this.#showAll(player, sink, edge, isPristine);
      player.clear();
      this.#summarise(isAtEnd);
      if (isAtEnd) await this.#finishPlace();
      if (edge === null || !isAtEnd) return;
      this.#context.stderr('headway: what it has shown is served until it is stopped (Ctrl-C, or q)\n');
      await player.quit();
    } finally {
      player.close();
    }
  }

  // Returns whether it came to the end.
  async #showAll(
    player: Player,
    sink: ReplaySink,
    edge: ReplayEdge | null,
    isPristine: boolean,
  ): Promise<boolean> {
    const { untilMs } = this.#chosen;
    // A client of the edge is owed the state of what was shown before; it is not shown again.
    const before = edge === null ? 0 : (this.#checkpoint?.after ?? 0);
    let first: number | null = null;
    let hasBegun = false;
    let isPast = false;
    for await (const batch of this.#messages(edge !== null)) {
      for (const message of batch) {
        isPast = untilMs !== null && message.storedAt > untilMs;
        if (isPast) break;
        first ??= message.seq;
        if (message.seq <= before) {
          edge?.load(message, this.#wanted(message));
          if (player.hasQuit) return false;
          continue;
        }
        if (!hasBegun) {
          hasBegun = true;
          await edge?.begin(first - 1, message.seq - 1, isPristine);
          if (this.#options.waitForClient && edge !== null) {
            this.#context.stderr('headway: waiting for the first client\n');
            await player.until(() => edge.clients > 0, CLIENT_LOOK_MS);
          }
        }
        const event = this.#wanted(message);
        if (event !== null) {
          if (!player.offer(message.seq, message.storedAt)) {
            await this.#flush(sink);
            if (!(await player.due())) return false;
          }
          player.shown();
          this.#count(message.seq);
        }
        sink.show(message, event);
        this.#untold = { count: this.#untold.count + 1, seq: message.seq };
        if (sink.isFull) await this.#flush(sink);
        if (player.hasQuit) {
          await this.#flush(sink);
          return false;
        }
      }
      await this.#flush(sink);
      if (isPast) break;
    }
    // There was nothing to show, or nothing more: clients are owed that as well.
    if (!hasBegun) await edge?.begin((first ?? before + 1) - 1, before, isPristine);
    return true;
  }

  #messages(isServed: boolean): AsyncGenerator<readonly StoredMessage[], void, undefined> {
    const { id, from, untilSeq } = this.#chosen;
    const after = this.#checkpoint?.after ?? null;
    const start: ReadFrom = after === null || isServed ? from : { kind: 'seq', seq: after + 1 };
    const range = { id, from: start, until: { seq: untilSeq } };
    return readStored(this.#access, range, this.#context.stopped, {
      gap: (asked, first) =>
        this.#say(
          `what was asked for from seq ${asked} on is kept only from ${first} on: what lies between is left out`,
        ),
    });
  }

  #wanted(message: StoredMessage): DecodedEvent | null {
    const decoded = decodeEvent(message.subject, message.data);
    if (!decoded.ok) {
      this.#invalid++;
      return null;
    }
    const { jobType, status } = this.#chosen;
    const { event } = decoded;
    if (jobType !== null && (event.jobType === undefined || !jobType.includes(event.jobType))) return null;
    if (status === null) return event;
    return matches({ status }, JSON.parse(event.json) as Event) ? event : null;
  }

  #count(seq: number): void {
    this.#events++;
    this.#first ??= seq;
    this.#last = seq;
  }

  // The checkpoint moves only behind what has left this process.
  async #flush(sink: ReplaySink): Promise<void> {
    await sink.flush();
    const { count, seq } = this.#untold;
    if (this.#checkpoint !== null && count > 0) {
      this.#untold = { count: 0, seq: 0 };
      this.#checkpoint.show(seq, count);
      await this.#checkpoint.room(this.#context.stopped);
    }
  }

  async #isPristine(): Promise<boolean> {
    const { from } = this.#chosen;
    const isFromFirst = from.kind === 'first' || (from.kind === 'seq' && from.seq <= 1);
    const isOfAll =
      this.#checkpoint === null || this.#checkpoint.after === null || this.#options.edge !== null;
    return isFromFirst && isOfAll && isPristine(await streamInfo(this.#access));
  }

  async #finishPlace(): Promise<void> {
    if (this.#checkpoint === null) return;
    const { name } = this.#checkpoint;
    await this.#checkpoint.close();
    await resetCheckpoint(this.#access, name);
    this.#context.stderr(
      `headway: the replay is at its end; the checkpoint ${name} is not kept any longer\n`,
    );
  }

  #summarise(isAtEnd: boolean): void {
    const range = this.#first === null ? '' : `, seq ${this.#first} to ${this.#last}`;
    const invalid =
      this.#invalid > 0
        ? `; ${plural(this.#invalid, 'message')} that ${this.#invalid === 1 ? 'is no event was' : 'are no events were'} left out`
        : '';
    const rest =
      isAtEnd || this.#checkpoint === null ? '' : `; the checkpoint ${this.#checkpoint.name} is kept`;
    const time = showDuration(performance.now() - this.#startedAt);
    this.#context.stderr(
      `headway: replayed ${plural(this.#events, 'event')} in ${time}${range}${invalid}${rest}\n`,
    );
  }

  #say(text: string): void {
    this.#status.clear();
    this.#context.stderr(`headway: ${text}\n`);
  }
}
