/** What was measured, by name and version. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** From .tools/bench/build/bench/subjects/ the repository is five folders up. */
export const REPOSITORY = fileURLToPath(new URL('../../../../../', import.meta.url));
const require = createRequire(import.meta.url);

/** Of all that Headway is compared with and that is there. */
export function versionsOfPeers(): string[] {
  const centrifugo = process.env.CENTRIFUGO_BIN ? [`Centrifugo ${process.env.CENTRIFUGO_VERSION ?? ''}`] : [];
  return [...['uWebSockets.js', 'ws', 'socket.io', 'nats'].map(versionOf), ...centrifugo];
}

/** "ws 8.23.0": the version that is installed here. Not every package lets its package.json be imported. */
export function versionOf(packageName: string): string {
  for (const folder of require.resolve.paths(packageName) ?? []) {
    try {
      const text = readFileSync(`${folder}/${packageName}/package.json`, 'utf8');
      return `${packageName} ${(JSON.parse(text) as { version: string }).version}`;
    } catch {
      // Not in this one of the folders.
    }
  }
  throw new Error(`${packageName} is not installed`);
}
