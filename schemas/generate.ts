import { mkdirSync, writeFileSync } from 'node:fs';
import { jsonSchemaFiles } from './json-schema.js';

// Run from the top of the repository (`npm run schemas`): schemas/json/ is committed, for other languages to use.
const folder = 'schemas/json';
mkdirSync(folder, { recursive: true });
for (const [name, text] of jsonSchemaFiles()) {
  writeFileSync(`${folder}/${name}`, text);
  process.stdout.write(`${folder}/${name}\n`);
}
