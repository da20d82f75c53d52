/** What the supervisor reports to the demo about its command. */
export type SupervisorMessage =
  | { readonly kind: 'started'; readonly pid: number; readonly folder: string | undefined }
  /** It could not be started at all; `reason` is a system error such as ENOENT. */
  | { readonly kind: 'failed'; readonly reason: string };

/** A command that is still there so long after SIGTERM gets SIGKILL. */
export const KILL_AFTER_MS = 600;
