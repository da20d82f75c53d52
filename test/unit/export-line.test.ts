import { describe, expect, test } from 'vitest';
import { exportLine, parseExportLine } from '../../internal/cli/commands/export/record.js';
import type { StoredMessage } from '../../internal/jetstream/read-stored.js';

const AT = Date.parse('2026-03-01T03:00:00.125Z');
const EPOCH = 'dn2a7mrj5zl4';
const TEXT =
  '{"processing_id":"a","status":"processing","progress":4e0,"timestamp":"2026-03-01T02:59:00+00:00","n":12345678901234567890.10}';

function stored(body: string | Uint8Array, subject = 'progress.a', seq = 7): StoredMessage {
  return {
    seq,
    subject,
    storedAt: AT,
    data: typeof body === 'string' ? new TextEncoder().encode(body) : body,
  };
}
const HEAD = `{"seq":7,"epoch":"${EPOCH}","stored_at":"2026-03-01T03:00:00.125Z"`;

describe('a line of an export', () => {
  test('holds the event as the worker wrote it, to the last digit', () => {
    expect(exportLine(stored(TEXT), EPOCH, {})).toEqual({
      kind: 'event',
      line: `${HEAD},"event":${TEXT}}\n`,
    });
  });

  test.each([
    ['written over several lines', TEXT.replace('{', '{\r\n  ').replace('}', '\n}\n')],
    ['behind a byte order mark', `\ufeff${TEXT}`],
    ['with a line feed and a line separator in a text', TEXT.replace('}', ',"message":"a\\nb\u2028c"}')],
  ])('is one line of JSON for an event %s', (_how, body) => {
    const exported = exportLine(stored(body), EPOCH, {});
    if (!('line' in exported)) throw new Error('it was left out');
    expect(exported.line.split('\n')).toHaveLength(2);
    expect(exported.line).not.toContain('\r');
    expect((JSON.parse(exported.line) as { event: unknown }).event).toEqual(
      JSON.parse(body.replace('\ufeff', '')),
    );
  });

  test.each([
    ['no JSON', 'progress.a', new Uint8Array([0, 255, 10, 34]), 'not_utf8'],
    ['of another job', 'progress.b', new TextEncoder().encode(TEXT), 'subject_mismatch'],
    ['on a subject with a quote', 'progress.a"\n', new TextEncoder().encode('{}'), 'bad_subject'],
    ['empty', 'progress.a', new Uint8Array(), 'not_json'],
  ])('says why a message is no event, with its bytes: %s', (_what, subject, data, reason) => {
    const exported = exportLine(stored(data, subject), EPOCH, {});
    if (exported.kind !== 'invalid') throw new Error(exported.kind);
    expect(exported.line.split('\n')).toHaveLength(2);
    const line = JSON.parse(exported.line) as Record<string, unknown>;
    expect(line).toMatchObject({ seq: 7, epoch: EPOCH, subject, invalid: { reason } });
    expect(Buffer.from(line.body_base64 as string, 'base64')).toEqual(Buffer.from(data));
    expect(exportLine(stored(data, subject), EPOCH, { validOnly: true })).toEqual({
      kind: 'invalid left out',
    });
    expect(exportLine(stored(data, subject), EPOCH, { status: ['error'] })).toEqual({
      kind: 'invalid left out',
    });
  });

  test('is not there for an event of another type or status', () => {
    const typed = stored(TEXT.replace('}', ',"job_type":"pdf.ocr"}'));
    const kindOf = (filter: Parameters<typeof exportLine>[2], message = typed) =>
      exportLine(message, EPOCH, filter).kind;
    expect(kindOf({ jobType: ['pdf.ocr'] })).toBe('event');
    expect(kindOf({ jobType: ['other', 'pdf.ocr'], status: ['processing'] })).toBe('event');
    expect(kindOf({ jobType: ['pdf'] })).toBe('filtered');
    expect(kindOf({ status: ['completed', 'error'] })).toBe('filtered');
    expect(kindOf({ jobType: ['pdf.ocr'] }, stored(TEXT))).toBe('filtered');
  });
});

describe('a line that is read again', () => {
  test('says where the export stood', () => {
    for (const message of [stored(TEXT), stored('no', 'progress.a')]) {
      const exported = exportLine(message, EPOCH, {});
      if (!('line' in exported)) throw new Error('it was left out');
      expect(parseExportLine(exported.line.trimEnd())).toEqual({ seq: 7, epoch: EPOCH, id: 'a' });
    }
  });

  test.each([
    '',
    'null',
    '[]',
    '7',
    '{"seq":7}',
    `${HEAD}}`,
    `${HEAD.replace('7', '0')},"event":{"processing_id":"a"}}`,
    `${HEAD.replace('7', '1.5')},"event":{"processing_id":"a"}}`,
    `${HEAD},"event":null}`,
    '\u0000\u0000',
  ])('is none of ours: %j', (line) => {
    expect(parseExportLine(line)).toBe(null);
  });
});
