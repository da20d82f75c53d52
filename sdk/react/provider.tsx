import type { ReactElement, ReactNode } from 'react';
import type { ProgressClient } from '../client/types.js';
import { ClientContext } from './hooks.js';

export interface HeadwayProviderProps {
  /** Of `createProgressClient`; null: none, as on a server, and nothing is followed. */
  readonly client: ProgressClient | null;
  readonly children?: ReactNode;
}

/** Gives all components in it the client. It does not close it: whoever made it does. */
export function HeadwayProvider({ client, children }: HeadwayProviderProps): ReactElement {
  return <ClientContext.Provider value={client}>{children}</ClientContext.Provider>;
}
