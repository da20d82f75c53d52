import type { InvalidReason } from '../eventlog/decode.js';
import type { RequiredPermission, Role } from './required-permissions.js';

/** What one look at the system gave: the facts, or why there are none. */
export type Observed<T> =
  | { readonly kind: 'known'; readonly value: T }
  /** NATS does not permit it; `subject` is what is missing. */
  | { readonly kind: 'not_permitted'; readonly subject: string }
  | { readonly kind: 'failed'; readonly reason: string }
  /** There was no sense in looking, because of what another look gave. */
  | { readonly kind: 'skipped'; readonly reason: string };

export interface ServerFacts {
  /** As the server says it: `2.15.1`. */
  readonly version: string;
  /** The cluster that the server belongs to; null when it stands alone. */
  readonly cluster: string | null;
  /** The largest message that it takes, in bytes. */
  readonly maxPayload: number;
}

export interface Usage {
  readonly used: number;
  /** null: no limit. */
  readonly limit: number | null;
}

export interface AccountFacts {
  /** Bytes in files, bytes in memory, and numbers; each with the account's limit. */
  readonly storage: Usage;
  readonly memory: Usage;
  readonly streams: Usage;
  readonly consumers: Usage;
}

/** One field of the stream, and what Headway makes it. */
export interface Difference {
  readonly field: string;
  readonly is: unknown;
  readonly shouldBe: unknown;
}

export interface StreamFacts {
  /** How it differs from what Headway relies on. */
  readonly drift: readonly Difference[];
  /** How else it differs from the stream that Headway makes: the operator's own choices. */
  readonly choices: readonly Difference[];
  readonly storage: string;
  /** What happens at a limit of its size: with `old` the oldest events leave, with `new` new ones are refused. */
  readonly discard: 'old' | 'new';
  readonly sealed: boolean;
  /** `async`: the server acknowledges before it has written. */
  readonly persistMode: string | null;
  /** In bytes; null: no limit. */
  readonly maxMessageBytes: number | null;
  readonly duplicateWindowMs: number;
  /** null: events are kept for ever. */
  readonly maxAgeMs: number | null;
  readonly maxEventsPerJob: number | null;
  readonly bytes: Usage;
  readonly messages: Usage;
  readonly consumers: Usage;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** When the oldest event was stored, in ms since 1970; null when there is none. */
  readonly oldestAt: number | null;
  readonly copies: ReplicaFacts;
}

export interface ReplicaFacts {
  /** How many there should be. */
  readonly wanted: number;
  readonly leader: string | null;
  readonly followers: readonly FollowerFacts[];
}

export interface FollowerFacts {
  readonly server: string;
  readonly current: boolean;
  readonly offline: boolean;
  /** Operations that it is behind the leader. */
  readonly lag: number;
  /** How long ago the leader heard from it. */
  readonly silentMs: number;
}

export type StreamState =
  | { readonly kind: 'there'; readonly stream: StreamFacts }
  /** `takenBy`: the stream of this account that has `progress.*` in its place; null when none has, or none can be seen. */
  | { readonly kind: 'missing'; readonly takenBy: string | null };

export interface ConsumerFacts {
  readonly name: string;
  readonly createdAt: number;
  /** When it last delivered something; null when it never has. */
  readonly lastDeliveredAt: number | null;
  /** Whether a pull waited in any of the looks. */
  readonly isPulled: boolean;
  /** Whether it was made anew between the looks: whoever it belongs to lives. */
  readonly isRebuilt: boolean;
  /** For how long it delivers nothing, by somebody's order; null: it is not paused. */
  readonly pausedForMs: number | null;
  /** Where an edge's consumer is other than an edge makes it, in what reaches its clients. */
  readonly changes: readonly Difference[];
  /** Messages that it has still to deliver, in the first and in the last look. */
  readonly pending: readonly [first: number, last: number];
  /** Up to which sequence of the stream it has delivered, in the first and in the last look. */
  readonly delivered: readonly [first: number, last: number];
  /** After how long without a pull the server removes it; null: never. */
  readonly removedAfterMs: number | null;
  readonly isDurable: boolean;
}

/** What a consumer can be behind, or beyond. */
export interface StreamEnds {
  /** The sequence of the newest event, before consumers were looked at; 0 when none is known. */
  readonly newestEvent: number;
  /** The last sequence of the stream, after they were. */
  readonly last: number;
}

export interface InvalidEvent {
  readonly seq: number;
  readonly subject: string;
  /** null when the subject names no job. */
  readonly id: string | null;
  readonly reason: InvalidReason;
  readonly detail: string;
}

