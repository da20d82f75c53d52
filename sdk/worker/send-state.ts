/**
 * When a job's events leave: the coalescing, pure. At most one event is in flight; while it is, newer reports coalesce
 * into the newest state, and updates keep a distance in time. The first event and the terminal event never wait for
 * that distance and are never coalesced.
 */
export type SendState =
  /** Nothing is in flight and nothing waits. */
  | { readonly kind: 'idle'; readonly readyAt: number }
  /** Nothing is in flight; the newest state waits until `readyAt`, or until NATS is there. */
  | { readonly kind: 'scheduled'; readonly readyAt: number }
  /** One event is on its way, through all of its tries, and something may wait behind it. */
  | {
      readonly kind: 'in_flight';
      readonly sending: 'update' | 'terminal';
      readonly queued: 'nothing' | 'update' | 'terminal';
      readonly readyAt: number;
    }
  /** The end is stored, or the job is lost. Nothing is sent any more. */
  | { readonly kind: 'closed' };

export type SendSignal =
  /** The job reported a newer state. `isConnected`: NATS is there. */
  | { readonly kind: 'report'; readonly isConnected: boolean }
  /** The job completed or failed. */
  | { readonly kind: 'end' }
  /** Time has passed, or NATS came back. */
  | { readonly kind: 'due' }
  /** What was in flight is stored. */
  | { readonly kind: 'stored' }
  /** What was in flight was evicted, because memory is full; it was not the terminal event. */
  | { readonly kind: 'evicted' }
  /** The job is lost, or the reporter closed. */
  | { readonly kind: 'close' };

export interface SendTransition {
  readonly state: SendState;
  /** What to send now: the newest state, or the terminal event. */
  readonly send: 'update' | 'terminal' | null;
}

/** A job's send state while its first event is on its way. */
export function initialSendState(now: number, intervalMs: number): SendState {
  return { kind: 'in_flight', sending: 'update', queued: 'nothing', readyAt: now + intervalMs };
}

/** Whether something waits that is not in flight yet. */
export function hasWaiting(state: SendState): boolean {
  return state.kind === 'scheduled' || (state.kind === 'in_flight' && state.queued !== 'nothing');
}

/** Whether something is not stored yet. */
export function isPending(state: SendState): boolean {
  return state.kind === 'in_flight' || state.kind === 'scheduled';
}

/**
 * The next send state of a job, and what to send now.
 * @param now milliseconds of a clock that does not jump
 * @param intervalMs the distance between two updates
 */
export function reduce(
  state: SendState,
  signal: SendSignal,
  now: number,
  intervalMs: number,
): SendTransition {
  if (signal.kind === 'close') return stay({ kind: 'closed' });
  switch (state.kind) {
    case 'closed':
      return stay(state);
    case 'idle':
    case 'scheduled':
      return reduceNotInFlight(state, signal, now, intervalMs);
    case 'in_flight':
      return reduceInFlight(state, signal, now, intervalMs);
  }
}

type NotInFlight = Extract<SendState, { kind: 'idle' | 'scheduled' }>;
type InFlight = Extract<SendState, { kind: 'in_flight' }>;
type OpenSignal = Exclude<SendSignal, { kind: 'close' }>;

function reduceNotInFlight(
  state: NotInFlight,
  signal: OpenSignal,
  now: number,
  intervalMs: number,
): SendTransition {
  switch (signal.kind) {
    case 'report':
      return signal.isConnected && now >= state.readyAt
        ? sendUpdate(now, intervalMs)
        : stay({ kind: 'scheduled', readyAt: state.readyAt });
    case 'due':
      return state.kind === 'scheduled' && now >= state.readyAt ? sendUpdate(now, intervalMs) : stay(state);
    case 'end':
      return sendTerminal(state.readyAt);
    case 'stored':
    case 'evicted':
      return stay(state);
  }
}

function reduceInFlight(
  state: InFlight,
  signal: OpenSignal,
  now: number,
  intervalMs: number,
): SendTransition {
  switch (signal.kind) {
    case 'report':
      return state.sending === 'terminal' || state.queued === 'terminal'
        ? stay(state)
        : stay(queued(state, 'update'));
    case 'end':
      return state.sending === 'terminal' ? stay(state) : stay(queued(state, 'terminal'));
    case 'due':
      return stay(state);
    case 'stored':
      return afterStored(state, now, intervalMs);
    case 'evicted':
      if (state.sending === 'terminal') return stay(state);
      if (state.queued === 'terminal') return sendTerminal(state.readyAt);
      return stay({ kind: 'scheduled', readyAt: Math.max(state.readyAt, now + intervalMs) });
  }
}

function afterStored(state: InFlight, now: number, intervalMs: number): SendTransition {
  if (state.sending === 'terminal') return stay({ kind: 'closed' });
  const { readyAt } = state;
  switch (state.queued) {
    case 'nothing':
      return stay({ kind: 'idle', readyAt });
    case 'update':
      return now >= readyAt ? sendUpdate(now, intervalMs) : stay({ kind: 'scheduled', readyAt });
    case 'terminal':
      return sendTerminal(readyAt);
  }
}

// Written out, not spread: this is done for each report.
const queued = ({ sending, readyAt }: InFlight, what: 'update' | 'terminal'): InFlight => ({
  kind: 'in_flight',
  sending,
  queued: what,
  readyAt,
});

const stay = (state: SendState): SendTransition => ({ state, send: null });

const sendUpdate = (now: number, intervalMs: number): SendTransition => ({
  state: { kind: 'in_flight', sending: 'update', queued: 'nothing', readyAt: now + intervalMs },
  send: 'update',
});

const sendTerminal = (readyAt: number): SendTransition => ({
  state: { kind: 'in_flight', sending: 'terminal', queued: 'nothing', readyAt },
  send: 'terminal',
});
