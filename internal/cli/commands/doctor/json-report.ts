import type { Finding, Report } from '../../../doctor/findings.js';

export interface Versions {
  /** null: it did not say. */
  readonly nats_server: string | null;
  readonly node: string;
}

/** The report as one JSON document, for programs. */
export function jsonReport(report: Report, stream: string, versions: Versions): string {
  const document = {
    stream,
    versions,
    checked: report.fine.map(({ check, note }) => ({ check, note })),
    findings: report.findings.map(findingDocument),
    not_checked: report.notChecked.map(({ check, why }) => ({ check, why })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function findingDocument({ id, severity, what, why, remedy, details, omitted }: Finding): object {
  return {
    id,
    severity,
    what,
    why,
    what_to_do: remedy,
    details,
    omitted,
    runbook: `docs/RUNBOOK.md#${id}`,
  };
}
