import { printable } from '../../../../schemas/text.js';
import { eventLines } from '../../output/event-line.js';
import { isTable } from '../../output/format.js';
import { itemWriter } from '../../output/item-writer.js';
import { LineWriter } from '../../output/line-writer.js';
import { type JobEvent, updateJson } from '../../reads/job-event.js';
import type { CliContext } from '../../runtime/cli-context.js';
import type { TailOptions } from './tail.js';

/** Writes events as they come. */
export interface TailWriter {
  take(jobs: readonly JobEvent[]): Promise<void>;
  /** A message that is no event. */
  invalid(seq: number, subject: string, why: string): void;
  end(): Promise<void>;
}

export async function tailWriter(context: CliContext, options: TailOptions): Promise<TailWriter> {
  const invalid = (seq: number, subject: string, why: string): void =>
    context.stderr(`headway: seq ${seq} on ${printable(subject)} is not a valid event: ${printable(why)}\n`);
  const { output } = options;
  if (isTable(output)) {
    const emitter = new LineWriter(context);
    const lineText = eventLines(context, { ...options, isWide: output === 'wide' });
    const take = async (jobs: readonly JobEvent[]): Promise<void> => {
      for (const job of jobs) await emitter.line(lineText(job));
      // Each batch leaves at once: somebody may be waiting for it.
      await emitter.flush();
    };
    return { invalid, take, end: () => emitter.flush() };
  }
  const writer = await itemWriter(context, output);
  const withTime = options.timestamps === true || output === 'csv';
  const take = async (jobs: readonly JobEvent[]): Promise<void> => {
    for (const job of jobs) await writer.item(updateJson(job, null, withTime));
    await writer.flush();
  };
  return { invalid, take, end: () => writer.end() };
}
