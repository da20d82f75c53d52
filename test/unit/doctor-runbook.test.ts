import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FINDING_IDS } from '../../internal/doctor/findings.js';

const runbook = readFileSync(new URL('../../docs/RUNBOOK.md', import.meta.url), 'utf8');
/** The text under each heading of a finding. */
const entries = new Map(
  runbook
    .split(/^### /m)
    .slice(1)
    .map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n'))] as const),
);

describe('docs/RUNBOOK.md', () => {
  test('has an entry for each finding, and none for another', () => {
    expect([...entries.keys()].sort()).toEqual([...FINDING_IDS].sort());
  });

  test.each(FINDING_IDS.map((id) => [id]))(
    '%s: how it shows, why it matters, what to do, how to verify',
    (id) => {
      const parts = [...(entries.get(id) ?? '').matchAll(/^- \*\*(.+?)\.\*\* \S/gm)].map(([, name]) => name);
      expect(parts).toEqual(['Shows', 'Matters', 'Do', 'Verify']);
    },
  );
});
