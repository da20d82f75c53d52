import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describe, expect, test } from 'vitest';
import { decodeEvent, type InvalidReason, updateFrame } from '../../internal/eventlog/decode.js';
import { TokenExpiry } from '../../internal/session/token-expiry.js';
import { Claims, checkClaims, TOKEN_MAX_CHARACTERS } from '../../schemas/claims.js';
import { CLOSE_CODES, closeCode, ERROR_CODES } from '../../schemas/close-codes.js';
import { EdgeConfig } from '../../schemas/config.js';
import { checkEvent, EVENT_MAX_BYTES, Event } from '../../schemas/event.js';
import { Cursor, Epoch, JobType, ProcessingId, ScopeId } from '../../schemas/fields.js';
import { CLIENT_FRAMES, MAX_RATE, RESET_REASONS, SERVER_FRAMES } from '../../schemas/frames.js';
import {
  bare,
  below,
  byName,
  CODE,
  filesIn,
  quoted,
  ROOT,
  type Row,
  read,
  type Section,
  section,
  sections,
  table,
} from './documents.js';
import { count, ranges } from './schema-ranges.js';

// The documents are held against the code: what they list is what there is, with the same ranges.

const examples = ({ text }: Section): unknown[] =>
  [...text.matchAll(/^```json\n(.*?)^```$/gms)].map((block) => JSON.parse(block[1] ?? '') as unknown);

/** What the "value" cell of a field has to say, in any order. */
function wanted(schema: TSchema): string[] {
  const said = ranges(schema, (value) => JSON.stringify(value));
  if (schema.const !== undefined) return said;
  if (Array.isArray(schema.anyOf)) {
    return [...said, ...(schema.anyOf as TSchema[]).flatMap(wanted)].filter((one) => one !== 'null');
  }
  return [...said, schema.type === undefined ? 'any JSON' : String(schema.type)];
}

/** A table of fields lists exactly the fields of an object, with their ranges and which of them are optional. */
function expectFields(rows: readonly Row[], schema: TSchema, prefix = ''): void {
  const properties = schema.properties as Record<string, TSchema>;
  const required = (schema.required as string[] | undefined) ?? [];
  const own = rows.filter(({ field }) => bare(field).startsWith(prefix));
  const names = own
    .map(({ field }) => bare(field).slice(prefix.length))
    .filter((name) => !name.includes('.'));
  expect(names.toSorted(byName)).toEqual(Object.keys(properties).toSorted(byName));
  for (const [name, property] of Object.entries(properties)) {
    const value = own.find(({ field }) => bare(field) === prefix + name)?.value ?? '';
    for (const phrase of wanted(property)) expect(value, `the value of ${prefix}${name}`).toContain(phrase);
    expect(value.startsWith('optional; '), `${prefix}${name} is optional`).toBe(!required.includes(name));
  }
}

const protocol = sections(read('docs/PROTOCOL.md'));

