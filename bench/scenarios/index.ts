/** All that is measured, in the order in which it is told. */
import type { Scenario } from '../harness/scenario.js';
import { dashboards } from './dashboards.js';
import { crowd, fanout } from './fanout.js';
import { feed } from './feed.js';
import { growth } from './growth.js';
import { jobs } from './jobs.js';
import { latency } from './latency.js';
import { memory } from './memory.js';
import { processes } from './processes.js';
import { resume } from './resume.js';
import { start } from './start.js';
import { worker } from './worker.js';

export const SCENARIOS: readonly Scenario[] = [
  fanout,
  crowd,
  jobs,
  dashboards,
  feed,
  latency,
  resume,
  memory,
  start,
  growth,
  worker,
  processes,
];
