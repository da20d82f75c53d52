/** How every edge of the tests is set, wherever it runs; what a test says wins over it. */
export const TEST_SETTINGS = {
  HEADWAY_AUTH: 'none',
  // All clients of a test come from one address.
  HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '0',
  HEADWAY_MAX_PENDING_READS_PER_SUBJECT: '0',
  HEADWAY_MAX_UPGRADES_PER_ADDRESS: '0',
  // A herd of a test comes within a second, which clients with a back-off do not.
  HEADWAY_MAX_UPGRADES_PER_SECOND: '0',
  HEADWAY_MAX_UNAUTHENTICATED_PER_ADDRESS: '0',
  HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS: '0',
  // Tests look again at once.
  HEADWAY_METRICS_MAX_AGE_MS: '0',
} as const;

/** For tests that wait for heartbeats, and end edges with clients on them. */
export const QUICK_SETTINGS = { HEADWAY_DRAIN_MS: '0', HEADWAY_HEARTBEAT_MS: '400' } as const;
