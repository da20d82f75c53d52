/** What a worker, or whoever can publish, may send instead of an event: one hostile message each, with its outcome. */
import {
  arrays,
  bad,
  behind,
  bytes,
  type HostileEvent,
  type Outcome,
  objects,
  ours,
  text,
  within,
  written,
} from './bad-event.js';

const FIELDS: HostileEvent[] = [
  ...['processing_id', 'status', 'progress', 'timestamp'].map((field) =>
    bad(`no ${field}`, 'schema', (job) => text(job, '', { [field]: undefined })),
  ),
  ...['processing_id', 'status', 'progress', 'timestamp'].map((field) => written('schema', field, 'null')),
  ...['type', 'message', 'job_type', 'attempt', 'step', 'indeterminate', 'eta_seconds'].flatMap((field) =>
    [['null', 'null'] as const, ['an array', '[[]]'] as const].map(([name, value]) =>
      written('schema', field, value, name),
    ),
  ),
  written('schema', 'status', '"COMPLETED"'),
  written('schema', 'status', '"processing\\u0000"'),
  written('schema', 'type', '"hello"'),
  written('schema', 'message', `"${'x'.repeat(4097)}"`, '4,097 letters'),
  written('schema', 'job_type', `"${'x'.repeat(65)}"`, '65 letters'),
  written('schema', 'job_type', '"../../etc/passwd"'),
  written('schema', 'job_type', '"*"'),
  written('schema', 'stall_after_seconds', '0'),
  written('schema', 'timeout_seconds', '-1'),
  behind('schema', 'a result before the end', ',"result":1'),
  behind('schema', 'an error that is none', ',"error":{}'),
  behind('schema', 'an error that is text', ',"error":"no"', { status: 'error' }),
  behind('schema', 'retryable in words', ',"error":{"retryable":"false"}', { status: 'error' }),
];

const NUMBERS: HostileEvent[] = [
  ...['NaN', 'Infinity', '-Infinity', '+50', '050', '.5', '5.', '0x32', '5e', '1_0', '٥'].map((value) =>
    written('not_json', 'progress', value),
  ),
  ...['1e400', '-1e400', '100.00001', '-0.00001', '1e2000000', '"50"', 'true'].map((value) =>
    written('schema', 'progress', value),
  ),
  written('schema', 'progress', '9'.repeat(400), '400 digits'),
  written('taken', 'progress', '-0'),
  written('taken', 'progress', '1E+2'),
  written('taken', 'progress', `50.${'0'.repeat(10_000)}`, '10,000 zeros'),
  written('schema', 'attempt', '9007199254740993'),
  written('schema', 'attempt', '1e400'),
  written('schema', 'attempt', '-1'),
  written('taken', 'attempt', '1.0'),
  written('schema', 'eta_seconds', '1e400'),
  written('schema', 'stall_after_seconds', '1e-400'),
  behind(
    'taken',
    'huge numbers in a field of its own',
    ',"own":[1e400,-1e400,123456789012345678901234567890,-0]',
  ),
  behind('taken', 'huge numbers in a result', ',"result":1e400', { status: 'completed' }),
];

const NAMES: HostileEvent[] = [
  bad("another job's id", 'subject_mismatch', () => text('another')),
  bad('its id in capitals', 'subject_mismatch', (job) => text(job.toUpperCase())),
  bad('the id __proto__', 'subject_mismatch', () => text('__proto__')),
  bad('its id and a space', 'schema', (job) => text(`${job} `)),
  bad('its id and a NUL', 'schema', (job) => text(`${job}\0`)),
  bad('its id and a line break', 'schema', (job) => text(`${job}\n`)),
  bad('its id with a wildcard', 'schema', (job) => text(`${job}.>`)),
  bad('its id in full-width letters', 'schema', () => text('ｊｏｂ')),
  bad('its id in an array', 'schema', (job) => text('', '', { processing_id: [job] })),
];

