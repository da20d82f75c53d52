import { CONDITIONS, type JobCondition, type JobRow } from './job-row.js';

export const SORT_KEYS = ['condition', 'id', 'type', 'progress', 'step', 'age', 'left', 'attempt'] as const;
export type SortKey = (typeof SORT_KEYS)[number];

export interface Sort {
  readonly key: SortKey;
  readonly isDescending: boolean;
}

/** Which jobs are listed, and in which order. */
export interface ListView {
  /** Empty: all of them. */
  readonly conditions: readonly JobCondition[];
  /** Empty: all of them. `''` is a job without a type. */
  readonly types: readonly string[];
  readonly text: string;
  readonly sort: Sort;
}

export const PLAIN_VIEW: ListView = {
  conditions: [],
  types: [],
  text: '',
  sort: { key: 'condition', isDescending: false },
};

export interface Listed {
  readonly rows: readonly JobRow[];
  /** Of the jobs of the chosen types and text. */
  readonly conditions: Readonly<Record<JobCondition, number>>;
  /** Of the jobs of the chosen conditions and text, those with the most jobs first. */
  readonly types: readonly (readonly [type: string, count: number])[];
  readonly total: number;
}

/** Filters, counts and sorts. Each count is of what a click on it would show. */
export function listed(all: Iterable<JobRow>, view: ListView): Listed {
  const conditions = { failed: 0, stalled: 0, retrying: 0, running: 0, completed: 0 };
  const types = new Map<string, number>();
  const rows: JobRow[] = [];
  const words = view.text.toLowerCase().split(/\s+/).filter(Boolean);
  const wantedConditions = new Set(view.conditions);
  const wantedTypes = new Set(view.types);
  let total = 0;
  for (const row of all) {
    total += 1;
    // A type stays on the list of types, with 0, while no job of it is shown.
    if (!types.has(row.jobType)) types.set(row.jobType, 0);
    if (words.length > 0 && !words.every((word) => row.text.includes(word))) continue;
    const isOfCondition = wantedConditions.size === 0 || wantedConditions.has(row.condition);
    const isOfType = wantedTypes.size === 0 || wantedTypes.has(row.jobType);
    if (isOfType) conditions[row.condition] += 1;
    if (isOfCondition) types.set(row.jobType, (types.get(row.jobType) ?? 0) + 1);
    if (isOfType && isOfCondition) rows.push(row);
  }
  rows.sort(orderBy(view.sort));
  const byCount = [...types].sort(([a, m], [b, n]) => n - m || compareText(a, b));
  return { rows, conditions, types: byCount, total };
}

/**
 * The types that have a button of their own: those that had one, then those with the most jobs, then whatever else is chosen.
 * A button keeps its place while the counts change: nothing moves under a pointer.
 *
 * @param before what this returned last
 * @param most buttons, beside those that are chosen
 */
export function typeButtons(
  types: Listed['types'],
  chosen: readonly string[],
  before: readonly string[],
  most: number,
): readonly string[] {
  const byCount = types.map(([type]) => type);
  const there = new Set(byCount);
  const kept = before.slice(0, most).filter((type) => there.has(type));
  return [...new Set([...new Set([...kept, ...byCount])].slice(0, most).concat(chosen))];
}

type Order = (a: JobRow, b: JobRow) => number;

export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const RANK = Object.fromEntries(CONDITIONS.map((condition, rank) => [condition, rank])) as Record<
  JobCondition,
  number
>;

/** What is not known comes last, whichever way the list is sorted. */
const known =
  (read: (row: JobRow) => number | null) =>
  (sign: number): Order =>
  (a, b) => {
    const [left, right] = [read(a), read(b)];
    if (left === null || right === null) return (left === null ? 1 : 0) - (right === null ? 1 : 0);
    return sign * (left - right);
  };
const text =
  (read: (row: JobRow) => string) =>
  (sign: number): Order =>
  (a, b) =>
    sign * compareText(read(a), read(b));

const ORDERS: Readonly<Record<SortKey, (sign: number) => Order>> = {
  condition: known(({ condition }) => RANK[condition]),
  id: text(({ id }) => id),
  type: text(({ jobType }) => jobType),
  progress: known(({ percent }) => percent),
  step: text(({ state }) => state.step?.name ?? state.message ?? ''),
  // The oldest news have the greatest age.
  age: known(({ updatedMs }) => -updatedMs),
  left: known(({ doneMs }) => doneMs),
  attempt: known(({ attempt }) => attempt),
};

function orderBy({ key, isDescending }: Sort): Order {
  const order = ORDERS[key](isDescending ? -1 : 1);
  // Jobs that are equal do not change places: those that failed last come first, the others stay where they are.
  return (a, b) =>
    order(a, b) ||
    (key === 'condition' && a.condition !== 'running' ? b.updatedMs - a.updatedMs : 0) ||
    compareText(a.id, b.id);
}
