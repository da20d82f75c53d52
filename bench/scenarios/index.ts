/** All that is measured, in the order in which it is told. */
import type { Scenario } from '../harness/scenario.js';
import { dashboards } from './dashboards.js';
import { crowd, fanout } from './fanout.js';
import { growth } from './growth.js';
import { jobs } from './jobs.js';
import { memory } from './memory.js';
import { processes } from './processes.js';

export const SCENARIOS: readonly Scenario[] = [fanout, crowd, jobs, dashboards, memory, growth, processes];
