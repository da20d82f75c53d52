/** `headway doctor -o json`: what it found, and a hold of the moment between its first look and its second. */
import type { NatsConnection } from 'nats';
import { expect } from 'vitest';
import { isAtLeast } from '../../internal/server-version.js';

import { type Env, headway } from './headway-command.js';

export interface DoctorReport {
  code: number | null;
  stream: string;
  versions: { nats_server: string | null };
  checked: { check: string; note: string }[];
  findings: { id: string; severity: string; what: string; what_to_do: string; details: string[] }[];
  not_checked: { check: string; why: string }[];
}

/** Runs it to its end; it says nothing on stderr. */
export async function examine(env: Env, ...args: string[]): Promise<DoctorReport> {
  const { code, stdout, stderr } = await headway(['doctor', '-o', 'json', ...args], {
    env,
    timeoutMs: 60_000,
  });
  expect(stderr).toBe('');
  return { ...(JSON.parse(stdout) as DoctorReport), code };
}

export const idsOf = ({ findings }: DoctorReport): string[] => findings.map(({ id }) => id);

export const aboveNotes = ({ findings }: DoctorReport): string[] =>
  findings.filter(({ severity }) => severity !== 'info').map(({ id }) => id);

export const findingOf = ({ findings }: DoctorReport, id: string): DoctorReport['findings'][number] | null =>
  findings.find((one) => one.id === id) ?? null;

export const detailsOf = (report: DoctorReport, id: string): string =>
  (findingOf(report, id)?.details ?? []).join('\n');

/** What was not looked at, but for what a server before 2.11 cannot be asked. */
export const unchecked = ({ not_checked, versions }: DoctorReport): DoctorReport['not_checked'] =>
  not_checked.filter(
    ({ check, why }) =>
      isAtLeast(versions.nats_server ?? '', '2.11.0') ||
      check !== 'storage' ||
      !why.includes('cannot be asked without storing something'),
  );

/**
 * Calls `then` once, when JetStream has answered the next request on `subject`: what is changed from then on, whoever
 * asked does not see before it asks again. Listening begins before this returns.
 */
export async function afterAnswer(nc: NatsConnection, subject: string, then: () => void): Promise<void> {
  const advisories = nc.subscribe('$JS.EVENT.ADVISORY.API', {
    callback: (error, message) => {
      if (error !== null || message.json<{ subject: string }>().subject !== subject) return;
      advisories.unsubscribe();
      then();
    },
  });
  await nc.flush();
}
