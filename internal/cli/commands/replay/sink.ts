import type { DecodedEvent } from '../../../eventlog/decode.js';
import type { StoredMessage } from '../../../jetstream/read-stored.js';

/** Where a replay goes. */
export interface ReplaySink {
  /** The next message of the stream, when it is due; `event` is null when it is not to be shown. */
  show(message: StoredMessage, event: DecodedEvent | null): void;
  /** Whether so much is waiting that `flush` should be called now. */
  readonly isFull: boolean;
  /** Waits until everything is out of this process, and more may follow. */
  flush(): Promise<void>;
}
