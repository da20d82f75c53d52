/** What handles were told, held against what JetStream stored. It knows nothing of the client. */
import type { NatsConnection } from 'nats';
import { expect } from 'vitest';
import { storedEvents } from '../publish.js';
import type { Told } from './recorder.js';
import type { Seat } from './seat.js';

export interface Stored {
  readonly seq: number;
  readonly progress: number;
  readonly status: string;
}

/**
 * What is wrong with what one handle was told of one job: each update must be the stored event behind the one before it, or
 * stand for those between, with its content, up to the last one. The first behind a reset may be any.
 * @param begin behind which event the handle goes on; 0: it was there from the first on; null: it came late, and begins
 * anywhere
 */
export function faultsOf(
  told: readonly Told[],
  stored: readonly Stored[],
  begin: number | null = 0,
): string[] {
  const faults: string[] = [];
  const placeOf = (seq: number | undefined) => stored.findIndex((event) => event.seq === seq);
  let next = begin === null ? null : placeOf(begin) + 1;
  for (const { what, seq, progress, status, folded = 1, why } of told) {
    if (what === 'fault') faults.push(String(why));
    if (what === 'reset') next = null;
    if (what !== 'update') continue;
    const place = placeOf(seq);
    const event = stored[place];
    if (event === undefined) faults.push(`${seq} was never stored`);
    else if (event.progress !== progress || event.status !== status)
      faults.push(`${seq} was shown as another`);
    if (next !== null && place < next) faults.push(`${seq} was shown again`);
    const first = place - folded + 1;
    if (first < 0) faults.push(`${seq} stands for ${folded}, and there are ${place + 1}`);
    if (next !== null && first > next) faults.push(`missing before ${seq}: ${first - next}`);
    next = place + 1;
  }
  if (next === null) faults.push('nothing was shown');
  else if (next < stored.length) faults.push(`missing at the end: ${stored.length - next}`);
  return faults;
}

export async function storedOf(nc: NatsConnection, id: string): Promise<Stored[]> {
  const events = await storedEvents(nc, 'PROGRESS', id);
  return events.map(({ seq, json }) => {
    const { progress, status } = json as Stored;
    return { seq, progress, status };
  });
}

/**
 * Every handle was told everything that is stored of its job, once, in order, and of no reset; and nothing was thrown.
 * @param handles the job of each
 */
export async function expectComplete(
  seat: Seat,
  nc: NatsConnection,
  handles: Record<string, string>,
): Promise<void> {
  const told = await seat.call('told');
  for (const [handle, id] of Object.entries(handles)) {
    const own = told.filter((one) => one.handle === handle && (one.id ?? id) === id);
    const faults = faultsOf(own, await storedOf(nc, id));
    const resets = own.filter(({ what }) => what === 'reset' || what === 'skipped');
    expect({ handle, faults, resets }).toEqual({ handle, faults: [], resets: [] });
  }
  expect(seat.errors).toEqual([]);
}
