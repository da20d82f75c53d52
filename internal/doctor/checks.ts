import { checkClocks } from './clocks.js';
import { checkConsumers } from './consumers.js';
import { checkDurability } from './durability.js';
import { checkEvents } from './events.js';
import type { Facts } from './facts.js';
import type { Finding, Outcome, Pass, Report, Severity, Skipped } from './findings.js';
import { checkJobs } from './jobs.js';
import { checkLimits } from './limits.js';
import { checkPermissions } from './permissions.js';
import { checkReplicas } from './replicas.js';
import { checkServer } from './server.js';
import { checkStorage } from './storage.js';
import { checkStream, checkSubjects } from './stream.js';

const JUDGES: readonly ((facts: Facts) => Iterable<Outcome>)[] = [
  checkServer,
  checkPermissions,
  checkStream,
  checkDurability,
  checkReplicas,
  checkStorage,
  checkLimits,
  checkConsumers,
  checkEvents,
  checkSubjects,
  checkJobs,
  checkClocks,
];

const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/** What follows from the facts. Pure. */
export function runChecks(facts: Facts): Report {
  return reportOf(JUDGES.flatMap((one) => [...one(facts)]));
}

/** Outcomes by their kind, the most severe findings first. */
export function reportOf(outcomes: readonly Outcome[]): Report {
  const findings: Finding[] = [];
  const fine: Pass[] = [];
  const notChecked: Skipped[] = [];
  for (const outcome of outcomes) {
    switch (outcome.kind) {
      case 'finding':
        findings.push(outcome);
        break;
      case 'pass':
        fine.push(outcome);
        break;
      case 'skipped':
        notChecked.push(outcome);
        break;
    }
  }
  findings.sort((one, other) => RANK[one.severity] - RANK[other.severity]);
  return { findings, fine, notChecked };
}

/** The severity of the worst finding; null without one. */
export function worstOf(findings: readonly Finding[]): Severity | null {
  const [worst] = [...findings].sort((one, other) => RANK[one.severity] - RANK[other.severity]);
  return worst?.severity ?? null;
}
