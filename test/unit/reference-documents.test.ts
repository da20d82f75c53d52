// docs/guides/production.md and docs/reference/ are held against the code: what they list is what there is, with the same ranges.
import type { TSchema } from '@sinclair/typebox';
import { describe, expect, test } from 'vitest';
import type { KeyReport } from '../../internal/auth/jwks.js';
import type { TokenErrorReason } from '../../internal/auth/verifier.js';
import type { Limit } from '../../internal/edge/connection-guard.js';
import type { FailureReason } from '../../internal/jetstream/consumer-failure.js';
import type { ReadKind } from '../../internal/jetstream/history-reader.js';
import { streamConfig, streamDifferences } from '../../internal/jetstream/stream.js';
import type { TimeoutOutcome } from '../../internal/liveness/timeout-writer.js';
import type { SessionState } from '../../internal/session/state.js';
import { settings } from '../../schemas/config.js';
import { withSettingsTable } from '../../schemas/settings-table.js';
import { bare, byName, filesIn, quoted, read, type Section, section, sections, table } from './documents.js';
import { metricRows } from './reference.js';
import { ranges } from './schema-ranges.js';

const [settingsPage, metricsPage, logPage, errorsPage] = ['settings', 'metrics', 'log', 'errors'].map(
  (name) => sections(read(`docs/reference/${name}.md`)),
) as [Section[], Section[], Section[], Section[]];
const production = sections(read('docs/guides/production.md'));

