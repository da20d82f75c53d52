import type { TSchema } from '@sinclair/typebox';

/**
 * A schema as a type of TypeScript, in text. Objects have a member a line, each with its description above it.
 * @throws Error for a schema that no file of ours has: it needs a case here first
 */
export function typeSource(schema: TSchema, indent = ''): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((one) => typeSource(one, indent)).join(' | ');
  switch (schema.type) {
    case 'object':
      return membersOf(schema, indent);
    case 'array':
      return `Array<${typeSource(schema.items, indent)}>`;
    case 'integer':
      return 'number';
    case 'string':
    case 'number':
    case 'boolean':
    case 'null':
      return schema.type;
    case undefined:
      return 'unknown';
    default:
      throw new Error(`there is no text for the type ${schema.type}`);
  }
}

/** What a schema says of itself, as a comment above it. */
export function commentSource({ description }: TSchema, indent = ''): string {
  return description === undefined ? '' : `${indent}/** ${description} */\n`;
}

function membersOf(schema: TSchema, indent: string): string {
  const inner = `${indent}  `;
  const required = new Set(schema.required as string[] | undefined);
  const members = Object.entries(schema.properties as Record<string, TSchema>).map(
    ([name, member]) =>
      `${commentSource(member, inner)}${inner}${name}${required.has(name) ? '' : '?'}: ${typeSource(member, inner)};\n`,
  );
  return `{\n${members.join('')}${indent}}`;
}