describe('PROTOCOL.md', () => {
  test('"Events" has every field of an event, and examples that are events', () => {
    const events = section(protocol, 'Events');
    const rows = table(events, 'field');
    expectFields(rows, Event);
    for (const name of ['step', 'error'] as const) expectFields(rows, Event.properties[name], `${name}.`);
    const nested = rows
      .map(({ field }) => bare(field).split('.')[0])
      .filter((name, index, all) => all.indexOf(name) !== index);
    expect(new Set(nested)).toEqual(new Set(['step', 'error']));
    expect(events.text).toContain(`64 KiB (${count(EVENT_MAX_BYTES)} bytes)`);
    const shown = examples(events);
    expect(shown.length).toBeGreaterThan(0);
    for (const event of shown) expect(checkEvent(event)).toBeNull();
  });

  test('"Timestamps" says of each form whether it is taken', () => {
    const rows = table(section(protocol, 'Timestamps'), 'form');
    const taken = (text: string): boolean => {
      const event = { processing_id: 'job-1', status: 'processing', progress: 0, timestamp: text };
      return checkEvent(event) === null;
    };
    const kinds = rows.map(({ form, '': said = '' }) => {
      const isTaken = said.startsWith('taken');
      for (const text of quoted(form)) expect(taken(text), text).toBe(isTaken);
      // What a row that is taken quotes besides is where it ends.
      for (const text of quoted(said).filter((one) => one.length > 1))
        expect(taken(text), text).toBe(!isTaken);
      return isTaken;
    });
    expect(new Set(kinds)).toEqual(new Set([true, false]));
  });

  test('"Connecting" gives the size of the largest frame from the edge', () => {
    const head =
      '{"processing_id":"job-1","status":"processing","progress":0,"timestamp":"2026-01-31T12:00:00Z"';
    const body = `${head},"own":"${'x'.repeat(EVENT_MAX_BYTES - head.length - 10)}"}`;
    const decoded = decodeEvent('progress.job-1', Buffer.from(body));
    if (!decoded.ok) throw new Error(decoded.detail);
    const most = Number.MAX_SAFE_INTEGER;
    const frame = updateFrame(decoded.event, most, most);
    expect(Buffer.byteLength(body)).toBe(EVENT_MAX_BYTES);
    expect(section(protocol, 'Connecting').text).toContain(`${count(Buffer.byteLength(frame))} bytes`);
  });

  test('the largest frame of a client is given in bytes, wherever it is', () => {
    const most = count(EdgeConfig.properties.maxClientFrameBytes.default as number);
    const said = [...read('docs/PROTOCOL.md').matchAll(new RegExp(`${most}\\s(\\w+)`, 'g'))];
    expect(said.length).toBeGreaterThan(2);
    expect(new Set(said.map(([, unit]) => unit))).toEqual(new Set(['bytes']));
  });

  test('"token_expiring" says when it comes to a token that lives shorter', () => {
    const said = /with (\d+) s\s+left it\s+comes after (\d+) s/.exec(
      section(protocol, 'token_expiring').text,
    );
    const [left, after] = (said ?? []).slice(1).map((seconds) => Number(seconds) * 1_000) as [number, number];
    const warnMs = (EdgeConfig.properties.tokenWarningSeconds.default as number) * 1_000;
    const permit = { expiry: { at: left, text: '' }, warnMs, renew: () => Promise.reject() };
    const tokenExpiry = new TokenExpiry(permit as never);
    expect([0, after - 1, after, left].map((now) => tokenExpiry.shouldWarn(now))).toEqual([
      false,
      false,
      true,
      false,
    ]);
  });

  test('marks nothing as not there yet', () => {
    expect(read('docs/PROTOCOL.md')).not.toMatch(/(not|nothing) (sent|there|checked|check this) yet/);
  });

  test('"Invalid events" lists every reason', () => {
    const reasons = {
      bad_subject: true,
      too_large: true,
      not_utf8: true,
      not_json: true,
      too_deep: true,
      schema: true,
      subject_mismatch: true,
    } satisfies Record<InvalidReason, true>;
    const listed = table(section(protocol, 'Invalid events'), 'reason').map(({ reason }) => bare(reason));
    expect(listed).toEqual(Object.keys(reasons));
  });

  test('"Connecting" gives the ranges of the parameters, and an example of a refusal', () => {
    const connecting = section(protocol, 'Connecting');
    const maxRate = Type.Number({ ...MAX_RATE });
    const parameters = {
      last_seq: Cursor,
      epoch: Epoch,
      scope: ScopeId,
      max_rate: maxRate,
      job_type: JobType,
      processing_id: ProcessingId,
    };
    const rows = table(connecting, 'parameter');
    expect(rows.map(({ parameter }) => bare(parameter))).toEqual([...Object.keys(parameters), 'after']);
    for (const [index, schema] of Object.values(parameters).entries()) {
      for (const phrase of wanted(schema)) expect(rows[index]?.value).toContain(phrase);
    }
    expect(examples(connecting).map((one) => Value.Check(SERVER_FRAMES.error, one))).toEqual([true]);
  });

  test('"Tokens" has every claim with its range, and examples that open something', () => {
    const tokens = section(protocol, 'Tokens');
    expectFields(
      table(tokens, 'claim').map((row) => ({ ...row, field: row.claim ?? '' })),
      Claims,
    );
    expect(tokens.text).toContain(`at most ${count(TOKEN_MAX_CHARACTERS)} characters`);
    const shown = examples(tokens);
    expect(shown.length).toBeGreaterThan(0);
    for (const claims of shown) expect(checkClaims(claims)).toMatchObject({ ok: true });
  });

  test('"Tokens" names every algorithm that an edge takes', () => {
    const source = read('internal/auth/verifier.ts');
    const list = /ASYMMETRIC.*?new Set\(\[(.*?)\]\);/s.exec(source)?.[1] ?? '';
    const taken = ['HS256', ...[...list.matchAll(/'(\w+)'/g)].map(([, name]) => name)];
    expect(taken.length).toBeGreaterThan(1);
    const said = /\*\*Signatures\.\*\*(.*?)\n\n/s.exec(section(protocol, 'Tokens').text)?.[1] ?? '';
    expect(said.match(/\b(?:[A-Z]{2}\d{3}|EdDSA)\b/g)).toEqual(taken);
  });

  test('"The life of a connection" shows frames that an edge could send', () => {
    const frames = [...section(protocol, 'The life of a connection').text.matchAll(/^<- (\{.*\})$/gm)].map(
      (line) =>
        JSON.parse((line[1] ?? '').replace(',...}', ',"timestamp":"2026-01-31T12:00:00Z"}')) as {
          type: string;
        },
    );
    expect(new Set(frames.map(({ type }) => type))).toEqual(
      new Set(['hello', 'progress_update', 'caught_up', 'end']),
    );
    for (const frame of frames) {
      expect(
        Value.Check(SERVER_FRAMES[frame.type as keyof typeof SERVER_FRAMES], frame),
        JSON.stringify(frame),
      ).toBe(true);
    }
  });

  describe.each([
    ['Frames from the edge', SERVER_FRAMES],
    ['Frames from the client', CLIENT_FRAMES],
  ] as [string, Record<string, TSchema>][])('"%s"', (title, frames) => {
    test('has a section for every frame and no other', () => {
      expect(below(protocol, title)).toEqual(Object.keys(frames));
    });

    test.each(Object.entries(frames))('%s: every field with its range', (type, schema) => {
      expectFields(table(section(protocol, type), 'field'), schema);
    });

    test.each(Object.entries(frames))('%s: the examples fit', (type, schema) => {
      const shown = examples(section(protocol, type));
      expect(shown.length).toBeGreaterThan(0);
      for (const frame of shown) expect([...Value.Errors(schema, frame)]).toEqual([]);
    });
  });

  test('"Frames from the client" says when a frame is cut off instead of explained', () => {
    const times = Number(/HARD_FRAME_FACTOR = (\d+)/.exec(read('internal/edge/websocket.ts'))?.[1]);
    const largest = EdgeConfig.properties.maxClientFrameBytes.default as number;
    expect(section(protocol, 'Frames from the client').text).toContain(`(${count(times * largest)} bytes)`);
  });

  test('"Close codes" is the list of the code', () => {
    const words = { retry: 'retry', retry_with_new_token: 'retry with a new token', stop: 'stop' };
    const listed = table(section(protocol, 'Close codes'), 'code').map((row) => ({
      code: Number(row.code),
      name: bare(row.name),
      action: row['what to do'],
    }));
    expect(listed).toEqual(
      CLOSE_CODES.map(({ code, name, action }) => ({ code, name, action: words[action] })),
    );
  });

  test('"error" lists every code with the close that follows', () => {
    const listed = table(section(protocol, 'error'), 'code').map(({ code, close }) => [
      bare(code),
      Number(close),
    ]);
    expect(listed).toEqual(Object.entries(ERROR_CODES).map(([code, name]) => [code, closeCode(name)]));
  });

  test('"When a cursor is too old" lists every reason of a reset', () => {
    const rows = table(section(protocol, 'When a cursor is too old'), 'reason');
    expect(rows.map(({ reason }) => bare(reason))).toEqual([...RESET_REASONS]);
  });

  test('"Guarantees" are ten, by number', () => {
    const rows = table(section(protocol, 'Guarantees'), '');
    expect(rows.map((row) => Number(row['']))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('is the specification alone: no word of tests, of versions, or of what is to come', () => {
    const text = read('docs/PROTOCOL.md');
    expect(text.match(/\b(?:test|unit|integration|chaos)\/|in this version|\bnot there yet\b/g)).toBeNull();
  });
});

const tests = filesIn(['test'], '.test.ts').concat('test/conformance/suite.ts');

test.each(table(section(protocol, 'Guarantees'), '').map((row) => [row['']]))(
  'guarantee %s: tests bear its number, pure ones and ones with servers',
  (number) => {
    const numbered = new RegExp(`\\bG${number} \\w`);
    const folders = new Set(
      tests.filter((file) => numbered.test(read(file))).map((file) => file.split('/')[1]),
    );
    expect(folders).toContain('unit');
    expect(folders.size).toBeGreaterThan(1);
  },
);

describe('CONTRIBUTING.md', () => {
  const contributing = sections(read('CONTRIBUTING.md'));

  test('"The code base" has every folder and every file of the larger ones', () => {
    const codeBase = section(contributing, 'The code base');
    const folders = table(codeBase, 'folder').map(({ folder }) => quoted(folder)[0]);
    const built = readdirSync(join(ROOT, 'internal')).map(
      (name) => `internal/${name}${name.endsWith('.ts') ? '' : '/'}`,
    );
    expect(folders).toEqual(expect.arrayContaining(built));
    const files = table(codeBase, 'file').flatMap(({ file }) => {
      const names = quoted(file);
      return names.map((name) => (name.includes('/') ? name : join(dirname(names[0] ?? ''), name)));
    });
    const larger = ['eventlog', 'session', 'auth', 'jetstream', 'liveness', 'edge', 'app'];
    const there = larger.flatMap((folder) =>
      readdirSync(join(ROOT, 'internal', folder)).map((name) => join(folder, name)),
    );
    expect(files.toSorted(byName)).toEqual(there.toSorted(byName));
  });

  test('"Tests" has every folder of tests and every test of faults', () => {
    const listed = table(section(contributing, 'Tests'), 'where').map(({ where }) => quoted(where)[0] ?? '');
    const folders = readdirSync(join(ROOT, 'test')).map((name) => `test/${name}/`);
    expect(listed.filter((path) => path.endsWith('/')).toSorted(byName)).toEqual(folders.toSorted(byName));
    const faults = filesIn(['test/chaos'], '.test.ts');
    expect(
      listed.filter((path) => path.startsWith('test/chaos/') && path.endsWith('.ts')).toSorted(byName),
    ).toEqual(faults.toSorted(byName));
  });
});

describe('what points to a place in the documents', () => {
  const documents = [
    ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
    ...filesIn(['docs'], '.md'),
  ];
  const code = filesIn(['cmd', 'demo', 'internal', 'schemas'], '.ts');
  const titles = (path: string) => sections(read(path)).map(({ title }) => title);
  const anchor = (title: string) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-');

  test('comments in the code name sections that exist', () => {
    const named = [...code, 'biome.json'].flatMap((file) =>
      [...read(file).matchAll(/(\w+\.md), \\?"([^"\\]+)\\?"/g)].map(([, document = '', title = '']) => {
        const path = documents.find((one) => one.endsWith(document));
        return { file, document, title, isThere: path !== undefined && titles(path).includes(title) };
      }),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter(({ isThere }) => !isThere)).toEqual([]);
  });

  test('comments in the code name decisions that exist', () => {
    const named = new Set(code.flatMap((file) => read(file).match(/docs\/decisions\/[\w-]+\.md/g) ?? []));
    expect(named.size).toBeGreaterThan(0);
    expect(documents).toEqual(expect.arrayContaining([...named]));
  });

  test('make targets and files of tests that the documents name are there', () => {
    const targets = new Set([...read('Makefile').matchAll(/^([a-z0-9.-]+):/gm)].map(([, name]) => name));
    const text = documents.map(read).join('\n');
    const made = [...text.matchAll(/(?:`|^)make ([a-z][a-z0-9.-]*)/gm)].map(([, name]) => name);
    expect(made.length).toBeGreaterThan(5);
    expect(made.filter((name) => !targets.has(name))).toEqual([]);
    const files = [...text.matchAll(/\btest\/[\w./-]+\.ts\b/g)].map(([file]) => file);
    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  // A list of links to places of its own, before the first section.
  const contents = (path: string) => [
    ...(read(path).split(/^## /m)[0] ?? '').matchAll(/^- \[([^\]]+)\]\(#[\w-]+\)/gm),
  ];
  test.each(documents.filter((path) => contents(path).length > 1))(
    '%s: its list of contents has every section, in order',
    (path) => {
      const headings = sections(read(path)).filter(({ level }) => level === 2);
      expect(contents(path).map(([, title]) => title)).toEqual(headings.map(({ title }) => title));
    },
  );

  test.each(documents)('%s: its links lead somewhere', (path) => {
    const links = [
      ...read(path)
        .replace(CODE, '')
        .matchAll(/\]\((?!\w+:)([^)#]*)(?:#([^)]*))?\)/g),
    ];
    const broken = links.filter(([, file = '', fragment]) => {
      const target = file === '' ? path : join(dirname(path), file);
      if (fragment === undefined) return !existsSync(join(ROOT, target));
      return !documents.includes(target) || !titles(target).map(anchor).includes(fragment);
    });
    expect(broken.map(([monitor]) => monitor)).toEqual([]);
  });

  test.each(documents.filter((path) => path.startsWith('docs/decisions/')))(
    '%s: has its four parts',
    (path) => {
      const parts = ['Context', 'Decision', 'Consequences', 'What would change our mind'];
      expect(titles(path).slice(1)).toEqual(parts);
      expect(titles(path)[0]).toMatch(new RegExp(`^${path.replace(/^.*\/(\d{4})-.*$/, '$1')}: `));
    },
  );
});