const SIZES: HostileEvent[] = [
  bad('64 KiB and one byte', 'too_large', (job) =>
    text(job, ',"x":""').replace('""', `"${'x'.repeat(65_537 - text(job, ',"x":""').length)}"`),
  ),
  bad('64 KiB', 'taken', (job) =>
    text(job, ',"x":""').replace('""', `"${'x'.repeat(65_536 - text(job, ',"x":""').length)}"`),
  ),
  bad('64 KiB and one byte, most of it spaces', 'too_large', (job) => text(job).padEnd(65_537)),
  bad('less than 64 KiB letters, but more bytes', 'too_large', (job) =>
    text(job, `,"x":"${'ä'.repeat(33_000)}"`),
  ),
];

/** `fields` are what else makes the event one that may hold this field. */
const PLACES: [field: string, outcome: Outcome, around: (value: string) => string, fields?: object][] = [
  ['a field of its own', 'taken', (value) => `,"own":${value}`],
  ['result', 'taken', (value) => `,"result":${value}`, { status: 'completed' }],
  [
    'error.details',
    'taken',
    (value) => `,"error":{"retryable":true,"details":${value}}`,
    { status: 'error' },
  ],
  ['error.message', 'schema', (value) => `,"error":{"message":${value}}`, { status: 'error' }],
  ['message', 'schema', (value) => `,"message":${value}`],
  ['type', 'schema', (value) => `,"type":${value}`],
  ['step.name', 'schema', (value) => `,"step":{"name":${value}}`],
];
/** The outcome on what is nested so deeply, in an event that adds a level or two; 100,000 do not fit into one. */
const nestedOutcome = (levels: number, otherwise: Outcome): Outcome =>
  levels === 100_000 ? 'too_large' : levels > 64 ? 'too_deep' : otherwise;
const NESTING: HostileEvent[] = [10, 1_000, 10_000, 100_000].flatMap((levels) => [
  ...PLACES.flatMap(([field, outcome, around, fields]) =>
    (
      [
        ['arrays', arrays],
        ['objects', objects],
      ] as const
    ).map(([kind, nested]) =>
      behind(nestedOutcome(levels, outcome), `${levels} ${kind} in ${field}`, around(nested(levels)), {
        ...fields,
      }),
    ),
  ),
  bad(`${levels} arrays and nothing else`, nestedOutcome(levels, 'schema'), () => arrays(levels)),
  bad(`${levels} objects and nothing else`, nestedOutcome(levels, 'schema'), () => objects(levels)),
  bad(`${levels} arrays that never end`, levels === 100_000 ? 'too_large' : 'not_json', () =>
    '['.repeat(levels),
  ),
]);

const SURROGATES: HostileEvent[] = [
  ...['\\ud83d', '\\ude00', '\\ude00\\ud83d', '\\uD83D\\uD83D'].flatMap((half) => [
    written('taken', 'message', `"${half}"`),
    behind('taken', `${half} in a name`, `,"${half}":1`),
    written('schema', 'job_type', `"a${half}"`),
  ]),
  bad('a raw half of a pair', 'not_utf8', (job) =>
    bytes(text(job, ',"x":"').slice(0, -1), [0xed, 0xa0, 0xbd], '"}'),
  ),
  bad('both halves, each by itself (CESU-8)', 'not_utf8', (job) =>
    bytes(text(job, ',"x":"').slice(0, -1), [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80], '"}'),
  ),
];

const TWICE: HostileEvent[] = [
  behind('taken', 'status twice, the last one counts', ',"status":"completed"'),
  behind('schema', 'status twice, the last one is wrong', ',"status":"done"'),
  bad('status twice, only the first one is wrong', 'taken', (job) => text(job).replace('{', '{"status":7,')),
  behind('schema', 'progress twice, the last one is wrong', ',"progress":101'),
  bad("two ids, the last one is another job's", 'subject_mismatch', (job) =>
    text(job, ',"processing_id":"other"'),
  ),
  bad("two ids, the first one is another job's", 'taken', (job) =>
    text(job).replace('{', '{"processing_id":"other",'),
  ),
  behind('schema', 'type twice, the last one is wrong', ',"type":"progress_update","type":"end"'),
  behind('taken', 'type twice, the last one counts', ',"type":"end","type":"progress_update"'),
  behind('schema', 'type behind an escape', ',"t\\u0079pe":"hello"'),
];

