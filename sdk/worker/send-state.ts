/**
 * When a job's events leave: the coalescing, pure. At most one event is in flight; while it is, newer reports melt into
 * the newest state; and updates keep a distance in time. The first event and the end never wait for that distance and
 * are never melted into another.
 */
export type Lane =
  /** Nothing is in flight and nothing waits. */
  | { readonly kind: 'resting'; readonly readyAt: number }
  /** Nothing is in flight; the newest state waits until `readyAt`, or until NATS is there. */
  | { readonly kind: 'holding'; readonly readyAt: number }
  /** One event is on its way, through all of its tries, and something may wait behind it. */
  | {
      readonly kind: 'flying';
      readonly carries: 'newest' | 'end';
      readonly waiting: 'nothing' | 'newest' | 'end';
      readonly readyAt: number;
    }
  /** The end is stored, or the job is lost. Nothing is sent any more. */
  | { readonly kind: 'closed' };

export type LaneSignal =
  /** The job reported a newer state. `open`: NATS is there. */
  | { readonly kind: 'report'; readonly open: boolean }
  /** The job completed or failed. */
  | { readonly kind: 'end' }
  /** Time has passed, or NATS came back. */
  | { readonly kind: 'due' }
  /** What was in flight is stored. */
  | { readonly kind: 'stored' }
  /** What was in flight was let go, because memory is full; it carried no end. */
  | { readonly kind: 'evicted' }
  /** The job is lost, or the reporter closed. */
  | { readonly kind: 'close' };

export interface LaneStep {
  readonly lane: Lane;
  /** What to send now: the newest state, or the end. */
  readonly send: 'newest' | 'end' | null;
}

/** A job's lane while its first event is on its way. */
export function firstLane(now: number, intervalMs: number): Lane {
  return { kind: 'flying', carries: 'newest', waiting: 'nothing', readyAt: now + intervalMs };
}

/** Whether something waits that is not in flight yet. */
export function hasWaiting(lane: Lane): boolean {
  return lane.kind === 'holding' || (lane.kind === 'flying' && lane.waiting !== 'nothing');
}

/** Whether something is not stored yet. */
export function isPending(lane: Lane): boolean {
  return lane.kind === 'flying' || lane.kind === 'holding';
}

/**
 * One step of a lane.
 * @param now milliseconds of a clock that does not jump
 * @param intervalMs the distance between two updates
 */
export function stepLane(lane: Lane, signal: LaneSignal, now: number, intervalMs: number): LaneStep {
  if (signal.kind === 'close') return stay({ kind: 'closed' });
  switch (lane.kind) {
    case 'closed':
      return stay(lane);
    case 'resting':
    case 'holding':
      return stepGround(lane, signal, now, intervalMs);
    case 'flying':
      return stepFlight(lane, signal, now, intervalMs);
  }
}

type Ground = Extract<Lane, { kind: 'resting' | 'holding' }>;
type Flying = Extract<Lane, { kind: 'flying' }>;
type LiveSignal = Exclude<LaneSignal, { kind: 'close' }>;

function stepGround(lane: Ground, signal: LiveSignal, now: number, intervalMs: number): LaneStep {
  switch (signal.kind) {
    case 'report':
      return signal.open && now >= lane.readyAt
        ? sendNewest(now, intervalMs)
        : stay({ kind: 'holding', readyAt: lane.readyAt });
    case 'due':
      return lane.kind === 'holding' && now >= lane.readyAt ? sendNewest(now, intervalMs) : stay(lane);
    case 'end':
      return sendEnd(lane.readyAt);
    case 'stored':
    case 'evicted':
      return stay(lane);
  }
}

function stepFlight(lane: Flying, signal: LiveSignal, now: number, intervalMs: number): LaneStep {
  switch (signal.kind) {
    case 'report':
      return lane.carries === 'end' || lane.waiting === 'end'
        ? stay(lane)
        : stay({ ...lane, waiting: 'newest' });
    case 'end':
      return lane.carries === 'end' ? stay(lane) : stay({ ...lane, waiting: 'end' });
    case 'due':
      return stay(lane);
    case 'stored':
      return landed(lane, now, intervalMs);
    case 'evicted':
      if (lane.carries === 'end') return stay(lane);
      if (lane.waiting === 'end') return sendEnd(lane.readyAt);
      return stay({ kind: 'holding', readyAt: Math.max(lane.readyAt, now + intervalMs) });
  }
}

function landed(lane: Flying, now: number, intervalMs: number): LaneStep {
  if (lane.carries === 'end') return stay({ kind: 'closed' });
  const { readyAt } = lane;
  switch (lane.waiting) {
    case 'nothing':
      return stay({ kind: 'resting', readyAt });
    case 'newest':
      return now >= readyAt ? sendNewest(now, intervalMs) : stay({ kind: 'holding', readyAt });
    case 'end':
      return sendEnd(readyAt);
  }
}

const stay = (lane: Lane): LaneStep => ({ lane, send: null });

const sendNewest = (now: number, intervalMs: number): LaneStep => ({
  lane: { kind: 'flying', carries: 'newest', waiting: 'nothing', readyAt: now + intervalMs },
  send: 'newest',
});

const sendEnd = (readyAt: number): LaneStep => ({
  lane: { kind: 'flying', carries: 'end', waiting: 'nothing', readyAt },
  send: 'end',
});
