import { setTimeout as delay } from 'node:timers/promises';
import { readStored } from '../../../jetstream/read-stored.js';
import { isTable } from '../../output/format.js';
import { itemWriter } from '../../output/item-writer.js';
import { LineWriter, writeLines } from '../../output/line-writer.js';
import { LiveView } from '../../output/live-view.js';
import { eachState } from '../../reads/each-state.js';
import { HeartbeatListener } from '../../reads/heartbeat-listener.js';
import { type JobEvent, readEvent } from '../../reads/job-event.js';
import { isKept } from '../../reads/retention.js';
import type { CliContext } from '../../runtime/cli-context.js';
import { type StreamAccess, streamInfo } from '../../runtime/nats.js';
import { type Progress, readStatus } from '../../runtime/status.js';
import { LatestById } from './latest-by-id.js';
import { jsonOf, type ListOptions } from './options.js';
import { type ListStyle, listTable, type Row, rowOf } from './rows.js';
import { ListView } from './view.js';

/** The view keeps so many jobs at least, so that rows that leave it uncover others. */
const KEPT_ROWS = 50_000;
const UNTOLD: Progress = { show: () => undefined, clear: () => undefined };
const DRAW_EVERY_MS = 250;
const LOOK_EVERY_MS = 2_000;
/** Ages change also where nothing happens. */
const REDRAW_EVERY_MS = 1_000;

/** `headway list -f`: never returns; ends with the signal's reason. */
export async function followList(
  context: CliContext,
  access: StreamAccess,
  options: ListOptions,
  style: ListStyle,
  isWanted: (job: JobEvent) => boolean,
  progress: Progress,
): Promise<void> {
  if (!isTable(options.output)) {
    const writer = await itemWriter(context, options.output);
    const json = jsonOf(options);
    const write = (job: JobEvent) => writer.item(json(job));
    const upTo = await eachState(context, access, progress, (job) =>
      isWanted(job) ? write(job) : undefined,
    );
    await writer.flush();
    await eachChange(context, access, upTo, async (jobs) => {
      for (const job of jobs) if (isWanted(job)) await write(job);
      await writer.flush();
    });
    return;
  }
  if (context.terminal.out) await followOnTerminal(context, access, options, style, isWanted, progress);
  else await followInLines(context, access, options, style, isWanted, progress);
}

async function followInLines(
  context: CliContext,
  access: StreamAccess,
  { limit = Number.POSITIVE_INFINITY }: ListOptions,
  style: ListStyle,
  isWanted: (job: JobEvent) => boolean,
  progress: Progress,
): Promise<void> {
  const newest = new LatestById<Row>(limit);
  let upTo: number;
  do {
    newest.clear();
    upTo = await eachState(context, access, progress, (job) => keepOrDrop(job, newest, style, isWanted));
  } while (newest.isShortOf(limit));
  const table = listTable(newest.sorted(), style);
  await writeLines(context, table.lines);
  const emitter = new LineWriter(context);
  await eachChange(context, access, upTo, async (jobs) => {
    for (const job of jobs) if (isWanted(job)) await emitter.line(table.add(rowOf(job, style)));
    await emitter.flush();
  });
}

/** A job is among the wanted from here on, or not any more. */
function keepOrDrop(
  job: JobEvent,
  newest: LatestById<Row>,
  style: ListStyle,
  isWanted: (job: JobEvent) => boolean,
): void {
  if (isWanted(job)) newest.put(rowOf(job, style));
  else newest.drop(job.id, job.seq);
}

async function followOnTerminal(
  context: CliContext,
  access: StreamAccess,
  { limit = Number.POSITIVE_INFINITY }: ListOptions,
  style: ListStyle,
  isWanted: (job: JobEvent) => boolean,
  progress: Progress,
): Promise<void> {
  const newest = new LatestById<Row>(KEPT_ROWS);
  let isChanged = true;
  const take = (job: JobEvent): void => {
    keepOrDrop(job, newest, style, isWanted);
    isChanged = true;
  };
  const upTo = await eachState(context, access, progress, take);
  const screen = new LiveView(context);
  const listening = new HeartbeatListener(access.connection);
  const view = new ListView(context, { ...style, silenceMs: (row) => listening.silenceMs(row) });
  const draw = async (signal: AbortSignal): Promise<never> => {
    for (let waited = 0; ; waited += DRAW_EVERY_MS) {
      if (isChanged || waited >= REDRAW_EVERY_MS) {
        isChanged = false;
        waited = 0;
        await screen.draw(view.draw(newest.sorted().slice(0, limit)));
      }
      await delay(DRAW_EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  };
  const ended = new AbortController();
  const signal = AbortSignal.any([context.stopped, ended.signal]);
  const changed = (): void => {
    isChanged = true;
  };
  // The sequences of a stream that was made again are others.
  const replaced = (): void => {
    newest.clear();
    changed();
  };
  try {
    await Promise.race([
      draw(signal),
      pruneDeleted(access, { newest, shown: () => view.shown, changed }, signal),
      eachChange(
        context,
        access,
        upTo,
        async (jobs) => {
          for (const job of jobs) take(job);
          if (!newest.isShortOf(Math.min(limit, context.rows()))) return;
          newest.clear();
          // Nothing is told beside the view, which has the screen.
          await eachState(context, access, UNTOLD, take);
        },
        replaced,
      ),
    ]);
  } finally {
    listening.close();
    ended.abort();
  }
}

/** Calls `take` with the valid events after `upTo`, as they come. */
async function eachChange(
  context: CliContext,
  access: StreamAccess,
  upTo: number,
  take: (jobs: readonly JobEvent[]) => Promise<void>,
  replaced: () => void = () => {},
): Promise<void> {
  const range = { id: null, from: { kind: 'seq', seq: upTo + 1 }, until: 'forever' } as const;
  const notes = readStatus(context);
  const observer = {
    ...notes,
    replaced: () => {
      notes.replaced?.();
      replaced();
    },
  };
  for await (const batch of readStored(access, range, context.stopped, observer)) {
    const jobs = batch.flatMap((message) => {
      const read = readEvent(message);
      return read.ok ? [read.job] : [];
    });
    if (jobs.length > 0) await take(jobs);
  }
}

/** What a list that is followed has on the screen. */
interface Followed {
  readonly newest: LatestById<Row>;
  /** The rows that there is room for. */
  shown(): readonly Row[];
  changed(): void;
}

/**
 * Takes jobs out of the view that the stream does not keep any more: they leave it without an event, by its limits or by
 * `headway purge`. Never returns.
 */
async function pruneDeleted(access: StreamAccess, view: Followed, signal: AbortSignal): Promise<never> {
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
