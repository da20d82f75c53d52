import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { type EdgeConfig, parseEdgeConfig } from '../../../../schemas/config.js';
import { type Access, accessMistakes, openAccess } from '../../../app/access.js';
import { drain, jobReads, TIMER, tickMs, webSocketDeps } from '../../../app/sessions.js';
import { type EdgeServer, startServer } from '../../../edge/server.js';
import { loadUws } from '../../../edge/uws.js';
import { HeadwayError, PortInUseError } from '../../../errors.js';
import type { DecodedEvent } from '../../../eventlog/decode.js';
import { EventLog } from '../../../eventlog/log.js';
import type { StoredMessage } from '../../../jetstream/read-stored.js';
import { Hub } from '../../../session/hub.js';
import { createLogger } from '../../../telemetry/logger.js';
import { Metrics } from '../../../telemetry/metrics.js';
import { type CliContext, UsageError } from '../../runtime/cli-context.js';
import { ReplayedHistory } from './history.js';
import type { ReplaySink } from './player.js';

export interface ReplayEdgeOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Pages of these origins may connect, beside those of this address. */
  readonly origins: readonly string[];
}

const MiB = 1024 * 1024;
/** So much of what was shown is kept for clients that come, or come back. */
const TAIL_BYTES = 256 * MiB;
const LAST_STATE_BYTES = 256 * MiB;
/** Sequences between two events of the replay, filled in one turn. */
const FILL = 100_000;
/** One turn of the event loop belongs to clients after so many messages. */
const TURN_MESSAGES = 1_000;

class CannotListenError extends HeadwayError {
  readonly code = 'port_in_use';
}

/**
 * A replay behind the WebSocket endpoints of an edge on this machine. Its log is a world of its own: an epoch that no
 * other stream has, so that a cursor of the real one is never taken for one of here, and nothing before the beginning of
 * the replay. The sequences are those of the stream.
 */
export class ReplayEdge implements ReplaySink {
  readonly #log = new EventLog({ tailBytes: TAIL_BYTES, lastStateBytes: LAST_STATE_BYTES });
  readonly #hub = new Hub(this.#log, setImmediate, TIMER);
  readonly #epoch = `replay-${randomBytes(9).toString('base64url')}`;
  readonly #context: CliContext;
  readonly #host: string;
  #server: EdgeServer | null = null;
  #access: Access | null = null;
  #ticking: NodeJS.Timeout | undefined;
  #begin = 0;
  #waiting: [StoredMessage, DecodedEvent | null][] = [];

  private constructor(context: CliContext, host: string) {
    this.#context = context;
    this.#host = host;
    this.#log.setListeners([this.#hub]);
    this.#log.begin(this.#epoch);
  }

  /** Listens. Clients are greeted, and wait for `begin`. @throws UsageError; HeadwayError when it cannot listen */
  static async start(context: CliContext, options: ReplayEdgeOptions): Promise<ReplayEdge> {
    const edge = new ReplayEdge(context, options.host);
    await edge.#listen(configOf(options));
    return edge;
  }

