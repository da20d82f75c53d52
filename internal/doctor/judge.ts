import { judgeClocks } from './clocks.js';
import { judgeConsumers } from './consumers.js';
import { judgeDurability } from './durability.js';
import { judgeEvents } from './events.js';
import type { Facts } from './facts.js';
import type { Finding, Fine, NotChecked, Outcome, Report, Severity } from './findings.js';
import { judgeJobs } from './jobs.js';
import { judgeLimits } from './limits.js';
import { judgePermissions } from './permissions.js';
import { judgeReplicas } from './replicas.js';
import { judgeServer } from './server.js';
import { judgeStorage } from './storage.js';
import { judgeStream } from './stream.js';
import { judgeSubjects } from './subjects.js';

const JUDGES: readonly ((facts: Facts) => Iterable<Outcome>)[] = [
  judgeServer,
  judgePermissions,
  judgeStream,
  judgeDurability,
  judgeReplicas,
  judgeStorage,
  judgeLimits,
  judgeConsumers,
  judgeEvents,
  judgeSubjects,
  judgeJobs,
  judgeClocks,
];

const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/** What follows from the facts. Pure. */
export function judge(facts: Facts): Report {
  return reportOf(JUDGES.flatMap((one) => [...one(facts)]));
}

/** Outcomes by their kind, the most severe findings first. */
export function reportOf(outcomes: readonly Outcome[]): Report {
  const findings: Finding[] = [];
  const fine: Fine[] = [];
  const notChecked: NotChecked[] = [];
  for (const outcome of outcomes) {
    switch (outcome.kind) {
      case 'finding':
        findings.push(outcome);
        break;
      case 'fine':
        fine.push(outcome);
        break;
      case 'not_checked':
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
