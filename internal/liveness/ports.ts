export interface LivenessLimits {
  /** After how much silence a job stalls whose events do not say it, in milliseconds; null: never. */
  readonly stallAfterMs: number | null;
  /** After how much silence a job times out whose events do not say it, in milliseconds; null: never. */
  readonly timeoutMs: number | null;
  /** The most jobs that are watched at once, an integer from 0. About 100 bytes each, and the id. */
  readonly maxWatched: number;
}

/** Told what is due. It may call back into the `LivenessMonitor`. Silences are whole milliseconds that this edge listened. */
export interface LivenessSink {
  /** Once for each silence. */
  stalled(id: string, silentMs: number): void;
  /**
   * Once until the job moves on, or `again` is called.
   * @param lastSeq the seq of the job's newest event
   * @returns false: there is no room now; the same is told again with the next tick, and no stall before it
   */
  timedOut(id: string, lastSeq: number, silentMs: number): boolean;
}

/** What a job's newest event says about its silence. */
export interface Seen {
  readonly id: string;
  readonly seq: number;
  /**
   * Whether the event's status is `processing`. After an end nobody owes a sign of life, and neither while a job that
   * failed waits for its next attempt: that wait is not a stall, and its timeout would follow upon its timeout.
   */
  readonly isRunning: boolean;
  /** As in the event; above 0. Taken as at least 1 ms and at most 2^31 s. */
  readonly stallAfterSeconds?: number | undefined;
  readonly timeoutSeconds?: number | undefined;
  /** An integer from 1; undefined: the event names none, and the heartbeats of any attempt are its. */
  readonly attempt?: number | undefined;
}

export interface LivenessStats {
  /** Jobs that are watched now. */
  readonly watched: number;
  /** Timeouts that are due and for which the sink has no room yet, or that no tick has come to. */
  readonly overdue: number;
  /** How often an event's job was not watched because there was no room: its silence is not noticed. */
  readonly rejected: number;
  /** How many jobs of which all was told have made room for others. A heartbeat does not bring these back, an event does. */
  readonly evicted: number;
}
