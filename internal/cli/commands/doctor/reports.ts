import { styleText } from 'node:util';
import stringWidth from 'string-width';
import { printable } from '../../../../schemas/text.js';
import type { Finding, Report, Severity } from '../../../doctor/findings.js';
import { plural } from '../../../formatting.js';

export interface PrintOptions {
  readonly columns: number;
  readonly isColoured: boolean;
  /** Whether what is fine is listed, too. */
  readonly isVerbose: boolean;
}

type Format = Parameters<typeof styleText>[0];
type Paint = (format: Format, text: string) => string;

const TITLES: Readonly<Record<Severity, { title: string; format: Format }>> = {
  error: { title: 'ERRORS', format: ['bold', 'red'] },
  warning: { title: 'WARNINGS', format: ['bold', 'yellow'] },
  info: { title: 'NOTES', format: ['bold', 'cyan'] },
};
const MAX_COLUMNS = 110;
/** As wide as the labels "Why" and "Do", and what stands before them. */
const LABEL = 7;

/** The report, for people. Workers' text in it cannot reach the terminal as anything but text. */
export function textReport(report: Report, headline: string, options: PrintOptions): string {
  const width = Math.max(40, Math.min(options.columns, MAX_COLUMNS));
  const paint: Paint = (format, text) =>
    options.isColoured ? styleText(format, text, { validateStream: false }) : text;
  const lines = [headline, ''];
  for (const severity of ['error', 'warning', 'info'] as const) {
    const found = report.findings.filter((one) => one.severity === severity);
    if (found.length === 0) continue;
    const { title, format } = TITLES[severity];
    lines.push(paint(format, title), '');
    for (const one of found) lines.push(...findingLines(one, width, paint), '');
  }
  if (report.notChecked.length > 0) {
    lines.push(paint('bold', 'NOT CHECKED'), '');
    for (const { check, why } of report.notChecked) lines.push(...hanging(`  ${check}: `, why, width));
    lines.push('');
  }
  if (options.isVerbose && report.fine.length > 0) {
    lines.push(paint('bold', 'FINE'), '');
    for (const { check, note } of report.fine) lines.push(...hanging(`  ${check}: `, note, width));
    lines.push('');
  }
  lines.push(...hanging('', summary(report, options.isVerbose), width));
  return `${lines.join('\n')}\n`;
}

function findingLines(finding: Finding, width: number, paint: Paint): string[] {
  const { id, what, why, remedy, details, omitted } = finding;
  const label = (name: string, text: string): string[] =>
    hanging(`  ${name.padEnd(LABEL - 2)}`, text, width, (prefix) => paint('dim', prefix));
  return [
    `  ${paint('bold', id)}`,
    ...hanging('  ', what, width),
    ...details.flatMap((line) => hanging('    - ', line, width)),
    ...(omitted > 0 ? [`    - and ${plural(omitted, 'more', 'more')}`] : []),
    ...label('Why', why),
    ...label('Do', remedy),
    `  ${paint('dim', `docs/RUNBOOK.md#${id}`)}`,
  ];
}

function summary({ findings, fine, notChecked }: Report, isVerbose: boolean): string {
  const of = (severity: Severity): number => findings.filter((one) => one.severity === severity).length;
  const found = [plural(of('error'), 'error'), plural(of('warning'), 'warning'), plural(of('info'), 'note')];
  const rest = notChecked.length === 0 ? '' : `; ${plural(notChecked.length, 'thing')} not checked`;
  const hint = isVerbose || fine.length === 0 ? '' : ' (--verbose lists them)';
  return `${found.join(', ')}; ${plural(fine.length, 'thing')} fine${hint}${rest}.`;
}

/** Text in lines of at most `width` columns, the first behind `prefix`, the others as far in. */
export function hanging(
  prefix: string,
  text: string,
  width: number,
  paint: (prefix: string) => string = (same) => same,
): string[] {
  const indent = stringWidth(prefix);
  const lines: string[] = [];
  let line = '';
  for (const word of printable(text).split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && indent + stringWidth(longer) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  lines.push(line);
  return lines.map((one, at) => `${at === 0 ? paint(prefix) : ' '.repeat(indent)}${one}`);
}

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
