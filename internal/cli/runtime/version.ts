import { createRequire } from 'node:module';

// By the package's own name: this file lies at another depth when it is compiled.
const { version } = createRequire(import.meta.url)('headway/package.json') as { version: string };

/** The version of this Headway, such as "0.1.0". */
export const VERSION: string = version;
