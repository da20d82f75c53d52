import { NotPermittedError } from './errors.js';
import type { Forbidden } from './ports.js';
import type { Trouble } from './warning.js';

/** What is told of an event that was refused by something that may not be read. */
export interface Unread {
  readonly processingId: string;
  readonly forbidden: Omit<Forbidden, 'kind'>;
  readonly hasBegun: boolean;
  /** The attempt that the author asked for. */
  readonly requested: number | null;
}

/** Says which permission is missing, and what is done until then. */
export function unreadTrouble({ processingId, forbidden, hasBegun, requested }: Unread): Trouble {
  const error = new NotPermittedError(processingId, forbidden.subjects, forbidden.detail);
  const told = { processingId, error };
  if (hasBegun) {
    return { ...told, kind: 'not_permitted', message: `${error.message} Nothing is written until then.` };
  }
  const until =
    requested === null
      ? 'Nothing is written until then, or give the attempt.'
      : `This is attempt ${requested} whatever was before.`;
  return { ...told, kind: 'attempt_unknown', message: `${error.message} ${until}` };
}
