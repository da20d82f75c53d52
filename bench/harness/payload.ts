/** What all servers under test are given to send: the same events, in frames of the same size. */

/** Two bytes that every event has once, and that nothing else on any of the wires has: clients count updates by them. */
export const MARK = '^^';

/** Behind the mark: when the event was made, in microseconds of the system's clock that all processes share. */
export const STAMP_DIGITS = 16;

/** Microseconds of a clock that all processes of this machine share, and that never goes back. */
export function nowMicros(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

/** The id of a job by its number, always of the same length. */
export function jobId(number: number): string {
  return `job-${String(number).padStart(6, '0')}`;
}

/** An event as a worker publishes it: 170 bytes, of which Headway makes a frame of about 225. */
export function eventOf(job: string, number: number): string {
  return `{${fieldsOf(job, number)}}`;
}

/** The frame that Headway makes of such an event, for those who have nobody to make it: the same bytes on the wire. */
export function frameOf(job: string, number: number): string {
  const seq = 1_000_000 + number;
  return `{"type":"progress_update","seq":${seq},"prev_seq":${seq - 1},${fieldsOf(job, number)}}`;
}

function fieldsOf(job: string, number: number): string {
  const stamp = String(nowMicros()).padStart(STAMP_DIGITS, '0');
  const page = 10 + (number % 90);
  return (
    `"processing_id":"${job}","status":"processing","progress":${page},"timestamp":"${new Date().toISOString()}",` +
    `"job_type":"bench","message":"${MARK}${stamp} page ${page} of 100"`
  );
}
