import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { eventSource } from './event-source.js';
import { framesSource } from './frames-source.js';
import { jsonSchemaFiles } from './json-schema.js';
import { withSettingsTable } from './settings-table.js';

// Run from the top of the repository (`npm run schemas`). What it writes is committed: schemas/json/ for other
// languages to use, *.generated.ts for what has no TypeBox, and the table of settings for operators to read.
const folder = 'schemas/json';
mkdirSync(folder, { recursive: true });
for (const [name, text] of jsonSchemaFiles()) {
  writeFileSync(`${folder}/${name}`, text);
  process.stdout.write(`${folder}/${name}\n`);
}

const reference = 'docs/reference/settings.md';
writeFileSync(reference, withSettingsTable(readFileSync(reference, 'utf8')));
process.stdout.write(`${reference}\n`);
for (const [file, text] of [
  ['schemas/event.generated.ts', eventSource()],
  ['schemas/frames.generated.ts', framesSource()],
] as const) {
  writeFileSync(file, text);
  process.stdout.write(`${file}\n`);
}
