import type { TSchema } from '@sinclair/typebox';
import { ERROR_CODES } from './close-codes.js';
import { CLIENT_FRAMES, RESET_REASONS, SERVER_FRAMES, SKIP_REASONS } from './frames.js';
import { commentSource, typeSource } from './type-source.js';

/**
 * The text of frames.generated.ts: what an edge says and takes, as types, for clients, which have no TypeBox. That they
 * are the types of frames.ts, the compiler checks.
 */
export function framesSource(): string {
  const server = named(SERVER_FRAMES);
  const client = named(CLIENT_FRAMES);
  return [
    '// Written by `npm run schemas`, from frames.ts and close-codes.ts.\n',
    ...Object.entries({ ...server, ...client }).map(
      ([name, schema]) => `${commentSource(schema)}export interface ${name} ${typeSource(schema)}\n`,
    ),
    `/** Every frame an edge sends, told apart by its \`type\`. Others may come: a client ignores them. */\n${union('ServerFrame', Object.keys(server))}`,
    `/** Every frame an edge takes. */\n${union('ClientFrame', Object.keys(client))}`,
    `/** Why a cursor could not be served. */\n${union('ResetReason', RESET_REASONS.map(quote))}`,
    `/** Why events of all jobs were left out. */\n${union('SkipReason', SKIP_REASONS.map(quote))}`,
    `/** The \`code\` of an \`error\` frame. */\n${union('ErrorCode', Object.keys(ERROR_CODES).map(quote))}`,
  ].join('\n');
}

const quote = (text: string): string => `'${text}'`;
const union = (name: string, members: readonly string[]): string =>
  `export type ${name} =\n${members.map((member) => `  | ${member}\n`).join('')}`.replace(/\n$/, ';\n');

/** `token_expiring` is TokenExpiring; but `error` is ErrorFrame, since Error is the language's. */
function named(frames: Readonly<Record<string, TSchema>>): Record<string, TSchema> {
  return Object.fromEntries(
    Object.entries(frames).map(([type, schema]) => [
      type === 'error' ? 'ErrorFrame' : pascalCase(type),
      schema,
    ]),
  );
}

const pascalCase = (type: string): string =>
  type.replace(/(?:^|_)([a-z])/g, (_all, letter: string) => letter.toUpperCase());