describe('the guide for production and docs/reference', () => {
  // Where the schema says in its own words what it takes, these; not what stands in brackets behind them.
  const settingRanges = (schema: TSchema): string[] =>
    schema.type === 'string' && schema.expected !== undefined
      ? [String(schema.expected).replace(/ \(.*\)$/, '')]
      : ranges(schema, String);
  const rows = table(section(settingsPage, 'Settings of an edge'), 'variable');

  test('"Settings" is what `npm run schemas` makes of the schema', () => {
    const document = read('docs/reference/settings.md');
    expect(withSettingsTable(document)).toBe(document);
    expect(() => withSettingsTable('no place for it')).toThrow('no place for the table');
  });

  test('"Settings" lists every setting and no other', () => {
    expect(rows.map(({ variable }) => bare(variable))).toEqual(settings().map(({ env }) => env));
  });

  test.each(settings())('$env: its default and its range', ({ env, schema }) => {
    const row = rows.find(({ variable }) => bare(variable) === env);
    const { default: standard } = schema as { default?: unknown };
    if (standard === undefined || standard === '') expect(row?.default).toMatch(/^none/);
    else expect(row?.default).toBe(`\`${String(standard)}\``);
    const range = schema.type === 'boolean' ? ['`true`', '`false`'] : settingRanges(schema);
    expect(range.length).toBeGreaterThan(0);
    for (const phrase of range) expect(row?.range).toContain(phrase);
  });

  test('"Defects of tokens" lists every defect that the log can name', () => {
    const defects = {
      missing: true,
      malformed: true,
      algorithm: true,
      signature: true,
      expired: true,
      not_yet_valid: true,
      issuer: true,
      audience: true,
      claims: true,
      unknown_key: true,
      keys_unavailable: true,
    } satisfies Record<TokenErrorReason, true>;
    const listed = table(section(errorsPage, 'Defects of tokens'), '`defect`').map((row) =>
      bare(row['`defect`']),
    );
    expect(listed).toEqual(Object.keys(defects));
  });

  const labels = table(section(metricsPage, 'Values of the labels'), 'label');
  const values = (metric: string): string[] =>
    quoted(labels.find((row) => quoted(row.of).includes(metric))?.values);

  test('"Values of the labels" has every label of every metric', async () => {
    const listed = labels.flatMap((row) => quoted(row.of).map((metric) => `${metric} ${bare(row.label)}`));
    const there = (await metricRows()).flatMap(({ name, labels: own }) =>
      own.map((label) => `${name} ${label}`),
    );
    expect(listed.toSorted(byName)).toEqual(there.toSorted(byName));
  });

  test('"Values of the labels" has those of the code', () => {
    const reasons = {
      disconnected: true,
      heartbeats_missed: true,
      consumer_deleted: true,
      sequence_gap: true,
      no_responders: true,
      pull_refused: true,
      not_permitted: true,
      consumer_changed: true,
      stalled: true,
      stream_changed: true,
      failed: true,
    } satisfies Record<Exclude<FailureReason, 'closed'>, true>;
    expect(values('headway_feed_lost_total')).toEqual(Object.keys(reasons));
    const kinds = { page: true, last_state: true, records: true, kept: true, head: true } satisfies Record<
      ReadKind,
      true
    >;
    expect(values('headway_history_read_seconds')).toEqual(Object.keys(kinds));
    const limits = {
      connections: true,
      connections_per_address: true,
      connections_per_subject: true,
      unauthenticated: true,
      unauthenticated_per_address: true,
      upgrades: true,
      upgrades_per_address: true,
      pending_reads: true,
      pending_reads_per_subject: true,
      client_frames: true,
      client_bytes: true,
      http_sockets: true,
      http_sockets_per_address: true,
      open_files: true,
    } satisfies Record<Limit, true>;
    expect(values('headway_limits_reached_total')).toEqual(Object.keys(limits));
    const outcomes = { written: true, moved: true, gone: true, failed: true } satisfies Record<
      TimeoutOutcome,
      true
    >;
    expect(values('headway_timeouts_total')).toEqual(Object.keys(outcomes));
    const results = { fetched: true, failed: true } satisfies Record<KeyReport['kind'], true>;
    expect(values('headway_key_fetches_total')).toEqual(Object.keys(results));
    const states = {
      loading: true,
      fetching: true,
      fetched: true,
      snapshot: true,
      catching_up: true,
      live: true,
    } satisfies Record<Exclude<SessionState['name'], 'ended'>, true>;
    expect(values('headway_sessions')).toEqual(Object.keys(states));
  });

  test('"Log" lists every line that an edge writes, with its level', () => {
    const source = ['cmd/edge.ts', ...filesIn(['internal/app'], '.ts')].map(read).join('');
    // What goes with a line may hold objects itself, one level deep.
    const call = /logger\.(\w+)\(\s*(?:\{(?:[^{}]|\{[^{}]*\})*\},\s*)?'([^']+)'/g;
    const written = [...source.matchAll(call)].map(([, level, line]) => `${line}: ${level}`);
    // One call passes a text that is made elsewhere: the warning about a variable.
    expect(written).toHaveLength([...source.matchAll(/logger\.\w+\(/g)].length - 1);
    const listed = table(section(logPage, 'Log'), '`msg`').map(
      (row) => `${bare(row['`msg`'])}: ${row.level}`,
    );
    expect(listed.toSorted(byName)).toEqual([...new Set(written)].toSorted(byName));
  });

  test('"Health" lists what /readyz can say', () => {
    const said = [...read('internal/app/edge.ts').matchAll(/ready: (\w+), detail: ([^}]+)\}/g)].flatMap(
      ([, ready, details = '']) =>
        [...details.matchAll(/'([^']+)'/g)].map(([, detail]) => `${ready}: ${detail}`),
    );
    const listed = table(section(production, 'Health'), '`ready`').map(
      (row) => `${bare(row['`ready`'])}: ${quoted(row['`detail`'])[0]}`,
    );
    expect(listed.toSorted(byName)).toEqual(said.toSorted(byName));
  });

  test('"Start-up errors" has the own words of every error', () => {
    const errors = read('internal/errors.ts')
      .split(/^export class /m)
      .slice(1)
      .map((text) => text.replace(/'\s*\+\s*'/g, ''));
    const listed = table(section(errorsPage, 'Start-up errors'), 'code').map((row) =>
      (quoted(row['it says'])[0] ?? '').split('…').map((piece) => piece.trim()),
    );
    expect(
      listed.map((pieces) => errors.filter((error) => pieces.every((piece) => error.includes(piece))).length),
    ).toEqual(listed.map(() => 1));
    expect(listed).toHaveLength(errors.length);
  });

  test('"The stream" says which fields an edge insists on', () => {
    const fields = table(section(production, 'The stream'), 'field').map((row) => ({
      names: bare(row.field).split(', '),
      isFixed: (row['yours to change?'] ?? '').startsWith('**no**'),
    }));
    const spec = { name: 'PROGRESS', replicas: 1 };
    const names = fields.flatMap((field) => field.names);
    expect(names).toEqual(expect.arrayContaining(Object.keys(streamConfig(spec))));
    // Every field that there could be, the unlisted ones as well.
    const other = new Proxy({}, { get: () => 'something else' }) as never;
    expect(fields.filter(({ isFixed }) => isFixed).flatMap((field) => field.names)).toEqual(
      streamDifferences(other, spec).map(({ field }) => field),
    );
  });
});
