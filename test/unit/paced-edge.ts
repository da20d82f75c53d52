/** An edge that is ready and a clock of its own, for tests of clients with a `max_rate`. */
import type { ServerFrame } from '../../schemas/frames.js';
import { event, type PureEdgeOptions, pureEdge, updates } from './edge-fixture.js';

/** An edge that is ready, of a stream whose events all come through it. */
export function edge(
  limits: PureEdgeOptions['limits'] = {},
  history: PureEdgeOptions['history'] = {},
  tailBytes?: number,
) {
  const clock = { now: 1_000_000 };
  const wallClock = () => clock.now;
  const core = pureEdge({ limits: { watermarkBytes: 64 * 1024, ...limits }, history, tailBytes, wallClock });
  core.log.begin('epoch');
  core.log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  let seq = 0;
  return {
    ...core,
    clock,
    /** Appends events, and ends the turn. */
    publish(...events: [id: string, fields?: object][]) {
      for (const [id, fields = {}] of events) core.log.append(++seq, clock.now, event(id, fields));
      while (core.turn());
    },
    /** Time passes, and whoever is due has its turn. */
    pass(ms: number) {
      clock.now += ms;
      core.wake();
      while (core.turn());
    },
  };
}

/** `seq`, `prev_seq`, `folded` and `resume_seq` of each update. */
export const told = (frames: readonly ServerFrame[]) =>
  updates(frames).map(({ seq, prev_seq, folded, resume_seq }) => [seq, prev_seq, folded, resume_seq]);
export const times = (count: number, id: string): [string][] => Array.from({ length: count }, () => [id]);
