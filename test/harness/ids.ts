/** Names that no two tests share, within a run and across runs on one server. */
import { randomBytes } from 'node:crypto';

let count = 0;

/** `<prefix>-<counter>-<random>`: legal as a processing_id, an edge id and a durable's name. */
export function uniqueId(prefix = 'id'): string {
  count += 1;
  return `${prefix}-${count}-${randomBytes(4).toString('hex')}`;
}

/** A processing_id of its own. */
export function jobId(prefix = 'job'): string {
  return uniqueId(prefix);
}

/** The name of a stream of its own. One server holds only one stream on `progress.*` at a time. */
export function streamName(prefix = 'PROGRESS'): string {
  return uniqueId(prefix).replaceAll('-', '_').toUpperCase();
}
