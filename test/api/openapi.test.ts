/** What an edge answers over HTTP against its own OpenAPI document, by Schemathesis: inputs good and bad, made from it. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Child } from '../harness/child.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { publish } from '../harness/publish.js';
import { connectedNats } from '../harness/shared-nats.js';
import { guardedFolder } from '../harness/watchdog.js';

const CONFIG = fileURLToPath(new URL('schemathesis.toml', import.meta.url));

test('G8 bad input: every answer to thousands of requests is one that the document has', async () => {
  const binary = process.env.HEADWAY_SCHEMATHESIS;
  if (!binary) throw new Error('HEADWAY_SCHEMATHESIS is not set: run `make test-api`');
  await using own = await connectedNats({ stream: {} });
  await using edge = await startEdgeProcess({ natsUrl: own.nats.url });
  // Names that are likely to be tried.
  for (const id of ['0', '00', 'job-1']) {
    for (let progress = 0; progress < 3; progress++) await publish(own.nc, id, { progress, job_type: '0' });
  }
  await edgeHasRead(edge.http, own.nc);
  // It leaves a folder where it runs.
  const folder = await guardedFolder('headway-api');
  const child = await Child.spawn(
    'schemathesis',
    'sh',
    [
      ...['-c', 'cd "$0" && exec "$@"', folder.path, binary],
      ...['--config-file', CONFIG, 'run', `${edge.http}/openapi.json`, '--checks', 'all'],
      // A stream does not end, and so is no answer that could be checked.
      ...['--include-path-regex', '^/v1', '--max-examples', '300', '--no-color'],
    ],
    { PATH: process.env.PATH },
  );
  const { code } = await child.exited;
  await folder.remove();
  expect(code, child.output()).toBe(0);
  expect(child.output()).toMatch(/Tested: +3/);
  expect(edge.logged('a handler failed')).toEqual([]);
}, 300_000);
