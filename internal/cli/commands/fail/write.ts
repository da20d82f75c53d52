import { randomBytes } from 'node:crypto';
import { NatsError } from 'nats';
import { subjectOf } from '../../../../schemas/ids.js';
import { HeadwayError } from '../../../errors.js';
import { apiErrorCode, lastMessage } from '../../../jetstream/stream.js';
import type { StreamAccess } from '../../runtime/nats.js';

const WRONG_LAST_SEQUENCE = 10071;

/** Somebody wrote to the job between the look at it and the end that was to be written. */
export class JobMovedError extends HeadwayError {
  readonly code = 'job_moved';
  constructor(id: string) {
    super(
      `The job ${id} got another event meanwhile, so nothing was written: its worker may live, or somebody else has ` +
        `ended it. Look at it with headway get ${id}.`,
    );
  }
}

/**
 * Appends an event to a job, if `behind` is still the seq of the job's newest message. The leader of the stream decides,
 * so of many who write at once one is stored.
 * @returns the seq of the event
 * @throws JobMovedError when the job has a newer message; NatsError when NATS refuses it or does not answer
 */
export async function append(
  { js, jsm, stream }: StreamAccess,
  id: string,
  behind: number,
  text: string,
): Promise<number> {
  const msgID = randomBytes(16).toString('base64url');
  try {
    const ack = await js.publish(subjectOf(id), new TextEncoder().encode(text), {
      msgID,
      expect: { streamName: stream, lastSubjectSequence: behind },
    });
    return ack.seq;
  } catch (error) {
    if (error instanceof NatsError && error.isPermissionError()) throw error;
    // The acknowledgement may have been lost, and the event is stored all the same.
    const newest = await lastMessage(jsm, stream, subjectOf(id));
    if (newest?.header.get('Nats-Msg-Id') === msgID) return newest.seq;
    if (apiErrorCode(error) === WRONG_LAST_SEQUENCE) throw new JobMovedError(id);
    throw error;
  }
}
