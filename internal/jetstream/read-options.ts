import type { JetStreamClient, JetStreamManager, NatsConnection } from 'nats';

/** What a read needs of a connection. */
export interface ReadAccess {
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly js: JetStreamClient;
  readonly stream: string;
}

export type ReadFrom =
  | { readonly kind: 'first' }
  /** A stream sequence from 1. */
  | { readonly kind: 'seq'; readonly seq: number }
  /** ms since 1970, by the server's clock. */
  | { readonly kind: 'time'; readonly ms: number }
  /** The newest message of each job, then what follows. Older servers leave jobs out: `readLastStates`. */
  | { readonly kind: 'last_per_subject' }
  /** What is stored from now on. */
  | { readonly kind: 'new' };

export interface ReadRange {
  /** A job; null: all of them. */
  readonly id: string | null;
  readonly from: ReadFrom;
  /** `head`: the newest message as of the start. A `seq` above it counts as the head. */
  readonly until: 'head' | 'forever' | { readonly seq: number };
}

/** Told of what a person might want to know while a read goes on. */
export interface ReadObserver {
  /** What was asked for from `asked` on is kept only from `first` on: what lies between is gone. */
  gap?(asked: number, first: number): void;
  /** The read was interrupted; it waits and goes on by itself. Once for each interruption. */
  lost?(reason: string): void;
  /** It goes on. */
  resumed?(): void;
  /** The stream was deleted and made again; a read without an end goes on from the new one's first message. */
  replaced?(): void;
}
