import { Document, isScalar, Scalar, visit } from 'yaml';

/** What a terminal obeys, but for line breaks. The same as `printable` takes out. */
const OBEYED = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/**
 * A value of JSON as YAML, with a line break at its end. What a terminal would obey is written as an escape. Numbers are
 * those of a 64-bit float.
 */
export function yamlText(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  // Only text in double quotes has escapes; also keys.
  visit(document, (_key, node) => {
    if (!isScalar(node) || typeof node.value !== 'string') return;
    if (OBEYED.test(node.value.replaceAll('\n', ''))) node.type = Scalar.QUOTE_DOUBLE;
  });
  return document
    .toString({ lineWidth: 0 })
    .replace(/[^\P{Cc}\n]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
      character
        .split('')
        .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
        .join(''),
    );
}
