import type { Frame } from './client.js';

/**
 * Where a client has got to, kept by the rules of PROTOCOL.md, "What a client must do": the cursor, and the epoch and
 * the scope in which alone it means something. The three are one: whatever changes one of the others voids the cursor.
 */
export class ResumePoint {
  cursor: number | null = null;
  epoch: string | null = null;
  scope: string | null = null;
  /** On this connection, and since the last reset. */
  isCaughtUp = false;

  /** A connection begins. */
  opened(): void {
    this.isCaughtUp = false;
  }

  take(frame: Frame): void {
    switch (frame.type) {
      case 'hello':
        if (this.voids(frame)) this.cursor = null;
        this.epoch = frame.epoch as string;
        this.scope = frame.scope as string;
        return;
      case 'auth_ok':
        this.scope = frame.scope as string;
        return;
      case 'reset':
        this.cursor = null;
        this.epoch = frame.epoch as string;
        this.isCaughtUp = false;
        return;
      case 'progress_update':
        this.cursor = frame.seq as number;
        return;
      case 'caught_up':
        this.cursor = frame.cursor as number;
        this.isCaughtUp = true;
        return;
      case 'heartbeat':
        if (this.isCaughtUp) this.cursor = frame.cursor as number;
        return;
      // A client ignores what is not about its place, and what it does not know.
      default:
        return;
    }
  }

  /** The parameters to come back with; empty for a client that has no cursor. */
  query(): URLSearchParams {
    const query = new URLSearchParams();
    if (this.cursor === null) return query;
    query.set('last_seq', String(this.cursor));
    if (this.epoch !== null) query.set('epoch', this.epoch);
    if (this.scope !== null) query.set('scope', this.scope);
    return query;
  }

  /** Whether a `hello` is of another epoch or scope than the cursor: under it the cursor means nothing. */
  voids({ epoch, scope }: Frame): boolean {
    const isOther = (own: string | null, told: unknown): boolean => own !== null && own !== told;
    return isOther(this.epoch, epoch) || isOther(this.scope, scope);
  }
}