  get #address(): string {
    const host = this.#host.includes(':') ? `[${this.#host}]` : this.#host;
    return `${host}:${this.#server?.port ?? 0}`;
  }

  /** Where all jobs are: `ws://127.0.0.1:8081/ws/upload-progress`. */
  get url(): string {
    return `ws://${this.#address}/ws/upload-progress`;
  }

  /** How many clients are connected. */
  get clients(): number {
    return this.#hub.size;
  }

  /** What an earlier run has shown: before `begin`, in the stream's order. Clients get the state that it led to. */
  load({ seq }: StoredMessage, event: DecodedEvent | null): void {
    if (event !== null) this.#log.load(seq, this.#context.now(), event);
  }

  /**
   * The replay begins; clients that wait start.
   * @param after the seq after which its world begins
   * @param head the seq after which it shows; what lies between was loaded
   * @param isPristine nothing was ever deleted before, so that what is shown of a job is all that it had
   */
  async begin(after: number, head: number, isPristine: boolean): Promise<void> {
    this.#begin = after;
    // What is not shown never was, so every job is known.
    this.#log.ready({ head, firstSeq: after + 1, complete: true, neverTrimmed: isPristine });
    // Each starts in its turn. One that starts after the first events would be shown the last of them alone.
    while ((this.#hub.countStates().get('loading') ?? 0) > 0) await turn();
  }

  get isFull(): boolean {
    return this.#waiting.length >= TURN_MESSAGES;
  }

  show(message: StoredMessage, event: DecodedEvent | null): void {
    this.#waiting.push([message, event]);
  }

  async flush(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const [{ seq }, event] of waiting) {
      // To the log a sequence that is skipped is one that was lost; here it is another job's, or none.
      for (let next = this.#log.head + 1; next < seq; next++) {
        this.#log.append(next, this.#context.now(), null);
        if (next % FILL === 0) await turn();
      }
      // Now, not then: what a job that has finished is shown for goes by this clock.
      this.#log.append(seq, this.#context.now(), event);
    }
    // The sessions send at the end of this turn.
    await turn();
  }

  /** Tells clients that it goes away, and ends. */
  async close(): Promise<void> {
    this.#server?.stopListening();
    await drain(this.#hub, 0);
    clearInterval(this.#ticking);
    this.#access?.close();
    this.#server?.close();
  }

  async #listen(config: EdgeConfig): Promise<void> {
    const uws = await loadUws(config.maxHeaderBytes);
    const logger = createLogger('silent', {});
    const history = new ReplayedHistory(this.#log, () => this.#begin);
    const metrics = new Metrics();
    metrics.observe({
      connections: () => this.#hub.counts(),
      sessionStates: () => this.#hub.countStates(),
      feedFollowing: () => this.#log.isReady,
      feedLag: () => ({ events: 0, seconds: 0 }),
      log: () => ({ head: this.#log.head, tailStart: this.#log.tailStart, ...this.#log.stats }),
      historyReads: () => ({ pending: 0, waiting: 0, requesters: 0, longestMs: 0 }),
      unauthenticated: () => 0,
      httpSockets: () => access.sockets.http,
      // Whoever was silent yesterday is not silent today.
      liveness: () => ({ isListening: false, watched: 0, overdue: 0, rejected: 0, evicted: 0 }),
    });
    const access = openAccess(config, {
      hasCapacity: () => true,
      hasCapacityFor: () => true,
      keys: () => undefined,
      notice: () => undefined,
    });
    this.#access = access;
    const parts = webSocketDeps(
      { config, logger, log: this.#log, hub: this.#hub },
      () => history,
      metrics,
      access,
    );
    const failed = (error: unknown): void =>
      this.#context.stderr(
        `headway: a handler failed: ${error instanceof Error ? error.message : String(error)}\n`,
      );
    let hasLogged = false;
    try {
      this.#server = await startServer(
        uws,
        { host: config.host, port: config.port, reuse: false },
        {
          ...parts,
          dashboard: 'off',
          refused: (refusal) => {
            parts.refused(refusal);
            if (refusal.code !== 'forbidden_origin' || hasLogged) return;
            hasLogged = true;
            this.#context.stderr(
              'headway: a page of another origin was refused; --origin, such as http://localhost:5173, lets it in\n',
            );
          },
          failed,
          reads: jobReads(this.#log, () => history),
          random: Math.random,
          readiness: () =>
            this.#log.isReady
              ? { ready: true, detail: 'replaying' }
              : { ready: false, detail: 'the replay has not begun' },
          metrics: () => metrics.render(),
        },
        null,
      );
    } catch (error) {
      access.close();
      if (!(error instanceof PortInUseError)) throw error;
      throw new CannotListenError(
        `Cannot listen on ${config.host}:${config.port}: the port is taken by another program, or the host is no ` +
          'address or name of this machine. Choose another with --port (0 takes a free one) or --host.',
      );
    }
    this.#ticking = setInterval(() => this.#hub.tick(performance.now(), 'ok'), tickMs(config));
  }
}

function configOf({ host, port, origins }: ReplayEdgeOptions): EdgeConfig {
  const parsed = parseEdgeConfig(
    {
      HEADWAY_AUTH: 'none',
      HEADWAY_HOST: host,
      HEADWAY_PORT: String(port),
      HEADWAY_ALLOWED_ORIGINS: origins.join(','),
      // A replay is never too far behind: what it has shown is in memory.
      HEADWAY_MAX_REPLAY_JOB: String(Number.MAX_SAFE_INTEGER),
      HEADWAY_MAX_REPLAY_ALL: String(Number.MAX_SAFE_INTEGER),
    },
    'replay',
    accessMistakes,
  );
  if (parsed.ok) return parsed.config;
  throw new UsageError(parsed.problems.join('; ').replaceAll('HEADWAY_ALLOWED_ORIGINS', '--origin'));
}
