import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { subjectOf } from '../../../../schemas/ids.js';
import { readStored } from '../../../jetstream/read-stored.js';
import type { CliContext } from '../../runtime/cli-context.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { parseExportLine } from './record.js';

/** What the lines of an earlier export are of. */
export interface FileJobs {
  /** The one job that all of them are of; null: they are of several, or of none. */
  readonly only: string | null;
  readonly firstSeq: number;
}

/** Reads until a second job comes, which in an export of all jobs is soon. @param size bytes of whole lines */
export async function jobsIn(path: string, size: number): Promise<FileJobs> {
  let firstSeq = 0;
  let only: string | null = null;
  if (size === 0) return { only, firstSeq };
  const input = createReadStream(path, { end: size - 1 });
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  // Whoever takes the lines is not told that the file cannot be read.
  let failure: Error | null = null;
  input.once('error', (error) => {
    failure = error;
    lines.close();
  });
  for await (const line of lines) {
    const place = parseExportLine(line);
    if (place === null) continue;
    if (firstSeq === 0) {
      firstSeq = place.seq;
      only = place.id;
    } else if (place.id !== only) only = null;
    if (only === null) break;
  }
  input.destroy();
  if (failure !== null) throw failure;
  return { only, firstSeq };
}

/** Whether between two sequences something is stored of another job. */
export async function hasOthers(
  access: StreamAccess,
  context: CliContext,
  { id, from, to }: { id: string; from: number; to: number },
): Promise<boolean> {
  const range = { id: null, from: { kind: 'seq', seq: from }, until: 'head' } as const;
  const quiet = { gap: () => {}, lost: () => {} };
  for await (const batch of readStored(access, range, context.stopped, quiet)) {
    for (const { seq, subject } of batch) {
      if (seq > to) return false;
      if (subject !== subjectOf(id)) return true;
    }
  }
  return false;
}
