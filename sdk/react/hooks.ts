import { createContext, useCallback, useContext, useMemo, useSyncExternalStore } from 'react';
import type { JobSnapshot, JobsFilter, JobsOptions, JobsSnapshot, ProgressClient } from '../client/types.js';
import { FollowedMap } from './store.js';

export const ClientContext = createContext<ProgressClient | null | undefined>(undefined);

export interface UseJobOptions {
  /**
   * Shows the fallback of the nearest `Suspense` until the first state is there, and throws to the nearest error boundary
   * what comes in its place. On a server the fallback is rendered.
   */
  readonly suspense?: boolean;
}

/** What is asked of all jobs, or of all of a type, as of `client.jobs`. */
export type UseJobsOptions = Pick<JobsOptions, 'maxRate' | 'maxFinished'>;

const NEW = {
  connection: 'idle',
  isCurrent: false,
  hasForgotten: false,
  continuity: { kind: 'unknown' },
  error: null,
} as const;
const NO_JOBS: JobsSnapshot = { ...NEW, jobs: new Map() };
const newJob = (id: string): JobSnapshot => ({ ...NEW, id, state: null, stalled: null, isEnded: false });
const closedBy = (error: Error) => ({ connection: 'closed', error }) as const;

const JOBS = new FollowedMap<JobSnapshot>(
  (client, id) => client.job(id),
  (id, error) => ({ ...newJob(id), ...closedBy(error) }),
);
const LISTS = new FollowedMap<JobsSnapshot>(
  (client, key) => client.jobs(...(JSON.parse(key) as [JobsFilter, UseJobsOptions])),
  (_, error) => ({ ...NO_JOBS, ...closedBy(error) }),
);

/**
 * The client of the `HeadwayProvider` above; null: that has none.
 * @throws Error where there is no provider
 */
export function useProgressClient(): ProgressClient | null {
  const client = useContext(ClientContext);
  if (client === undefined) throw new Error('There is no <HeadwayProvider client={…}> above this component.');
  return client;
}

/** Nothing is opened while a component renders: React may never show it. It is when React subscribes. */
function useFollowed<Snapshot extends JobSnapshot | JobsSnapshot>(
  all: FollowedMap<Snapshot>,
  client: ProgressClient | null,
  key: string | null,
  idle: Snapshot,
  onServer: () => Snapshot,
): Snapshot {
  const subscribe = useCallback(
    (onChange: () => void) => (client && key !== null ? all.open(client, key).watch(onChange) : () => {}),
    [all, client, key],
  );
  const getSnapshot = (): Snapshot =>
    (client && key !== null ? all.get(client, key)?.snapshot : undefined) ?? idle;
  return useSyncExternalStore(subscribe, getSnapshot, onServer);
}

/**
 * What is shown of a job. The component renders at most once with each frame of the page, however many updates come. What
 * is wrong with the id is the `error` of the snapshot.
 * @param id null: none, and the snapshot stays `idle`
 * @throws Error without a `HeadwayProvider`; with `suspense`, what ended the following before the first state
 */
export function useJob(id: string | null, { suspense = false }: UseJobOptions = {}): JobSnapshot {
  const client = useProgressClient();
  const idle = useMemo(() => newJob(id ?? ''), [id]);
  const isAwaited = suspense && id !== null;
  const shown = useFollowed(JOBS, client, id, idle, () => {
    // React renders the fallback for it, and the component in the browser.
    if (isAwaited) throw new Error('A job with { suspense: true } is rendered in browsers only.');
    return idle;
  });
  if (!isAwaited || !client) return shown;
  // React subscribes to nothing that suspends, so this has to open it.
  const followed = JOBS.open(client, id);
  followed.hold();
  if (!followed.isReady) throw followed.ready;
  const { state, error } = followed.snapshot;
  if (state === null && error !== null) throw error;
  return followed.snapshot;
}

/**
 * What is shown of several jobs. A filter and options that say the same as at the last render open nothing anew. What is wrong
 * with them is the `error` of the snapshot.
 * @param filter without it all jobs; null: none, and the snapshot stays `idle`
 * @throws Error without a `HeadwayProvider`
 */
export function useJobs(filter: JobsFilter | null = {}, options: UseJobsOptions = {}): JobsSnapshot {
  const client = useProgressClient();
  return useFollowed(LISTS, client, filter && keyOf(filter, options), NO_JOBS, () => NO_JOBS);
}

/** The same for all that ask for the same. */
function keyOf({ ids, jobTypes }: JobsFilter, { maxRate, maxFinished }: UseJobsOptions): string {
  const sorted = (all: readonly string[] | undefined) => all && [...new Set(all)].sort();
  // JSON has no NaN. The client refuses it, and names it.
  const written = (amount: number | undefined) =>
    typeof amount === 'number' && !Number.isFinite(amount) ? String(amount) : amount;
  return JSON.stringify([
    { ids: sorted(ids), jobTypes: sorted(jobTypes) },
    { maxRate: written(maxRate), maxFinished: written(maxFinished) },
  ]);
}
