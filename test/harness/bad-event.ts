/** What hostile messages are made of. */
import type { InvalidReason } from '../../internal/eventlog/decode.js';

export interface HostileEvent {
  readonly name: string;
  /** What is published to the job's subject. */
  readonly body: (job: string) => string | Uint8Array;
  /** Why it is refused, or that it is an event all the same: whatever is odd in it is passed on. */
  readonly outcome: InvalidReason | 'taken';
  /** What clients get behind `seq` and `prev_seq`, when that is not the worker's own text without its opening brace. */
  readonly passedOn?: (job: string) => string;
}

const TIMESTAMP = '2026-01-31T12:00:00Z';

/** The text of a valid event; `more` is put behind its fields as it is, such as `,"a":1`. */
export function text(job: string, more = '', fields: Record<string, unknown> = {}): string {
  const event = { processing_id: job, status: 'processing', progress: 50, timestamp: TIMESTAMP, ...fields };
  return `${JSON.stringify(event).slice(0, -1)}${more}}`;
}

export type Outcome = HostileEvent['outcome'];
export const bad = (name: string, outcome: Outcome, body: HostileEvent['body']): HostileEvent => ({
  name,
  outcome,
  body,
});
/** A valid event with something behind its fields. */
export const behind = (outcome: Outcome, name: string, more: string, fields?: Record<string, unknown>) =>
  bad(name, outcome, (job) => text(job, more, fields));
/** A valid event with a field's value written as it is, which need not be JSON. */
export const written = (outcome: Outcome, field: string, value: string, named?: string) =>
  bad(`${field} written as ${named ?? value}`, outcome, (job) =>
    text(job, '', { [field]: 'HERE' }).replace('"HERE"', () => value),
  );
export const bytes = (...parts: (string | number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => Buffer.from(part)));

export const arrays = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
export const objects = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

/** An event with members of our names in it, which are cut out; everything else is passed on as it was written. */
export const ours = (name: string, before: string, own: string, after: string): HostileEvent => ({
  name,
  outcome: 'taken',
  body: (job) => `{${before}${own}${text(job, after).slice(1)}`,
  passedOn: (job) => `${before}${text(job, after).slice(1)}`,
});

/** These bytes inside the text of a field. */
export const within = (name: string, outcome: Outcome, inside: number[]) =>
  bad(name, outcome, (job) => bytes(text(job, ',"x":"').slice(0, -1), inside, '"}'));
