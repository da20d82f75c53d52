import { printable } from '../../../schemas/text.js';
import { type JobEvent, updateJson } from '../jobs/job-event.js';
import { ArrayEmitter, Emitter } from '../show/emit.js';
import { eventLines } from '../show/event-line.js';
import type { Io } from '../world/io.js';
import type { TailOptions } from './options.js';

/** Writes events as they come. */
export interface TailWriter {
  take(jobs: readonly JobEvent[]): Promise<void>;
  /** A message that is no event. */
  invalid(seq: number, subject: string, why: string): void;
  end(): Promise<void>;
}

export function tailWriter(io: Io, options: TailOptions): TailWriter {
  const invalid = (seq: number, subject: string, why: string): void =>
    io.note(`headway: seq ${seq} on ${printable(subject)} is not a valid event: ${printable(why)}\n`);
  const emitter = new Emitter(io);
  switch (options.output) {
    case 'table': {
      const lineText = eventLines(io, options);
      return { invalid, take: each(emitter, lineText), end: () => emitter.flush() };
    }
    case 'ndjson': {
      const json = (job: JobEvent) => updateJson(job, null, options.timestamps);
      return { invalid, take: each(emitter, json), end: () => emitter.flush() };
    }
    case 'json': {
      const array = new ArrayEmitter(io);
      const take = async (jobs: readonly JobEvent[]): Promise<void> => {
        for (const job of jobs) await array.item(updateJson(job, null, options.timestamps));
      };
      return { invalid, take, end: () => array.end() };
    }
  }
}

// Each batch leaves at once: somebody may be waiting for it.
function each(emitter: Emitter, textOf: (job: JobEvent) => string) {
  return async (jobs: readonly JobEvent[]): Promise<void> => {
    for (const job of jobs) await emitter.line(textOf(job));
    await emitter.flush();
  };
}