const OURS: HostileEvent[] = [
  ours('a seq of its own', '', '"seq":1,', ''),
  ours('a prev_seq of its own', '', '"prev_seq":null,', ''),
  ours('both, twice, with spaces', '', '"seq" : 1, "prev_seq":2 ,\n"seq":[3],"prev_seq":{"seq":4},', ''),
  ours('a seq behind an escape', '', '"\\u0073eq":9,', ''),
  ours('a seq that is text', '', '"seq":"}],\\"seq\\":1,{\\\\",', ''),
  ours('a seq of 60 arrays', '', `"seq":${arrays(60)},`, ''),
  ours('a seq beside huge numbers', '"a":[1e400,123456789012345678901234567890],', '"seq":1,', ',"b":-0'),
  ours('a seq beside 60 objects', '', '"seq":1,', `,"deep":${objects(60)}`),
  ours(
    'a seq beside brackets in texts',
    '"a":"}]{[,\\"seq\\":1",',
    '"seq":1,',
    ',"seq ":1,"SEQ":2,"x":{"seq":3}',
  ),
  ours('a seq beside half a pair', '"a":"\\ud83d",', '"seq":1,', ',"\\ude00":1'),
  {
    name: 'a seq at the end',
    outcome: 'taken',
    body: (job) => text(job, ',"seq":-1 '),
    passedOn: (job) => text(job).slice(1),
  },
];

const PROTOTYPES: HostileEvent[] = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'toJSON'].map((name) =>
    behind('taken', `a field ${name}`, `,"${name}":{"status":"completed","seq":1,"isAdmin":true}`),
  ),
  behind('taken', '__proto__ behind an escape', ',"\\u005f_proto__":{"isAdmin":true}'),
  bad('everything in __proto__', 'schema', (job) => `{"__proto__":${text(job)}}`),
  bad('no status but one in __proto__', 'schema', (job) =>
    text(job, ',"__proto__":{"status":"completed"}', { status: undefined }),
  ),
  ours('__proto__ beside a seq', '"__proto__":{"isAdmin":true},', '"seq":1,', ''),
];

const ENCODING: HostileEvent[] = [
  within('UTF-8, overlong slash in two bytes', 'not_utf8', [0xc0, 0xaf]),
  within('UTF-8, overlong slash in three bytes', 'not_utf8', [0xe0, 0x80, 0xaf]),
  within('UTF-8, overlong slash in four bytes', 'not_utf8', [0xf0, 0x80, 0x80, 0xaf]),
  within('UTF-8, overlong NUL', 'not_utf8', [0xc0, 0x80]),
  within('UTF-8 cut in a character', 'not_utf8', [0xf0, 0x9f, 0x98]),
  within('UTF-8 beyond Unicode', 'not_utf8', [0xf4, 0x90, 0x80, 0x80]),
  within('UTF-8 of five bytes', 'not_utf8', [0xf8, 0x88, 0x80, 0x80, 0x80]),
  within('a byte that never is UTF-8', 'not_utf8', [0xff]),
  within('a continuation without a start', 'not_utf8', [0xbf]),
  within('a raw NUL in a text', 'not_json', [0x00]),
  within('a raw escape in a text', 'not_json', [0x1b]),
  within('a raw line break in a text', 'not_json', [0x0a]),
  within('U+2028 and U+2029', 'taken', [...Buffer.from('\u2028\u2029')]),
  within('U+FFFF, U+FEFF and U+202E', 'taken', [...Buffer.from('\uffff\ufeff\u202e')]),
  bad('a byte order mark', 'taken', (job) => `\ufeff${text(job)}`),
  bad('two byte order marks', 'not_json', (job) => `\ufeff\ufeff${text(job)}`),
  bad('a byte order mark behind it', 'not_json', (job) => `${text(job)}\ufeff`),
  bad('UTF-16', 'not_utf8', (job) => Buffer.from(`\ufeff${text(job)}`, 'utf16le')),
  bad('UTF-16 without a mark', 'not_json', (job) => Buffer.from(text(job), 'utf16le')),
  bad('Latin-1', 'not_utf8', (job) => Buffer.from(text(job, ',"x":"ä"'), 'latin1')),
  bad('gzip', 'not_utf8', () => Uint8Array.from([0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00])),
];

