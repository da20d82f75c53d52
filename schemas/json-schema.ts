import type { TSchema } from '@sinclair/typebox';
import { asyncApi } from './asyncapi.js';
import { Claims } from './claims.js';
import { CLOSE_CODES, ERROR_CODES } from './close-codes.js';
import { settings } from './config.js';
import { Event } from './event.js';
import { CLIENT_FRAMES, SERVER_FRAMES } from './frames.js';
import { openApi } from './openapi.js';

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

function file(title: string, schema: TSchema | Record<string, unknown>): string {
  const { $id: _ignored, ...rest } = schema as Record<string, unknown>;
  return `${JSON.stringify({ $schema: DIALECT, title, ...rest }, null, 2)}\n`;
}

function frames(title: string, all: Readonly<Record<string, TSchema>>): string {
  const $defs = Object.fromEntries(
    Object.entries(all).map(([type, schema]) => {
      const { $id: _ignored, ...rest } = schema;
      return [type, rest];
    }),
  );
  const oneOf = Object.keys(all).map((type) => ({ $ref: `#/$defs/${type}` }));
  return file(title, { description: 'One JSON text frame, told apart by its `type`.', oneOf, $defs });
}

/** Every generated JSON Schema file: its name in `schemas/json/` and its whole text. */
export function jsonSchemaFiles(): ReadonlyMap<string, string> {
  const config = Object.fromEntries(
    settings().map(({ env, schema }) => {
      const { env: _env, secret: _secret, expected: _expected, see: _see, unset: _unset, ...rest } = schema;
      return [env, rest];
    }),
  );
  return new Map([
    ['event.schema.json', file('Event', Event)],
    ['claims.schema.json', file('Claims of a token', Claims)],
    ['server-frames.schema.json', frames('Frames from an edge to a client', SERVER_FRAMES)],
    ['client-frames.schema.json', frames('Frames from a client to an edge', CLIENT_FRAMES)],
    [
      'config.schema.json',
      file('Settings of an edge, by environment variable', { type: 'object', properties: config }),
    ],
    ['openapi.json', `${JSON.stringify(openApi(), null, 2)}\n`],
    ['asyncapi.json', `${JSON.stringify(asyncApi(), null, 2)}\n`],
    [
      'close-codes.json',
      `${JSON.stringify({ close_codes: CLOSE_CODES, error_codes: ERROR_CODES }, null, 2)}\n`,
    ],
  ]);
}
