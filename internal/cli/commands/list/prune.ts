import { setTimeout as delay } from 'node:timers/promises';
import type { LatestById } from '../../reads/latest-by-id.js';
import { isKept } from '../../reads/retention.js';
import { type StreamAccess, streamInfo } from '../../runtime/nats.js';
import type { Row } from './rows.js';

const LOOK_EVERY_MS = 2_000;

/** What a list that is followed has on the screen. */
export interface View {
  readonly newest: LatestById<Row>;
  /** The rows that there is room for. */
  shown(): readonly Row[];
  changed(): void;
}

/**
 * Takes jobs out of the view that the stream does not keep any more: they leave it without an event, by its limits or by
 * `headway purge`. Never returns.
 */
export async function pruneDeleted(access: StreamAccess, view: View, signal: AbortSignal): Promise<never> {
  let deleted: number | undefined;
  for (;;) {
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    try {
      const { state } = await streamInfo(access);
      if (view.newest.dropBelow(state.first_seq)) view.changed();
      // A look at each row is not cheap, and needed only where something was taken out of the middle.
      if (state.num_deleted === deleted) continue;
      for (const { id, seq } of view.shown()) {
        if (await isKept(access, seq)) continue;
        view.newest.drop(id, seq);
        view.changed();
      }
      deleted = state.num_deleted;
    } catch {
      // Of what hinders us whoever reads the events tells, and waits for it.
    }
  }
}