const BODIES: HostileEvent[] = [
  bad('nothing', 'not_json', () => ''),
  bad('white space', 'not_json', () => ' \t\r\n'),
  bad('white space that JSON does not know', 'not_json', (job) => `\u00a0\v\f${text(job)}`),
  bad('white space around it', 'taken', (job) => ` \t\r\n${text(job)} \t\r\n`),
  ...['null', 'true', '0', '"text"', '[]', '{}'].map((body) => bad(`the JSON ${body}`, 'schema', () => body)),
  bad('an array of events', 'schema', (job) => `[${text(job)}]`),
  bad('an event in a text', 'schema', (job) => JSON.stringify(text(job))),
  bad('two events', 'not_json', (job) => text(job) + text(job)),
  bad('two events in two lines', 'not_json', (job) => `${text(job)}\n${text(job)}`),
  bad('a brace too many', 'not_json', (job) => `${text(job)}}`),
  bad('cut off', 'not_json', (job) => text(job).slice(0, -10)),
  behind('not_json', 'a comma too many', ','),
  behind('not_json', 'a comma too many in an array', ',"x":[1,]'),
  behind('not_json', 'a comment', '/* half */'),
  bad('a comment behind it', 'not_json', (job) => `${text(job)} // half`),
  behind('not_json', 'a name without quotes', ',x:1'),
  behind('not_json', 'single quotes', ",'x':1"),
  behind('not_json', 'undefined', ',"x":undefined'),
  behind('not_json', 'half an escape', ',"x":"\\u12"'),
  behind('not_json', 'an escape that is none', ',"x":"\\x41"'),
  bad('a log line of its own', 'not_json', () => '\n{"msg":"forged"}\nx'),
  bad('markup', 'not_json', () => '<script>alert(1)</script>'),
];

const TIMES: HostileEvent[] = [
  ...[
    '2026-01-31T24:00:00Z',
    '2026-01-31T12:00:61Z',
    '2026-01-31T12:00:00',
    '2026-01-31T12:00:00 Z',
    '10000-01-01T00:00:00Z',
    '+002026-01-31T12:00:00Z',
    '-2026-01-31T12:00:00Z',
    '2026-02-30T12:00:00Z',
    '1900-02-29T12:00:00Z',
    '2026-W05-6T12:00:00Z',
    '2026-031T12:00:00Z',
    '2026-01-31T12:00:00,5Z',
    '2026-01-31T12:00:00+24:00',
    '٢٠٢٦-٠١-٣١T١٢:٠٠:٠٠Z',
    '1769860800',
    'now',
  ].map((timestamp) => written('schema', 'timestamp', JSON.stringify(timestamp))),
  written('schema', 'timestamp', '1769860800000', 'a number'),
  written('taken', 'timestamp', '"2016-12-31T23:59:60Z"', 'a leap second'),
  written('taken', 'timestamp', `"2026-01-31T12:00:00.${'9'.repeat(1_000)}Z"`, '1,000 digits of a second'),
  written('taken', 'timestamp', '"9999-12-31T23:59:59-23:59"'),
];

/** All of them. Names are unique. */
export const HOSTILE_EVENTS: readonly HostileEvent[] = [
  ...FIELDS,
  ...NUMBERS,
  ...NAMES,
  ...SIZES,
  ...NESTING,
  ...SURROGATES,
  ...TWICE,
  ...OURS,
  ...PROTOTYPES,
  ...ENCODING,
  ...BODIES,
  ...TIMES,
];