/** The events of one job: their own times against those of the server that stored them. */
export interface JobSkew {
  readonly id: string;
  readonly jobType: string | undefined;
  readonly samples: number;
  /** Event's time minus stored time, in ms, the median. Above 0: the worker's clock is ahead, or the server's behind. */
  readonly medianMs: number;
}

export interface EventFacts {
  /** How many messages were read, and which. */
  readonly scanned: number;
  readonly fromSeq: number;
  readonly toSeq: number;
  /** Why the scan ended before it had read everything that was asked for; null when it did not. */
  readonly cutShort: string | null;
  readonly invalid: number;
  readonly invalidByReason: ReadonlyMap<InvalidReason, number>;
  /** The newest of them. */
  readonly newestInvalid: readonly InvalidEvent[];
  readonly skews: readonly JobSkew[];
}

/** The last event of a job that is not finished. */
export interface UnfinishedJob {
  readonly id: string;
  readonly jobType: string | undefined;
  readonly seq: number;
  /** undefined: it names none. */
  readonly attempt?: number | undefined;
  /** ms since 1970, by the server's clock. */
  readonly storedAt: number;
  /** When the worker was heard last, where that is another time: the event is an edge's. ms since 1970, by the same clock. */
  readonly heardAt?: number | undefined;
  /** Silence for so long is a stall, by the event's own word; null: it says nothing. */
  readonly stallAfterMs: number | null;
  /** Silence for so long is a failure, by the event's own word; null: it says nothing. */
  readonly timeoutMs: number | null;
}

export interface JobsFacts {
  readonly jobs: number;
  readonly unfinished: number;
  /** The newest messages of jobs that are not events, where a job's last one is none; those that were stored last. */
  readonly unreadable: readonly InvalidEvent[];
  readonly cutShort: string | null;
  /** Silent for longer than they may be, the longest first; at most as many as are looked at. */
  readonly silent: readonly UnfinishedJob[];
  readonly silentInAll: number;
  /** Unfinished, and their last event is about to leave by its age; the oldest first. */
  readonly leaving: readonly UnfinishedJob[];
  readonly leavingInAll: number;
}

export interface HeartbeatFacts {
  readonly listenedMs: number;
  readonly heard: ReadonlySet<string>;
}

/** A job of which as many events are stored as the stream keeps. */
export interface FullJob {
  readonly id: string;
  readonly events: number;
  /** How far back its kept events reach; null when that was not looked at. */
  readonly reachMs: number | null;
}

/** A subject of the stream that names no job. Whoever publishes chose it. */
export interface StraySubject {
  readonly subject: string;
  readonly messages: number;
}

/** What a publisher would meet. */
export type PublishFacts =
  | { readonly kind: 'takes' }
  /** `code`: the number of the error; null when it has none. */
  | { readonly kind: 'refuses'; readonly code: number | null; readonly reason: string };

/** Whether the server can write into the folder of the stream. */
export type WriteFacts = { readonly kind: 'writes' } | { readonly kind: 'fails'; readonly reason: string };

/** How this machine's clock stands to the server's. */
export interface ClockFacts {
  /** This machine's clock minus the server's, in ms. */
  readonly offsetMs: number;
  /** By how much that may be wrong: half the time that the question took. */
  readonly uncertaintyMs: number;
}

/** Whether NATS permits something that a role needs. */
export interface NeedFacts {
  readonly need: RequiredPermission;
  readonly result: 'permitted' | 'refused' | 'unknown';
}

export interface PermissionFacts {
  /** As the server names them; null when it does not say. */
  readonly user: string | null;
  readonly account: string | null;
  /** Whose credentials they are meant to be; null: nobody's in particular. */
  readonly meantFor: Role | null;
  readonly needs: readonly NeedFacts[];
}

/** All that `headway doctor` saw. Times are ms since 1970 by the clock of the server. */
export interface Facts {
  readonly now: number;
  readonly streamName: string;
  readonly server: ServerFacts;
  /** null: JetStream is not enabled for this account. */
  readonly account: Observed<AccountFacts | null>;
  readonly stream: Observed<StreamState>;
  readonly consumers: Observed<readonly ConsumerFacts[]>;
  /** null: not known. */
  readonly ends: StreamEnds | null;
  readonly events: Observed<EventFacts>;
  readonly jobs: Observed<JobsFacts>;
  readonly fullJobs: Observed<readonly FullJob[]>;
  readonly strays: Observed<readonly StraySubject[]>;
  readonly heartbeats: Observed<HeartbeatFacts>;
  readonly publish: Observed<PublishFacts>;
  readonly disk: Observed<WriteFacts>;
  readonly clock: Observed<ClockFacts>;
  readonly permissions: PermissionFacts;
}
