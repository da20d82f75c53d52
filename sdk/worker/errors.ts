/** Everything that this package throws or rejects with, in one list. Each has a `code` for programs. */
export abstract class WorkerError extends Error {
  abstract readonly code: string;

  override get name(): string {
    return this.constructor.name;
  }
}

/** Why a worker lost its job. */
export type SupersededReason =
  /** A higher attempt has begun. */
  | 'newer_attempt'
  /** The job, or this attempt of it, has its end already. */
  | 'finished'
  /** This attempt was given up for its silence: by an end, or while another worker had it. */
  | 'timeout'
  /** Somebody else writes under the same attempt. */
  | 'other_writer';

const LOST: Record<SupersededReason, string> = {
  newer_attempt: 'a newer attempt has begun',
  finished: 'it is finished',
  timeout: 'it was given up, because nothing was heard of it for its timeout_seconds',
  other_writer: 'another worker writes to it under the same attempt',
};

/** This worker has lost its job; nothing it reports is written any more. Stop the work. */
export class SupersededError extends WorkerError {
  readonly code = 'superseded';
  constructor(
    readonly processingId: string,
    /** The attempt that was lost. */
    readonly attempt: number,
    readonly reason: SupersededReason,
    /** The sequence of the event that stands in the way; null when it could not be read. */
    readonly seq: number | null,
  ) {
    super(`Attempt ${attempt} of the job ${processingId} was lost: ${LOST[reason]}.`);
  }
}

/** The values do not fit into an event. A mistake in the program. */
export class InvalidEventError extends WorkerError {
  readonly code = 'invalid_event';
  constructor(
    /** Where the mistake is, as a JSON Pointer into what was given: `/message`. */
    readonly path: string,
    readonly problem: string,
  ) {
    super(`${path || 'What was given'} ${problem}.`);
  }
}

/** An event would be larger than events, or messages of this NATS, may be. Nothing was sent; the job is still open. */
export class EventTooLargeError extends WorkerError {
  readonly code = 'event_too_large';
  constructor(
    readonly processingId: string,
    /** Bytes of UTF-8. */
    readonly bytes: number,
    /** null: its stream takes fewer than 64 KiB, and does not say how many. */
    readonly limit: number | null,
  ) {
    const most = limit === null ? 'its stream takes none so large' : `at most ${limit} are allowed`;
    super(
      `The event of the job ${processingId} would have ${bytes} bytes; ${most}. Store what is ` +
        'large elsewhere, and put a link to it into the event.',
    );
  }
}

/** `complete` or `fail` was called for a job that has its end. */
export class JobEndedError extends WorkerError {
  readonly code = 'job_ended';
  constructor(readonly processingId: string) {
    super(`The job ${processingId} has been completed or failed already.`);
  }
}

/** The end of a job was not acknowledged in time. Whether it is stored is not known. */
export class NotAcknowledgedError extends WorkerError {
  readonly code = 'not_acknowledged';
  constructor(
    readonly processingId: string,
    /** What kept it from being stored, as far as is known; null: nothing is. */
    readonly reason: string | null = null,
    options?: ErrorOptions,
  ) {
    const why = reason === null ? '' : ` (${reason})`;
    super(
      `NATS did not acknowledge the end of the job ${processingId} in time${why}; it may be stored or not.`,
      options,
    );
  }
}

/** What these credentials may not do: read what a job's next event depends on, publish events, or get answers. */
export type DeniedOperation = 'read' | 'publish' | 'subscribe';

/** NATS does not permit something that the reporter needs. `onWarning` gets it; it is never thrown. */
export class NotPermittedError extends WorkerError {
  readonly code = 'not_permitted';
  constructor(
    /** null: it is about all jobs. */
    readonly processingId: string | null,
    /** The subjects of which one has to be permitted: to publish to, or with `subscribe` to subscribe to. */
    readonly subjects: readonly string[],
    /** What NATS said. */
    readonly detail: string,
    readonly operation: DeniedOperation = 'read',
  ) {
    super(deniedText(processingId, subjects.join(' or '), detail, operation));
  }
}

function deniedText(id: string | null, subjects: string, detail: string, operation: DeniedOperation): string {
  switch (operation) {
    case 'read':
      return `What was written to the job ${id} may not be read (${detail}): permit to publish to ${subjects}.`;
    case 'publish':
      return `There is no permission to publish to ${subjects}: NATS refuses it.`;
    case 'subscribe':
      return `There is no permission to subscribe to ${subjects}, so nothing is acknowledged.`;
  }
}

/** NATS refuses the credentials. `onWarning` gets it; it is never thrown. The reporter keeps trying. */
export class NotAuthorizedError extends WorkerError {
  readonly code = 'not_authorized';
  constructor(
    /** What NATS said. */
    readonly detail: string,
  ) {
    super(`NATS refuses the credentials (${detail}).`);
  }
}

/** The reporter was closed. */
export class ReporterClosedError extends WorkerError {
  readonly code = 'reporter_closed';
  constructor() {
    super('The reporter is closed.');
  }
}

/** The connection to NATS was closed by its owner, or gave up for good. What was not acknowledged may be stored or not. */
export class ConnectionClosedError extends WorkerError {
  readonly code = 'connection_closed';
  constructor() {
    super('The connection to NATS was closed, so nothing more can be sent.');
  }
}

/** An option of the reporter does not fit. */
export class InvalidOptionError extends WorkerError {
  readonly code = 'invalid_option';
  constructor(
    readonly option: string,
    problem: string,
  ) {
    super(`The option ${option} ${problem}.`);
  }
}
